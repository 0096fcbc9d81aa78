"""`python3 pocket demo`: a GIF and an MP4 from a sentence, checked by reading them back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
from interpreter import PocketError
from PIL import Image

from bootstrap import say
from commands.host import run_request, start_host
from commands.results import write_images
from modules import shared
from modules.web_app import create_api
from stopping import SIGNALS

FORMATS = ["GIF", "MP4"]
SIZE, STEPS = 64, 20
PROMPT = "a yellow star moving left, purple background"
BUNDLED = {"model": "pocket_mm_v2", "cfg_scale": 4.0}
"""What suits the bundled model, as on the page (`pocket/model/ui-config.json`): its card says what it can do."""


def count_frames(path: Path) -> int:
    """Frames in a GIF or a video, by decoding all of them.

    Raises:
        OSError: it cannot be decoded.
    """
    if path.suffix == ".gif":
        with Image.open(path) as image:
            for number in range(image.n_frames):
                image.seek(number)
                image.load()
            return image.n_frames
    reader = imageio_ffmpeg.read_frames(str(path))
    next(reader)  # what kind of video it is
    return sum(1 for _ in reader)


def check(paths: list[Path], frames: int) -> None:
    """Both files decode to the asked number of frames.

    Raises:
        PocketError: a file is missing, or has another number of frames.
    """
    found = {path.suffix: count_frames(path) for path in paths}
    wrong = [
        f"{ending} has {found.get(ending, 0)} frames" for ending in (".gif", ".mp4") if found.get(ending) != frames
    ]
    if wrong:
        raise PocketError(f"{' and '.join(wrong)}, but {frames} were asked for; please report this.")


def request(args: argparse.Namespace) -> dict[str, Any]:
    """The API request for the video; without the bundled model the first motion module is taken."""
    loaded = shared.about_model and args.motion_modules is None
    best = BUNDLED if loaded else {}
    video = {"enable": True, "video_length": args.frames, "format": FORMATS, "model": best.get("model", "")}
    return {
        "prompt": PROMPT if args.prompt is None else args.prompt,
        "seed": args.seed,
        "steps": STEPS,
        "width": SIZE,
        "height": SIZE,
        "cfg_scale": best.get("cfg_scale", 7.0),
        "sampler_name": "Euler",
        "scheduler": "Automatic",
        "alwayson_scripts": {"AnimateDiff": {"args": [video]}},
    }


def run(args: argparse.Namespace) -> int:
    """Makes both files, checks them, and prints their paths, frames and the seconds it took."""
    start_host(args)
    api = create_api()
    started = time.perf_counter()
    say(f"making {args.frames} frames of {SIZE}x{SIZE} pixels")
    with SIGNALS.clearing_away():
        response = run_request(api, request(args), img2img=False)
        paths = write_images(response, args.out)
    check(paths, args.frames)
    for path in paths:
        print(f"{path}: {args.frames} frames")
    whole = time.time() - psutil.Process().create_time()
    say(f"made in {time.perf_counter() - started:.1f} s, {whole:.1f} s with everything before")
    return 0
