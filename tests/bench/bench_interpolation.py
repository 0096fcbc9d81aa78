"""How near frames between frames come to the true ones, and what they cost: FLOW beside FFMPEG, and FILM if it is there.

    python tests/bench/bench_interpolation.py [--size 512] [--frames 17] [--between 10] [--film FILE] [--repeat 3]

Of clips whose motion is known, and of one of the bundled model, every second frame is left out and made again. PSNR and
SSIM are means over these frames; seconds are those that processors worked, on all threads and in ffmpeg, the least of
some runs. Ratios count. Then what a frame costs where many are made between two (`interp_x` is 10 by default).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from bench_writers import model_frames, processor_seconds, psnr, ssim  # which finds the extension
from moving_clips import CLIPS
from PIL import Image

from motion_module.core.film import load_film
from motion_module.media.writing.interpolation import along_flow, motion_compensated, pairwise

Method = Callable[[Sequence[Image.Image], int], Iterator[Image.Image]]


def by_film(path: Path) -> Method:
    """FILM from its file."""
    film = load_film(path)

    def predict(first: Image.Image, last: Image.Image, time: float) -> Image.Image:
        one, other = (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 for image in (first, last))
        return Image.fromarray((film(one, other, time) * 255).round().byte().permute(1, 2, 0).numpy())

    return lambda frames, between: pairwise(frames, between, predict)


def measured(method: Method, clip: Sequence[Image.Image], repeat: int) -> tuple[float, float, float]:
    """PSNR and SSIM of the frames that were left out and made again, and the seconds for each of them."""
    seconds = []
    for _ in range(repeat):
        began = processor_seconds()
        made = list(method(clip[::2], 1))[1::2]
        seconds.append((processor_seconds() - began) / len(made))
    pairs = list(zip(clip[1::2], made, strict=True))
    return float(np.mean([psnr(*p) for p in pairs])), float(np.mean([ssim(*p) for p in pairs])), min(seconds)


def cost(method: Method, clip: Sequence[Image.Image], between: int, repeat: int) -> float:
    """Seconds for a frame where so many are made between two."""
    seconds = []
    for _ in range(repeat):
        began = processor_seconds()
        count = len(list(method(clip, between))) - len(clip)
        seconds.append((processor_seconds() - began) / count)
    return min(seconds)


def row(name: str, method: str, found: tuple[float, float, float], base: tuple[float, float, float]) -> str:
    """A line of the table; what is compared with comes last."""
    exact, alike, seconds = found
    beside = f"{seconds / base[2]:.2f} | {exact - base[0]:+.1f} dB | {alike - base[1]:+.4f}"
    return f"| {name} | {method} | {exact:.1f} | {alike:.4f} | {1000 * seconds:.1f} | {beside} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=17, help="an odd number")
    parser.add_argument("--between", type=int, default=10)
    parser.add_argument("--film", type=Path, help="FILM's file")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    methods: dict[str, Method] = {"FFMPEG": motion_compensated, "FLOW": along_flow}
    if asked.film:
        methods["FILM"] = by_film(asked.film)
    clips = {name: [*map(Image.fromarray, make(asked.frames, asked.size))] for name, make in CLIPS.items()}
    clips["bundled model, 64x64"] = model_frames(asked.frames)
    print(f"{asked.frames} frames of {asked.size}x{asked.size}, every second one made again")
    print("| clip | by | PSNR | SSIM | CPU ms a frame | time beside FFMPEG | PSNR | SSIM |")
    print("|---|---|---|---|---|---|---|---|")
    for name, clip in clips.items():
        found = {method: measured(make, clip, asked.repeat) for method, make in methods.items()}
        for method, numbers in found.items():
            print(row(name, method, numbers, found["FFMPEG"]), flush=True)
    some = clips["fast"][:3]
    costs = {method: cost(make, some, asked.between, asked.repeat) for method, make in methods.items()}
    for method, seconds in costs.items():
        beside = f"{1000 * seconds:.1f} CPU ms a frame, {seconds / costs['FFMPEG']:.2f} of FFMPEG's"
        print(f"{asked.between} frames between two, {method}: {beside}")


if __name__ == "__main__":
    main()
