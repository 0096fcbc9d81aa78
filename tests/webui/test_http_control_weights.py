"""`weight:` and `falloff:` lines over HTTP and on the page: each frame is the one of that weight, refused is what is not
possible, and the lines are recorded."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import snapshot
from control_videos import batch, folder_of, mp4_of, picture, request, unit, without_detected_maps
from http_client import Client, alike, gradient, png_base64
from neighbours import on_every_change
from runs import run, video
from test_http_controlnet import WAYS, page_unit, with_units

FRAMES = 5
LINE = "weight: 0: 1, 2: 0.5, 3: 0.5, 4: 0"  # 1, 0.75, 0.5, 0.5, 0
OWN = 0.8
_known = {}


@pytest.fixture
def client(pocket):
    client = Client(pocket)
    without_detected_maps(client)
    return client


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "frames", FRAMES)


def frames(client, units, video=None, path="txt2img", **fields):
    reply = client.post(path, request(units, video or {}, **fields))
    assert reply.status == 200, reply.body
    return reply.pictures.astype(int)


def with_weight(client, folder, weight, video, **fields):
    """The frames of a video whose unit has one weight."""
    key = json.dumps([weight, video, fields], sort_keys=True)
    if key not in _known:
        _known[key] = frames(client, [batch(folder, weight=weight)], video, **fields)
    return _known[key]


def each_has_its_own(client, folder, got, factors=(1, 0.75, 0.5, 0.5, 0), video=None, **fields):
    """Whether every frame is that of a video of its weight throughout, and no other's; without motion, so that no frame
    sees another one."""
    for frame, factor in enumerate(factors):
        own = with_weight(client, folder, round(OWN * factor, 3), video or {}, **fields)[frame]
        other = with_weight(client, folder, OWN if factor < 0.6 else 0.0, video or {}, **fields)[frame]
        assert np.abs(got[frame] - own).max() <= 1, frame
        assert np.abs(got[frame] - other).max() > 8, frame


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_each_frame_has_its_own_weight(client, folder, way, together):
    """In a closed loop the way leads from the last key back to the first one, which is the next frame here."""
    settings = {"batch_cond_uncond": together}
    got = frames(client, [batch(folder, LINE, weight=OWN)], WAYS[way], override_settings=settings)
    each_has_its_own(client, folder, got)


MODES = ["My prompt is more important", "ControlNet is more important"]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a red ball AND a blue sky :0.7"},
        {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.7},
        {"negative_prompt": "", "cfg_scale": 1.0},
    ],
    ids=["AND", "hires fix", "without guidance"],
)
def test_in_runs_of_every_kind(client, folder, fields):
    got = frames(client, [batch(folder, LINE, weight=OWN)], {"batch_size": 3}, **fields)
    each_has_its_own(client, folder, got, **fields)


@pytest.mark.parametrize("mode", MODES)
def test_beside_the_control_mode_of_the_unit(client, folder, mode):
    got = frames(client, [batch(folder, "weight: 0: 1, 2: 0, hold", weight=OWN, control_mode=mode)])
    full, none = (frames(client, [batch(folder, weight=w, control_mode=mode)]) for w in (OWN, 0.0))
    assert np.abs(got[:2] - full[:2]).max() <= 1 and np.abs(got[2:] - none[2:]).max() <= 1
    assert np.abs(full - none).max(axis=(1, 2, 3)).min() > 8


def test_in_every_pass_of_freeinit(client, folder):
    """Whose frames have their noise from each other; so all are weighed alike."""
    passes = {"freeinit_enable": True, "freeinit_iters": 2}
    got = frames(client, [batch(folder, "weight: 0: 0.5", weight=OWN)], passes)
    assert np.abs(got - with_weight(client, folder, OWN / 2, passes)).max() <= 1
    assert np.abs(got - with_weight(client, folder, OWN, passes)).max(axis=(1, 2, 3)).min() > 8


def test_in_every_video_of_a_batch_count(client, folder):
    got = frames(client, [batch(folder, "weight: 0: 1, 2: 0, hold", weight=OWN)], n_iter=2)
    full, none = (frames(client, [batch(folder, weight=w)], n_iter=2) for w in (OWN, 0.0))
    assert len(got) == len(full) == 2 * FRAMES
    for first in (0, FRAMES):
        two = slice(first, first + 2), slice(first + 2, first + FRAMES)
        assert np.abs(got[two[0]] - full[two[0]]).max() <= 1 and np.abs(got[two[1]] - none[two[1]]).max() <= 1


def test_ones_are_the_very_frames_without_a_line(client, folder):
    for windows in ({}, {"batch_size": 2}):
        plain = frames(client, [batch(folder, weight=OWN)], windows)
        assert np.array_equal(frames(client, [batch(folder, "weight: 0: 1, 4: 1", weight=OWN)], windows), plain)
    assert np.abs(frames(client, [batch(folder, "weight: 0: 0.5", weight=OWN)], windows) - plain).max() > 8


def test_only_the_unit_with_the_line_is_weighed(client, folder, tmp_path):
    other = folder_of(tmp_path / "other", FRAMES, first=3)
    got = frames(client, [batch(folder, "weight: 0: 1, 2: 0, hold"), batch(other)])
    both, second = frames(client, [batch(folder), batch(other)]), frames(client, [batch(other)])
    assert np.abs(got[:2] - both[:2]).max() <= 1 and np.abs(got[2:] - second[2:]).max() <= 1
    assert np.abs(both - second).max(axis=(1, 2, 3)).min() > 8


# The line without a folder


@pytest.mark.parametrize("text", [LINE, f"\n{LINE}"])
@pytest.mark.parametrize("mode", [{}, {"input_mode": "batch"}])
@pytest.mark.parametrize("field", ["video_path", "video_source"])
def test_a_line_alone_leaves_the_unit_the_requests_video(client, folder, tmp_path, field, mode, text):
    source = str(folder) if field == "video_path" else mp4_of(tmp_path / "source.mp4", FRAMES)
    got = frames(client, [unit(batch_images=text, weight=OWN, **mode)], {field: source})
    wanted = frames(client, [batch(folder, LINE, weight=OWN)])
    assert len(got) == FRAMES and np.abs(got - wanted).mean() < (0.1 if field == "video_path" else 6)
    unweighed = frames(client, [unit(weight=OWN)], {field: source})
    assert np.abs(got[0] - unweighed[0]).max() <= 1 and np.abs(got[4] - unweighed[4]).max() > 8


def test_a_line_alone_leaves_the_unit_the_pictures_of_img2img(client, folder):
    pictures = [png_base64(picture(place)) for place in range(FRAMES)]
    still = {"denoising_strength": 1.0, "resize_mode": 0, "seed": 5, "path": "img2img", "init_images": pictures}
    got = frames(client, [unit(batch_images=LINE, weight=OWN)], **still)
    assert np.abs(got - frames(client, [batch(folder, LINE, weight=OWN)], **still)).max() <= 1
    assert np.abs(got - frames(client, [unit(weight=OWN)], **still)).max() > 8


def test_a_picture_of_the_unit_with_a_line_counts_for_all_frames(client):
    """In the API, where no mode is chosen; the page's *Single image* tab has no lines."""
    shown = {"image": png_base64(picture(1)), "weight": OWN}
    got = frames(client, [unit(batch_images="weight: 0: 1, 1: 0", **shown)], {"video_length": 2})
    plain = frames(client, [unit(**shown)], {"video_length": 2})
    without = frames(client, [unit(**{**shown, "weight": 0.0})], {"video_length": 2})
    assert np.abs(got[0] - plain[0]).max() <= 1 and np.abs(got[1] - without[1]).max() <= 1
    assert np.abs(plain - without).max(axis=(1, 2, 3)).min() > 8
    for idle in (
        {"input_mode": "simple", "batch_images": "weight: 0: 0"},
        {"batch_images": "/no/folder\nweight: 0: 0"},
    ):
        assert np.array_equal(frames(client, [unit(**shown, **idle)], {"video_length": 2}), plain)


