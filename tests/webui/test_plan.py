"""The values of a run: a Request before anything is touched, a Plan when the checkpoint is known."""

import dataclasses
import json

import pytest
import torch
from http_client import SMALL
from PIL import Image
from runs import make, run, video
from safetensors.torch import load_file, save_file

from motion_module.errors import CheckpointError, ParamError
from motion_module.params import VideoParams
from motion_module.wording import for_client

BOMB = (  # a GIF of 13000x13000 in 89 bytes
    b"GIF89a" + (13000).to_bytes(2, "little") * 2 + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    + (b"\x21\xf9\x04\0\x0a\0\0\0\x2c\0\0\0\0" + (13000).to_bytes(2, "little") * 2 + b"\0\x02\x02\x44\x01\0") * 2
    + b"\x3b"
)  # fmt: skip


def request(facts=None, **fields):
    from motion_module.webui.plan.facts import Facts
    from motion_module.webui.plan.request import Request

    return Request.of(VideoParams.from_json(video(**fields)), Facts(**(facts or {})))


@pytest.mark.parametrize(
    ("fields", "facts", "frames"),
    [
        ({"video_length": 0}, {}, 16),
        ({"video_length": 0, "batch_size": 8}, {}, 8),
        ({"video_length": 9}, {}, 9),
        ({"video_length": 0}, {"pictures": 5, "tab": "img2img"}, 5),
        ({"video_length": 0}, {"pictures": 1, "tab": "img2img"}, 16),
        ({"video_length": 0}, {"pictures": 1, "tab": "img2img", "is_folder": True}, 1),
        ({"video_length": 0}, {"limits": {"video_path": 7, "the batch folder": 12}}, 7),
        ({"video_length": 9}, {"limits": {"video_path": 7}}, 7),
        ({"video_length": 0}, {"source_is_unread": True}, 0),
    ],
)
def test_frames_of_a_request(pocket, fields, facts, frames):
    assert request(facts, **fields).frames == frames


def test_a_request_says_everything_at_once(pocket):
    made = request(
        {"batch_size": 5, "pictures": 1, "tab": "img2img", "limits": {"video_path": 3}},
        video_length=4,
        effect=0,
        motion_scale=2,
        stride=2,
        freeinit_ds=0.5,
    )
    said = [for_client(message) for message in made.messages]
    assert [message.split(" ")[0] for message in said] == ["freeinit_ds", "motion_scale", "stride", "batch_size", "3"]
    assert made.fewer and made.frames == 3


@pytest.mark.parametrize(
    ("fields", "facts", "said"),
    [
        ({}, {"lacks_picture": True, "tab": "img2img"}, "img2img has no picture to start from"),
        ({"last_frame": "x"}, {}, "last_frame"),
        ({"video_length": 4}, {"pictures": 3}, "img2img got 3 pictures"),
        ({}, {"texts": {"prompt": ("\ud83d",)}}, "half of a surrogate pair"),
        ({}, {"read": {"prompt": ("0: a\n9: b",)}}, "9"),
    ],
)
def test_an_impossible_request_is_none(pocket, fields, facts, said):
    with pytest.raises(ParamError, match=said):
        request(facts, **fields)


def test_values_are_frozen(pocket):
    with pytest.raises(dataclasses.FrozenInstanceError):
        request().frames = 5


@pytest.fixture
def refused(client, tmp_path, monkeypatch):
    """The sentence by which a request with a video is refused without reading it."""
    from motion_module.webui.request import video_source

    def post(data=None, **fields):
        source = tmp_path / "film.gif"
        pictures = [Image.new("RGB", (64, 64), (90 * i, 0, 0)) for i in range(3)]
        pictures[0].save(source, save_all=True, append_images=pictures[1:])
        if data:
            source.write_bytes(data)
        args = [video(video_source=str(source), **fields)]
        reply = client.post("txt2img", {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": args}}})
        assert reply.status == 422
        return reply.sentence

    monkeypatch.setattr(video_source, "extract", lambda *args: pytest.fail("decoded"))
    return post


def test_nothing_is_decoded_before_the_request_is_known_to_be_possible(refused):
    """A video was read for half a minute, and then refused because no unit takes its frames."""
    assert "no ControlNet unit is enabled" in refused()
    assert "13000x13000" in refused(BOMB)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "nothing"}, "model is 'nothing'"),
        ({"last_frame": "x"}, "last_frame needs a first frame"),
        ({"interp": "FILM"}, "interp is FILM, whose file is missing"),
    ],
)
def test_what_is_wrong_besides_is_said_before_a_video_is_read(refused, fields, said):
    assert said in refused(**fields)


@pytest.fixture
def modules(tiny, tmp_path, pocket):
    """A folder of its own: the first module in the alphabet is damaged, the second does not fit, the third is good."""
    from modules import shared

    before = shared.opts.data.get("animatediff_model_path")
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    damaged = {name: torch.full_like(value, float("nan")) for name, value in load_file(tiny["v2"]).items()}
    save_file(damaged, tmp_path / "a_damaged.safetensors")
    (tmp_path / "b_good.safetensors").write_bytes(tiny["v2"].read_bytes())
    yield tmp_path
    shared.opts.data["animatediff_model_path"] = before


