"""Time for each frame, from 16 to 256 frames in windows of 16: `python tests/bench/bench_frames.py`.

A video takes as many rows of the UNet as its windows have; beyond those its length may cost nothing. Steps of a small
UNet with motion layers and 77 tokens of text, with both branches, on one thread; each length is set against 16 frames
in the same turn, in processor time, and a figure is the median of 9 turns. "A row" is the time for each row of the UNet,
"a frame" that for each frame, which counts overlaps, too.
"""

import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import torch  # noqa: E402 - the number of threads is read at import

from motion_module.core.denoising.sliding import SlidingModel  # noqa: E402
from motion_module.core.module.arch import V2, ModuleSpec  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.core.module.model import MotionModel  # noqa: E402
from motion_module.core.module.placement import mounted  # noqa: E402
from motion_module.windows import WindowPlan  # noqa: E402
from tests.bench.turns import seconds_of_turns  # noqa: E402
from tests.core import builders  # noqa: E402

LENGTHS = (16, 32, 64, 128, 256)
TURNS, SIZE = 9, 8
WIDTHS = (32, 64, 64, 64)


def rows_of(frames: int) -> int:
    """Rows of the UNet in one step."""
    return 2 * sum(len(window) for window in WindowPlan(context=16, overlap=4).windows(0, frames))


def step_of(net: torch.nn.Module, call: CallFrames, frames: int):
    """One step of a video, ready to be called."""
    x, t, text = builders.unet_inputs(2 * frames, SIZE)
    sliding = SlidingModel(lambda x, t, c: net(x, t, context=c), call, frames, WindowPlan(context=16, overlap=4))

    def step() -> None:
        sliding.begin(0)
        sliding(x, t, text)

    return step


def main() -> None:
    """Measure and print."""
    call, net = CallFrames(16), builders.unet(channels=32)
    motion = builders.fill(MotionModel(ModuleSpec(V2, WIDTHS, 32, has_mid=True)))
    with mounted(net, motion, call, ()):
        spent = seconds_of_turns({frames: step_of(net, call, frames) for frames in LENGTHS}, TURNS)
    print("| frames | rows of a step | a row, against 16 frames | a frame, against 16 frames |\n|---|---|---|---|")
    for frames in LENGTHS:
        factor = statistics.median(this / first for this, first in zip(spent[frames], spent[16], strict=True))
        rows = rows_of(frames)
        print(f"| {frames} | {rows} | {factor * rows_of(16) / rows:.2f} | {factor * 16 / frames:.2f} |")


if __name__ == "__main__":
    main()
