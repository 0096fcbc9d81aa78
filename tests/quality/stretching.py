"""What PE stretch and the steps with motion do to a clip of the bundled model: `python tests/quality/stretching.py`.

Of shapes that move in one direction; the motion module has seen 16 frames in its training, and has 32 positions.

- speed: the median way of the shape from frame to frame, in pixels,
- kept: how far it keeps its direction (1 = it never turns),
- flicker, jerk, warping, dynamic: as in tests/quality/windows.py,
- seconds: of processor time, for one clip.

Takes about 2 minutes a prompt on one thread. The tables stand in docs/measured.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flows
import joints
import numpy as np
from harness import Host
from windows import FIRST_SEED, Size, clip_of, table

MANY = 200  # prompts to choose from
MEASURES = ("speed", "kept", "flicker", "jerk", "warping", "dynamic", "seconds")
WAYS: dict[str, tuple[int, int, dict[str, Any]]] = {  # frames, context, fields
    "16 frames": (16, 16, {}),
    "16 frames, PE stretch 8": (16, 16, {"pe_stretch": 8}),
    "24 frames in windows of 16": (24, 16, {}),
    "24 frames at once": (24, 24, {}),
    "24 frames at once, PE stretch 16": (24, 24, {"pe_stretch": 16}),
    "32 frames at once": (32, 32, {}),
    "32 frames at once, PE stretch 16": (32, 32, {"pe_stretch": 16}),
    "48 frames at once, PE stretch 16": (48, 48, {"pe_stretch": 16}),
    "48 frames at once, PE stretch 32": (48, 48, {"pe_stretch": 32}),
    **{f"16 frames, motion up to {end}": (16, 16, {"motion_end": end}) for end in (0.8, 0.6, 0.4, 0.2)},
    **{f"16 frames, motion from {start} on": (16, 16, {"motion_start": start}) for start in (0.1, 0.2, 0.4)},
}


def main(argv: list[str]) -> int:
    """Measures each way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        rows = [row_of(way, args.prompts, args.steps) for way in WAYS]
    print(table(rows, MEASURES))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def row_of(way: str, prompts: int, steps: int) -> dict[str, Any]:
    """The means of one way."""
    from train.prompts import held_out_prompts

    moving = [text for scene, text in held_out_prompts(MANY) if scene.motion in ("left", "right", "up", "down")]
    found = [numbers_of(way, steps, text, FIRST_SEED + 100 * i) for i, text in enumerate(moving[:prompts])]
    row = {"way": way, **{name: float(np.mean([one[name] for one in found])) for name in MEASURES}}
    print(row, flush=True)
    return row


def numbers_of(way: str, steps: int, prompt: str, seed: int) -> dict[str, float]:
    """One clip, measured."""
    from train import measure

    frames, context, fields = WAYS[way]
    started = time.process_time()
    clip = clip_of(Size(1, frames, context, steps), prompt, seed, fields)
    seconds = time.process_time() - started
    x, y, _ = measure.tracks(measure.shape_masks(clip, measure.background_of(clip)))
    seen = measure.look_at(clip)
    return {
        "speed": float(np.median(np.hypot(np.diff(x), np.diff(y)))),
        "kept": joints.kept(x, y),
        "flicker": seen.flicker,
        "jerk": seen.jerk,
        **dataclasses.asdict(flows.motion_of(clip)),
        "seconds": seconds,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
