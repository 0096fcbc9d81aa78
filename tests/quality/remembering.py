"""What holds long videos together, and what it costs: `python tests/quality/remembering.py`.

Windows that remember (`remember`) and FreeNoise (`freenoise_enable`), also with samplers that add noise, beside neither;
64 and 128 frames in windows of 16, of the bundled model, from the same seeds. The prompts are held out; of the motions every second one.

- drift: how far the mean colour of the frames after the first window is from that of the first window, in levels of 255,
- seam, jump, flicker, jerk, kept, warping, dynamic: as in tests/quality/windows.py,
- calls: of the model.

Takes about 5 minutes a prompt on one thread. The tables stand in docs/measured.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import flows
import joints
import numpy as np
from continuing import calls_counted
from harness import SAMPLER, Host
from windows import FIRST_SEED, Size, borders, clip_of, table

MEASURES = ("drift", "seam", "jump", "flicker", "jerk", "kept", "warping", "dynamic", "calls")
NOISY = ("Euler a", "LCM")
WEIGHTS = (0.25, 0.5, 1.0)
LOST = "FreeNoise, order lost in the steps"


def main(argv: list[str]) -> int:
    """Measures every way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        rows = [
            row_of(Size(args.prompts, frames, 16, args.steps), sampler, way, fields)
            for frames in args.frames
            for sampler, way, fields in ways()
        ]
    print(table(rows, MEASURES))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def ways() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Sampler, name and fields of each way."""
    yield SAMPLER, "neither", {}
    for weight in WEIGHTS:
        yield SAMPLER, f"remember {weight}", {"remember": weight}
    yield SAMPLER, "FreeNoise", {"freenoise_enable": True}
    yield SAMPLER, "FreeNoise, remember 0.25", {"freenoise_enable": True, "remember": 0.25}
    for sampler in NOISY:
        yield sampler, "neither", {}
        yield sampler, LOST, {"freenoise_enable": True}
        yield sampler, "FreeNoise", {"freenoise_enable": True}


def row_of(size: Size, sampler: str, way: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The means of one way."""
    from train.prompts import held_out_prompts

    prompts = held_out_prompts(2 * size.prompts)[::2]
    with order_lost() if way == LOST else nullcontext():
        found = [numbers_of(size, sampler, text, FIRST_SEED + 100 * i, fields) for i, (_, text) in enumerate(prompts)]
    means = {name: float(np.mean([one[name] for one in found])) for name in MEASURES}
    print(size.frames, sampler, way, {name: round(value, 2) for name, value in means.items()}, flush=True)
    return {"frames": size.frames, "sampler": sampler, "way": way, **means}


def numbers_of(size: Size, sampler: str, prompt: str, seed: int, fields: dict[str, Any]) -> dict[str, float]:
    """One clip, measured."""
    from train import measure

    with calls_counted() as calls:
        clip = clip_of(size, prompt, seed, fields, sampler)
    x, y, _ = measure.tracks(measure.shape_masks(clip, measure.background_of(clip)))
    seen, motion = measure.look_at(clip), flows.motion_of(clip)
    return {
        "drift": joints.drift(clip, size.context),
        "seam": joints.seam(clip, borders(size, fields)),
        "jump": joints.jump(clip),
        "flicker": seen.flicker,
        "jerk": seen.jerk,
        "kept": joints.kept(x, y),
        "warping": motion.warping,
        "dynamic": motion.dynamic,
        "calls": float(len(calls)),
    }


def order_lost() -> AbstractContextManager[Any]:
    """Inside the block FreeNoise orders the noise that sampling begins with, and not what a sampler adds."""
    from motion_module.patching import replaced
    from motion_module.webui.sampling import scope

    return replaced(scope, "keeping_order", lambda p, order: nullcontext())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
