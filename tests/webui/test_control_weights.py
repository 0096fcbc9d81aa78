"""A weight per frame: what ControlNet adds to each row is multiplied by the number of the row's frame, of every kind."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch
from controlnet_fakes import Adapter, LiteModule, Network, Param
from test_controlnet_rows import CASES, FRAMES, WINDOWS, expected, hint

from motion_module.core.denoising.slerp import slerp
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.errors import HostError, ParamError
from motion_module.travel_values import read
from motion_module.webui.controlnet.hints import handed_out
from motion_module.webui.controlnet.key_pictures import KeyPictures
from motion_module.webui.controlnet.lines import Lines, check_frames, read_lines
from motion_module.webui.controlnet.row_weights import RowWeights, check_kind, check_preprocessor
from motion_module.windows import WindowPlan
from tests.core.test_factors import Counted

WEIGHTS = [1.0, 0.75, 0.5, 0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0]
OWN = 0.5  # of the unit


def see(
    params, network, weights, windows="one window", parts=1, uncond=True, together=True, per_call=1, step=3, **rest
):
    """One value for each row of a denoiser call: what ControlNet added."""
    p = SimpleNamespace(batch_size=FRAMES, is_hr_pass=rest.get("hires", False))
    rows, size = FRAMES * (parts + uncond), rest.get("size", 1)
    with handed_out(p, params, rest.get("ways", {}), weights) as around:
        options = WindowPlan(**WINDOWS[windows], windows_per_call=per_call)
        model = SlidingModel(network, CallFrames(), FRAMES, options, together, around)
        model.begin(step, parts)
        marks = torch.cat([torch.ones(FRAMES * parts, 2, 3), torch.zeros(FRAMES * uncond, 2, 3)])
        out = model(torch.zeros(rows, 1, size, size), torch.zeros(rows), marks)
    return out[:, 0, 0, 0]


def weights_of_rows(parts, uncond):
    each = torch.tensor(WEIGHTS)
    return torch.cat([each.repeat_interleave(parts), each][: 1 + uncond])


@pytest.mark.parametrize(("windows", "parts", "uncond", "together", "per_call"), CASES)
def test_every_row_has_the_weight_of_its_frame(windows, parts, uncond, together, per_call):
    param = Param(hint(True))
    param.weight = OWN
    for step in (0, 1, 5):
        seen = see([param], Network(param), {0: WEIGHTS}, windows, parts, uncond, together, per_call, step)
        wanted = expected(parts, uncond, True) * OWN * weights_of_rows(parts, uncond)
        assert torch.allclose(seen, wanted, atol=1e-6)
    assert param.weight == OWN and "apply_effective_region_mask" not in vars(param)


@pytest.mark.parametrize("windows", ["one window", "windows"])
@pytest.mark.parametrize(("hires", "size"), [(False, 1), (True, 2)])
def test_both_passes_of_a_hires_fix_have_it(windows, hires, size):
    param = Param(hint(True), high=hint(True, size=16) + 0.5)
    seen = see([param], Network(param), {0: WEIGHTS}, windows, hires=hires, size=size)
    assert torch.allclose(seen, (expected(1, True, True) + 0.5 * hires) * weights_of_rows(1, True), atol=1e-6)


@pytest.mark.parametrize("kind", ["ControlNet", "ControlLoRA", "ControlNetUnion", "InstantID"])
def test_only_the_unit_that_has_weights_is_weighed(kind):
    first, second = Param(hint(True), kind), Param(hint(True), kind)
    both = [Network(first), Network(second)]
    seen = see([first, second], lambda *args: both[0](*args) + 1000 * both[1](*args), {0: WEIGHTS}, "windows")
    wanted = expected(1, True, True)
    assert torch.allclose(seen, wanted * weights_of_rows(1, True) + 1000 * wanted, rtol=1e-6)


@pytest.mark.parametrize("windows", ["one window", "windows"])
def test_what_a_t2i_adapter_made_of_one_picture_for_all_rows(windows):
    """It adds one row, which is spread over those of the call."""
    param = Param(torch.full((1, 3, 8, 8), 7.0), "T2I_Adapter", model=SimpleNamespace(reset=lambda: None))

    def network(x, t, cond):
        return x * 0 + param.apply_effective_region_mask(torch.full((1, 1, 1, 1), 7.0))

    seen = see([param], network, {0: WEIGHTS}, windows)
    assert torch.allclose(seen, 7 * weights_of_rows(1, True), atol=1e-6)


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("together", [True, False])
def test_an_ip_adapter(windows, together):
    rows = torch.arange(FRAMES, dtype=torch.float32).view(-1, 1, 1)
    adapter = Adapter(torch.zeros(1, 1, 1), torch.full((1, 1, 1), -1.0))
    param = Param([rows[i : i + 1] for i in range(FRAMES)], "IPAdapter", model=adapter)

    def network(x, t, marks):
        return x + adapter.apply_effective_region_mask(OWN * adapter.keys(marks[:, :1, :1]))[..., None]

    seen = see([param], network, {0: WEIGHTS}, windows, together=together, ways={0: None})
    wanted = torch.cat([rows[:, 0, 0], torch.full((FRAMES,), -1.0)])
    assert torch.allclose(seen, OWN * wanted * weights_of_rows(1, True), atol=1e-6)
    assert "apply_effective_region_mask" not in vars(adapter)


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("convolution", [True, False])
def test_a_control_lllite(windows, convolution):
    whole = hint(True)
    modules = {name: LiteModule(whole) for name in "ab"}
    param = Param(whole, "Controlllite", model=SimpleNamespace(modules=modules))

    def network(x, t, cond):
        each = [module.forward(x if convolution else x[..., 0]) for module in modules.values()]
        added = OWN * sum(each) / 2
        return added if convolution else added[..., None]

    seen = see([param], network, {0: WEIGHTS}, windows, parts=2)
    assert torch.allclose(seen, OWN * expected(2, True, True) * weights_of_rows(2, True), atol=1e-6)
    assert not any("forward" in vars(module) for module in modules.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_numbers_are_not_rounded_to_half_precision_first(dtype):
    """One times anything is that, to the bit, and a number does what it does as a unit's own weight."""
    values = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(2)).to(dtype)
    param = Param(hint(True))
    with ExitStack() as loan:
        weights = RowWeights(param, [1.0, 0.2, 1 / 3, 0.0], loan)
        weights.give(call_of(4))
        got = param.apply_effective_region_mask(values)
    assert got.dtype == dtype and torch.equal(got[0], values[0]) and not got[3].any()
    for row, factor in ((1, 0.2), (2, 1 / 3)):
        assert torch.equal(got[row], values[row] * factor)


