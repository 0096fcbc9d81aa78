"""The two tabs' Generate, called with the fields that the page sends."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from processing_runs import four_colours, pixels_of, result_of, txt2img


@pytest.fixture
def tabs(pocket, monkeypatch):
    """Runners without scripts, and nothing saved."""
    from modules import scripts, shared

    for name in ("scripts_txt2img", "scripts_img2img"):
        monkeypatch.setattr(scripts, name, scripts.ScriptRunner())
    shared.opts.samples_save = shared.opts.grid_save = shared.opts.return_grid = False
    return SimpleNamespace(request=SimpleNamespace(username="somebody"))


def with_sampler(tabs, monkeypatch, run):
    """What the page does: begin a job, give the run its sampler, steps and seed, end the job."""
    from modules import processing, shared

    original = processing.StableDiffusionProcessing.__post_init__

    def filled(self):
        original(self)
        self.sampler_name, self.scheduler, self.steps, self.seed, self.subseed = "Euler", "Automatic", 2, 5, 9

    monkeypatch.setattr(processing.StableDiffusionProcessing, "__post_init__", filled)
    shared.state.begin("test")
    try:
        return run()
    finally:
        shared.state.end()


TXT2IMG = ["a red ball", "blue", [], 1, 1, 7.0, 64, 64, False, 0.7, 2.0, "Latent", 0, 0, 0]
HIRES = ["Use same checkpoint", "Use same sampler", "Use same scheduler", "", ""]


def test_txt2img_makes_what_its_fields_say(tabs, monkeypatch):
    from modules import txt2img as tab

    pictures, info, html, comments = with_sampler(
        tabs, monkeypatch, lambda: tab.txt2img("task", tabs.request, *TXT2IMG, *HIRES, ["Clip skip: 2"], 0)
    )
    told = json.loads(info)
    assert (
        told["clip_skip"] == 2
        and told["prompt"] == "a red ball"
        and "a red ball" in html
        and "class='comments'" in comments
    )
    same = result_of(txt2img(override_settings={"CLIP_stop_at_last_layers": 2}))
    assert (pixels_of(pictures[0]) == pixels_of(same.images[0])).all()


def test_same_as_first_pass_means_none(tabs):
    from modules.txt2img import txt2img_create_processing

    p = txt2img_create_processing("task", tabs.request, *TXT2IMG, *HIRES, [], 0, force_enable_hr=True)
    assert (p.hr_checkpoint_name, p.hr_sampler_name, p.hr_scheduler) == (None, None, None)
    assert p.enable_hr and p.user == "somebody" and p.script_args == (0,)


def img2img_fields(mode, **changes):
    """The fields in the order of the page."""
    usual = {
        "prompt": "a red ball",
        "negative_prompt": "",
        "prompt_styles": [],
        "init_img": four_colours(),
        "sketch": four_colours(),
        "init_img_with_mask": {"image": four_colours(), "mask": Image.new("L", (64, 64), 255)},
        "inpaint_color_sketch": four_colours(),
        "inpaint_color_sketch_orig": four_colours(),
        "init_img_inpaint": four_colours(),
        "init_mask_inpaint": Image.new("L", (64, 64), 255),
        "mask_blur": 0,
        "mask_alpha": 0,
        "inpainting_fill": 1,
        "n_iter": 1,
        "batch_size": 1,
        "cfg_scale": 7.0,
        "image_cfg_scale": 1.5,
        "denoising_strength": 0.5,
        "selected_scale_tab": 0,
        "height": 64,
        "width": 64,
        "scale_by": 0.5,
        "resize_mode": 0,
        "inpaint_full_res": False,
        "inpaint_full_res_padding": 0,
        "inpainting_mask_invert": 0,
        "img2img_batch_input_dir": "",
        "img2img_batch_output_dir": "",
        "img2img_batch_inpaint_mask_dir": "",
        "override_settings_texts": [],
        "img2img_batch_use_png_info": False,
        "img2img_batch_png_info_props": [],
        "img2img_batch_png_info_dir": "",
        "img2img_batch_source_type": "from dir",
        "img2img_batch_upload": [],
    } | changes
    return [mode, *usual.values()]


def run_img2img(tabs, monkeypatch, mode, **changes):
    from modules import img2img as tab

    fields = img2img_fields(mode, **changes)
    return with_sampler(tabs, monkeypatch, lambda: tab.img2img("task", tabs.request, *fields, 0))


@pytest.mark.parametrize("mode", [0, 1, 2, 4])
def test_every_kind_of_input_makes_a_picture(tabs, monkeypatch, mode):
    pictures, info, _, _ = run_img2img(tabs, monkeypatch, mode)
    assert len(pictures) == 1 and json.loads(info)["denoising_strength"] == 0.5


def test_paint_is_the_mask_of_inpaint_sketch(tabs, monkeypatch):
    painted = four_colours()
    painted.paste("black", (0, 0, 32, 64))
    pictures, _, _, _ = run_img2img(tabs, monkeypatch, 3, inpaint_color_sketch=painted)
    made, original = pixels_of(pictures[0]), pixels_of(four_colours())
    assert (made[:, 40:] == original[:, 40:]).all() and (made[:, :24] != original[:, :24]).any()


def test_the_size_may_be_a_factor_of_the_pictures(tabs, monkeypatch):
    pictures, _, _, _ = run_img2img(tabs, monkeypatch, 0, selected_scale_tab=1, init_img=four_colours(128))
    assert pictures[0].size == (64, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"init_img": None}, "There is no picture to start from"), ({"denoising_strength": 1.5}, "must be from 0 to 1")],
)
def test_what_cannot_be_done_is_said(tabs, monkeypatch, changes, message):
    with pytest.raises(ValueError, match=message):
        run_img2img(tabs, monkeypatch, 0, **changes)


def test_the_batch_tab_runs_a_folder_or_uploads(tabs, monkeypatch, tmp_path):
    for name in ("1.png", "2.png"):
        four_colours().save(tmp_path / name)
    pictures, _, _, _ = run_img2img(tabs, monkeypatch, 5, img2img_batch_input_dir=str(tmp_path))
    assert len(pictures) == 2
    uploads = [SimpleNamespace(name=str(tmp_path / "1.png"))]
    pictures, _, _, _ = run_img2img(
        tabs, monkeypatch, 5, img2img_batch_source_type="upload", img2img_batch_upload=uploads
    )
    assert len(pictures) == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run_img2img(tabs, monkeypatch, 5, img2img_batch_input_dir=str(empty))[0] == []


def test_pictures_may_be_kept_out_of_the_gallery(tabs, monkeypatch, capsys):
    from modules import shared

    shared.opts.do_not_show_images = shared.opts.samples_log_stdout = shared.opts.enable_console_prompts = True
    pictures, info, _, _ = run_img2img(tabs, monkeypatch, 0)
    assert pictures == [] and info in capsys.readouterr().out


def test_pasting_turns_text_into_the_fields_types(pocket):
    import gradio as gr

    from modules.infotext_paste import _update_for, image_from_url_text, send_image_and_dimensions

    with gr.Blocks():
        number, flag, text = gr.Number(value=1), gr.Checkbox(value=True), gr.Textbox(value="")
    assert _update_for(number, "7")["value"] == 7 and _update_for(flag, "False")["value"] is False
    assert _update_for(text, "x")["value"] == "x" and "value" not in _update_for(text, None)
    assert _update_for(text, gr.update(visible=False))["visible"] is False
    assert "value" not in _update_for(number, "not a number")
    picture = four_colours()
    assert send_image_and_dimensions(picture) == (picture, 64, 64)
    path = pocket["data"] / "sent.png"
    picture.save(path)
    opened = image_from_url_text([{"name": f"{path}?123", "is_file": True}])
    assert (np.array(opened) == np.array(picture)).all() and image_from_url_text([]) is None
