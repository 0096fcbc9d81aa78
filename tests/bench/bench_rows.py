"""What windows cost: rows of the UNet for each frame and step, `python tests/bench/bench_rows.py`.

A row is one frame in one call of the UNet, of one side of the guidance. They are counted where a stand-in for the UNet gets
them, with everything around it as in a run, over the steps of a video: 1 is a video that needs no windows. Rows are time,
so what stands here is the time for a frame, however fast the machine is.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.elastic import fitted
from motion_module.windows import WindowPlan

STEPS, LEARNT = 20, 32  # frames that most modules have learnt
SHOWN = (16, 17, 18, 20, 21, 24, 28, 32, 36, 40, 48, 64, 65, 96, 128, 192, 256)
WINDOWS = {
    "as asked": WindowPlan(elastic=False),
    "elastic": WindowPlan(elastic=True),
    "overlap 8": WindowPlan(overlap=8, elastic=False),
    "overlap 8, elastic": WindowPlan(overlap=8, elastic=True),
    "N, uniform": WindowPlan(closed_loop="N", schedule="uniform"),
    "loop A": WindowPlan(closed_loop="A"),
    "stride 2": WindowPlan(stride=2),
}


def rows_per_frame(plan: WindowPlan, frames: int, steps: int = STEPS) -> float:
    """How often a frame goes through the UNet in a step, on the average.

    Args:
        plan: as it is asked for.
        frames: N, frames of the video.
        steps: of the video.
    """
    rows = []
    used = fitted(plan, frames, LEARNT)
    sliding = SlidingModel(lambda x, t, cond: rows.append(x.shape[0]) or x, CallFrames(), frames, used)
    x, t, cond = torch.zeros(2 * frames, 1, 1, 1), torch.zeros(2 * frames), torch.zeros(2 * frames, 1)
    for step in range(steps):
        sliding.begin(step)
        sliding(x, t, cond)
    return sum(rows) / (2 * frames * steps)


def main() -> int:
    """Prints the table, and what is the least and the most of all numbers of frames."""
    print(f"| frames | {' | '.join(WINDOWS)} |\n|{'---|' * (1 + len(WINDOWS))}")
    for frames in SHOWN:
        print(f"| {frames} | {' | '.join(f'{rows_per_frame(plan, frames):.2f}' for plan in WINDOWS.values())} |")
    for name in ("as asked", "elastic"):
        every = [rows_per_frame(WINDOWS[name], frames, steps=1) for frames in range(16, 257)]
        print(f"16 to 256 frames, {name}: {min(every):.2f} to {max(every):.2f}, mean {sum(every) / len(every):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
