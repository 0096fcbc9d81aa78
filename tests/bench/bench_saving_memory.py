"""How much memory saving a long video takes: 2,000 frames of 512x512 to MP4, GIF and WEBP.

    python tests/bench/bench_saving_memory.py [--frames 2000] [--size 512] [--formats MP4 GIF WEBP] [--interp X]

Frames are made one by one, as a lazy clip would bring them. The peak of this process above its start is set against the
bytes of a frame (width x height x 3); encoders that are processes of their own (ffmpeg) are told apart. Exits with 1
where the peak is above 100 frames' worth.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from motion_module.formats import WRITTEN
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.interpolation import interpolated_count, motion_compensated
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip

_BOUND = 100  # frames' worth


class Moving(Sequence[Image.Image]):
    """Grainy waves of colour that move, one picture made at a time."""

    def __init__(self, frames: int, size: int) -> None:
        y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
        waves = [np.sin(3 * x), np.sin(4 * y + 2 * x), np.cos(9 * np.hypot(x - 0.5, y - 0.5))]
        grain = np.random.default_rng(0).normal(0, 0.012, (size, size, 3))
        self._base = (np.clip(0.5 + 0.3 * np.stack(waves, axis=-1) + grain, 0, 1) * 255).astype(np.uint8)
        self._frames = frames

    def __len__(self) -> int:
        return self._frames

    @overload
    def __getitem__(self, place: int) -> Image.Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image.Image]: ...
    def __getitem__(self, place: int | slice) -> Image.Image | Sequence[Image.Image]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return Image.fromarray(np.roll(self._base, (place, 2 * place), axis=(0, 1)))


def peak(who: int) -> int:
    """Peak resident bytes of this process, or of the largest one it has started."""
    return resource.getrusage(who).ru_maxrss * 1024


def resident() -> int:
    """Resident bytes of this process now (on Linux), which making the first picture does not hide."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def shown(frames: Iterator[Image.Image], every: int = 200) -> Iterator[Image.Image]:
    """The frames, with a line about memory now and then."""
    for number, frame in enumerate(frames, start=1):
        yield frame
        if number % every == 0:
            print(f"frame {number}: peak {peak(resource.RUSAGE_SELF) / 2**20:.0f} MB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--formats", nargs="+", default=["MP4", "GIF", "WEBP"], choices=WRITTEN)
    parser.add_argument("--interp", type=int, default=0, metavar="X", help="frames made between two, by ffmpeg")
    asked = parser.parse_args()
    pictures = Moving(asked.frames, asked.size)
    frames = motion_compensated(pictures, asked.interp) if asked.interp else iter(pictures)
    before, start = resident(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, claimed(Path(folder), 1) as claim:
        report = write_clip(Clip(shown(frames), ClipInfo(fps=8)), asked.formats, claim)
        sizes = {name: sum(file.stat().st_size for file in files) / 1e6 for name, files in report.files.items()}
    seconds, grown = time.perf_counter() - start, peak(resource.RUSAGE_SELF) - before
    worth = grown / (asked.size**2 * 3)
    written = interpolated_count(asked.frames, asked.interp, closed=False)
    print(f"{written} frames of {asked.size}x{asked.size} in {seconds:.0f} s, {written / seconds:.1f} frames/s")
    print("; ".join(f"{name} {size:.1f} MB" for name, size in sizes.items()), report.failures or "")
    print(f"peak {grown / 2**20:.0f} MB above the start: {worth:.0f} frames' worth (allowed: {_BOUND})")
    print(f"the largest encoder process: {peak(resource.RUSAGE_CHILDREN) / 2**20:.0f} MB")
    if worth > _BOUND or report.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
