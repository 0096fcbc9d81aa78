"""ControlNet and video over HTTP: whose pictures a unit gets, which frame shows which, what is refused, what is left."""

import json
from pathlib import Path

import numpy as np
import pytest
import snapshot
from control_videos import STILL, batch, folder_of, mp4_of, picture, request, unit, without_detected_maps
from http_client import Client, gradient, mp4_frames, png_base64
from PIL import Image
from runs import make, run, runner_of, video
from test_video_in import wrong

FRAMES = 5
_known = {}


@pytest.fixture
def client(pocket):
    return Client(pocket)


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "frames", FRAMES)


@pytest.fixture
def quiet(client):
    """Without the control pictures that ControlNet appends to the result."""
    without_detected_maps(client)


def frames(client, units, video=None, path="txt2img", **fields):
    reply = client.post(path, request(units, video or {}, **fields))
    assert reply.status == 200, reply.body
    return reply.pictures.astype(int)


def alone(client, place, seed=5, **fields):
    """What frame `place` looks like with its own picture: a run of one frame with that picture alone."""
    key = (place, seed, json.dumps(fields, sort_keys=True))
    if key not in _known:
        shown = unit(image=png_base64(picture(place)))
        _known[key] = frames(client, [shown], {"video_length": 1}, seed=seed, **fields)[0]
    return _known[key]


def is_of(client, got, order=range(FRAMES), most=1.5, **fields):
    """Whether frame i shows picture `order[i]`, and no other one; the seed of frame i is that of its place."""
    for place, shown in enumerate(order):
        own, other = (alone(client, s, 5 + place, **fields) for s in (shown, shown + 1 if shown < 1 else shown - 1))
        near, far = np.abs(got[place] - own).mean(), np.abs(got[place] - other).mean()
        assert near < most and near * 4 < far, (place, near, far)


