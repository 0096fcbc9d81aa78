"""img2img's batch tab: a folder of pictures is one video."""

import inspect
import json
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from http_client import damaged_png
from neighbours import on_every_change
from PIL import Image, PngImagePlugin
from runs import arguments, array, make, video
from snapshot import differences, of_host

COLOURS = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 200, 30), (200, 30, 200)]
STILL = {"video_length": 0, "format": ["Frame"]}


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


@pytest.fixture
def folder(tmp_path):
    """Five pictures of one colour each, whose natural order is not that of their letters."""
    for name, colour in zip(("1", "2", "9", "10", "11"), COLOURS, strict=True):
        save(Image.new("RGB", (64, 64), colour), tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def save(picture, path, **texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    picture.save(path, pnginfo=info)


def white(box, size=(64, 64)):
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return mask


@contextmanager
def job():
    """Around whatever the tab does the host begins a job and ends it."""
    from modules import shared

    shared.state.begin(job="batch")
    try:
        yield
    finally:
        shared.state.end()


def batch(source, output="", masks="", animatediff=None, options=None, **request):
    """The tab's batch as the host starts it. Returns what the page shows, and `p`."""
    from modules import img2img

    asked = video(**(STILL if animatediff is None else animatediff))
    p = make("img2img", asked, **{"steps": 2, "denoising_strength": 0.2, "init_images": [None], **request})
    torch.manual_seed(0)
    with job(), closing(p):
        given = source if isinstance(source, list) else str(source)
        return img2img.process_batch(p, given, str(output), str(masks), p.script_args, **(options or {})), p


def shown(source, *args, **kwargs):
    return array(batch(source, *args, **kwargs)[0].images).astype(int)


def nearest(picture):
    """Which of the five colours a picture mostly has."""
    return int(np.argmin([np.abs(picture.mean(axis=(0, 1)) - colour).sum() for colour in COLOURS]))


def own(p):
    """Everything of `p` that the batch tab's folders change."""
    names = ("init_images", "image_mask", "width", "height", "prompt", "override_settings", "outpath_samples", "steps")
    return {name: id(getattr(p, name)) for name in names} | {"carried": hasattr(p, "animatediff_batch")}


def test_a_folder_is_one_video_in_natural_order(folder):
    result, p = batch(folder)
    reference = shown(folder, animatediff={**STILL, "enable": False}, denoising_strength=0.01)
    made = array(result.images).astype(int)
    assert made.shape == (5, 64, 64, 3)
    assert result.all_seeds == [42, 43, 44, 45, 46]
    places = [int(np.abs(reference - frame).mean(axis=(1, 2, 3)).argmin()) for frame in made]
    assert places == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("length", "count"), [(0, 5), (1, 1), (3, 3), (5, 5)])
def test_the_number_of_frames(folder, length, count):
    assert len(shown(folder, animatediff={**STILL, "video_length": length}, steps=1)) == count


def test_one_picture_is_one_frame(folder):
    for path in folder.glob("1?.png"):
        path.unlink()
    (folder / "2.png").unlink()
    (folder / "9.png").unlink()
    assert len(shown(folder, steps=1)) == 1


def test_the_host_is_as_it_was(folder, tmp_path):
    before = of_host()
    options = {"to_scale": True, "scale_by": 2.0, "use_png_info": True, "png_info_props": ["Prompt"]}
    from modules import img2img

    p = make("img2img", video(**STILL), steps=1, init_images=[None])
    mine = own(p)
    for number in range(1, 6):
        save(white((0, 0, 32 * (number % 2 + 1), 64)), tmp_path / "masks" / f"{number}.png")
    with job(), closing(p):
        img2img.process_batch(p, str(folder), str(tmp_path / "out"), str(tmp_path / "masks"), p.script_args, **options)
    assert own(p) == mine
    assert differences(before, of_host()) == []


def test_without_our_enable_the_tab_is_the_hosts(folder, tmp_path):
    off = shown(folder, tmp_path / "out", animatediff={**STILL, "enable": False}, steps=1)
    assert len(off) == 5 and len(list((tmp_path / "out").iterdir())) == 5
    assert not (tmp_path / "out" / "AnimateDiff").exists()


def test_uploads_and_the_batch_size_of_the_tab(folder):
    """The batch size means pictures for each picture to the host, and frames to us."""
    uploads = [SimpleNamespace(name=str(folder / f"{name}.png")) for name in (10, 2, 1)]
    made = shown(uploads, batch_size=4, denoising_strength=0.01)
    plain = shown([uploads[2], uploads[1], uploads[0]], animatediff={**STILL, "enable": False}, denoising_strength=0.01)
    assert len(made) == 3 and np.abs(made - plain).mean() < 8


def test_each_file_of_a_capped_batch_is_saved_with_its_own_seed(folder, tmp_path, monkeypatch):
    from modules import images

    save_image, seeds = images.save_image, []

    def noted(image, path, basename, seed=None, *args, **kwargs):
        seeds.append(seed)
        return save_image(image, path, basename, seed, *args, **kwargs)

    monkeypatch.setattr(images, "save_image", noted)
    asked = {**STILL, "format": ["PNG"], "video_length": 3}
    result, _ = batch(folder, tmp_path / "out", animatediff=asked, n_iter=2, steps=1)
    assert seeds == result.all_seeds and len(set(seeds)) == 6


PAGE = {
    "prompt": "a red ball",
    "negative_prompt": "",
    "prompt_styles": [],
    "mask_blur": 0,
    "inpainting_fill": 1,
    "n_iter": 1,
    "batch_size": 1,
    "cfg_scale": 7.0,
    "image_cfg_scale": 1.5,
    "denoising_strength": 0.5,
    "selected_scale_tab": 0,
    "height": 64,
    "width": 64,
    "scale_by": 1.0,
    "resize_mode": 0,
    "inpaint_full_res": False,
    "inpaint_full_res_padding": 0,
    "inpainting_mask_invert": 0,
    "img2img_batch_output_dir": "",
    "img2img_batch_inpaint_mask_dir": "",
    "override_settings_texts": [],
    "img2img_batch_source_type": "from dir",
}


def page(folder, monkeypatch, **changes):
    """The page's Generate on the batch tab."""
    from modules import img2img, processing, shared

    original = processing.StableDiffusionProcessing.__post_init__

    def filled(self):
        original(self)
        self.sampler_name, self.scheduler, self.steps, self.seed, self.subseed = "Euler", "Automatic", 1, 5, 9

    monkeypatch.setattr(processing.StableDiffusionProcessing, "__post_init__", filled)
    names = list(inspect.signature(img2img.img2img).parameters)[3:-1]  # without id_task, request, mode and *args
    fields = dict.fromkeys(names) | PAGE | {"img2img_batch_input_dir": str(folder), **changes}
    shared.state.begin(job="page")
    try:
        request = SimpleNamespace(username="somebody")
        args = arguments("img2img", video(video_length=0, format=["GIF"]))
        return img2img.img2img("task", request, 5, *fields.values(), *args)
    finally:
        shared.state.end()


def test_the_page_shows_the_video(folder, monkeypatch):
    pictures, info, _, comments = page(folder, monkeypatch, batch_size=3)
    (files,) = json.loads(info)["extra_generation_params"]["AnimateDiff files"]
    assert len(pictures) == 1 and Image.open(files["GIF"]).n_frames == 5


def test_two_videos_of_a_folder(folder, tmp_path):
    result, _ = batch(folder, tmp_path / "out", animatediff={**STILL, "format": ["PNG"]}, n_iter=2, steps=1)
    assert len(result.images) == 10
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert len(names) == 10 and names[0].endswith("-1-1.png") and names[-1].endswith("-11-2.png")


def test_frames_and_video_go_to_the_output_directory(folder, tmp_path):
    from modules import shared

    asked = {**STILL, "format": ["GIF", "PNG"]}
    for _ in range(2):
        result, _ = batch(folder, f" {tmp_path / 'out'} ", animatediff=asked, steps=1)
    frames = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert [name.split("-", 1)[1] for name in frames] == [f"{name}.png" for name in (1, 2, 9, 10, 11)] * 2
    assert "Seed: 42" in Image.open(tmp_path / "out" / frames[0]).info["parameters"]
    assert "Seed: 43" in Image.open(tmp_path / "out" / frames[1]).info["parameters"]
    (files,) = result.extra_generation_params["AnimateDiff files"]
    assert Path(files["GIF"]).is_relative_to(tmp_path / "out" / "AnimateDiff")
    assert Path(files["PNG"]) == tmp_path / "out"
    assert list((tmp_path / "out").rglob("00000.png")) == []  # the frames are saved once
    assert shared.opts.samples_filename_pattern == "" and shared.opts.save_images_replace_action == "Replace"


def test_names_without_numbers_are_not_used_twice(folder, tmp_path):
    from modules import shared

    shared.opts.save_images_add_number = False
    asked = {**STILL, "format": ["PNG"], "video_length": 1}
    for _ in range(2):
        result, _ = batch(folder, tmp_path / "out", animatediff=asked, steps=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-1.png", "1.png"]
    assert Path(result.images[0].already_saved_as).name == "1-1.png"


def test_without_png_only_the_video_goes_there(folder, tmp_path):
    batch(folder, tmp_path / "out", animatediff={**STILL, "format": ["GIF"]}, steps=1)
    assert [path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()] == [".gif"]


def test_an_output_directory_that_cannot_be_written_costs_no_frame(folder, tmp_path):
    (tmp_path / "out").write_text("a file, not a folder")
    result, _ = batch(folder, tmp_path / "out", animatediff={**STILL, "format": ["PNG"]}, steps=1)
    assert "could not save the frames to" in result.comments
    (files,) = result.extra_generation_params["AnimateDiff files"]
    assert len(list(Path(files["PNG"]).iterdir())) == 5


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_size_may_follow_the_pictures(folder, scale):
    for path in folder.iterdir():
        Image.open(path).resize((64, 32)).save(path)
    made = shown(folder, options={"to_scale": True, "scale_by": scale}, steps=1)
    assert made.shape == (5, int(32 * scale), int(64 * scale), 3)


INFO = "cat\nNegative prompt: dog\nSteps: 3, Sampler: DDIM, CFG scale: 2.5, Seed: 77"


def test_parameters_come_from_the_first_picture(folder, tmp_path):
    save(Image.new("RGB", (64, 64), COLOURS[0]), folder / "1.png", parameters=INFO)
    save(Image.new("RGB", (64, 64), COLOURS[1]), folder / "2.png", parameters=INFO.replace("cat", "horse"))
    props = ["Prompt", "Negative prompt", "Seed", "CFG scale", "Sampler", "Steps"]
    result, p = batch(folder, options={"use_png_info": True, "png_info_props": props})
    assert result.all_prompts[0] == "a cat walking cat" and result.all_negative_prompts[0] == "bad dog"
    assert (result.seed, result.steps, result.cfg_scale, result.sampler_name) == (77, 3, 2.5, "DDIM")
    assert (p.prompt, p.steps) == ("a cat walking", 2)
    result, _ = batch(folder, options={"use_png_info": True, "png_info_props": ["Seed"]})
    assert (result.seed, result.steps, result.all_prompts[0]) == (77, 2, "a cat walking")


def test_parameters_may_lie_in_another_folder(folder, tmp_path):
    save(Image.new("RGB", (8, 8)), tmp_path / "info" / "1.png", parameters=INFO)
    options = {"use_png_info": True, "png_info_props": ["Seed"], "png_info_dir": str(tmp_path / "info")}
    assert batch(folder, options=options)[0].seed == 77


def test_pictures_without_parameters_are_said(folder):
    result, _ = batch(folder, options={"use_png_info": True, "png_info_props": ["Seed"]}, steps=1)
    assert "1.png has no infotext" in result.comments and result.seed == 42


def test_a_folder_with_image_and_mask_inside(folder, tmp_path):
    for path in folder.glob("*.png"):
        save(Image.open(path), tmp_path / "both" / "image" / path.name)
        save(white((0, 0, 32, 64)), tmp_path / "both" / "mask" / path.name)
    made = shown(tmp_path / "both", mask_blur=0, inpainting_fill=1, inpaint_full_res=False)
    for frame, colour in zip(made, COLOURS, strict=True):
        assert np.abs(frame[:, 34:] - colour).max() <= 1 and np.abs(frame[:, :30] - colour).mean() > 3


BAD = {
    "empty": ("empty", "", {}, "there are no pictures in"),
    "other files": ("texts", "", {}, "there are no pictures in"),
    "no folder": ("nowhere", "", {}, "the input directory is"),
    "no name": ("", "", {}, "the input directory is ''"),
    "a file": ("in/1.png", "", {}, "allowed is a folder that exists"),
    "too many": ("in", "", {"video_length": 6}, "video_length is 6, but"),
    "no masks": ("in", "empty", {}, "there are no masks in"),
    "no mask folder": ("in", "nowhere", {}, "the mask directory is"),
    "few masks": ("in", "masks", {}, "has 3 masks for 5 pictures"),
    "few masks, fewer frames": ("in", "masks", {"video_length": 2}, "has 3 masks for 2 pictures"),
    "no picture": ("broken", "", {}, "2.png cannot be read as a picture"),
    "empty picture": ("nothing", "", {}, "2.png cannot be read as a picture"),
    "damaged picture": ("damaged", "", {}, "2.png cannot be read as a picture"),
    "broken mask": ("in", "broken", {}, "cannot be read as a picture"),
    "wrong field": ("in", "", {"fps": 1000}, "fps is 1000"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_one_sentence(folder, tmp_path, case):
    from motion_module.errors import UserError

    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("no picture")
    for name in ("a", "b", "c"):
        save(white((0, 0, 32, 64)), tmp_path / "masks" / f"{name}.png")
    for name, data in (("broken", b"no picture"), ("nothing", b""), ("damaged", damaged_png())):
        for number in (1, 2, 3, 4, 5):
            save(white((0, 0, 9, 9)), tmp_path / name / f"{number}.png")
        (tmp_path / name / "2.png").write_bytes(data)
    source, masks, fields, sentence = BAD[case]
    before = of_host(values=False)
    with pytest.raises(UserError) as caught:
        batch(tmp_path / source if source else "", "", tmp_path / masks if masks else "", {**STILL, **fields})
    assert sentence in str(caught.value) and caught.value.status_code == 422
    assert differences(before, of_host(values=False)) == []


def test_an_error_while_it_runs_leaves_nothing_behind(folder, monkeypatch):
    from modules import img2img

    before = of_host()
    p = make("img2img", video(**STILL, model="mm_tiny_v2.safetensors"), steps=1, init_images=[None])
    mine = own(p)
    monkeypatch.setattr("motion_module.webui.sampling.init_pictures.Pictures.starting", lambda self: 1 / 0)
    with job(), closing(p), pytest.raises(ZeroDivisionError):
        img2img.process_batch(p, str(folder), "", "", p.script_args)
    monkeypatch.undo()
    assert own(p) == mine and differences(before, of_host()) == []


def test_a_failure_at_every_change_undoes_those_before_it(folder, tmp_path, monkeypatch):
    from modules import img2img

    options = {"to_scale": True, "use_png_info": True, "png_info_props": ["Prompt"]}
    save(white((0, 0, 32, 64)), tmp_path / "mask" / "1.png")
    before = of_host(values=False)

    def failing(number):
        left = iter(range(number))
        p = make("img2img", video(**STILL), steps=1, init_images=[None])
        mine = own(p)

        def fail():
            if next(left, None) is None:
                raise RuntimeError("no memory for this")

        with job(), monkeypatch.context() as patch, closing(p):
            on_every_change(patch, fail, "batch_tab")
            try:
                img2img.process_batch(
                    p, str(folder), str(tmp_path / "out"), str(tmp_path / "mask"), p.script_args, **options
                )
            except RuntimeError as error:
                assert "no memory" in str(error) and own(p) == mine
                return True
            return False

    changes = next(number for number in range(100) if not failing(number))
    assert changes >= 5  # pictures, mask, width, height, folder
    assert differences(before, of_host(values=False)) == []


# The host of the tests has its ControlNet, which takes the tab over as the real one does. It loads after us.


@pytest.fixture
def runs_made(monkeypatch):
    from modules import processing

    made, process = [], processing.process_images
    monkeypatch.setattr(processing, "process_images", lambda p: (made.append(len(p.init_images)), process(p))[1])
    return made


@pytest.fixture
def by_controlnet(monkeypatch):
    """How often ControlNet has called the name that it imports."""
    import scripts.animatediff_i2ibatch as imported

    calls, make_video = [], imported.animatediff_i2i_batch
    monkeypatch.setattr(
        imported, "animatediff_i2i_batch", lambda *args, **kwargs: (calls.append(1), make_video(*args, **kwargs))[1]
    )
    return calls


def hijacked(monkeypatch, order):
    """The tab as it is when this order of extensions has taken it over."""
    from modules import img2img
    from motion_module.webui.request import batch_tab

    ours = getattr(img2img, "__controlnet_original_process_batch")
    if order == "ours alone":
        monkeypatch.setattr(img2img, "process_batch", ours)
    if order == "ours outside":
        monkeypatch.setattr(img2img, "process_batch", batch_tab._ours_first(img2img.process_batch))
    if order == "theirs alone":
        monkeypatch.setattr(img2img, "__controlnet_original_process_batch", ours._below())


@pytest.mark.parametrize("order", ["theirs outside", "ours outside", "ours alone", "theirs alone"])
def test_whoever_has_the_tab_one_video_is_made(folder, runs_made, by_controlnet, monkeypatch, order):
    hijacked(monkeypatch, order)
    assert len(shown(folder, animatediff={**STILL, "video_length": 3}, steps=1)) == 3
    assert runs_made == [3] and len(by_controlnet) == order.startswith("theirs")
    shown(folder, animatediff={**STILL, "enable": False}, steps=1)
    assert runs_made == [3, 1, 1, 1, 1, 1]


def test_a_second_copy_of_the_script_does_not_take_the_tab_again(pocket):
    from modules import img2img
    from motion_module.webui.request import batch_tab

    before = img2img.process_batch
    batch_tab.take_over()
    assert img2img.process_batch is before


def test_the_tab_is_the_hosts_again_when_scripts_are_unloaded(pocket, monkeypatch):
    from modules import img2img, img2img_batch, processing, script_callbacks
    from motion_module.webui.request import batch_tab

    registered = script_callbacks.callback_map["callbacks_script_unloaded"]
    of_the_tab = [callback for callback in registered if "Lora" not in callback.script]  # which others still need
    monkeypatch.setitem(script_callbacks.callback_map, "callbacks_script_unloaded", of_the_tab)
    monkeypatch.setattr(script_callbacks, "ordered_callbacks_map", {})
    before = [(module, dict(vars(module))) for module in (img2img, processing)]
    assert img2img.process_batch is not img2img_batch.process_batch
    script_callbacks.script_unloaded_callback()
    try:
        assert img2img.process_batch is img2img_batch.process_batch
        assert not hasattr(img2img, batch_tab._TAKEN)
    finally:
        for module, names in before:
            vars(module).update(names)


def test_the_name_that_controlnet_imports():
    import runpy

    found = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "animatediff_i2ibatch.py"))
    from motion_module.webui.request import batch_tab

    assert found["animatediff_i2i_batch"] is batch_tab.animatediff_i2i_batch


def test_frames_that_are_in_the_output_folder_are_not_said_to_be_lost(folder, tmp_path, monkeypatch):
    """There is too little memory for the video's other file, which comes after them."""
    from motion_module.webui.output import videos

    def too_much(*args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(videos, "save_video", too_much)
    out = tmp_path / "out"
    with pytest.raises(Exception, match=r"while saving.* \(only the frames of the video are kept\)\.$"):
        batch(folder, out, animatediff={"video_length": 0, "format": ["PNG", "GIF"]})
    assert len(list(out.glob("*.png"))) == len(COLOURS)
