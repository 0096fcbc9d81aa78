"""The routes for script writers, over HTTP: what there is, what a request would make, and what it may say."""

import contextlib
import json
import re
import threading
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import snapshot
import torch
from control_videos import batch, folder_of, mp4_of
from fastapi import FastAPI
from fastapi.testclient import TestClient
from http_client import SMALL, Client, gradient, png_base64
from safetensors.torch import load_file
from test_http_bad_input import FIELDS, UNKNOWN

README = (Path(__file__).parents[2] / "README.md").read_text("utf8")
V2 = "mm_tiny_v2.safetensors"
WIDE = "wide.safetensors"
HIRES = {"enable_hr": True, "hr_scale": 1, "hr_second_pass_steps": 2, "denoising_strength": 1}


@pytest.fixture
def client(pocket):
    return Client(pocket)


@contextlib.contextmanager
def no_loading(monkeypatch):
    """Whoever loads a motion module or a checkpoint fails; of checkpoints none is loaded, so that asking for it is to."""
    from modules import sd_models
    from motion_module.webui.request import motion_modules

    def load(*args, **kwargs):
        raise AssertionError("it was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(motion_modules, "load_motion_model", load)
        patched.setattr(sd_models, "load_model", load)
        patched.setattr(sd_models.model_data, "sd_model", None)
        patched.setattr(sd_models.model_data, "was_loaded_at_least_once", False)
        yield


@pytest.fixture
def nothing_loaded(pocket, monkeypatch):
    with no_loading(monkeypatch):
        yield


def body_of(video, control=None, **fields):
    asked = {"enable": True, "video_length": 6, "batch_size": 6, "format": ["PNG"], "model": V2, **video}
    scripts = {"AnimateDiff": {"args": [asked]}}
    if control is not None:
        scripts["ControlNet"] = {"args": [control]}
    return {**SMALL, "steps": 1, "alwayson_scripts": scripts, **fields}


def asked_by_run(client, monkeypatch, mode, body):
    """What the run itself was about, and what it said."""
    from motion_module.webui.run import session

    plans = []
    changes = session.changes_of_plan
    with monkeypatch.context() as patched:
        patched.setattr(
            session, "changes_of_plan", lambda p, plan, *rest: plans.append(plan) or changes(p, plan, *rest)
        )
        reply = client.post(mode, body)
    assert reply.status == 200, reply.body
    said = reply.info["extra_generation_params"].get("AnimateDiff messages", [])
    return json.loads(json.dumps(plans[0].asked)), said


def test_the_modules_are_listed_with_what_they_fit(client, tiny):
    listed = client.http.get("/animatediff/modules")
    assert listed.status_code == 200
    fitting = {"family": "SD1.5", "steps": None, "fits": True, "why": ""}
    assert listed.json() == [
        {"name": "mm_tiny_v1.safetensors", "kind": "AnimateDiff v1", "frames": 24, **fitting},
        {"name": V2, "kind": "AnimateDiff v2", "frames": 32, **fitting},
        {"name": "mm_tiny_v3.safetensors", "kind": "AnimateDiff v3", "frames": 32, **fitting},
    ]
    assert str(tiny["v1"].parent) not in listed.text


def test_a_module_that_does_not_fit_says_why_in_the_words_of_the_run(client, tiny):
    from modules import sd_models, shared

    shared.opts.data["sd_model_checkpoint"] = "wide.safetensors"
    loaded = sd_models.model_data.sd_model
    listed = {each["name"]: each for each in client.http.get("/animatediff/modules").json()}
    assert {each["fits"] for each in listed.values()} == {False}
    assert sd_models.model_data.sd_model is loaded, "it is judged by its header"
    refusal = client.post("txt2img", body_of({}))
    assert (refusal.status, refusal.sentence) == (422, listed[V2]["why"])


def test_without_a_checkpoint_nobody_knows_what_fits(client, monkeypatch):
    from modules import sd_models, shared

    shared.opts.data["sd_model_checkpoint"] = None
    monkeypatch.setattr(sd_models.model_data, "sd_model", None)
    monkeypatch.setattr(sd_models, "get_closet_checkpoint_match", lambda name: None)
    (first, *_) = client.http.get("/animatediff/modules").json()
    assert first["fits"] is None and "no checkpoint is loaded" in first["why"]


PICTURE = png_base64(gradient())
PLANNED = {
    "a context": ("txt2img", {}, {}),
    "windows and two videos": ("txt2img", {"batch_size": 4, "video_length": 10}, {"n_iter": 2, "steps": 2}),
    "variations have one seed": ("txt2img", {}, {"n_iter": 2, "subseed_strength": 0.5}),
    "any module": ("txt2img", {"model": ""}, {}),
    "hires fix": (
        "txt2img",
        {},
        {"enable_hr": True, "hr_scale": 1, "hr_second_pass_steps": 2, "denoising_strength": 1},
    ),
    "a travel with messages": (
        "txt2img",
        {"video_start": 3, "closed_loop": True},
        {"prompt": "0: a cat\n3: a dog\n[8]: x", "batch_size": 4},
    ),
    "img2img": ("img2img", {}, {"init_images": [PICTURE], "denoising_strength": 0.5, "steps": 4}),
    "pictures": ("img2img", {"video_length": 0}, {"init_images": [PICTURE] * 5, "denoising_strength": 1}),
    "an infotext": ("txt2img", {}, {"infotext": "a bird\nSteps: 3, Size: 128x64", "prompt": "a fish"}),
    "another checkpoint": ("txt2img", {}, {"override_settings": {"sd_model_checkpoint": "other.safetensors"}}),
    "a checkpoint that is not there": ("txt2img", {}, {"override_settings": {"sd_model_checkpoint": "nowhere"}}),
}


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_what_the_run_then_makes(client, monkeypatch, name):
    mode, video, fields = PLANNED[name]
    body = body_of(video, **fields)
    plan = client.plan(body, mode)
    assert plan.status == 200, plan.body
    messages = plan.body.pop("messages")
    asked, said = asked_by_run(client, monkeypatch, mode, body)
    for either in (plan.body, asked):  # what is loaded for the first time has no hash before
        either["checkpoint"] = either["checkpoint"].partition(" [")[0]
    assert (plan.body, messages) == (asked, said)


@pytest.mark.parametrize("source", ["folder", "film", "unit"])
def test_a_plan_counts_the_frames_of_a_source(client, monkeypatch, tmp_path, source):
    folder = folder_of(tmp_path / "five", 5)
    video = {
        "folder": {"video_path": str(folder)},
        "film": {"video_source": mp4_of(tmp_path / "five.mp4", 5)},
        "unit": {},
    }[source]
    unit = batch(folder) if source == "unit" else {**batch(""), "batch_images": ""}
    body = body_of({"video_length": 0, "model": "mm_tiny_v3.safetensors", **video}, unit)
    plan = client.plan(body).body
    messages = plan.pop("messages")
    asked, said = asked_by_run(client, monkeypatch, "txt2img", body)
    assert asked["frames"] == 5 and messages == said
    if source == "film":  # only reading tells how many frames it has
        assert (plan["frames"], plan["model_calls"], plan["seeds"]) == (None, None, [])
        for either in (plan, asked):
            del either["frames"], either["model_calls"], either["seeds"], either["fields"]["video_length"]
    assert plan == asked


def test_a_plan_makes_loads_and_changes_nothing(client, monkeypatch):
    from modules import processing, progress, scripts, shared

    called = []
    monkeypatch.setattr(processing, "process_images", called.append)
    monkeypatch.setattr(progress, "add_task_to_queue", called.append)
    for name in ("before_process", "setup_scrips"):
        monkeypatch.setattr(scripts.ScriptRunner, name, lambda *args, **kwargs: called.append(args), raising=False)
    shared.state.skipped = True  # of a run that goes on meanwhile
    before, state, files = snapshot.of_host(), dict(vars(shared.state)), client.written()
    overrides = {"sd_model_checkpoint": "other.safetensors", "CLIP_stop_at_last_layers": 2, "animatediff_mp4_crf": 30}
    for mode in ("txt2img", "img2img"):
        body = body_of({"last_frame": None}, override_settings=overrides, init_images=[PICTURE])
        with no_loading(monkeypatch):
            reply = client.plan(body, mode)
        assert reply.status == 200, reply.body
        assert reply.body["checkpoint"].startswith("other.safetensors")
    assert called == [] and client.written() == files
    assert dict(vars(shared.state)) == state
    assert snapshot.differences(before, snapshot.of_host()) == []
    shared.state.skipped = False


def test_whoever_asks_for_the_checkpoint_is_seen(pocket, nothing_loaded):
    from modules import shared

    with pytest.raises(AssertionError, match="it was loaded"):
        assert shared.sd_model


@pytest.fixture
def trained(pocket, tiny):
    """The title of a checkpoint as training programs leave them, which is not loaded."""
    from modules import sd_checkpoint_info, sd_models

    path = tiny["other"].with_name("trained.ckpt")
    torch.save({"state_dict": load_file(tiny["other"]), "global_step": np.int64(7)}, path)
    info = sd_models.CheckpointInfo(str(path))
    info.register()
    yield info.title
    path.unlink()
    for table in (sd_checkpoint_info.checkpoints_list, sd_checkpoint_info.checkpoint_aliases):
        for name in [name for name, found in table.items() if found.filename == info.filename]:
            del table[name]


def test_a_checkpoint_that_cannot_be_judged_is_not_refused(client, nothing_loaded, trained):
    """The host reads more than weights, and would make the video."""
    from modules import shared

    said = f"AnimateDiff: {trained} holds other Python objects than weights, which are not opened here: whether the "
    said += "motion module fits it shows only when the WebUI has loaded it."
    plan = client.plan(body_of({}, override_settings={"sd_model_checkpoint": trained}))
    assert plan.status == 200 and said in plan.body["messages"], plan.body
    assert plan.body["checkpoint"] == trained
    hires = {"enable_hr": True, "hr_scale": 1, "hr_checkpoint_name": trained, "denoising_strength": 0.7}
    later = client.plan(body_of({}, **hires))
    assert later.status == 200 and said in later.body["messages"], later.body
    shared.opts.data["sd_model_checkpoint"] = trained
    listed = client.http.get("/animatediff/modules").json()
    assert {(each["fits"], each["why"]) for each in listed} == {(None, said)}


def test_nobody_knows_which_module_a_checkpoint_takes_that_cannot_be_judged(client, nothing_loaded, trained):
    """The first module does not fit the second checkpoint; the run may take another one."""
    both = {**HIRES, "hr_checkpoint_name": WIDE, "override_settings": {"sd_model_checkpoint": trained}}
    assert client.plan(body_of({"model": ""}, **both)).status == 200
    assert client.plan(body_of({"model": V2}, **both)).status == 422


def test_the_page_says_so_too(pocket, nothing_loaded, trained):
    from modules import shared
    from motion_module.webui.page.module_field import about

    shared.opts.data["sd_model_checkpoint"] = trained
    assert f"{trained} holds other Python objects" in about(V2)


@pytest.mark.parametrize("model", [V2, ""])
@pytest.mark.parametrize(
    ("mode", "fields", "says"),
    [
        ("txt2img", {**HIRES, "hr_checkpoint_name": WIDE}, "hr_checkpoint_name wide.safetensors"),
        ("txt2img", {"refiner_checkpoint": WIDE, "refiner_switch_at": 0.5}, "refiner_checkpoint wide.safetensors"),
        ("img2img", {"refiner_checkpoint": WIDE, "init_images": [PICTURE]}, "refiner_checkpoint wide.safetensors"),
        ("txt2img", {**HIRES, "hr_checkpoint_name": "nowhere"}, "hr_checkpoint_name is 'nowhere'"),
    ],
)
def test_a_second_checkpoint_is_judged_before_anything_is_sampled(client, monkeypatch, mode, fields, says, model):
    from modules import processing

    for kind in (processing.StableDiffusionProcessingTxt2Img, processing.StableDiffusionProcessingImg2Img):
        monkeypatch.setattr(kind, "sample", lambda *args, **kwargs: pytest.fail("it was sampled"))
    body = body_of({"model": model}, **fields)
    plan, run = client.plan(body, mode), client.post(mode, body)
    assert (plan.status, plan.body) == (run.status, run.body)
    assert plan.status == 422 and says in plan.sentence


@pytest.mark.parametrize(
    "fields",
    [
        {**HIRES, "hr_checkpoint_name": "Use same checkpoint"},
        {"hr_checkpoint_name": WIDE},  # without hires fix
        {"refiner_checkpoint": "None"},
        {"refiner_checkpoint": WIDE, "refiner_switch_at": 1},
        {"refiner_checkpoint": "tiny", "refiner_switch_at": 0.5},
    ],
)
def test_a_second_checkpoint_that_is_not_used_or_fits_is_not_refused(client, fields):
    body = body_of({}, **fields)
    plan, run = client.plan(body), client.post("txt2img", body)
    assert (plan.status, run.status) == (200, 200), (plan.body, run.body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("n_iter", 0), ("n_iter", -1), ("steps", 0), ("steps", -1), ("steps", 10**30), ("width", 0)),
        *(("height", -64), ("width", 7), ("seed", 2**70), ("hr_second_pass_steps", -1)),
    ],
)
def test_a_number_that_the_host_cannot_work_with_is_a_sentence(client, field, value):
    reply = client.plan(body_of({}, **{field: value}))
    assert reply.status == 422
    assert reply.sentence.startswith(f"AnimateDiff: {field} is {value}; allowed is a whole number from ")