def call_of(frames):
    from motion_module.core.denoising.model_calls import ModelCall
    from motion_module.core.denoising.rows import RowLayout

    return ModelCall(RowLayout.of_call(frames, frames, 1), list(range(frames)), frames)


def test_rows_that_nobody_announced_are_refused():
    param = Param(hint(True))
    with ExitStack() as loan:
        RowWeights(param, WEIGHTS, loan).give(call_of(4))
        with pytest.raises(HostError, match="adds to 3 rows in a call of 4"):
            param.apply_effective_region_mask(torch.zeros(3, 2, 2, 2))


def test_after_an_error_nothing_of_it_is_left_and_what_somebody_kept_is_the_original():
    param, kept = Param(hint(True)), []

    def broken(x, t, cond):
        kept.append(param.apply_effective_region_mask)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        see([param], broken, {0: WEIGHTS}, "windows")
    assert "apply_effective_region_mask" not in vars(param)
    values = torch.ones(2, 1, 1, 1)
    assert kept[0](values) is values


def test_without_weights_nothing_is_in_the_way():
    """And with them there is one multiplication for what a unit adds in a call."""
    made = []
    for weights in ({}, {0: WEIGHTS}):
        param = Param(hint(True))
        network = Network(param)

        def watched(*args, param=param, network=network):
            assert ("apply_effective_region_mask" in vars(param)) is bool(made)
            return network(*args)

        with Counted() as counted:
            see([param], watched, weights, "windows")
        made.append(counted.counts["aten.mul.Tensor"] / len(network.calls))
    assert made[1] == made[0] + 1


