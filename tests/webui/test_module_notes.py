"""What is said of a motion module that a request does not suit: in the run, in a plan, and on the page before."""

import shutil
from pathlib import Path

import pytest
from http_client import SMALL
from test_http_hints import Panel, text

from motion_module.core.module.arch import HOTSHOT, LCM, V2, ModuleSpec
from motion_module.params import VideoParams
from motion_module.wording import for_client
from tests.core.builders import motion_state

WIDTHS = (32, 64, 64)


@pytest.fixture
def hotshot(pocket, tmp_path):
    from safetensors.torch import save_file

    from modules import shared

    save_file(motion_state("hotshot"), tmp_path / "hsxl.safetensors")
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    return "hsxl.safetensors"


def notes_of(spec, name="module.safetensors", steps=20, tab="txt2img", **fields):
    from motion_module.webui.plan.facts import Facts
    from motion_module.webui.plan.module_notes import module_notes
    from motion_module.webui.plan.request import Request
    from motion_module.webui.request.motion_modules import ModuleFile

    request = Request.of(
        VideoParams(enable=True, **fields), Facts(tab=tab, steps=(steps,), cfg=1, pictures=tab == "img2img")
    )
    return [for_client(note) for note in module_notes(ModuleFile(name, Path(name), spec), request)]


@pytest.mark.parametrize(
    ("frames", "context", "said"),
    [
        (16, 16, "was trained on 8 frames at once, and sees 16 in this video; set batch_size to 8"),
        (40, 12, "was trained on 8 frames at once, and sees 12 in this video; set batch_size to 8"),
        (0, 16, "sees 16 in this video; set batch_size to 8"),
        (5, 16, "sees 5 in this video; set video_length to 8"),
        (5, 4, "sees 4 in this video; set batch_size to 8"),
        (8, 16, ""),
        (40, 8, ""),
    ],
)
def test_hotshot_was_trained_on_eight_frames(pocket, frames, context, said):
    notes = notes_of(ModuleSpec(HOTSHOT, WIDTHS, 24), video_length=frames, batch_size=context)
    assert len(notes) == bool(said) and said in "".join(notes)


@pytest.mark.parametrize(
    ("positions", "frames", "said"),
    [
        (8, 16, ""),
        (6, 16, ""),
        (16, 16, "was trained on 8 frames at once, and sees 16"),
        (24, 25, "was trained on 8 frames at once, and sees 25"),
        (25, 26, "pe_stretch is 25, but module.safetensors has learnt 24 positions; all are spread."),
        (256, 40, "pe_stretch is 256, but module.safetensors has learnt 24 positions; all are spread."),
        (25, 24, "was trained on 8 frames at once, and sees 24"),
    ],
)
def test_what_a_stretch_means_for_a_module(pocket, positions, frames, said):
    spec = ModuleSpec(HOTSHOT, WIDTHS, 24)
    notes = notes_of(spec, video_length=frames, batch_size=frames, pe_stretch=positions)
    assert said in " ".join(notes) and bool(said) == bool(notes)
    assert any("positions" in note for note in notes) == ("positions" in said)


@pytest.mark.parametrize(
    ("name", "kind", "steps", "tab", "said"),
    [
        (
            "animatediff_lightning_4step_comfyui.safetensors",
            V2,
            20,
            "txt2img",
            "made for 4 steps with the sampler Euler",
        ),
        ("sub/AnimateDiff_Lightning_1step_diffusers.safetensors", V2, 2, "txt2img", "made for 1 step with"),
        ("animatediff_lightning_8step_comfyui.safetensors", V2, 4, "txt2img", ", but this run uses 4."),
        ("animatediff_lightning_8step_comfyui.safetensors", V2, 8, "txt2img", ""),
        ("animatediff_lightning_8step_comfyui.safetensors", V2, 5, "img2img", ""),
        ("animatediff_lightning_4step_comfyui.safetensors", V2, 12, "img2img", ", but this run uses 12."),
        ("anything.ckpt", LCM, 20, "txt2img", "made for 4 to 8 steps with the sampler LCM, its LoRA, cfg_scale 1 to 2"),
        ("anything.ckpt", LCM, 8, "txt2img", ""),
        ("lightning.ckpt", V2, 20, "txt2img", ""),
        ("lightning_4step/mm_sd_v15_v2.ckpt", V2, 20, "txt2img", ""),
        ("mm_sd_v15_v2.ckpt", V2, 20, "txt2img", ""),
    ],
)
def test_modules_for_few_steps_say_so_where_there_are_others(pocket, name, kind, steps, tab, said):
    """Also what else is to be set, so that a CFG scale which is too high needs no sentence of its own."""
    notes = notes_of(ModuleSpec(kind, (*WIDTHS, 64), 32, has_mid=True), name, steps, tab, video_length=16)
    assert len(notes) == bool(said) and said in "".join(notes)


