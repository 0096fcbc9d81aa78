"""Folders of control pictures, and requests with ControlNet units in them."""

import contextlib

import imageio_ffmpeg
import numpy as np
from http_client import SMALL
from PIL import Image

from tests.running import webui

CONTROL = "control_tiny"
STILL = {"effect": 0.0, "model": "mm_tiny_v3.safetensors"}  # every frame by itself, as far as the motion module goes


def picture(place, size=64):
    """Different for every place: a white bar, further right from frame to frame."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[:, place * 10 : place * 10 + 16] = 255
    pixels[: place * 5] = 128
    return pixels


def folder_of(path, count, names="{}.png", first=0):
    """Pictures named 1, 2, ..., whose order as texts is another from ten on."""
    path.mkdir(parents=True, exist_ok=True)
    for place in range(count):
        Image.fromarray(picture(first + place)).save(path / names.format(place + 1))
    return path


def mp4_of(path, count, fps=12):
    """A video of the same pictures, every pixel as it is but for the colour space."""
    writer = imageio_ffmpeg.write_frames(
        str(path), (64, 64), fps=fps, codec="libx264", pix_fmt_out="yuv444p", output_params=["-crf", "0"]
    )
    with contextlib.closing(writer):
        writer.send(None)
        for place in range(count):
            writer.send(picture(place))
    return str(path)


def unit(**fields):
    """A unit as API clients send it."""
    return {"enabled": True, "module": "none", "model": CONTROL, "resize_mode": "Just Resize", **fields}


def batch(folder, *lines, **fields):
    """A unit with a folder of its own."""
    return unit(input_mode="batch", batch_images="\n".join([str(folder), *lines]), **fields)


def request(units, video=None, **fields):
    """A request of one step; `video` None asks for no video."""
    scripts = {"ControlNet": {"args": units}}
    if video is not None:
        defaults = {"enable": True, "video_length": 0, "batch_size": 8, "format": ["PNG"], **STILL}
        scripts["AnimateDiff"] = {"args": [{**defaults, **video}]}
    return {**SMALL, "steps": 1, "alwayson_scripts": scripts, **fields}


def without_detected_maps(client):
    """Have ControlNet append nothing to the result; a test of a WebUI without ControlNet ends here."""
    webui.leave_out_without_controlnet(client.pocket)
    client.post("options", {"control_net_no_detectmap": True})
