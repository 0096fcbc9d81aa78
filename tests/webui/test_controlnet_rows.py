"""Whatever the host calls the model with, each row sees what ControlNet holds for its own frame."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from controlnet_fakes import Adapter, LiteModule, Network, Param

from motion_module.core.denoising.slerp import slerp
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.sparsectrl import MotionModuleType, MotionWrapper
from motion_module.errors import HostError, ParamError
from motion_module.travel import Travel
from motion_module.webui.controlnet.hints import handed_out
from motion_module.windows import WindowPlan

FRAMES = 11
WINDOWS = {
    "one window": {"context": 16},
    "windows": {"context": 4, "overlap": 1},
    "stride": {"context": 4, "stride": 3},
    "closed": {"context": 4, "closed_loop": "A", "stride": 2},
    "no loop": {"context": 4, "closed_loop": "N"},
    "static": {"context": 4, "schedule": "static"},
}
HELD_FOR_BOTH = 100  # how much more the negative prompt's half of a hint is


def hint(both, size=8, of=float):
    """One value for each frame; with both halves, the second is told by its values."""
    rows = torch.arange(FRAMES, dtype=torch.float32)
    rows = torch.cat([rows, rows + HELD_FOR_BOTH]) if both else rows
    return rows.view(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous()


def expected(parts, uncond, both):
    frames = torch.arange(FRAMES, dtype=torch.float32)
    cond = frames.repeat_interleave(parts)
    return torch.cat([cond, frames + HELD_FOR_BOTH * both]) if uncond else cond


def see(params, network, windows="one window", parts=1, uncond=True, together=True, per_call=1, step=3, p=None, **rest):
    """One value for each row of a denoiser call: what it was shown."""
    p = p or SimpleNamespace(batch_size=FRAMES, is_hr_pass=False)
    rows = FRAMES * (parts + uncond)
    with handed_out(p, params, rest.pop("ways", {})) as around:
        options = WindowPlan(**WINDOWS[windows], windows_per_call=per_call)
        model = SlidingModel(network, CallFrames(), FRAMES, options, together, around)
        model.begin(step, parts)
        size = rest.pop("size", 1)
        out = model(torch.zeros(rows, 1, size, size), torch.zeros(rows), torch.zeros(rows, 2, 3))
    return out[:, 0, 0, 0]


CASES = list(itertools.product(WINDOWS, [1, 2, 3], [True, False], [True, False], [1, 3]))


@pytest.mark.parametrize("both", [True, False], ids=["2N", "N"])
@pytest.mark.parametrize(("windows", "parts", "uncond", "together", "per_call"), CASES)
def test_every_row_sees_the_hint_of_its_frame(windows, parts, uncond, together, per_call, both):
    whole = hint(both)
    param = Param(whole)
    for step in (0, 1, 5):
        seen = see([param], Network(param), windows, parts, uncond, together, per_call, step)
        assert torch.equal(seen, expected(parts, uncond, both))
        assert param.hint_cond is whole and param.used_hint_cond is None


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("together", [True, False])
def test_one_picture_counts_for_all_frames(windows, together):
    """In calls of different length, too: what ControlNet has made for as many rows is made anew."""
    whole = torch.full((1, 3, 8, 8), 7.0)
    param = Param(whole)
    network = Network(param)
    seen = see([param], network, windows, together=together, per_call=3)
    assert (seen == 7).all() and param.hint_cond is whole
    assert all(shown is whole for shown in network.calls)  # never copied


@pytest.mark.parametrize("windows", ["one window", "windows"])
@pytest.mark.parametrize(("pass_", "size", "high"), [(False, 1, 16), (True, 2, 16), (False, 1, 8), (True, 1, 8)])
def test_each_pass_of_a_hires_fix_sees_its_own_hint(windows, pass_, size, high):
    """With a scale of 1 both hints are as large, and ControlNet takes the second from the beginning."""
    low, tall = hint(True), hint(True, size=high) + 0.5
    param = Param(low, high=tall)
    p = SimpleNamespace(batch_size=FRAMES, is_hr_pass=pass_)
    seen = see([param], Network(param), windows, p=p, size=size)
    assert torch.equal(seen, expected(1, True, True) + 0.5 * (pass_ or high == 8))
    assert param.hint_cond is low and param.hr_hint_cond is tall


def test_copies_of_one_window_are_made_once():
    param = Param(hint(True))
    network = Network(param)
    with handed_out(SimpleNamespace(batch_size=FRAMES), [param], {}) as around:
        model = SlidingModel(network, CallFrames(), FRAMES, WindowPlan(), True, around)
        for step in range(3):
            model.begin(step)
            model(torch.zeros(2 * FRAMES, 1, 1, 1), torch.zeros(2 * FRAMES), torch.zeros(2 * FRAMES, 2, 3))
    assert network.calls[0] is network.calls[1] is network.calls[2] is not param.hint_cond


def test_only_the_rows_of_a_call_go_to_the_device(monkeypatch):
    from modules import devices

    monkeypatch.setattr(devices, "get_device_for", lambda task: torch.device("meta"))
    param = Param(hint(True))
    seen = []

    def network(x, t, cond):
        seen.append((param.hint_cond.device.type, param.hint_cond.shape[0]))
        return x

    see([param], network, "windows")
    assert set(seen) == {("meta", 8)} and param.hint_cond.device.type == "cpu"


@pytest.mark.parametrize("rows", [FRAMES - 1, FRAMES + 1, 2 * FRAMES - 1, 3 * FRAMES])
def test_a_hint_of_another_video_is_refused(rows):
    param = Param(torch.zeros(rows, 3, 8, 8))
    with pytest.raises(HostError, match=f"{rows} pictures for a video of {FRAMES} frames"):
        see([param], Network(param), "windows")


@pytest.mark.parametrize("shape", [(512,), (5, 512), (1, 257, 1024)])
def test_what_a_face_or_a_style_has_become_is_left_alone(shape):
    param = Param(torch.zeros(shape))
    whole = param.hint_cond

    def network(x, t, cond):
        assert param.hint_cond is whole
        return x

    see([param], network, "windows")


def test_the_hint_goes_back_after_an_error_and_that_of_somebody_else_stays():
    first, second, theirs = Param(hint(True)), Param(hint(False)), hint(True)
    wholes = first.hint_cond, second.hint_cond

    def broken(x, t, cond):
        second.hint_cond = theirs
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        see([first, second], broken, "windows")
    assert first.hint_cond is wholes[0] and second.hint_cond is theirs


def test_an_adapter_that_keeps_what_it_made_is_told_to_forget():
    resets = []
    param = Param(hint(True), "T2I_Adapter", model=SimpleNamespace(reset=lambda: resets.append(1)))
    network = Network(param)
    see([param], network, "windows")
    assert len(resets) == len(network.calls) > 1


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize(("together", "per_call"), [(True, 1), (True, 3), (False, 1), (False, 3)])
@pytest.mark.parametrize("pictures", ["one", "each", "each, stacked"])
def test_image_embeddings(windows, together, per_call, pictures):
    """One for all, one for each frame from several pictures, or from a version that stacks them twice."""
    rows = torch.arange(FRAMES, dtype=torch.float32).view(-1, 1, 1)
    cond = {
        "one": torch.full((1, 1, 1), 7.0),
        "each": torch.full((1, 1, 1), 5.0),
        "each, stacked": rows.repeat(2, 1, 1),
    }
    outputs = [rows[i : i + 1] for i in range(FRAMES)] if pictures == "each" else None
    adapter = Adapter(cond[pictures], torch.full((1, 1, 1), -1.0))
    before = adapter.image_emb, adapter.cache
    param = Param(outputs, "IPAdapter", model=adapter)

    def network(x, t, marks):
        return x + adapter.keys(marks[:, :1, :1])[..., None]

    p = SimpleNamespace(batch_size=FRAMES)
    with handed_out(p, [param], {0: None} if outputs else {}) as around:
        options = WindowPlan(**WINDOWS[windows], windows_per_call=per_call)
        model = SlidingModel(network, CallFrames(), FRAMES, options, together, around)
        for step in range(3):
            for uncond in (True, False, True):  # the host skips the negative prompt in some steps
                model.begin(step)
                marks = torch.cat([torch.ones(FRAMES, 2, 3), torch.zeros(FRAMES * uncond, 2, 3)])
                seen = model(torch.zeros(len(marks), 1, 1, 1), torch.zeros(len(marks)), marks)[:, 0, 0, 0]
                want = torch.full((FRAMES,), 7.0) if pictures == "one" else rows[:, 0, 0]
                assert torch.equal(seen[:FRAMES], want) and (seen[FRAMES:] == -1).all()
    assert adapter.image_emb is before[0] and adapter.cache is before[1]


@pytest.mark.parametrize("closed", [False, True])
def test_image_embeddings_travel_between_keyframes(closed):
    torch.manual_seed(0)
    outputs = [torch.randn(1, 2, 8) for _ in range(2)]
    adapter = Adapter(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))
    param = Param(outputs, "IPAdapter", model=adapter)
    seen = {}

    def network(x, t, marks):
        seen["all"] = adapter.image_emb.cond_emb[:FRAMES]
        return x

    see([param], network, ways={0: Travel({2: "", 6: ""}, FRAMES, closed)})
    between = slerp(outputs[0], outputs[1], torch.tensor([0.25]))
    assert torch.equal(seen["all"][2], outputs[0][0]) and torch.equal(seen["all"][6], outputs[1][0])
    assert torch.allclose(seen["all"][3], between[0], atol=1e-6)
    assert torch.equal(seen["all"][10], outputs[1][0]) is not closed


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("both", [True, False], ids=["2N", "N"])
def test_pictures_of_lllite(windows, both):
    whole = hint(both)
    modules = {name: LiteModule(whole) for name in "ab"}
    param = Param(whole, "Controlllite", model=SimpleNamespace(modules=modules))

    def network(x, t, cond):
        assert modules["a"].cond_image is modules["b"].cond_image
        return modules["a"].see(x)

    seen = see([param], network, windows, parts=2)
    assert torch.equal(seen, expected(2, True, both))
    assert all(module.cond_image is whole and module.cond_emb is None for module in modules.values())


def test_sparsectrl_learns_how_many_frames_a_call_has():
    from motion_module.core.module.sparsectrl import temporal_layers

    network = torch.nn.ModuleList([made_wrapper()])
    layers = temporal_layers(network)
    own = [layer.call for layer in layers]
    param = Param(hint(True), model=network)
    told = []

    def model(x, t, cond):
        told.append((x.shape[0], *{layer.call.frames for layer in layers}))
        return x

    see([param], model, "windows", per_call=3)
    assert {rows % frames for rows, frames in told} == {0} and {frames for _, frames in told} == {4}
    assert [layer.call for layer in layers] == own and {call.frames for call in own} == {1}


def test_sparsectrl_spreads_its_positions_as_the_motion_module_does():
    """It has learnt 8, and the window has 11 frames."""
    wrapper = made_wrapper()
    layer = wrapper.down_blocks[0].motion_modules[0]
    x = torch.randn(FRAMES, 32, 2, 2)

    def through(**stretch):
        param = Param(hint(False), model=torch.nn.ModuleList([wrapper]))
        p = SimpleNamespace(batch_size=FRAMES, is_hr_pass=False)
        with handed_out(p, [param], {}, **stretch) as around, torch.no_grad():
            model = SlidingModel(lambda *call: layer(x), CallFrames(), FRAMES, WindowPlan(context=16), True, around)
            return model(torch.zeros(FRAMES, 1, 8, 8), torch.zeros(FRAMES), torch.zeros(FRAMES, 2, 3))

    with pytest.raises(ParamError, match="has learnt 8 frames at a time, .* or pe_stretch to 8"):
        through()
    assert not torch.equal(through(pe_stretch=8), through(pe_stretch=4))
    with pytest.raises(ParamError, match="has learnt 8 frames at a time"):
        through()


def made_wrapper(widths=(32, 64, 64, 64), frames=8):
    wrapper = MotionWrapper("", "", MotionModuleType.SparseCtrl)
    wrapper.load_state_dict(sparse_weights(widths, frames), strict=True)
    return wrapper


def sparse_weights(widths, frames):
    from motion_module.core.module.arch import SPARSE_CTRL, ModuleSpec
    from motion_module.core.module.model import MotionModel

    torch.manual_seed(1)
    spec = ModuleSpec(SPARSE_CTRL, widths, frames, has_up=False, attentions=1)
    return {key: torch.randn_like(value) for key, value in MotionModel(spec).state_dict().items()}


@pytest.mark.parametrize("widths", [(32, 64, 64, 64), (64, 64, 128, 128)])
def test_sparsectrl_is_built_as_controlnet_does_it(widths):
    """Its layers sit in ControlNet's blocks and are called `layer(x)`; a picture alone is a video of one frame."""
    weights = sparse_weights(widths, 8)
    wrapper = MotionWrapper("", "", MotionModuleType.SparseCtrl)
    wrapper.load_state_dict(weights, strict=True)
    assert {key: value.shape for key, value in wrapper.state_dict().items()} == {k: v.shape for k, v in weights.items()}
    for level, width in enumerate(widths):
        for layer in wrapper.down_blocks[level].motion_modules:
            layer.double()  # such weights make numbers that are too large for float32 to be compared
            x = torch.randn(3, width, 2, 2, dtype=torch.float64)
            with torch.no_grad():
                alone = torch.cat([layer(row[None]) for row in x])
                assert np.allclose(layer(x), alone, atol=1e-4) and not np.allclose(layer(x), x)


def test_other_motion_layers_are_not_taken_for_those_of_sparsectrl():
    from motion_module.errors import CheckpointError

    weights = {k: v for k, v in sparse_weights((32, 64, 64, 64), 8).items() if not k.startswith("down_blocks.3")}
    with pytest.raises(CheckpointError, match="not those of SparseCtrl"):
        MotionWrapper("", "", MotionModuleType.SparseCtrl).load_state_dict(weights)