def test_the_numbers_of_a_window_are_made_once_for_all_layers():
    param = Param(hint(True))
    with ExitStack() as loan:
        weights = RowWeights(param, WEIGHTS, loan)
        for _ in range(3):
            weights.give(call_of(4))
            with Counted() as counted:
                for _ in range(13):
                    param.apply_effective_region_mask(torch.zeros(4, 2, 2, 2))
        assert counted.counts["aten.mul.Tensor"] == 13 and not counted.counts["aten.lift_fresh.default"]


# Kinds that have one weight for all frames

ONE_WEIGHT = [
    "reference_only",
    "reference_adain",
    "reference_adain+attn",
    "revision_clipvision",
    "revision_ignore_prompt",
    "tile_colorfix",
    "tile_colorfix+sharp",
    "inpaint_only",
    "inpaint_only+lama",
    "clip_vision",
    "t2ia_style_clipvision",
]
OF_ITS_OWN = [
    "none",
    "canny",
    "inpaint",
    "inpaint_global_harmonious",
    "ip-adapter-auto",
    "ip-adapter_clip_sd15",
    "ip-adapter_face_id_plus",
    "CLIP-ViT-H (IPAdapter)",
    "instant_id_face_keypoints",
    "tile_resample",
    "recolor_luminance",
]


@pytest.mark.parametrize("module", ONE_WEIGHT)
def test_a_preprocessor_that_has_one_weight_is_named(module):
    with pytest.raises(ParamError) as caught:
        check_preprocessor(2, "weight:", module)
    assert caught.value.sentence.startswith(
        f"weight: of ControlNet unit 2 does not work with the preprocessor {module},"
    )


@pytest.mark.parametrize("module", OF_ITS_OWN)
def test_other_preprocessors_are_let_through(module):
    check_preprocessor(0, "weight:", module)


@pytest.mark.parametrize("kind", ["AttentionInjection", "ReVision", "T2I_StyleAdapter", "MadeUp"])
def test_a_model_that_has_one_weight_is_named_by_its_kind(kind):
    with pytest.raises(ParamError, match=f"of its kind \\({kind}\\), which has one weight for all frames"):
        check_kind(0, "weight:", Param(hint(True), kind))


def test_what_controlnet_has_not_taken_or_has_in_another_way_is_refused():
    older = SimpleNamespace(control_model_type=SimpleNamespace(name="ControlNet"), control_model=None)
    for param in (None, older):
        with pytest.raises(ParamError, match="falloff: of ControlNet unit 1 does not work"):
            check_kind(1, "falloff:", param)


@pytest.mark.parametrize("kind", ["ControlNet", "ControlLoRA", "ControlNetUnion", "InstantID", "T2I_Adapter"])
def test_other_kinds_are_let_through(kind):
    check_kind(0, "weight:", Param(hint(True), kind))
    check_kind(0, "weight:", Param(hint(True), "IPAdapter", model=Adapter(None, None)))
    lite = SimpleNamespace(modules={"a": LiteModule(hint(True))})
    check_kind(0, "weight:", Param(hint(True), "Controlllite", model=lite))


# Key pictures with a fall-off


def counted(keys, frames, reach, closed=False):
    """For every frame: which keys' pictures it has, how much of it is the second one, and how far both count."""
    pictures = KeyPictures(dict.fromkeys(keys, ""), frames, closed, reach=reach)
    mixes = [(mix.left, mix.right, round(mix.share, 4)) for mix in pictures.mixes()]
    return mixes, [round(value, 4) for value in pictures.influences()]


def test_a_picture_counts_less_and_less_around_its_frame():
    """Keys 2 and 10, reach 4: quarters, by hand; between 6 and 6 there is nothing, and each side has its own alone."""
    mixes, influences = counted([2, 10], 13, 4)
    assert influences == [0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5]
    assert [share for left, right, share in mixes if left != right][:8] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert mixes[0] == (2, 2, 0.0) and mixes[11] == mixes[12] == (10, 10, 0.0)


