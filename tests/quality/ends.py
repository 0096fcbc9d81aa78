"""How near the ends of a clip are to the pictures it is to begin and to end with, by the bundled model.

Prints, and writes as JSON: the mean difference (of 255) of the first and the last frame to either picture.
Runs in a process of its own, as `harness.py` does.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import SAMPLER, SCALE, Host
from PIL import Image, ImageDraw

PROMPT = "a red circle moving right, white background"
FIRST, LAST = 14, 46  # where the circle is, in pixels from the left
STRENGTH, FRAMES, STEPS = 0.3, 8, 10


def circle(x: int) -> Image.Image:
    """A red circle on white, 64x64 pixels."""
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).ellipse((x - 9, 23, x + 9, 41), fill=(220, 30, 30))
    return picture


def encoded(picture: Image.Image) -> str:
    """As an API client sends it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def clip(host: Host, module: str) -> list[Image.Image]:
    """Frames from the circle on the left to the one on the right."""
    from modules.api import models

    fields = {"enable": True, "model": module, "video_length": FRAMES, "format": ["PNG"], "latent_scale": FRAMES}
    fields |= {"latent_scale_last": FRAMES, "last_frame": encoded(circle(LAST))}
    body: dict[str, Any] = {
        "prompt": PROMPT,
        "seed": 5,
        "steps": STEPS,
        "cfg_scale": SCALE,
        "sampler_name": SAMPLER,
        "scheduler": "Automatic",
        "width": 64,
        "height": 64,
        "denoising_strength": STRENGTH,
        "init_images": [encoded(circle(FIRST))],
        "alwayson_scripts": {"AnimateDiff": {"args": [fields]}},
    }
    images = host.api.img2imgapi(models.StableDiffusionImg2ImgProcessingAPI(**body)).images
    return [Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB") for image in images]


def apart(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, of 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def main(argv: list[str]) -> int:
    """Measures the v2 module and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        host = Host(Path(data))
        found = {"pictures": apart(circle(FIRST), circle(LAST))}
        frames = clip(host, "pocket_mm_v2.safetensors")
        for name, frame in (("first", frames[0]), ("last", frames[-1])):
            found[f"{name} frame to first picture"] = apart(frame, circle(FIRST))
            found[f"{name} frame to last picture"] = apart(frame, circle(LAST))
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