def test_without_a_name_the_first_usable_module_is_taken_and_named(modules):
    for _ in range(2):
        result = run(make(animatediff=video(model="", format=["GIF"])))
        told = " ".join(result.extra_generation_params["AnimateDiff messages"])
        assert "a_damaged.safetensors" in told and "model is empty, so b_good.safetensors is used" in told
        assert "model: b_good.safetensors" in result.infotexts[0]
    (modules / "a_damaged.safetensors").unlink()
    assert "AnimateDiff messages" not in run(make(animatediff=video(model=""))).extra_generation_params


def test_the_folder_is_listed_once_and_the_file_read_once(modules, monkeypatch):
    from motion_module.webui.request import motion_modules

    walks, loads = [], []
    listed, load = motion_modules.files, motion_modules.load_motion_model
    monkeypatch.setattr(motion_modules, "files", lambda *args: walks.append(1) or listed(*args))
    monkeypatch.setattr(motion_modules, "load_motion_model", lambda *args: loads.append(args[0].name) or load(*args))
    run(make(animatediff=video(model="b_good", format=["GIF"])))
    assert (len(walks), loads) == (1, ["b_good.safetensors"])


def test_what_a_module_has_learnt_is_judged_when_it_is_chosen(pocket, tiny):
    from motion_module.webui.plan.plan import Plan
    from motion_module.webui.request.checkpoints import base_of_run

    old = {"modules": {"old": tiny["v1"]}}
    with pytest.raises(ParamError, match="sees 24 frames at most"):
        Plan.foreseen(request(old, video_length=32, batch_size=32, model=""), base_of_run())
    assert Plan.foreseen(request(old, video_length=32, batch_size=24, model="old"), base_of_run())


def test_no_module_for_this_checkpoint_names_both(pocket, tiny, monkeypatch):
    from motion_module.webui.request import module_choice
    from motion_module.webui.request.checkpoints import base_of_run

    monkeypatch.setattr(module_choice, "family_of", lambda sd_model: "SDXL")
    for choose in (module_choice.choose, module_choice.foreseen):
        with pytest.raises(CheckpointError, match="made for SD1.5.*checkpoint is SDXL"):
            choose("", {"v2": tiny["v2"]}, base_of_run())


def plan_of(pocket, tab="txt2img", **fields):
    """The plan of a real run."""
    from motion_module.webui.run import hooks

    p, seen = make(tab, video(**fields), n_iter=2), []
    original = p.sample

    def sample(*args, **kwargs):
        seen.append(hooks.run_of(p).plan)
        return original(*args, **kwargs)

    p.sample = sample
    run(p)
    return seen[0]


def test_what_is_asked_is_json_and_holds_what_makes_the_video(pocket):
    plan = plan_of(pocket, "img2img", model="", video_length=6, batch_size=4)
    asked = json.loads(json.dumps(plan.asked))
    assert asked["fields"]["model"].startswith("mm_tiny") and asked["fields"]["video_length"] == 6
    assert (asked["tab"], asked["width"], asked["height"], asked["videos"]) == ("img2img", 64, 64, 2)
    assert asked["seeds"] == [42, 48] and len(asked["pictures"]) == 1
    assert asked["prompts"]["prompt"] == ["a cat walking"]
    assert plan.asked == plan_of(pocket, "img2img", model="", video_length=6, batch_size=4).asked


def test_the_calls_of_many_frames_are_counted_without_their_windows(pocket, tiny, monkeypatch):
    """The panel counts them with each change."""
    from motion_module import windows
    from motion_module.webui.plan.plan import Plan
    from motion_module.webui.request.checkpoints import base_of_run

    fields = {"video_length": 1_000, "batch_size": 16, "windows_per_call": 3, "schedule": "uniform"}
    plans = []
    for loop in ({"closed_loop": "N", "overlap": 15}, {"closed_loop": "A", "stride": 4}):
        facts = {"steps": (150,), "modules": {"mm_tiny_v2.safetensors": tiny["v2"]}}
        plans.append(Plan.foreseen(request(facts, **fields, **loop), base_of_run()))
    cuts = [plan.params.windows for plan in plans]
    made = [sum(-(-len(cut.windows(step, 1_000)) // 3) for step in range(150)) for cut in cuts]
    monkeypatch.setattr(windows, "context_windows", lambda *args: pytest.fail("windows were made"))
    assert [plan.model_calls for plan in plans] == made


@pytest.mark.parametrize(
    ("fields", "steps", "calls"),
    [
        ({"video_length": 4}, (5,), 5),
        ({"video_length": 4, "freeinit_enable": True, "freeinit_iters": 3}, (5,), 15),
        ({"video_length": 16, "batch_size": 8, "overlap": 2, "schedule": "static"}, (2, 3), 15),
        ({"video_length": 16, "batch_size": 8, "overlap": 2, "schedule": "static", "windows_per_call": 2}, (2, 3), 10),
    ],
)
def test_model_calls(pocket, tiny, fields, steps, calls):
    from motion_module.webui.plan.plan import Plan
    from motion_module.webui.request.checkpoints import base_of_run

    facts = {"steps": steps, "modules": {"mm_tiny_v2.safetensors": tiny["v2"]}}
    plan = Plan.foreseen(request(facts, **fields), base_of_run())
    assert plan.model_calls == calls
