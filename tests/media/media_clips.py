"""Clips whose frames carry their number, and readers that know nothing of the writers."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageSequence

from motion_module.media.writing.clip import Clip, ClipInfo

BITS = 7
INFOTEXT = (
    'a "cat", (red:1.2) <lora:x:1>, été 猫 \U0001f600 a=b; c # d \\ e, [tag]\n'
    "Negative prompt: blurry; 'x'\n"
    'Steps: 20, Sampler: Euler a, AnimateDiff: "model: mm.safetensors, format: [\\"GIF\\"]", Version: v1.10.1\\'
)


def numbered_frame(number: int, size: tuple[int, int]) -> Image.Image:
    """A grey ramp under seven columns that are black or white: the bits of `number`."""
    width, height = size
    pixels = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        pixels[:, bit * width // BITS : (bit + 1) * width // BITS] = 255 if number >> bit & 1 else 0
    return Image.fromarray(pixels)


def number_in(pixels: np.ndarray) -> int:
    """The number that `numbered_frame` drew; `pixels` is (h, w, 3)."""
    width = pixels.shape[1]
    middles = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(pixels[:, x].mean() > 127) << bit for bit, x in enumerate(middles))


def numbered_clip(count: int, size: tuple[int, int] = (64, 48), **info) -> Clip:
    return Clip([numbered_frame(number, size) for number in range(count)], ClipInfo(**info))


@dataclass
class Decoded:
    """What an independent reader found."""

    size: tuple[int, int]
    numbers: list[int] = field(default_factory=list)
    seconds: float | None = None
    loop: int | None = None


def decode_with_pillow(path) -> Decoded:
    with Image.open(path) as image:
        found = Decoded(image.size, seconds=0.0, loop=image.info.get("loop"))
        for frame in ImageSequence.Iterator(image):
            found.numbers.append(number_in(np.asarray(frame.convert("RGB"))))
            found.seconds += frame.info.get("duration", 0) / 1000
    return found


def decode_with_ffmpeg(path) -> Decoded:
    """Every frame that is in the file, none doubled or dropped to keep a rate."""
    tell = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    streams = 1
    if path.suffix == ".avif":  # an animated one begins with a still picture of its first frame
        streams = subprocess.run(tell, capture_output=True).stderr.count(b"Video: ")
    command = [*tell, "-map", f"0:v:{streams - 1}", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    log = done.stderr.decode()
    width, height = map(int, re.search(r"Video: .*?, (\d+)x(\d+)", log).groups())
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    found = Decoded((width, height), [number_in(frame) for frame in frames])
    clock = re.search(r"Duration: (\d+):(\d+):([\d.]+)", log)
    if clock and (streams > 1 or path.suffix != ".avif"):
        hours, minutes, seconds = clock.groups()
        found.seconds = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return found