def test_the_plan_and_the_run_say_it(hotshot):
    from motion_module.webui.plan.facts import Facts
    from motion_module.webui.plan.plan import Plan
    from motion_module.webui.plan.request import Request
    from motion_module.webui.request import motion_modules
    from motion_module.webui.request.module_choice import Base

    widths = motion_modules.spec_or_none(motion_modules.files()[hotshot]).widths
    for context, notes in ((16, 1), (8, 0)):
        params = VideoParams(enable=True, model=hotshot, batch_size=context, video_length=24)
        request = Request.of(params, Facts(modules=motion_modules.files()))
        assert len(Plan.foreseen(request, Base("SDXL", widths)).messages) == notes


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_page_says_it_before_the_run(pocket, tiny, tmp_path, tab):
    from modules import shared

    name = "animatediff_lightning_4step_comfyui.safetensors"
    shutil.copy(tiny["v2"], tmp_path / name)
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    panel = Panel(pocket["url"], tab)
    chosen = {"enable": True, "video_length": 16, "model": name, "webui cfg_scale": 1}
    said = f"{name} is made for 4 steps with the sampler Euler, CFG Scale 1 and Schedule type SGM Uniform, but this run uses "
    taken = {20: 20, 9: 9} if tab == "txt2img" else {20: 16, 9: 7}  # at denoising strength 0.75
    assert text(panel.change("webui steps", 20, **chosen)) == f"{said}{taken[20]}."
    assert text(panel.change("model", name, **{**chosen, "webui steps": 9})) == f"{said}{taken[9]}."
    assert text(panel.change("webui steps", 4, **chosen)) == ""


def test_hotshot_keeps_the_schedule_of_the_checkpoint_unless_a_setting_says_otherwise(pocket):
    from modules import shared
    from motion_module.webui.host import host
    from motion_module.webui.sampling.scope import chosen_schedule

    own = shared.sd_model.alphas_cumprod
    with host.noise_schedule(shared.sd_model, chosen_schedule(HOTSHOT)):
        assert shared.sd_model.alphas_cumprod is own
    shared.opts.data["animatediff_alpha_schedule"] = "linear"
    assert chosen_schedule(HOTSHOT) == "linear"


def test_a_run_and_the_list_of_modules_say_it(client, tiny, tmp_path):
    from modules import shared

    name = "animatediff_lightning_4step_comfyui.safetensors"
    shutil.copy(tiny["v2"], tmp_path / name)
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    said = "is made for 4 steps with the sampler Euler, cfg_scale 1 and scheduler SGM Uniform, but this run uses 2."
    burns = f"AnimateDiff: {name} is made for cfg_scale 1, but this run uses 7: pictures may burn out."
    for steps, cfg, notes in ((2, 1, [f"AnimateDiff: {name} {said}"]), (4, 1, []), (4, 7, [burns])):
        info = client.run({"model": name, "video_length": 2, "batch_size": 2}, steps=steps, cfg_scale=cfg).info
        assert info["extra_generation_params"].get("AnimateDiff messages", []) == notes
    listed = {each["name"]: each["steps"] for each in client.http.get("/animatediff/modules").json()}
    assert listed[name] == [4, 4]


@pytest.fixture
def lightning(tiny, tmp_path):
    from modules import shared

    name = "animatediff_lightning_4step_comfyui.safetensors"
    shutil.copy(tiny["v2"], tmp_path / name)
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    return name


