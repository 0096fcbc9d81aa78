"""Frames that are held at given pictures: to the VAE's own reconstruction, and no frame else is touched by it."""

import json

import numpy as np
import pytest
import torch
from http_client import SMALL, Client, png_base64
from PIL import Image
from runs import array, make, run, video
from snapshot import differences, of_host

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.wording import for_client

FRAMES = 6
LONG = {"video_length": 20, "batch_size": 8, "overlap": 2}


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def picture(colour, size=(64, 64)):
    made = Image.new("RGB", size, colour)
    made.paste(tuple(255 - part for part in colour), (8, 8, 24, 40))
    return made


RED, BLUE, GREEN = picture((200, 60, 30)), picture((20, 40, 220)), picture((30, 180, 60))


def rebuilt(image, side=64):
    """What the host's own VAE makes of a picture."""
    from modules import processing, sd_samplers_common, shared

    torch.manual_seed(0)
    pixels = torch.from_numpy(
        np.asarray(image.resize((side, side), Image.Resampling.LANCZOS), np.float32) / 255
    ).permute(2, 0, 1)[None]
    latent = sd_samplers_common.images_tensor_to_samples(pixels, None, shared.sd_model)
    decoded = processing.decode_latent_batch(shared.sd_model, latent, target_device=torch.device("cpu"))
    return (((decoded[0] + 1) / 2).clamp(0, 1) * 255).permute(1, 2, 0).cpu().numpy()


def frames(tab, fields=None, **request):
    asked = video(**{"video_length": FRAMES, "format": ["Frame"], **(fields or {})})
    return array(run(make(tab, asked, **{"steps": 4, **request})).images).astype(int)


def is_held(frame, image):
    return np.abs(frame - rebuilt(image)).max() <= 3  # the noise of the VAE's encoder, in the pocket's untaught model


def is_free(frame, image):
    return np.abs(frame - rebuilt(image)).mean() > 5


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M", "DDIM", "UniPC", "Heun", "LCM", "DPM++ 2M SDE"])
@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_any_frame_with_any_sampler(tab, sampler):
    found = frames(tab, {"hold": [[4, BLUE], [2, GREEN]]}, sampler_name=sampler, denoising_strength=0.8)
    assert is_held(found[4], BLUE) and is_held(found[2], GREEN)
    assert is_free(found[3], BLUE) and is_free(found[3], GREEN)