def test_a_plan_of_very_many_videos_is_short(client):
    reply = client.plan(body_of({}, n_iter=3_000_000, steps=1_000_000))
    assert reply.status == 200 and len(json.dumps(reply.body)) < 20_000
    assert reply.body["seeds"] == list(range(5, 6005, 6)) and reply.body["videos"] == 3_000_000
    assert reply.body["model_calls"] == 1_000_000
    assert "AnimateDiff: seeds are those of the first 1,000 of 3,000,000 videos." in reply.body["messages"]


def test_a_plan_says_that_it_does_not_know_what_a_script_would_do(client, monkeypatch):
    from modules import scripts

    class Plot:
        alwayson, args_from, args_to, name = False, 1, 1, "a plot"

        def title(self):
            return "A plot"

    runner = scripts.scripts_txt2img
    monkeypatch.setattr(runner, "selectable_scripts", [*runner.selectable_scripts, Plot()])
    body = body_of({})
    alone = client.plan(body).body
    plotted = client.plan({**body, "script_name": "a plot"}).body
    said = "AnimateDiff: this is one run without the script 'a plot', which may change it or make several runs."
    assert plotted == {**alone, "messages": [*alone["messages"], said]}


@pytest.mark.parametrize("mode", ["txt2img", "img2img"])
def test_paths_that_are_too_long_for_windows_are_refused_alike(client, monkeypatch, mode):
    from motion_module.webui.output import folders

    monkeypatch.setattr(folders, "limit_of_paths", lambda: 20)
    body = body_of({}, **({"init_images": [PICTURE]} if mode == "img2img" else {}))
    plan, run = client.plan(body, mode), client.post(mode, body)
    assert (plan.status, plan.body) == (run.status, run.body)
    assert plan.status == 422 and f"{mode}-images" in plan.sentence