def test_a_request_leaves_steps_and_guidance_to_its_module(client, lightning):
    wanted = {"steps": 4, "cfg_scale": 1, "sampler_name": "Euler", "scheduler": "SGM Uniform"}
    asked = {"model": lightning, "video_length": 2, "batch_size": 2, "format": ["Frame"]}
    by_hand = client.run(asked, **wanted)
    reply = client.run({**asked, "preset": "auto"}, steps=20, cfg_scale=7, sampler_name="DDIM", scheduler="Automatic")
    assert (reply.pictures == by_hand.pictures).all()
    assert reply.info["infotexts"][0] == by_hand.info["infotexts"][0]
    assert reply.info["extra_generation_params"]["AnimateDiff messages"] == [
        "AnimateDiff: steps is 4 and not 20, cfg_scale is 1.0 and not 7.0, sampler_name is 'Euler' and not 'DDIM', "
        f"scheduler is 'SGM Uniform' and not 'Automatic', as {lightning} wants it."
    ]
    same = client.run({**asked, "preset": "auto"}, **wanted)
    assert "AnimateDiff messages" not in same.info["extra_generation_params"]


def test_what_a_client_leaves_open_has_no_value_before(client, lightning):
    reply = client.run({"model": lightning, "video_length": 2, "preset": "auto"}, steps=4, cfg_scale=1)
    said = reply.info["extra_generation_params"]["AnimateDiff messages"]
    assert f"AnimateDiff: scheduler is 'SGM Uniform', as {lightning} wants it." in said


def test_a_module_for_any_steps_changes_nothing(client):
    asked = {"model": "mm_tiny_v2.safetensors", "video_length": 2, "batch_size": 2, "format": ["Frame"]}
    assert (client.run({**asked, "preset": "auto"}).pictures == client.run(asked).pictures).all()


def test_the_plan_is_that_of_the_module(client, lightning):
    fields = {"enable": True, "model": lightning, "video_length": 2, "preset": "auto"}
    body = {**SMALL, "steps": 20, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}}
    plan = client.plan(body).body
    assert (plan["steps"], plan["sampler"], plan["model_calls"]) == ([4], "Euler", 4)
    assert any(message.startswith("AnimateDiff: steps is 4 and not 20, ") for message in plan["messages"])


def test_the_run_is_over_and_its_p_is_as_it_was(client, lightning):
    from runs import make, run, video

    p = make("txt2img", video(model=lightning, preset="auto"), steps=20)
    run(p)
    assert (p.steps, p.cfg_scale, p.sampler_name, p.scheduler) == (20, 7.0, "Euler", "Automatic")


def test_another_value_is_refused(client):
    reply = client.post("txt2img", {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": [{"preset": "fast"}]}}})
    assert reply.status == 422 and reply.sentence == "AnimateDiff: preset is 'fast'; allowed is one of off, auto."


def test_guidance_that_travels_is_judged_by_its_highest_value(client, lightning):
    asked = {"model": lightning, "video_length": 4, "cfg_travel": "0: 1, 3: 2.5"}
    messages = client.run(asked, steps=4, cfg_scale=1).info["extra_generation_params"]["AnimateDiff messages"]
    assert messages == [
        f"AnimateDiff: {lightning} is made for cfg_scale 1, but this run uses 2.5: pictures may burn out."
    ]


def test_the_second_pass_is_as_the_module_wants_it_too(client, lightning):
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    asked = {"model": lightning, "video_length": 2, "batch_size": 2, "format": ["Frame"]}
    wanted = {"steps": 4, "cfg_scale": 1, "sampler_name": "Euler", "scheduler": "SGM Uniform"}
    by_hand = client.run(asked, **wanted, **hires, hr_second_pass_steps=4)
    others = {"hr_second_pass_steps": 10, "hr_sampler_name": "DDIM"}
    reply = client.run({**asked, "preset": "auto"}, **wanted, **hires, **others)
    assert (reply.pictures == by_hand.pictures).all()
    (message,) = reply.info["extra_generation_params"]["AnimateDiff messages"]
    assert "hr_second_pass_steps is 4 and not 10, hr_sampler_name is 'Euler' and not 'DDIM'" in message


@pytest.mark.parametrize(("stretch", "context"), [(8, 16), (0, 8), (12, 8)])
def test_stretched_positions_keep_the_context_that_is_asked_for(pocket, monkeypatch, stretch, context):
    from runs import make

    from motion_module.webui.request.motion_modules import ModuleFile
    from motion_module.webui.run import module_settings

    hotshot = ModuleFile("hsxl", Path("hsxl"), ModuleSpec(HOTSHOT, WIDTHS, 24))
    monkeypatch.setattr(module_settings.module_choice, "foreseen", lambda *args: hotshot)
    params = VideoParams(enable=True, preset="auto", batch_size=16, pe_stretch=stretch)
    assert module_settings.module_settings(make("txt2img", None), params).params.batch_size == context