def test_where_two_pictures_reach_a_frame_both_count_with_their_share():
    """Keys 0 and 8, reach 6: in frame 3 the first has 1/2 left and the second 1/6, in frame 4 each a third."""
    mixes, influences = counted([0, 8], 9, 6)
    assert influences == [1, 0.8333, 0.6667, 0.6667, 0.6667, 0.6667, 0.6667, 0.8333, 1]
    assert [share for _, _, share in mixes] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 0]


@pytest.mark.parametrize("reach", [8, 9.5, 1000])
def test_a_reach_to_the_neighbour_is_the_travel_without_one(reach):
    mixes, influences = counted([0, 8], 9, reach)
    assert influences == [1] * 9
    assert mixes == counted([0, 8], 9, None)[0]


def test_in_a_closed_loop_it_counts_over_the_end_of_the_video():
    """12 frames, keys 1 and 5, reach 2.5: frame 11 is 2 away from frame 1, over the end."""
    _, influences = counted([1, 5], 12, 2.5, closed=True)
    assert influences == [0.6, 1, 0.6, 0.4, 0.6, 1, 0.6, 0.2, 0, 0, 0, 0.2]
    assert counted([1], 12, 4, closed=True)[1] == [0.75, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0.25, 0.5]
    assert counted([1], 12, 4)[1] == [0.75, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0]


def test_without_one_every_frame_has_its_pictures_fully():
    assert counted([2, 6], 9, None)[1] == [1] * 9


def test_an_adapter_with_a_falloff():
    """Both parts of it at once, in windows: what each frame's embedding is, and how much of it is added."""
    torch.manual_seed(0)
    outputs = [torch.randn(1, 2, 8) for _ in range(2)]
    adapter = Adapter(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))
    pictures = KeyPictures({1: "", 9: ""}, FRAMES, False, reach=6)
    seen = {}

    def network(x, t, marks):
        seen["cond"] = adapter.image_emb.cond_emb[:FRAMES]
        return x + adapter.apply_effective_region_mask(torch.ones(len(x), 4, 8)).mean(dim=(1, 2)).view(-1, 1, 1, 1)

    param = Param(outputs, "IPAdapter", model=adapter)
    added = see([param], network, {0: pictures.influences()}, ways={0: pictures})
    third = torch.tensor([0.5])
    assert torch.equal(seen["cond"][1], outputs[0][0]) and torch.equal(seen["cond"][9], outputs[1][0])
    assert torch.equal(seen["cond"][3], outputs[0][0])  # which the second does not reach
    assert torch.allclose(seen["cond"][5], slerp(outputs[0], outputs[1], third)[0], atol=1e-6)
    wanted = torch.tensor([5, 6, 5, 4, 4, 4, 4, 4, 5, 6, 5]) / 6
    assert torch.allclose(added[:FRAMES], wanted, atol=1e-6) and torch.allclose(added[FRAMES:], wanted, atol=1e-6)


# Lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", Lines()),
        ("/a b", Lines("/a b")),
        ('"/a b"\n\nmask: "/m"\nkeyframe: 0, 8', Lines("/a b", "/m", (0, 8))),
        ("weight: 0: 1, 16: 0.2", Lines(weight=read("0: 1, 16: 0.2"))),
        ("\n  \nweight: 0: 1, 16: 0.2\n", Lines(weight=read("0: 1, 16: 0.2"))),
        ("WEIGHT : 0:1;16:.2, Hold", Lines(weight=read("0: 1, 16: 0.2, hold"))),
        ("weight\uff1a 0\uff1a 1", Lines(weight=read("0: 1"))),
        ("weight: [[0, 1], [16, 0.2]]", Lines(weight=read("0: 1, 16: 0.2"))),
        ("/a\nweight: 0: 2", Lines("/a", weight=read("0: 2"))),
        ("/a\nkeyframe: 3\nfalloff: 8", Lines("/a", keyframes=(3,), falloff=8.0)),
        ("C:\\weight: 1", Lines("C:\\weight: 1")),
        ("/a\nkeyframe: 3\nFallOff: .5\nweight: 0: 1", Lines("/a", "", (3,), read("0: 1"), 0.5)),
    ],
)
def test_lines_are_read(text, lines):
    assert read_lines(0, text) == lines


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/a\nstrength: 1", ["the line 'strength: 1'", "allowed are mask:", "keyframe:", "weight:", "falloff:"]),
        ("/a\nweight 1", ["the line 'weight 1'"]),
        ("/a\nweight: 0: 1\nweight: 8: 0", ["two lines weight:"]),
        ("/a\nmask: /m\nMask: /n", ["two lines mask:"]),
        ("mask: /m", ["mask: of ControlNet unit 1 has no folder of pictures above it", "only weight:"]),
        ("weight: 0: 1\nkeyframe: 0", ["keyframe: of ControlNet unit 1 has no folder"]),
        ("/a\nweight: 3", ["weight: of ControlNet unit 1 is '3'", "no key", "0: 1.0, 8: 0.6"]),
        ("/a\nweight: 0: strong", ["is '0: strong'", "'strong', which is no number"]),
        ("/a\nweight: 8: 1, 0: 0", ["is '8: 1, 0: 0'", "have to ascend"]),
        ("/a\nweight: hold", ["is 'hold'", "hold stands alone"]),
        ("/a\nweight: 0: 1, 8: 2.5", ["is '0: 1, 8: 2.5'", "allowed at frame 8 is a number from 0 to 2"]),
        ("/a\nweight: 0: -0.1", ["allowed at frame 0 is a number from 0 to 2"]),
        ("/a\nfalloff: 8", ["falloff: of ControlNet unit 1 needs a keyframe: line"]),
        ("/a\nkeyframe: 0\nfalloff: far", ["falloff: of ControlNet unit 1 is 'far'", "a number of frames above 0"]),
        ("/a\nkeyframe: 0\nfalloff: 0", ["is '0'", "above 0"]),
        ("/a\nkeyframe: 0\nfalloff:", ["is ''", "above 0"]),
        ("weight:", ["weight: of ControlNet unit 1 is ''", "allowed is frames with a number each, as in 0: 1"]),
        ("/a\nmask: ", ["mask: of ControlNet unit 1 is ''", "allowed is a folder of masks"]),
        (f"/a\nkeyframe: {'9' * 5000}", ["keyframe: of ControlNet unit 1", "ascending frame numbers"]),
        ("/a\nkeyframe: 0\nfalloff: inf", ["is 'inf'", "above 0"]),
        ("/a\nkeyframe: 0\nfalloff: nan", ["is 'nan'", "above 0"]),
    ],
)
def test_a_line_that_is_wrong_is_one_sentence(text, says):
    with pytest.raises(ParamError) as caught:
        read_lines(1, text)
    assert all(words in caught.value.sentence for words in says), caught.value.sentence
    assert "unit 1" in caught.value.sentence and "\n" not in caught.value.sentence


def test_a_frame_beyond_the_last_one_is_named():
    lines = read_lines(3, "weight: 0: 1, 16: 0.2")
    check_frames(3, lines, 17)
    with pytest.raises(ParamError) as caught:
        check_frames(3, lines, 16)
    assert caught.value.sentence == (
        "weight: of ControlNet unit 3 is '0: 1, 16: 0.2'; frame 16 is beyond the last frame, 15, of 16 frames"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("weight: [[0, 1], [16, 0.2]]", "weight: 0: 1, 16: 0.2"),
        ("/a\nkeyframe: 0\nfalloff: 8.50", "falloff: 8.5"),
        ("/a\nkeyframe: 0\nfalloff: 8\nweight: 4: 1, hold", "weight: 4: 1, hold; falloff: 8"),
        ("/a\nkeyframe: 0", ""),
    ],
)
def test_they_are_recorded_as_one_would_write_them(text, written):
    assert str(read_lines(0, text)) == written