@pytest.mark.parametrize(
    "fields",
    [
        LONG,
        {**LONG, "closed_loop": "A"},
        {**LONG, "stride": 2, "schedule": "uniform", "blend": "overwrite"},
        {**LONG, "windows_per_call": 2},
        {"freeinit_enable": True, "freeinit_iters": 2},
        {"same_noise": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_in_windows_and_noise_of_every_kind(tab, fields):
    assert is_held(frames(tab, {**fields, "hold": [[3, BLUE]]})[3], BLUE)


@pytest.mark.parametrize("request_", [{"prompt": "a cat AND a dog"}, {"batch_cond_uncond": False}], ids=str)
def test_with_parts_and_branches_apart(request_, monkeypatch):
    from modules import shared

    monkeypatch.setitem(shared.opts.data, "batch_cond_uncond", request_.get("batch_cond_uncond", True))
    prompt = request_.get("prompt", "a cat")
    assert is_held(frames("txt2img", {"hold": [[3, BLUE]]}, prompt=prompt)[3], BLUE)


def test_in_both_passes_of_hires_fix():
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    found = frames("txt2img", {"hold": [[3, BLUE]]}, **hires)
    assert found.shape[1:3] == (128, 128)
    assert np.abs(found[3] - rebuilt(BLUE, 128)).max() <= 3 and np.abs(found[2] - rebuilt(BLUE, 128)).mean() > 5


def test_the_pictures_of_img2img_at_both_ends():
    fields = {"last_frame": BLUE, "hold_pictures": True}
    found = frames("img2img", fields, init_images=[RED], denoising_strength=0.9)
    assert is_held(found[0], RED) and is_held(found[-1], BLUE) and is_free(found[1], RED)
    fading = frames("img2img", {"last_frame": BLUE}, init_images=[RED], denoising_strength=0.9)
    assert is_free(fading[0], RED) and is_free(fading[-1], BLUE)
    first_only = frames("img2img", {"hold_pictures": True}, init_images=[RED], denoising_strength=0.9)
    assert is_held(first_only[0], RED) and is_free(first_only[-1], RED)


@pytest.mark.parametrize("fill", [1, 2, 3], ids=["original", "latent noise", "latent nothing"])
def test_below_a_mask_a_held_picture_is_the_picture(fill):
    """The host fills what is masked before it samples; a frame that never changes would keep that."""
    mask = Image.new("L", (64, 64), 255)
    masked = {"mask": mask, "mask_blur": 0, "inpainting_fill": fill, "inpaint_full_res": False}
    found = frames("img2img", {"hold_pictures": True}, init_images=[RED], denoising_strength=0.9, **masked)
    assert is_held(found[0], RED) and is_free(found[2], RED)


def test_with_a_mask_for_each_frame_a_picture_is_cut_as_its_frame(tmp_path):
    wide = Image.new("RGB", (128, 64), (90, 90, 90))
    wide.paste(BLUE, (0, 0))
    for number in range(FRAMES):
        mask = Image.new("L", (128, 64), 0)
        mask.paste(255, (0, 0, 64, 64) if number < 3 else (64, 0, 128, 64))
        mask.save(tmp_path / f"{number}.png")
    fields = {"hold": [[0, wide]], "mask_path": str(tmp_path)}
    request = {"inpaint_full_res": True, "inpaint_full_res_padding": 0, "mask_blur": 0, "inpainting_fill": 1}
    found = frames("img2img", fields, init_images=[Image.new("RGB", (128, 64), (90, 90, 90))], **request)
    assert np.abs(found[0][:, 4:60] - rebuilt(BLUE)[:, 4:60]).mean() < np.abs(found[0][:, 4:60] - 90).mean()


def test_a_file_of_the_server_and_a_text_of_the_panel(tmp_path):
    BLUE.save(tmp_path / "my blue.png")
    GREEN.save(tmp_path / "green.png")
    typed = f'2: "{tmp_path / "my blue.png"}"\n4:{tmp_path / "green.png"}'
    found = frames("txt2img", {"hold": typed})
    assert is_held(found[2], BLUE) and is_held(found[4], GREEN)


def test_another_form_is_cut(tmp_path):
    wide = Image.new("RGB", (128, 64), (255, 255, 0))
    wide.paste(BLUE, (32, 0))
    assert is_held(frames("txt2img", {"hold": [[1, wide]]})[1], BLUE)


def test_without_it_the_frames_are_the_same_and_nothing_is_put_in(monkeypatch):
    from motion_module.webui.sampling import frozen_frames

    plain = frames("img2img")
    monkeypatch.setattr(frozen_frames, "each_pass", lambda *_: pytest.fail("a sampler is changed"))
    assert np.array_equal(frames("img2img"), plain)


def test_everything_is_taken_back():
    before = of_host()
    frames("txt2img", {"hold": [[1, BLUE]]})
    frames("img2img", {"hold_pictures": True})
    assert differences(before, of_host()) == []


def test_an_interrupt_leaves_what_is_held(monkeypatch):
    from modules import script_callbacks, shared

    calls = []
    script_callbacks.on_cfg_denoiser(
        lambda params: calls.append(params) or (len(calls) == 2 and shared.state.interrupt())
    )
    try:
        found = frames("txt2img", {"hold": [[1, BLUE]]}, steps=8)
    finally:
        script_callbacks.remove_callbacks_for_function(calls.append)
        script_callbacks.callback_map["callbacks_cfg_denoiser"].pop()
    assert is_held(found[1], BLUE)


@pytest.mark.parametrize(
    ("hold", "said"),
    [
        ([[9, BLUE]], "hold is set for frame 9; the 6 frames of this video are 0 to 5"),
        ([[1, BLUE], [1, RED]], "hold is set twice for frame 1"),
        ([[-1, BLUE]], 'allowed is a list of [frame, "path or base64"]'),
        ([[1, ""]], 'allowed is a list of [frame, "path or base64"]'),
        ([[1]], 'allowed is a list of [frame, "path or base64"]'),
        ([3], 'allowed is a list of [frame, "path or base64"]'),
        ("a picture", "hold is 'a picture'; allowed is a list of [frame, \"path or base64\"]"),
        ("1: /a.png\n 2 /b.png ", "hold is '2 /b.png'; allowed is a list of"),
        ({"3": "x"}, 'allowed is a list of [frame, "path or base64"]'),
        ([[1, "not a picture"]], "hold is 'not a picture'"),
        ([[1, "/no/such.png"]], "hold is '/no/such.png' for frame 1; allowed is the path of a picture"),
        ([[1, "https://a.b/c.png"]], "it is a URL, and nothing is downloaded"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_held_is_refused(hold, said):
    before = of_host(values=False)
    with pytest.raises(ParamError) as refused:
        run(make("txt2img", video(video_length=FRAMES, hold=hold)))
    assert said in for_client(refused.value.whole), for_client(refused.value.whole)
    assert differences(before, of_host(values=False)) == []


def test_no_path_leaves_the_folders_that_may_be_read(monkeypatch, tmp_path):
    from modules import shared

    monkeypatch.setattr(shared.cmd_opts, "listen", True)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "other"))
    for name in ("there.png", "missing.png"):
        if name == "there.png":
            BLUE.save("/var/tmp/animatediff-there.png")
        with pytest.raises(ParamError, match="allowed are paths inside"):
            run(make("txt2img", video(hold=[[0, f"/var/tmp/animatediff-{name}"]])))


def test_where_holding_has_no_effect_it_is_said():
    result = run(make("txt2img", video(format=["Frame"], hold_pictures=True)))
    assert "hold_pictures has no effect: it needs the picture of img2img." in result.comments
    several = run(make("img2img", video(format=["Frame"], hold_pictures=True), init_images=[RED] * 4))
    assert "hold_pictures has no effect: each frame has a picture of its own." in several.comments


def test_over_the_api(pocket):
    client = Client(pocket)
    held = [[0, png_base64(np.array(BLUE))]]
    fields = {"enable": True, "model": "mm_tiny_v2.safetensors", "format": ["Frame"], "video_length": 2, "hold": held}
    reply = client.post("txt2img", {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert reply.status == 200 and is_held(reply.pictures[0].astype(int), BLUE), (
        "also by a client without a first picture"
    )
    assert json.dumps(VideoParams.from_json({**fields, "enable": False}).hold) == json.dumps([[0, held[0][1]]])