WAYS = {
    "one window": {},
    "windows": {"batch_size": 2, "overlap": 1},
    "three windows in a call": {"batch_size": 2, "overlap": 0, "windows_per_call": 3},
    "stride, closed": {"batch_size": 2, "stride": 2, "closed_loop": "A"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_each_frame_shows_its_own_picture(client, quiet, folder, way, together):
    settings = {"batch_cond_uncond": together}
    got = frames(client, [batch(folder)], WAYS[way], override_settings=settings)
    assert len(got) == FRAMES
    is_of(client, got)


@pytest.mark.parametrize("mode", ["My prompt is more important", "ControlNet is more important"])
def test_control_modes_find_their_rows_in_a_cut_call(client, quiet, folder, mode):
    whole = frames(client, [batch(folder, control_mode=mode)])
    cut = frames(
        client, [batch(folder, control_mode=mode)], {"batch_size": 2}, override_settings={"batch_cond_uncond": False}
    )
    balanced = frames(client, [batch(folder)])
    assert np.abs(whole - cut).max() <= 1 and np.abs(whole - balanced).max() > 8


def test_both_passes_of_a_hires_fix_show_the_pictures(client, quiet, folder):
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    whole = frames(client, [batch(folder)], **hires)
    cut = frames(client, [batch(folder)], {"batch_size": 2}, **hires)
    assert whole.shape == cut.shape == (FRAMES, 128, 128, 3) and np.abs(whole - cut).max() <= 1
    reversed_ = frames(client, [batch(folder_of(folder.parent / "other", FRAMES, first=1))], **hires)
    assert np.abs(whole - reversed_).max(axis=(1, 2, 3)).min() > 8


def test_prompts_joined_by_and(client, quiet, folder):
    prompt = "a red ball AND a blue sky :0.7"
    is_of(client, frames(client, [batch(folder)], {"batch_size": 2}, prompt=prompt), prompt=prompt)


def test_a_travelling_prompt_is_the_same_with_and_without_a_unit(client, quiet, folder):
    """ControlNet marks the text conditions with a token of large numbers, which must not decide their interpolation."""
    prompt = "0: a red ball\n4: a green tree in the rain"
    plain = client.run({**STILL, "video_length": 5, "batch_size": 8}, prompt=prompt, steps=1).pictures.astype(int)
    weightless = frames(client, [batch(folder, weight=0.0)], prompt=prompt)
    assert np.abs(plain - weightless).max() <= 1


def test_more_than_ten_pictures_come_in_natural_order(client, quiet, tmp_path):
    for place in range(11):
        Image.fromarray(picture(place % 5)).save(tmp_path / f"{place + 1}.png")
    (tmp_path / "Thumbs.db").write_bytes(b"no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    got = frames(client, [batch(tmp_path)])
    assert len(got) == 11
    is_of(client, got[[0, 1, 2]], [0, 1, 2])
    assert np.abs(got[10] - alone(client, 0, 15)).mean() < 1.5


@pytest.mark.parametrize("field", ["video_path", "video_source"])
def test_the_video_goes_to_the_unit_without_pictures(client, quiet, folder, tmp_path, field):
    source = str(folder) if field == "video_path" else mp4_of(tmp_path / "source.mp4", FRAMES)
    reply = client.post("txt2img", request([unit()], {field: source, "format": ["MP4", "Frame"]}))
    assert reply.status == 200, reply.body
    is_of(client, reply.pictures.astype(int), most=1.5 if field == "video_path" else 6)
    count, rate, _ = mp4_frames(reply.paths[0]["MP4"])
    assert (count, rate) == (FRAMES, 8 if field == "video_path" else 12)


def test_a_single_picture_counts_for_all_frames(client, quiet):
    shown = unit(image=png_base64(picture(1)))
    for fields in ({}, {"batch_size": 2}, {"batch_size": 2, "windows_per_call": 2}):
        got = frames(client, [shown], {"video_length": 3, **fields})
        assert len(got) == 3
        is_of(client, got, [1, 1, 1])


@pytest.mark.parametrize("asked", [0, 2, 5, 9])
def test_no_more_frames_than_the_shortest_folder(client, quiet, folder, tmp_path, asked):
    short = folder_of(tmp_path / "short", 3)
    reply = client.post("txt2img", request([batch(folder), batch(short)], {"video_length": asked}))
    assert reply.status == 200, reply.body
    assert len(reply.pictures) == (3 if asked == 0 else min(asked, 3))
    told = reply.info["extra_generation_params"].get("AnimateDiff frames")
    if asked > 3:
        assert told == f"3 frames instead of {asked}: the batch folder of ControlNet unit 1 holds no more"
        assert "AnimateDiff frames:" in reply.info["infotexts"][0]
    else:
        assert told is None
    assert f"video_length: {len(reply.pictures)}," in reply.info["infotexts"][0]


def test_the_page_is_told_what_held_too_few(pocket, folder):
    from motion_module.webui.run import hooks

    p = with_units([page_unit(input_mode="batch", batch_images=str(folder))], video_length=9)
    hooks.before_process(p, [video(**STILL, video_length=9)])
    assert p.batch_size == FRAMES
    assert any("5 frames instead of 9: the batch folder of ControlNet unit 0" in text for text in p.comments)
    hooks.run_of(p).borrowed.end()
    assert p.batch_size == 1


def test_a_run_inside_gets_the_persons_own_units(pocket, folder):
    """A detailer starts img2img for each frame with the arguments of all scripts: ours for the video are none for it."""
    from neighbours import extension

    p = with_units([page_unit()], video_path=str(folder), video_length=2)
    own, seen = p.script_args, []

    class Detailer:
        def postprocess_image(self, p, pp, *args):
            seen.append(p.script_args)

    with extension("txt2img", Detailer()):
        run(p)
    assert len(seen) == 2 and all(args is own or args == own for args in seen)


def test_keyframes_do_not_limit_the_frames(client, quiet, tmp_path):
    shown = batch(folder_of(tmp_path / "keys", 2), "keyframe: 0, 3")
    got = frames(client, [shown], {"video_length": 4})
    black = unit(image=png_base64(np.zeros((64, 64, 3))))
    nothing = frames(client, [black], {"video_length": 4})
    assert len(got) == 4
    is_of(client, got[[0]], [0])
    assert np.abs(got[3] - alone(client, 1, 8)).mean() < 1.5
    assert np.abs(got[1:3] - nothing[1:3]).max() <= 1
    one = frames(client, [batch(folder_of(tmp_path / "key", 1), "keyframe:3")], {"video_length": 4})
    assert np.abs(one[3] - alone(client, 0, 8)).mean() < 1.5
    assert np.abs(one[:3] - nothing[:3]).max() <= 1


def test_pictures_of_img2img_go_to_a_unit_without_its_own(client, quiet, folder):
    """One for each frame, as its batch tab has them; one alone counts for all, by ControlNet's own rule."""
    pictures = [png_base64(picture(place)) for place in range(FRAMES)]
    still = {"denoising_strength": 1.0, "resize_mode": 0, "seed": 5}
    by_img2img = frames(client, [unit()], path="img2img", init_images=pictures, **still)
    by_folder = frames(client, [batch(folder)], path="img2img", init_images=pictures, **still)
    assert len(by_img2img) == FRAMES and np.abs(by_img2img - by_folder).max() <= 1
    one = frames(client, [unit()], {"video_length": 2}, path="img2img", init_images=pictures[:1], **still)
    own = frames(
        client, [unit(image=pictures[0])], {"video_length": 2}, path="img2img", init_images=pictures[:1], **still
    )
    assert np.abs(one - own).max() <= 1


def test_32_units_that_are_off_or_blank_are_nobodys_concern(client, quiet):
    plain = client.run({**STILL, "video_length": 2}, steps=1).pictures.astype(int)
    for units in ([unit(enabled=False)], [{}], [None], [{"enabled": False, "image": None}, unit(enabled=False)]):
        assert np.array_equal(frames(client, units, {"video_length": 2}), plain)


def test_what_is_left_of_a_film_is_as_long_as_it_is(client, quiet, tmp_path):
    film = mp4_of(tmp_path / "clip.mp4", FRAMES)
    got = frames(client, [unit()], {"video_source": film, "video_start": 3, "video_end": 3})
    is_of(client, got, [3], most=6)  # the film's colours are not quite those of the pictures


REFUSED = {
    "video without a unit": (
        [],
        {"video_path": "{folder}"},
        ("video_path is '{folder}'", "no ControlNet unit is enabled"),
    ),
    "video, unit off": (
        [unit(enabled=False)],
        {"video_path": "{folder}"},
        ("could take its frames", "leave video_path empty"),
    ),
    "video, own picture": (
        [unit(image="{png}")],
        {"video_path": "{folder}"},
        ("has pictures of its own", "leave video_path empty"),
    ),
    "video, own folder": (
        [batch("{folder}")],
        {"video_path": "{folder}"},
        ("has pictures of its own", "leave video_path empty"),
    ),
    "no picture": ([unit()], {}, ("ControlNet unit 0 is enabled", "no picture", "video_path")),
    "second without": ([batch("{folder}"), unit()], {}, ("ControlNet unit 1 is enabled",)),
    "no folder": (
        [batch("/no/such folder")],
        {},
        ("batch folder of ControlNet unit 0", "'/no/such folder'", "no such folder"),
    ),
    "empty folder": ([batch("{empty}")], {}, ("batch folder of ControlNet unit 0", "no picture in it")),
    "no mask folder": ([batch("{folder}", "mask:/no/masks")], {}, ("mask: of ControlNet unit 0", "'/no/masks'")),
    "unknown line": (
        [batch("{folder}", "strength:3")],
        {},
        ("'strength:3'", "mask:", "keyframe:", "weight:", "falloff:"),
    ),
    "no numbers": ([batch("{folder}", "keyframe:a,b")], {}, ("keyframe: of ControlNet unit 0", "'a,b'", "0,8,16")),
    "one key twice": ([batch("{folder}", "keyframe:1,1,2,3,4")], {}, ("'1,1,2,3,4'", "ascending frame numbers")),
    "keys descend": ([batch("{folder}", "keyframe:4,3,2,1,0")], {}, ("'4,3,2,1,0'", "ascending frame numbers")),
    "too few keys": ([batch("{folder}", "keyframe:0,1")], {}, ("names 2 frames", "holds 5 pictures")),
    "key beyond": ([batch("{folder}", "keyframe:0,1,2,3,8")], {"video_length": 8}, ("names frame 8", "0 to 7")),
    "no unit": ([unit(module="nonsense")], {}, ("ControlNet unit 0 is not understood", "nonsense")),
    "no model": (
        [batch("{folder}", model="nonsense")],
        {},
        ("ControlNet unit 0", "model is 'nonsense'", "control_tiny"),
    ),
    "damaged picture": ([batch("{damaged}")], {}, ("ControlNet unit 0 takes", "1.png cannot be read")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(client, folder, tmp_path, case):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "1.png").write_text("nothing")
    known = {
        "{folder}": str(folder),
        "{damaged}": str(tmp_path / "damaged"),
        "{empty}": str(tmp_path / "empty"),
        "{png}": png_base64(picture(0)),
    }

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [filled(item) for item in value]
        for name, text in known.items():
            value = value.replace(name, text) if isinstance(value, str) else value
        return value

    units, fields, says = filled(REFUSED[case])
    before, files = snapshot.of_host(values=False), client.written()
    reply = client.post("txt2img", request(units, fields))
    assert reply.status == 422, reply.body
    assert all(part in reply.sentence for part in says), reply.sentence
    assert reply.sentence.startswith("AnimateDiff: ") and "\n" not in reply.sentence
    assert snapshot.differences(before, snapshot.of_host(values=False)) == [] and client.written() == files
    assert all(script_of(tab).latest_network is None for tab in ("txt2img", "img2img"))


def test_a_source_that_is_wrong_is_refused_where_a_unit_would_take_its_frames(client, tmp_path):
    """Each case of test_video_in.py, also those that only reading finds."""
    before, files = snapshot.of_host(values=False), client.written()
    for fields, *says in wrong(tmp_path):
        own = {} if {"video_source", "video_path"} & fields.keys() else {"image": png_base64(picture(0))}
        sent = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        reply = client.post("txt2img", request([unit(**own)], sent))
        assert reply.status == 422, (fields, reply.body)
        assert all(words in reply.sentence for words in says), (says, reply.sentence)
        assert "no ControlNet unit" not in reply.sentence and "images" not in reply.body
    assert snapshot.differences(before, snapshot.of_host(values=False)) == [] and client.written() == files


def test_a_control_model_that_is_damaged_is_one_sentence(client, folder, tmp_path, monkeypatch):
    from scripts import global_state as state

    file = tmp_path / "broken.safetensors"
    file.write_bytes(b"nothing")
    monkeypatch.setitem(state.cn_models, "broken [0]", str(file))
    monkeypatch.setitem(state.cn_models_names, "broken", "broken [0]")
    before, files = snapshot.of_host(values=False), client.written()
    reply = client.post("txt2img", request([batch(folder, model="broken")], {}))
    assert reply.status == 422 and "ControlNet could not prepare its units: " in reply.sentence, reply.body
    assert snapshot.differences(before, snapshot.of_host(values=False)) == [] and client.written() == files


def script_of(tab):
    return next(script for script in runner_of(tab).scripts if script.title() == "ControlNet")


def with_units(units, tab="txt2img", **fields):
    """A run in this process; `units` are objects, as those of the page."""
    p = make(tab, video(**STILL, **fields), steps=1)
    values, first = list(p.script_args), script_of(tab).args_from
    values[first : first + len(units)] = units
    p.script_args = tuple(values)
    return p


def page_unit(**fields):
    from internal_controlnet.args import ControlNetUnit

    return ControlNetUnit.from_dict(unit(**fields))


def of_units(units):
    return [{name: (id(value), repr(value)) for name, value in vars(each).items()} for each in units]


@pytest.mark.parametrize("failing", [None, "while sampling", "before it"])
def test_the_units_of_the_page_are_as_they_were(pocket, folder, monkeypatch, failing):
    from contextlib import closing

    from modules import processing, shared
    from motion_module.core.module.layers import MotionModule

    units = [
        page_unit(image=picture(1)),
        page_unit(input_mode="batch", batch_images=str(folder)),
        page_unit(enabled=False),
    ]
    p = with_units(units, video_length=FRAMES)
    before, host, args = of_units(units), snapshot.of_host(values=False), p.script_args

    def fail(*args):
        raise RuntimeError("this is broken")

    if failing == "while sampling":
        monkeypatch.setattr(MotionModule, "forward", fail)
    elif failing:
        monkeypatch.setattr(type(p), "setup_conds", fail)  # ControlNet has the UNet by then
    own = {name: vars(p).get(name) for name in ("close", "init")}
    with closing(p):
        if failing is None:
            assert len(processing.process_images(p).images) >= 1
        else:
            with pytest.raises(RuntimeError, match="this is broken"):
                processing.process_images(p)
    monkeypatch.undo()
    assert "forward" not in vars(shared.sd_model.model.diffusion_model), "ControlNet's guidance ends with the run"
    assert of_units(units) == before and p.script_args is args
    assert vars(p).get("init") is own["init"] and "animatediff_session" not in vars(p)
    assert snapshot.differences(host, snapshot.of_host(values=False)) == []


def test_a_hint_is_whole_again_after_sampling(pocket, folder, monkeypatch):
    from motion_module.webui.controlnet import control

    handed_out, seen = control.handed_out, {}

    def watched(p, params, *rest):
        seen["params"], seen["hints"] = params, [param.hint_cond for param in params]
        return handed_out(p, params, *rest)

    monkeypatch.setattr(control, "handed_out", watched)
    from runs import run

    run(with_units([page_unit(input_mode="batch", batch_images=str(folder))], video_length=FRAMES))
    assert [param.hint_cond for param in seen["params"]] == seen["hints"]
    assert all(now is then for now, then in zip((x.hint_cond for x in seen["params"]), seen["hints"], strict=True))


def test_the_same_p_again(pocket, folder):
    """Loopback and the like run one `p` several times; ControlNet keeps the `sample` that it found in the first run."""
    from contextlib import closing

    from modules import processing

    p = with_units([page_unit(input_mode="batch", batch_images=str(folder))], video_length=FRAMES, format=["Frame"])
    p.script_args = (*p.script_args,)
    with closing(p):
        results = [np.stack([np.asarray(i) for i in processing.process_images(p).images[:FRAMES]]) for _ in range(3)]
        below = p.sample_before_CN_hack
        assert below.__func__ is type(p).sample  # none of ours is left below ControlNet's
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])
    still = with_units([], video_length=FRAMES, format=["Frame"])
    with closing(still):
        assert not np.array_equal(
            results[0], np.stack([np.asarray(i) for i in processing.process_images(still).images])
        )


def test_what_controlnet_asks_us(pocket):
    import copy

    from modules import shared
    from scripts.animatediff_utils import get_animatediff_arg

    p = make("txt2img", video(closed_loop="A", video_length=20, batch_size=12))
    asked = get_animatediff_arg(p)
    assert (asked.enable, asked.is_i2i_batch, asked.video_length, asked.batch_size) == (True, False, 20, 12)
    assert asked.closed_loop == "A"
    p.txt2img_upscale = True  # the button that upscales one picture of the gallery
    assert get_animatediff_arg(p).enable is False
    assert get_animatediff_arg(make("txt2img", False)).enable is False
    assert get_animatediff_arg(make("txt2img")).enable is False and shared.sd_model is not None
    scheduler = copy.deepcopy(asked.prompt_scheduler)
    scheduler.prompt_map = {2: "", 6: ""}
    import torch

    rows = torch.randn(9, 4, 8)
    got = scheduler.multi_cond(rows, False)
    assert torch.equal(got[0], rows[2]) and torch.equal(got[2], rows[2]) and torch.equal(got[8], rows[6])
    assert not torch.equal(got[3], rows[3]) and not torch.equal(scheduler.multi_cond(rows, True)[8], rows[6])


def test_controlnet_hears_of_a_run_that_fails(client, folder):
    """Else it would read the units of a run that is about to end with our sentence, and end it with another one."""
    shown = unit(input_mode="batch", batch_images="/no/such folder")
    reply = client.post("txt2img", request([shown], {"model": "none.safetensors"}))
    assert reply.status == 422 and reply.sentence.startswith("AnimateDiff: ")


def test_img2img_without_a_video_is_left_alone(client, quiet):
    shown = unit(image=png_base64(picture(1)))
    body = {**request([shown]), "init_images": [png_base64(gradient())]}
    assert client.post("img2img", body).status == 200
