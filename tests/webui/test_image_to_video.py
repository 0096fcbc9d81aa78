"""Image to video: what the frames start from, for all kinds of first and last pictures and masks."""

import base64
import io

import numpy as np
import pytest
import torch
from http_client import SMALL, Client, damaged_png, gradient, png_base64
from PIL import Image
from runs import frames, make, run, video


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def starts(monkeypatch, fields=None, **request):
    """What the sampler is given to start from, and the noise that it was mixed with: two lists, one a video."""
    from modules import rng, sd_samplers_kdiffusion, sd_samplers_timesteps

    started, noises = [], []
    for sampler in (sd_samplers_kdiffusion.KDiffusionSampler, sd_samplers_timesteps.CompVisSampler):

        def sample_img2img(self, p, x, noise, *args, original=sampler.sample_img2img, **kwargs):
            started.append(x.clone())
            return original(self, p, x, noise, *args, **kwargs)

        monkeypatch.setattr(sampler, "sample_img2img", sample_img2img)
    following = rng.ImageRNG.next

    def kept(self):
        noises.append(following(self))
        return noises[-1].clone()

    monkeypatch.setattr(rng.ImageRNG, "next", kept)
    run(make("img2img", video(**(fields or {})), **{"steps": 1, **request}))
    return started, noises


def latent_of(picture, size=64):
    """1 4 h w: the mean of what the VAE says of a picture; it draws noise too small to see."""
    from modules import shared

    pixels = np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        return shared.sd_model.encode_first_stage(x).mean * shared.sd_model.scale_factor


def near(one, other):
    return float((one - other).abs().max()) < 0.05


RED, BLUE = Image.new("RGB", (64, 64), (200, 60, 30)), Image.new("RGB", (64, 64), (20, 40, 220))


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "Heun", "DPM++ 2M", "DPM++ SDE", "DDIM", "UniPC"])
def test_every_sampler_starts_from_the_mix_that_the_formula_says(monkeypatch, sampler):
    """Power 1, scale 2, of three frames: shares 1 0.5 0 of the first picture, 0 0.5 1 of the last, no noise."""
    fields = {"video_length": 3, "latent_scale": 2, "latent_scale_last": 2, "last_frame": BLUE}
    ((start,), _) = starts(monkeypatch, fields, sampler_name=sampler, steps=8 if sampler == "UniPC" else 1)
    first, last = latent_of(RED), latent_of(BLUE)
    want = torch.cat([first, 0.5 * first + 0.5 * last, last])
    assert near(start, want)
    assert not near(first, last)


