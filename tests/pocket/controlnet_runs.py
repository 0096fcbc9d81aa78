"""Requests with ControlNet units to the running host, and a look at what its UNet goes through."""

from __future__ import annotations

import base64
import contextlib
import io

import httpx
import numpy as np
from PIL import Image

RUN = {
    "prompt": "a red ball",
    "seed": 5,
    "steps": 2,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "scheduler": "Automatic",
}


def squares(size=64, colour=(255, 255, 255)):
    """A dark picture with a bright rectangle: (h, w, 3) uint8."""
    picture = np.full((size, size, 3), 20, np.uint8)
    picture[size // 8 : size // 2, size // 4 : -size // 8] = colour
    return picture


def plain_colour(*colour, size=64):
    return np.full((size, size, 3), colour, np.uint8)


def base64_of(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def unit(picture=None, **fields):
    """A unit that is on, as an API client writes it."""
    image = {} if picture is None else {"image": base64_of(picture)}
    return {"enabled": True, "module": "none", "model": "control_tiny", **image, **fields}


def post(pocket, *units, path="txt2img", **fields):
    """(status, JSON) of a run with these units; without any, of a plain one."""
    body = {**RUN, **fields}
    if units:
        body["alwayson_scripts"] = {"controlnet": {"args": list(units)}}
    answer = httpx.post(f"{pocket['url']}/sdapi/v1/{path}", json=body, timeout=300, verify=False)
    return answer.status_code, answer.json()


def pictures(pocket, *units, **fields):
    """The pictures of a run that must succeed, control pictures after the results: int16 arrays (h, w, 3)."""
    status, body = post(pocket, *units, **fields)
    assert status == 200, body
    opened = (Image.open(io.BytesIO(base64.b64decode(image))) for image in body["images"])
    return [np.asarray(picture.convert("RGB")).astype(np.int16) for picture in opened]


def unet():
    """The UNet of the loaded checkpoint."""
    from modules import shared

    return shared.sd_model.model.diffusion_model


def script(runner_name="scripts_txt2img"):
    """A tab's ControlNet."""
    from modules import scripts
    from scripts import external_code

    return external_code.find_cn_script(getattr(scripts, runner_name))


@contextlib.contextmanager
def at_each_step(code):
    """Call `code(params)` before each of the denoiser's calls."""
    from modules import script_callbacks

    script_callbacks.on_cfg_denoiser(code)
    try:
        yield
    finally:
        script_callbacks.remove_callbacks_for_function(code)
