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
from modules.web_app import create_api

FORMATS = ["GIF", "MP4"]
SIZE, STEPS = 64, 20
PROMPT = "a large red circle moving right, blue background"


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
    """The API request for the video; the first motion module is taken."""
    video = {"enable": True, "video_length": args.frames, "format": FORMATS}
    return {
        "prompt": PROMPT if args.prompt is None else args.prompt,
        "seed": args.seed,
        "steps": STEPS,
        "width": SIZE,
        "height": SIZE,
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
    response = run_request(api, request(args), img2img=False)
    paths = write_images(response["images"], args.out)
    check(paths, args.frames)
    for path in paths:
        print(f"{path}: {args.frames} frames")
    whole = time.time() - psutil.Process().create_time()
    say(f"made in {time.perf_counter() - started:.1f} s, {whole:.1f} s with everything before")
    return 0