def test_a_checkpoint_that_is_not_loaded_is_judged_by_its_header(client, nothing_loaded):
    wide = {"override_settings": {"sd_model_checkpoint": "wide.safetensors"}}
    reply = client.plan(body_of({}, **wide))
    assert reply.status == 422 and "widths 64/128/128/128" in reply.sentence


def test_a_plan_does_not_wait_for_a_run(client):
    body = body_of({})
    alone = client.plan(body).body
    running = threading.Thread(target=lambda: client.post("txt2img", {**body, "steps": 150}))
    running.start()
    deadline = time.monotonic() + 600
    while not client.get("progress")["state"]["sampling_step"] and time.monotonic() < deadline:
        time.sleep(0.01)
    beside = client.plan(body).body
    modules = client.http.get("/animatediff/modules").json()
    assert running.is_alive() and client.get("progress")["state"]["job_count"]
    client.post("interrupt", {})
    running.join(600)
    assert beside == alone and all(each["fits"] for each in modules)


@pytest.mark.parametrize(
    ("body", "mode", "status", "says"),
    [
        ({}, None, 422, "AnimateDiff: mode is null; allowed is one of txt2img, img2img."),
        ({}, "extras", 422, "AnimateDiff: mode is 'extras'; allowed is one of txt2img, img2img."),
        (SMALL, "txt2img", 422, "AnimateDiff: enable is false, so that there is no video to plan; set it to true."),
    ],
)
def test_what_is_no_plan_is_a_sentence(client, body, mode, status, says):
    reply = client.plan(body, mode)
    assert (reply.status, reply.sentence) == (status, says)


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("txt2img", {"steps": "many", "width": [64]}),
        ("txt2img", {"script_name": "nothing"}),
        ("txt2img", {"alwayson_scripts": "words"}),
        ("img2img", {}),
        ("img2img", {"init_images": ["no picture"]}),
        ("img2img", {"init_images": [PICTURE], "mask": "no picture"}),
        ("txt2img", {"override_settings": {"animatediff_model_path": "/etc"}}),
        ("txt2img", {"override_settings": {"animatediff_alpha_schedule": "none"}}),
    ],
)
def test_what_the_host_or_a_setting_refuses_is_refused_alike(client, mode, fields):
    body = body_of({}, **fields)
    run, plan = client.post(mode, body), client.plan(body, mode)
    assert plan.status == run.status >= 400
    assert plan.body["detail"] == run.body["detail"]


