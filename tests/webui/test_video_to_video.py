"""Video to video without ControlNet: on img2img the frames of a video or a folder are what each frame starts from."""

import numpy as np
import pytest
import torch
from http_client import SMALL, Client, alike, mp4_frames, png_base64
from PIL import Image
from runs import array, make, run, video
from snapshot import differences, of_host
from video_files import film, folder_of, sound_of

from motion_module.errors import ParamError, UserError
from motion_module.webui.request.frame_files import FrameFiles
from motion_module.webui.sampling import host_init, init_pictures
from motion_module.wording import for_client

RED = Image.new("RGB", (64, 64), (200, 60, 30))
ASKED = {"video_length": 0, "format": ["Frame"]}
MASKED = {"mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False}


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


@pytest.fixture
def folder(tmp_path):
    """Six pictures that get lighter."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number,) * 3).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def pictures_of(folder):
    return [Image.open(file).convert("RGB") for file in sorted(folder.glob("*.png"))]


def result_of(fields, **request):
    return run(make("img2img", video(**{**ASKED, **fields}), **{"denoising_strength": 0.3, **request}))


def frames(fields, **request):
    return array(result_of(fields, **request).images).astype(int)


@pytest.mark.parametrize("block", [1, 4, 16])
def test_frames_are_those_of_the_same_pictures(folder, monkeypatch, block):
    expected = frames({}, init_images=pictures_of(folder))
    monkeypatch.setattr(host_init, "BLOCK", block)
    assert np.array_equal(frames({"video_path": str(folder)}, init_images=[RED]), expected)


def test_each_frame_keeps_the_colours_of_its_own_picture(folder):
    """As the host notes them: for each picture, where none are given."""

    def noting(*_):
        p.color_corrections = [picture.getpixel((0, 0))[0] for picture in p.init_images]
        p.init_latent = p.image_conditioning = torch.zeros(len(p.init_images), 4, 8, 8)

    p = make("img2img", False)
    pictures = FrameFiles(sorted(folder.glob("*.png")) * 3)
    host_init.init_in_blocks(host_init.Frames(p, noting, pictures, [""] * 18, [0] * 18, [0] * 18))
    assert p.color_corrections == [0, 40, 80, 120, 160, 200] * 3 and p.init_latent.shape == (18, 4, 8, 8)


@pytest.mark.parametrize("only_masked", [False, True])
def test_a_painted_mask_counts_for_every_frame(folder, monkeypatch, only_masked):
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (16, 16, 48, 48))
    masked = {**MASKED, "inpaint_full_res": only_masked, "mask": mask}
    expected = frames({}, init_images=pictures_of(folder), **masked)
    monkeypatch.setattr(host_init, "BLOCK", 4)
    found = frames({"video_path": str(folder)}, init_images=[RED], **masked)
    assert np.array_equal(found, expected)
    outside = np.ones((64, 64), bool)
    outside[16:48, 16:48] = False
    for number, frame in enumerate(found):
        assert np.abs(frame[outside] - 40 * number).max() <= 1


def test_a_mask_of_another_size_is_fitted(folder):
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (0, 0, 64, 128))
    found = frames({"video_path": str(folder)}, init_images=[RED], **MASKED, mask=mask, inpaint_full_res_padding=0)
    assert all(np.abs(frame[:, 36:] - 40 * number).max() <= 1 for number, frame in enumerate(found))


def test_masks_beside_the_frames(folder, tmp_path):
    (tmp_path / "clip").mkdir()
    folder.rename(tmp_path / "clip" / "image")
    (tmp_path / "clip" / "mask").mkdir()
    for number in range(6):
        mask = Image.new("L", (64, 64), 0)
        mask.paste(255, (8 * number, 0, 8 * number + 16, 64))
        mask.save(tmp_path / "clip" / "mask" / f"{number}.png")
    found = frames({"video_path": str(tmp_path / "clip")}, init_images=[RED], **MASKED, denoising_strength=0.9)
    for number, frame in enumerate(found):
        kept = np.ones(64, bool)
        kept[8 * number : 8 * number + 16] = False
        assert np.abs(frame[:, kept] - 40 * number).max() <= 1
        assert np.abs(frame[:, ~kept] - 40 * number).mean() > 3


def test_a_film_brings_its_rate_and_its_sound(pocket, tmp_path):
    client = Client(pocket)
    clip = film(tmp_path / "my clip.mp4", range(8), fps=5, sound=True)
    fields = {"video_source": str(clip), "keep_sound": True, "format": ["MP4"], "video_start": 2, "fps": 30}
    reply = client.run({**fields, "video_length": 0}, "img2img", init_images=[png_base64(np.array(RED))])
    (paths,) = reply.paths
    count, fps, _ = mp4_frames(paths["MP4"])
    assert (count, fps) == (6, 5) and len(sound_of(paths["MP4"])) / 8000 == pytest.approx(6 / 5, abs=0.06)
    written = reply.info["infotexts"][0]
    assert "fps: 5," in written and "source: my clip.mp4" in written


def test_a_long_film_goes_through_windows_and_is_never_whole_in_memory(tmp_path, monkeypatch):
    """The host would make floating-point pixels of all frames at the same time."""
    from modules.processing import StableDiffusionProcessingImg2Img

    at_once = []
    original = StableDiffusionProcessingImg2Img.init

    def counted(p, *args, **kwargs):
        at_once.append(len(p.init_images))
        return original(p, *args, **kwargs)

    monkeypatch.setattr(StableDiffusionProcessingImg2Img, "init", counted)
    found = frames({"video_path": str(folder_of(tmp_path / "long", range(40)))}, init_images=[RED], steps=1)
    assert len(found) == 40 and at_once == [16, 16, 8]
    at_once.clear()
    frames({}, init_images=[RED] * 20, steps=1)
    assert at_once == [16, 4], "a folder of the batch tab, too"
    at_once.clear()
    whole = frames({"video_length": 20}, init_images=[RED], steps=1)
    assert at_once == [16, 4], "and one picture for many frames"
    monkeypatch.setattr(init_pictures, "BLOCK", 100)
    assert np.array_equal(frames({"video_length": 20}, init_images=[RED], steps=1), whole)


def test_without_a_picture_as_the_page_has_it(folder):
    expected = frames({}, init_images=pictures_of(folder))
    assert np.array_equal(frames({"video_path": str(folder)}, init_images=[None]), expected)


def test_fields_that_count_for_one_picture_have_no_effect_and_it_is_said(folder):
    said = result_of({"video_path": str(folder), "latent_power": 2, "video_length": 4}, init_images=[RED]).comments
    assert "AnimateDiff: latent_power has no effect: each frame has a picture of its own." in said
    assert "The picture of img2img has no effect: the frames start from those of video_path." in said
    assert "has no effect" not in result_of({"video_path": str(folder)}, init_images=[None]).comments


def test_fewer_frames_than_asked_for_is_said(folder):
    result = result_of({"video_path": str(folder), "video_length": 9}, init_images=[RED])
    assert len(result.images) == 6 and "6 frames instead of 9: video_path holds no more" in result.comments


def test_two_videos_and_the_next_picture(folder):
    from runs import pictures

    before, plain = of_host(), pictures("img2img", denoising_strength=0.5)
    p = make("img2img", video(**ASKED, video_path=str(folder)), init_images=[RED], n_iter=2, denoising_strength=0.3)
    assert len(run(p).images) == 12
    assert p.init_images == [RED] and p.batch_size == 1 and p.image_mask is None
    assert np.array_equal(pictures("img2img", denoising_strength=0.5), plain)
    assert differences(before, of_host()) == []


def test_a_file_that_goes_meanwhile_is_named_and_everything_taken_back(folder, monkeypatch):
    monkeypatch.setattr(host_init, "BLOCK", 2)
    prepare = host_init.Frames.prepare

    def lose(self, first, count=1, **changes):
        (folder / "5.png").unlink(missing_ok=True)
        return prepare(self, first, count, **changes)

    monkeypatch.setattr(host_init.Frames, "prepare", lose)
    before = of_host()
    with pytest.raises(Exception, match=r"5\.png"):
        result_of({"video_path": str(folder)}, init_images=[RED])
    assert differences(before, of_host()) == []


def test_interrupt_is_heard_between_two_blocks(folder, monkeypatch):
    from modules import shared

    monkeypatch.setattr(host_init, "BLOCK", 2)
    prepare = host_init.Frames.prepare

    def press(self, first, count=1, **changes):
        if first == 2:
            shared.state.interrupted = True
        return prepare(self, first, count, **changes)

    monkeypatch.setattr(host_init.Frames, "prepare", press)
    with pytest.raises(UserError, match="reading the pictures was interrupted"):
        result_of({"video_path": str(folder)}, init_images=[RED])


@pytest.mark.parametrize(
    ("tab", "request_", "said"),
    [
        ("txt2img", {}, ("use img2img, where frames start from it", "leave video_path empty")),
        ("img2img", {"init_images": [RED] * 6}, ("img2img has pictures of its own", "leave video_path empty")),
    ],
)
def test_where_nobody_takes_them_it_is_refused(folder, tab, request_, said):
    with pytest.raises(ParamError) as refused:
        run(make(tab, video(**ASKED, video_path=str(folder)), **request_))
    sentence = for_client(refused.value.whole)
    assert all(words in sentence for words in said), sentence


def test_over_the_api(pocket, folder):
    client = Client(pocket)
    fields = {"enable": True, "model": "mm_tiny_v2.safetensors", "format": ["Frame"], "video_path": str(folder)}
    body = {**SMALL, "denoising_strength": 0.1, "init_images": [png_base64(np.array(RED))]}
    torch.manual_seed(0)  # of the host's VAE, where it is in this process
    reply = client.post("img2img", {**body, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert reply.status == 200 and reply.pictures.shape == (6, 64, 64, 3)
    each = {**body, "init_images": [png_base64(np.array(picture)) for picture in pictures_of(folder)]}
    fields = {**fields, "video_path": ""}
    torch.manual_seed(0)
    same = client.post("img2img", {**each, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert alike(reply.pictures, same.pictures)
