"""What hurts people with other extensions, each under its number in docs/pains.md.

Shown by other tests, and not repeated here:

| pain | where |
|---|---|
| 2 long prompt on one side | test_http_sampling.py::test_one_video_however_the_host_calls_the_model, test_pipeline.py |
| 4 half-done set-up | test_undo.py::test_a_failure_at_every_change_undoes_those_before_it |
| 6 GroupNorm | core/test_placement.py (v1's norms, and those of other models), test_http_sampling.py (any number of copies) |
| 7 other tab, other model | test_host_facts.py, core/test_placement.py::test_two_loans_may_end_in_any_order |
| 8 checkpoint switched by the request | test_host_facts.py::test_the_checkpoint_of_override_settings_is_the_one_that_moves |
| 9 SDXL module on SD1.5 | test_http_bad_input.py (mm_sdxl, hotshot), test_host_facts.py (ADetailer's sequence) |
| 10 tolerant prompt travel | test_http_sampling.py::test_prompt_travel_goes_from_key_to_key, ../test_travel.py |
| 11 travel key beyond the end | test_http_bad_input.py (prompt travel) |
| 20 closed loop on a short video | test_http_hints.py (the panel, before a run), test_videos.py (the result), \
test_http_run.py::test_a_closed_loop_that_fits_into_one_window_is_played_back |
| 21 fewer frames than the context | test_http_run.py::test_the_number_of_frames |
| 22 memory | test_undo.py::test_nothing_is_held_after_a_run, test_memory_does_not_grow_from_run_to_run |
| 24 no video in the gallery | page/test_results_play.py::test_video_plays |
| 27 X/Y/Z plot | test_xyz.py |
| 28 pasted infotext | test_infotext.py::test_every_field_survives_the_round_trip, test_http_run.py (the host reads it back) |
| 29 motion LoRA as published | test_motion_lora.py::test_every_layout_gives_the_same_frames, core/test_lora.py |
| 31 layouts of motion modules | core/test_checkpoint.py |
| 32 units that are off or blank | test_http_controlnet.py::test_32_units_that_are_off_or_blank_are_nobodys_concern |
| 33 where the video is | test_http_run.py::test_what_is_returned_and_what_is_written |
| 34 speed of the GIF | test_http_run.py::test_speed_and_loops_of_the_video, media/test_formats.py |
| 35 discarded output | core/test_sliding.py::test_no_output_of_the_model_is_thrown_away |
| 36 two extensions | test_standing_aside.py |
| 37 too little memory | test_too_little_memory.py |
| 38 what a device lacks | core/test_weak_device.py |
| 39 files that are open elsewhere | media/test_on_windows.py |
"""

import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import snapshot
from http_client import SMALL, Client, far, gif_frames, mp4_frames, set_folder
from runs import make, run, runner_of, video

V3 = "mm_tiny_v3.safetensors"
STILL = {"effect": 0.0, "model": V3}
SETUP = {
    "before_process": "motion_module.webui.run.beginning.read_params",
    "process": "motion_module.webui.run.session.Session.settle",
    "process_batch": "motion_module.webui.run.session.Session.spread_prompts",
    "before_every_sampling": "motion_module.webui.run.session.Session.shape_noise",
    "postprocess": "motion_module.webui.run.session.videos._kept_video",
}


@pytest.fixture
def client(pocket):
    return Client(pocket)