def test_a_keyframe_beyond_the_video_is_refused_alike(client, tmp_path):
    body = body_of({}, batch(folder_of(tmp_path / "two", 2), "keyframe:0,9"))
    run, plan = client.post("txt2img", body), client.plan(body)
    assert (plan.status, plan.body) == (run.status, run.body) and plan.status == 422


def test_paths_that_may_not_be_read_are_refused_alike(client, monkeypatch, tmp_path):
    from modules import shared

    monkeypatch.setattr(shared.cmd_opts, "listen", True, raising=False)
    (tmp_path / "there").mkdir()
    said = set()
    for name in ("there", "not there"):
        reply = client.plan(body_of({"video_path": str(tmp_path / name)}))
        assert reply.status == 422
        said.add(reply.sentence.replace(name, "x"))
    assert len(said) == 1, "nothing tells whether it exists"


def app_with_api(monkeypatch, auth):
    from modules import shared
    from modules.api.api import Api
    from modules.call_queue import queue_lock
    from motion_module.webui.routes import routes

    monkeypatch.setattr(shared.cmd_opts, "api_auth", auth)
    app = FastAPI()
    Api(app, queue_lock)
    routes.add(None, app)
    return TestClient(app)


def test_the_password_of_the_api_guards_the_routes(pocket, monkeypatch):
    guarded, open_to_all = app_with_api(monkeypatch, "me:secret"), app_with_api(monkeypatch, None)
    for ask in (lambda c, **k: c.get("/animatediff/modules", **k), lambda c, **k: c.get("/animatediff/schema", **k)):
        assert ask(guarded).status_code == 401
        assert ask(guarded, auth=("me", "wrong")).status_code == 401
        assert ask(guarded, auth=("me", "secret")).status_code == 200
        assert ask(open_to_all).status_code == 200
    plan = {**body_of({}), "mode": "txt2img"}
    assert guarded.post("/animatediff/plan", json=plan).status_code == 401
    assert guarded.post("/animatediff/plan", json=plan, auth=("me", "secret")).status_code == 200