def test_a_picture_of_a_tab_that_is_not_open_is_not_looked_at(client):
    """The *Batch* tab is open, there is no video, and img2img has one picture: that one counts, as README says."""
    still = {"denoising_strength": 1.0, "resize_mode": 0, "path": "img2img", "init_images": [png_base64(picture(3))]}
    left = {"image": png_base64(picture(0)), "input_mode": "batch"}
    for text in ("", "weight: 0: 1, 1: 0"):
        got = frames(client, [unit(batch_images=text, **left)], {"video_length": 2}, **still)
        wanted = frames(client, [unit(batch_images=text)], {"video_length": 2}, **still)
        assert alike(got, wanted)


def test_units_of_the_page(pocket, folder):
    shown = page_unit(input_mode="batch", batch_images=f"\n{LINE}", image=picture(0), weight=OWN)
    before = {name: (id(value), repr(value)) for name, value in vars(shown).items()}
    p = with_units([shown], video_path=str(folder), video_length=FRAMES, format=["Frame"])
    result = run(p)
    assert {name: (id(value), repr(value)) for name, value in vars(shown).items()} == before
    assert result.extra_generation_params["AnimateDiff ControlNet 0"] == LINE
    assert "AnimateDiff ControlNet 0" not in p.extra_generation_params


# What is recorded, and what is refused


