"""Image to video and inpainting over HTTP."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from http_client import SMALL, Client, gif_frames, gradient, png_base64
from runs import make, run, video


@pytest.fixture
def client(pocket):
    return Client(pocket)


def test_image_to_video_leaves_the_picture_slowly(client):
    request = {"init_images": [png_base64(gradient())], "denoising_strength": 0.4, "steps": 4}
    frames = client.frames({"latent_scale": 8}, "img2img", **request)
    away = [np.abs(frame - gradient()).mean() for frame in frames]
    assert frames.shape == (8, 64, 64, 3)
    assert away[0] < away[4] < away[7], away
    slower = client.frames({"latent_scale": 100}, "img2img", **request)
    assert np.abs(slower[7] - gradient()).mean() < away[7]
    (paths,) = client.run({"format": ["GIF"]}, "img2img", **request).paths
    assert "img2img-images" in Path(paths["GIF"]).parts


def test_inpainting_leaves_every_frame_alone_outside_of_the_mask(client):
    mask = np.zeros((64, 64, 3))
    mask[16:48, 16:48] = 255
    fields = {"init_images": [png_base64(gradient())], "mask": png_base64(mask), "mask_blur": 0, "inpainting_fill": 1}
    for whole in (True, False):
        frames = client.frames({}, "img2img", **fields, inpaint_full_res=not whole, inpaint_full_res_padding=8)
        outside = mask[:, :, 0] == 0
        assert len(frames) == 8
        assert np.abs(frames - gradient())[:, outside].max() <= 1
        assert np.abs(frames - gradient())[:, ~outside].mean(axis=(1, 2)).min() > 5


def test_masks_and_grids_of_the_host_are_no_frames(client):
    mask = np.full((64, 64, 3), 255)
    settings = {"return_mask": True, "return_mask_composite": True, "return_grid": True, "grid_save": True}
    fields = {"init_images": [png_base64(gradient())], "mask": png_base64(mask), "override_settings": settings}
    before = client.written()
    reply = client.run({"format": ["GIF", "Frame"], "video_length": 4}, "img2img", **fields)
    assert reply.kinds == ["GIF"] + ["PNG"] * 4
    assert len(gif_frames(reply.files[0])[0]) == 4
    assert len(client.written() - before) == 1


def test_two_first_pictures_are_no_video_of_eight_frames(client):
    fields = {"enable": True, "video_length": 8, "batch_size": 8, "format": ["PNG"]}
    body = {
        **SMALL,
        "init_images": [png_base64(gradient())] * 2,
        "alwayson_scripts": {"AnimateDiff": {"args": [fields]}},
    }
    reply = client.post("img2img", body)
    assert reply.status == 422 and "2 pictures" in reply.sentence and "8 frames" in reply.sentence


def test_a_picture_for_each_frame(client, monkeypatch):
    """Without the module's effect and its noise schedule they are the host's own pictures."""
    keep = lambda self, sd_model, schedule: contextlib.nullcontext()  # noqa: E731
    monkeypatch.setattr("motion_module.webui.hosts.a1111.A1111.noise_schedule", keep)
    pictures = [gradient(), gradient()[:, ::-1], gradient()[::-1]]
    request = {"init_images": [png_base64(picture) for picture in pictures], "denoising_strength": 0.3, "steps": 4}
    still = {"model": "mm_tiny_v3.safetensors", "effect": 0.0, "video_length": 3}
    frames, plain = client.frames(still, "img2img", **request), client.plain("img2img", batch_size=3, **request)
    assert np.abs(frames - plain).mean() < 1  # the encoder's own noise
    assert np.abs(frames - plain[[1, 2, 0]]).mean() > 10


@pytest.mark.parametrize("last_frame", [None, png_base64(gradient())], ids=["first", "last"])
def test_without_a_picture_img2img_is_refused_in_a_sentence(client, last_frame):
    video = {"enable": True, "video_length": 2, "batch_size": 8, "last_frame": last_frame}
    reply = client.post("img2img", {**SMALL, "init_images": [], "alwayson_scripts": {"AnimateDiff": {"args": [video]}}})
    assert reply.status == 422 and "AnimateDiff: img2img has no picture to start from" in reply.sentence, reply.body
    assert "txt2img" in reply.sentence and client.plain().shape == (1, 64, 64, 3)


@pytest.mark.parametrize("pictures", [[None], [], None])
@pytest.mark.parametrize("enable", [True, False])
def test_the_page_without_a_picture(pocket, pictures, enable):
    """The page's p has None in the place of its picture; without a video the error stays the host's."""
    says = "AnimateDiff: img2img has no picture" if enable else "There is no picture to start from"
    with pytest.raises(Exception, match=says):
        run(make("img2img", video(enable=enable), init_images=pictures))