def test_without_the_api_of_the_host_there_are_no_routes(pocket):
    from motion_module.webui.routes import routes

    app = FastAPI()
    before = {route.path for route in app.routes}
    routes.add(None, app)
    assert {route.path for route in app.routes} - before == {"/animatediff/live-preview"}, "which is the page's"


@pytest.fixture
def schema(client):
    answer = client.http.get("/animatediff/schema").json()
    jsonschema.Draft202012Validator.check_schema(answer)
    return jsonschema.Draft202012Validator(answer)


def test_the_schema_has_every_field_with_its_default(schema):
    from motion_module.params import VideoParams

    fields = schema.schema["properties"]
    assert list(fields) == list(VideoParams.table())
    assert fields["fps"] == {
        "title": "FPS",
        "description": VideoParams.table()["fps"].whole_help,
        "default": 8,
        "type": "number",
        "minimum": 1,
        "maximum": 120,
    }
    schema.validate({name: field["default"] for name, field in fields.items()})


def objects_in(text):
    """What README's examples send to the script."""
    found = re.findall(r'"AnimateDiff": \{"args": \[(\{.*?\})\]\}', text)
    return [json.loads(each.replace("True", "true").replace("False", "false")) for each in found]


OLDER = [{"format": "MP4"}, {"closed_loop": True}, {"reverse": [0, 1]}, {"model": None}, {"fps": 12.5}]


def test_what_the_readme_shows_is_valid(schema):
    examples = [example for example in objects_in(README) if example.get("fps") != 0]
    assert len(examples) == len(objects_in(README)) - 1 >= 3, "the farm's list has a wrong line, which its table shows"
    for example in [*examples, *OLDER]:
        schema.validate(example)


def is_json(value):
    """Without NaN; and without a line end after what matches, which `$` lets pass in Python, but not in JavaScript."""
    return value == value and not str(value).endswith("\n")


TOLD = [case for case in [*FIELDS, *UNKNOWN] if all(map(is_json, case.video.values()))]


@pytest.mark.parametrize("case", TOLD, ids=[case.name for case in TOLD])
def test_a_wrong_field_is_told_by_the_schema(schema, case):
    assert not schema.is_valid(json.loads(json.dumps(case.video)))