def test_the_lines_are_recorded_and_make_the_same_video_again(client, folder):
    reply = client.post("txt2img", request([batch(folder, f"{LINE}"), batch(folder)], {}))
    assert reply.status == 200, reply.body
    recorded = reply.info["extra_generation_params"]
    assert recorded["AnimateDiff ControlNet 0"] == LINE and "AnimateDiff ControlNet 1" not in recorded
    assert f'AnimateDiff ControlNet 0: "{LINE}"' in reply.info["infotexts"][0]
    from modules.infotext_utils import parse_generation_parameters

    pasted = parse_generation_parameters(reply.info["infotexts"][0])["AnimateDiff ControlNet 0"]
    again = frames(client, [batch(folder, pasted), batch(folder)])
    assert np.array_equal(again, reply.pictures)


REFUSED = {
    "no key": ([batch("{folder}", "weight:3")], {}, ("weight: of ControlNet unit 0 is '3'", "as in 0: 1.0, 8: 0.6")),
    "too much": (
        [unit(enabled=False), batch("{folder}", "weight: 0: 1, 4: 3")],
        {},
        ("weight: of ControlNet unit 1 is '0: 1, 4: 3'", "allowed at frame 4 is a number from 0 to 2"),
    ),
    "beyond": (
        [batch("{folder}", "weight: 0: 1, 16: 0.2")],
        {},
        ("weight: of ControlNet unit 0 is '0: 1, 16: 0.2'", "frame 16 is beyond the last frame, 4, of 5 frames"),
    ),
    "beyond, without a folder": (
        [unit(batch_images="weight: 0: 1, 16: 0.2")],
        {"video_path": "{folder}"},
        ("is '0: 1, 16: 0.2'", "frame 16 is beyond the last frame, 4, of 5 frames"),
    ),
    "twice": ([batch("{folder}", LINE, LINE)], {}, ("ControlNet unit 0 has two lines weight:",)),
    "keys without a folder": (
        [unit(batch_images="keyframe: 0")],
        {},
        ("keyframe: of ControlNet unit 0 has no folder",),
    ),
    "alone, without a video": ([unit(batch_images=LINE)], {}, ("ControlNet unit 0 is enabled, but it has no picture",)),
    "fall-off without keys": (
        [batch("{folder}", "falloff: 2")],
        {},
        ("falloff: of ControlNet unit 0 needs a keyframe:",),
    ),
    "fall-off of no adapter": (
        [batch("{folder}", "keyframe: 0,1,2,3,4", "falloff: 2", module="canny")],
        {},
        ("falloff: of ControlNet unit 0 is for the key pictures of an IP-Adapter", "canny"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(client, folder, case):
    units, fields, says = json.loads(json.dumps(REFUSED[case]).replace("{folder}", str(folder)))
    refused(client, request(units, fields), says)


def refused(client, body, says):
    before, files = snapshot.of_host(values=False), client.written()
    reply = client.post("txt2img", body)
    assert reply.status == 422, reply.body
    assert all(part in reply.sentence for part in says), reply.sentence
    assert reply.sentence.startswith("AnimateDiff: ") and "\n" not in reply.sentence
    assert snapshot.differences(before, snapshot.of_host(values=False)) == [] and client.written() == files


def test_a_preprocessor_with_one_weight_is_refused_before_anything_is_read(client, folder, monkeypatch):
    from internal_controlnet import preprocessors

    more = preprocessors.Preprocessor("reference_only", lambda picture, *_: picture, "reference_only")
    monkeypatch.setattr(preprocessors, "PREPROCESSORS", (*preprocessors.PREPROCESSORS, more))
    units = [batch(folder, LINE, module="reference_only")]
    refused(
        client, request(units, {}), ["weight: of ControlNet unit 0 does not work with the preprocessor reference_only"]
    )
    assert len(frames(client, [batch(folder, module="reference_only")])) == FRAMES


def test_a_kind_with_one_weight_is_refused_before_the_model_is_touched(client, folder, monkeypatch):
    from types import SimpleNamespace

    from motion_module.webui.sampling import scope
    from scripts.hook import ControlParams

    of_style, begin = SimpleNamespace(name="T2I_StyleAdapter"), ControlParams.__init__

    def made(self, *args, **kwargs):
        begin(self, *args, **{**kwargs, "control_model_type": of_style})

    def touched(*args, **kwargs):
        raise AssertionError("the model is borrowed")

    monkeypatch.setattr(ControlParams, "__init__", made)
    monkeypatch.setattr(scope, "Loan", touched, raising=False)
    says = ["weight: of ControlNet unit 0", "a model of its kind (T2I_StyleAdapter)", "leave the line out"]
    refused(client, request([batch(folder, LINE)], {}), says)


def test_a_plan_refuses_the_same(client, folder):
    for lines, says in ((["weight: 0: 1, 16: 0.2"], "frame 16 is beyond"), (["weight: x"], "'x' is no key")):
        reply = client.plan(request([batch(folder, *lines)], {}))
        assert reply.status == 422 and says in reply.sentence, reply.body


def test_without_a_line_nobody_is_in_the_way(pocket, folder, monkeypatch):
    from motion_module.webui.controlnet import hints

    def made(*args):
        raise AssertionError("a unit without a line is weighed")

    monkeypatch.setattr(hints, "RowWeights", made)
    run(with_units([page_unit(input_mode="batch", batch_images=str(folder))], video_length=FRAMES))


def test_a_failure_while_it_is_put_in_leaves_nothing_of_it(pocket, folder, monkeypatch):
    def fail():
        raise RuntimeError("this is broken")

    host = snapshot.of_host(values=False)
    on_every_change(monkeypatch, fail, of="row_weights")
    with pytest.raises(RuntimeError, match="this is broken"):
        run(with_units([page_unit(batch_images=f"{folder}\n{LINE}")], video_length=FRAMES))
    monkeypatch.undo()
    assert snapshot.differences(host, snapshot.of_host(values=False)) == []


def test_a_start_picture_of_img2img(client):
    """A folder of frames is not needed either where img2img has one picture: it counts for all frames."""
    still = {"path": "img2img", "init_images": [png_base64(gradient())], "denoising_strength": 1.0}
    got = frames(client, [unit(batch_images="weight: 0: 1, 1: 0")], {"video_length": 2}, **still)
    plain = frames(client, [unit()], {"video_length": 2}, **still)
    assert np.abs(got[0] - plain[0]).max() <= 1 and np.abs(got[1] - plain[1]).max() > 4


# Key pictures of an IP-Adapter, of which the pocket has none: what it would be given


def of_an_adapter(monkeypatch, folder, lines, **fields):
    """What goes with the frames of a unit that is an IP-Adapter: its pictures for each of them, and its weights."""
    from internal_controlnet.args import ControlNetUnit

    from motion_module.webui.controlnet import control
    from motion_module.webui.request.read import read_params

    monkeypatch.setattr(ControlNetUnit, "accepts_multiple_inputs", property(lambda unit: True))
    p = with_units([page_unit(input_mode="batch", batch_images="\n".join([str(folder), *lines]))])
    made = control.Control(p, read_params([video(**fields)]), None)
    script, given = control.controlnet_of(p), {}
    monkeypatch.setattr(script, "enabled_units", [unit.settings for unit in made._units])

    @contextmanager
    def handed_out(p, params, travels, weights, *rest):
        given.update(pictures=travels[0], weights=weights.get(0))
        yield None

    monkeypatch.setattr(control, "handed_out", handed_out)
    made.check_frames(9)
    with made.handing_out(9):
        return given["pictures"], given["weights"], made.recorded


def test_a_falloff_and_a_weight_are_multiplied(pocket, folder, tmp_path, monkeypatch):
    keys = folder_of(tmp_path / "keys", 2)
    pictures, weights, recorded = of_an_adapter(
        monkeypatch, keys, ["keyframe: 0, 8", "falloff: 2", "weight: 0: 2, 8: 1"]
    )
    assert pictures.reach == 2 and list(pictures.keys) == [0, 8]
    assert weights == pytest.approx([2, 0.5 * 1.875, 0, 0, 0, 0, 0, 0.5 * 1.125, 1])
    assert recorded == {"AnimateDiff ControlNet 0": "weight: 0: 2, 8: 1; falloff: 2"}


def test_a_weight_alone_leaves_key_pictures_as_they_are(pocket, folder, tmp_path, monkeypatch):
    keys = folder_of(tmp_path / "keys", 2)
    pictures, weights, _ = of_an_adapter(monkeypatch, keys, ["keyframe: 0, 8", "weight: 0: 2, 8: 1"])
    assert [mix.share for mix in pictures.mixes()] == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 0]
    assert weights == [2, 1.875, 1.75, 1.625, 1.5, 1.375, 1.25, 1.125, 1]
    assert of_an_adapter(monkeypatch, keys, ["keyframe: 0, 8"])[1:] == (None, {})


@pytest.mark.parametrize(("context", "closed"), [(4, True), (16, False)])
def test_key_pictures_lead_back_where_windows_do(pocket, folder, tmp_path, monkeypatch, context, closed):
    """A loop closes their way in windows alone, that of a weight always, as of every number that travels."""
    keys = folder_of(tmp_path / "keys", 2)
    lines = ["keyframe: 2, 5", "falloff: 6", "weight: 0: 0, 6: 1"]
    fields = {"batch_size": context, "closed_loop": "A"}
    pictures, weights, _ = of_an_adapter(monkeypatch, keys, lines, **fields)
    assert pictures.closed is closed
    last = 1.0 if closed else 1 - 3 / 6  # frame 8 is three away from frame 5, or halfway from 5 over the end to 2
    assert weights[8] == pytest.approx(last * 1 / 3)
    assert weights[6] == pytest.approx((1.0 if closed else 1 - 1 / 6) * 1)
