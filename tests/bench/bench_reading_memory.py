"""How much memory reading a long video takes: 2,000 frames of 512x512 from MP4, against 200 of them.

    python tests/bench/bench_reading_memory.py [--frames 2000] [--size 512] [--suffix .mp4]

The peak of a process that reads is set against the bytes of a frame (width x height x 3); ffmpeg, which is a process
of its own, is told apart. Exits with 1 where ten times as many frames take more than 20 frames' worth more, or either
takes above 60 frames' worth.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg

sys.path.insert(0, str(Path(__file__).parents[2]))

from motion_module.media.reading.reader import extract
from motion_module.media.reading.timing import Selection

_MORE, _BOUND = 20, 60  # frames' worth


def make(path: Path, frames: int, size: int) -> None:
    """A test picture that moves."""
    source = f"testsrc2=size={size}x{size}:rate=25"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames)]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True)


def read(path: Path, frames: int, size: int) -> None:
    """Read a video in this process and print what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = extract(path, Selection(), Path(folder))
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if len(found.frame_numbers) != frames:
        raise SystemExit(f"{len(found.frame_numbers)} of {frames} frames were read")
    print(
        f"{frames} frames of {size}x{size} in {seconds:.1f} s, {frames / seconds:.0f} frames/s; ffmpeg {child:.0f} MB; "
        f"peak above the start, in frames: {grown / (size**2 * 3):.1f}",
        flush=True,
    )


def main() -> None:
    """Measure two lengths, each in a process of its own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--suffix", default=".mp4")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read, asked.frames, asked.size)
        return
    worth = []
    for frames in (asked.frames // 10, asked.frames):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"source{asked.suffix}"
            make(path, frames, asked.size)
            own = [sys.executable, __file__, "--read", str(path), "--frames", str(frames), "--size", str(asked.size)]
            told = subprocess.run(own, check=True, capture_output=True, text=True).stdout.strip()
        print(told)
        worth.append(float(told.rpartition(" ")[2]))
    print(f"ten times as many frames take {worth[1] - worth[0]:.1f} frames' worth more (allowed: {_MORE})")
    if worth[1] - worth[0] > _MORE or max(worth) > _BOUND:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