def request(**fields):
    video_fields = {"enable": True, "video_length": 8, "batch_size": 8, "format": ["GIF", "PNG"], **fields}
    return {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": [video_fields]}}}


def break_down(*args, **kwargs):
    raise RuntimeError("the cable is loose")


@pytest.mark.parametrize("hook", SETUP)
def test_1_an_error_of_ours_is_one_sentence_in_the_api(client, monkeypatch, hook):
    files = client.written()
    monkeypatch.setattr(SETUP[hook], break_down)
    reply = client.post("txt2img", request())
    assert reply.status == 500
    assert "the cable is loose" in reply.sentence and "\n" not in reply.sentence
    assert "images" not in reply.body and client.written() == files


@pytest.mark.parametrize("hook", SETUP)
def test_1_an_error_of_ours_is_one_sentence_in_the_page(pocket, monkeypatch, hook):
    from modules.call_queue import wrap_gradio_gpu_call

    monkeypatch.setattr(SETUP[hook], break_down)
    generate = wrap_gradio_gpu_call(lambda: run(make(animatediff=video())), extra_outputs=[None, "", ""])
    gallery, *_, message = generate()
    assert gallery is None
    (box,) = re.findall(r"<div class='error'>(.*?)</div>", message)
    assert "the cable is loose" in box and "Traceback" not in box


def test_3_rows_that_nobody_can_account_for_are_refused_before_they_are_indexed(client):
    from modules import script_callbacks

    def lose_a_row(params):
        for name in ("x", "sigma", "image_cond", "text_uncond"):
            setattr(params, name, getattr(params, name)[:-1])

    script_callbacks.on_cfg_denoiser(lose_a_row)
    try:
        reply = client.post("txt2img", request())
    finally:
        script_callbacks.remove_callbacks_for_function(lose_a_row)
    assert reply.status == 500 and "15 rows" in reply.sentence and "8 frames" in reply.sentence


def test_5_after_an_error_in_the_model_nobody_has_to_restart(client, monkeypatch):
    import torch

    from modules import shared

    plain, frames, before = client.plain(), client.frames(), snapshot.of_host()
    with monkeypatch.context() as patch:
        error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        unet = shared.sd_model.model.diffusion_model
        patch.setattr(unet.middle_block, "forward", lambda *args: (_ for _ in ()).throw(error))
        reply = client.post("txt2img", request())
        assert reply.status == 500 and "out of memory" in reply.sentence
    assert snapshot.differences(before, snapshot.of_host()) == []
    assert np.array_equal(client.plain(), plain) and np.array_equal(client.frames(), frames)


def test_12_prompt_editing_works_inside_a_video(client):
    steps = {"steps": 6, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}
    edited = client.frames(STILL, prompt="[a red ball:blue water:0.2]", **steps)
    for prompt in ("a red ball", "blue water"):
        assert far(edited, client.frames(STILL, prompt=prompt, **steps)) > 1
    late = client.frames(STILL, prompt="[a red ball:blue water:1.0]", **steps)
    assert far(late, client.frames(STILL, prompt="a red ball", **steps)) <= 1


def test_13_a_unit_of_controlnet_where_there_is_none_is_named(client):
    body = request()
    body["alwayson_scripts"]["ControlNet"] = {"args": [{"enabled": True, "module": "canny", "model": "x"}]}
    reply = client.post("txt2img", body)
    assert reply.status == 422 and "ControlNet" in reply.sentence


@pytest.mark.parametrize(
    "args",
    [
        [{"enable": True, "model": V3, "video_length": 8, "batch_size": 8, "format": "GIF"}],
        [{"enable": True, "model": V3, "video_length": 8, "batch_size": 8, "format": ["gif"]}, None, False],
        [{"enable": True}, {"model": V3}, {"video_length": 8}, {"batch_size": 8}, {"format": "GIF"}],
    ],
    ids=["a text", "more arguments than there are", "an object for each field"],
)
def test_14_older_ways_to_say_the_same(client, args):
    reply = client.post("txt2img", {**SMALL, "alwayson_scripts": {"animatediff": {"args": args}}})
    assert reply.status == 200, reply.body
    assert reply.kinds == ["GIF"]
    same = client.run({"model": V3, "format": ["GIF"]})
    assert np.array_equal(*(np.stack(gif_frames(answer.files[0])[0]) for answer in (reply, same)))


def test_17_blending_makes_the_seams_of_windows_smaller(client):
    """Noise, prompt and picture are the same all along, so that frames differ only by their place in a window."""
    video_fields = {"video_length": 16, "schedule": "static", "overlap": 6, "same_noise": True, "motion_scale": 3.0}

    def restlessness(blend):
        frames = client.frames(
            {**video_fields, "model": "mm_tiny_v2.safetensors", "effect": 2.0, "blend": blend}, seed=1
        )
        return np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).sum()

    seams = restlessness("overwrite")
    assert {blend: restlessness(blend) < 0.75 * seams for blend in ("flat", "linear", "pyramid")} == dict.fromkeys(
        ("flat", "linear", "pyramid"), True
    )