def test_what_the_picture_does_not_fill_is_the_hosts_noise_and_each_video_has_its_own(monkeypatch):
    fields = {"video_length": 3, "latent_scale": 2}
    (one, two), noises = starts(monkeypatch, fields, n_iter=2)
    first = latent_of(RED)
    for start, noise in ((one, noises[0]), (two, noises[len(noises) // 2])):  # the others are the sampler's
        assert near(start, torch.cat([first, 0.5 * first + 0.5 * noise[1:2], noise[2:3]]))
    assert not near(one, two)


def test_the_second_video_is_the_one_of_its_seed():
    request = {"steps": 2, "init_images": [RED]}
    both = frames("img2img", {"video_length": 3, "latent_scale": 2}, n_iter=2, **request).astype(int)
    second = frames("img2img", {"video_length": 3, "latent_scale": 2}, seed=45, **request).astype(int)
    assert np.abs(both[3:] - second).mean() < 1 and np.abs(both[:3] - second).mean() > 2


def half(colour, size=(128, 64)):
    """Left this colour, right grey."""
    picture = Image.new("RGB", size, (128, 128, 128))
    picture.paste(colour, (0, 0, size[0] // 2, size[1]))
    return picture


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_first_and_last_picture_are_resized_alike(monkeypatch, mode):
    """128x64 into 64x64, stretched, cropped, filled or as latents: the last picture as the host does the first one."""
    colour = half((200, 60, 30))
    fields = {"video_length": 2, "latent_scale": 1, "latent_scale_last": 1, "last_frame": colour}
    ((start,), _) = starts(monkeypatch, fields, init_images=[colour], resize_mode=mode)
    assert start.shape == (2, 4, 8, 8)
    assert near(start[0], start[1])


def test_equal_pictures_pass_the_encoder_once(monkeypatch):
    from modules import shared

    seen = []
    encode = shared.sd_model.encode_first_stage
    monkeypatch.setattr(shared.sd_model, "encode_first_stage", lambda x: (seen.append(len(x)), encode(x))[1])
    run(make("img2img", video(video_length=6), steps=1))
    assert seen == [1]
    run(make("img2img", video(video_length=6, last_frame=BLUE), steps=1))
    assert seen == [1, 1, 1]


def test_a_transparent_last_frame_lies_on_the_hosts_background(monkeypatch):
    from modules import shared

    shared.opts.img2img_background_color = "#1428dc"
    clear = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    ((start,), _) = starts(monkeypatch, {"video_length": 2, "last_frame": clear, "latent_scale_last": 1})
    assert near(start[1:], latent_of(BLUE))


def white(box, size=(64, 64)):
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return mask


@pytest.mark.parametrize("last", [None, BLUE])
def test_the_fade_leaves_alone_what_the_mask_keeps(monkeypatch, last):
    """The left half may change; the right one is the first picture in every frame."""
    fields = {"video_length": 4, "latent_scale": 1, "latent_scale_last": 1, "last_frame": last}
    request = {"mask": white((0, 0, 32, 64)), "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False}
    ((start,), _) = starts(monkeypatch, fields, **request)
    first = latent_of(RED)
    assert near(start[..., 4:], first[..., 4:].expand(4, -1, -1, -1))
    assert not near(start[1:2, :, :, :4], first[..., :4])


def test_only_masked_cuts_the_same_part_out_of_the_last_frame(monkeypatch):
    """What lies outside of the part is seen neither in the first nor in the last picture."""
    picture = Image.new("RGB", (64, 64), (255, 255, 255))
    picture.paste((200, 60, 30), (0, 0, 32, 32))
    fields = {"video_length": 2, "latent_scale": 1, "latent_scale_last": 1, "last_frame": picture.resize((128, 128), 0)}
    request = {"mask": white((4, 4, 28, 28)), "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": True}
    ((start,), _) = starts(monkeypatch, fields, init_images=[picture], **request)
    assert near(start[0], start[1]) and near(start[1:], latent_of(RED))


def encoded(picture, form="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_the_last_frame_over_http(pocket, prefix):
    client = Client(pocket)
    request = {"init_images": [png_base64(gradient())], "denoising_strength": 0.2, "steps": 4}
    fields = {"video_length": 4, "last_frame": prefix + encoded(BLUE), "latent_scale": 2, "latent_scale_last": 2}
    made = client.frames(fields, "img2img", **request)
    plain = client.frames({"video_length": 4, "latent_scale": 2}, "img2img", **request)
    assert np.abs(made[3] - plain[3]).mean() > 10 and np.abs(made[0] - plain[0]).mean() < 10


@pytest.mark.parametrize(
    "value",
    [
        "no base64!",
        encoded(RED)[:100],
        base64.b64encode(b"no picture").decode(),
        base64.b64encode(damaged_png()).decode(),
        5,
        ["a"],
        {"image": "x"},
    ],
)
def test_what_is_no_last_frame_is_said(pocket, value):
    client = Client(pocket)
    fields = {"enable": True, "video_length": 2, "format": ["GIF"], "last_frame": value}
    body = {**SMALL, "init_images": [encoded(RED)], "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}}
    files = client.written()
    reply = client.post("img2img", body)
    assert reply.status == 422 and "last_frame is" in reply.sentence
    assert client.written() == files


def test_a_last_frame_beside_a_picture_for_each_frame_is_said_to_do_nothing():
    pictures = [RED, BLUE]
    result = run(make("img2img", video(video_length=2, last_frame=RED, format=["Frame"]), init_images=pictures))
    assert "last_frame has no effect" in result.comments


def test_the_panels_picture_is_a_last_frame_too():
    """The page sends a PIL image as the value of the component."""
    fields = {"video_length": 4, "latent_scale": 2, "latent_scale_last": 2}
    request = {"init_images": [RED], "denoising_strength": 0.2, "steps": 4}
    from_page = frames("img2img", {**fields, "last_frame": BLUE}, **request).astype(int)
    from_client = frames("img2img", {**fields, "last_frame": encoded(BLUE)}, **request).astype(int)
    assert np.abs(from_page - from_client).mean() < 1