def test_18_closed_loop_n_leaves_no_frame_out(client):
    """26 frames in windows of 16 is one of the lengths with frames that no window reached."""
    uncut = client.frames({**STILL, "video_length": 26, "batch_size": 26})
    cut = client.frames({**STILL, "video_length": 26, "batch_size": 16, "closed_loop": "N", "blend": "overwrite"})
    assert far(uncut, cut) <= 1


def test_19_an_overlap_as_long_as_the_context_is_made_to_fit(client, caplog):
    fields = {"video_length": 9, "batch_size": 4, "model": V3}
    frames = client.frames({**fields, "overlap": 200}, steps=1)
    assert "overlap 200" in caplog.text and "2 is used" in caplog.text
    assert np.array_equal(frames, client.frames({**fields, "overlap": 2}, steps=1))
    assert len(np.unique(frames.reshape(9, -1), axis=0)) == 9 and frames.std() > 5


def test_23_a_codec_that_is_not_there_costs_only_its_own_format(client, monkeypatch):
    from motion_module.media.writing.mp4 import Mp4Writer

    monkeypatch.setattr(Mp4Writer, "encoder", "lib_not_there")
    reply = client.run({"format": ["GIF", "MP4", "PNG"]})
    (paths,) = reply.paths
    assert reply.kinds == ["GIF"] and set(paths) == {"GIF", "PNG"}
    assert len(gif_frames(reply.files[0])[0]) == 8
    assert "could not save MP4" in reply.body["info"], "an API client learns of it"
    lost = client.post("txt2img", request(format=["MP4"]))
    assert lost.status == 500 and "MP4" in lost.sentence and "Its frames are in" in lost.sentence


def test_25_nothing_besides_the_packages_is_needed(client, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    assert not shutil.which("gifsicle") and not shutil.which("ffmpeg")
    options = {"animatediff_optimize_gif_palette": True, "animatediff_optimize_gif_gifsicle": True}
    client.post("options", options)
    reply = client.run({"format": ["GIF", "MP4", "PNG"]})
    assert len(gif_frames(reply.files[0])[0]) == 8
    assert mp4_frames(reply.paths[0]["MP4"])[0] == 8
    assert caplog.text.count("gifsicle is not installed") == 1


@contextmanager
def wildcards(words):
    """Another extension that writes a different prompt for every position, as wildcards do."""
    from modules import scripts

    def process(self, p, *args):
        p.all_prompts = [f"{words[place % len(words)]}" for place in range(len(p.all_prompts))]

    made = type("Wildcards", (scripts.Script,), {"title": lambda self: "Wildcards", "process": process})()
    made.args_from = made.args_to = 0
    made.alwayson, made.filename = True, __file__
    runner = runner_of("txt2img")
    for found in (runner.scripts, runner.alwayson_scripts):
        found.append(made)
    runner.callback_map.clear()
    try:
        yield
    finally:
        for found in (runner.scripts, runner.alwayson_scripts):
            found.remove(made)
        runner.callback_map.clear()


def test_26_wildcards_are_drawn_once_for_each_video(client):
    words = ["a red ball", "blue water", "green grass"]
    with wildcards(words):
        two = client.frames({"video_length": 4}, n_iter=2)
    assert np.array_equal(two[:4], client.frames({"video_length": 4}, prompt=words[0]))
    assert np.array_equal(two[4:], client.frames({"video_length": 4}, prompt=words[4 % 3], seed=9))


def test_30_modules_are_found_by_their_content_wherever_they_lie(client, tiny, tmp_path):
    below = tmp_path / "motion" / "by" / "someone"
    below.mkdir(parents=True)
    shutil.copy(tiny["v3"], below / "whatever.safetensors")
    shutil.copy(tiny["v1"], tmp_path / "motion" / "sdxl_lora.SafeTensors")
    (tmp_path / "motion" / "mm_sd15_v9.safetensors").write_text("not one")
    expected = client.frames({"model": V3})
    set_folder("animatediff_model_path", str(tmp_path / "motion"))
    for name in ("by/someone/whatever.safetensors", "whatever", ""):
        assert np.array_equal(client.frames({"model": name}), expected), name
    reply = client.post("txt2img", request(model="none"))
    assert "allowed is one of by/someone/whatever.safetensors, sdxl_lora.SafeTensors." in reply.sentence
