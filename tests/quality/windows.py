"""How windows should be joined, measured on long clips of the bundled model: `python tests/quality/windows.py --json FILE`.

64 frames in windows of 16. For each way of blending, schedule, overlap and kind of noise:

- seam: how much larger the change between two frames is where a window begins or ends than elsewhere (1 = no seam),
- flicker: mean change of the background, in levels of 255,
- jerk: median length of the second difference of the shape's track, in pixels,
- return: distance of the last frame to the first, as a share of the largest distance in the clip (a video that returns
  to its start has a small one).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import SAMPLER, SCALE, Host

FRAMES, CONTEXT, STEPS = 64, 16, 20
BLENDS = ("overwrite", "flat", "pyramid", "linear")
SCHEDULES = ("uniform", "static")


def main(argv: list[str]) -> int:
    """Measures every combination and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        rows = [
            row_of(args.prompts, *setting)
            for setting in itertools.product(SCHEDULES, args.overlaps, (False, True), BLENDS)
        ]
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def row_of(prompts: int, schedule: str, overlap: int, freenoise: bool, blend: str) -> dict[str, Any]:
    """The means of one setting."""
    import numpy as np
    from train.prompts import held_out_prompts

    fields = {"schedule": schedule, "overlap": overlap, "freenoise_enable": freenoise, "blend": blend}
    found = [numbers_of(text, 7000 + 100 * i, fields) for i, (_, text) in enumerate(held_out_prompts(prompts))]
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    print(f"{fields} {means}", flush=True)
    return {**fields, **means}


def numbers_of(prompt: str, seed: int, fields: dict[str, Any]) -> dict[str, float]:
    """One clip, measured."""
    import numpy as np
    from train import measure

    clip = clip_of(prompt, seed, fields)
    seen = measure.look_at(clip)
    change = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    at_seam = np.isin(np.arange(FRAMES - 1), seams(fields))
    distance = np.abs(clip - clip[0]).mean((1, 2, 3))
    return {
        "seam": float(change[at_seam].mean() / max(change[~at_seam].mean(), 1e-6)),
        "flicker": seen.flicker,
        "jerk": seen.jerk,
        "return": float(distance[-1] / max(distance.max(), 1e-6)),
    }


def clip_of(prompt: str, seed: int, fields: dict[str, Any]) -> Any:
    """f h w 3, 0..1."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parents[1] / "webui"))
    from runs import frames

    asked = {"model": "pocket_mm_v2.safetensors", "video_length": FRAMES, "batch_size": CONTEXT, **fields}
    request = {"prompt": prompt, "negative_prompt": "", "seed": seed, "sampler_name": SAMPLER, "cfg_scale": SCALE}
    return frames(fields=asked, steps=STEPS, **request).astype(np.float32) / 255


def seams(fields: dict[str, Any]) -> list[int]:
    """The places i where a window of the last step begins or ends between frame i and i+1."""
    from motion_module.windows import context_windows

    windows = context_windows(STEPS - 1, FRAMES, CONTEXT, 1, fields["overlap"], "R-P", fields["schedule"])
    borders = {place for window in windows for place in ((window[0] - 1) % FRAMES, window[-1])}
    return sorted(borders - {FRAMES - 1})


def table(rows: list[dict[str, Any]]) -> str:
    """The numbers for people."""
    lines = [
        f"{'schedule':10}{'overlap':>8}{'FreeNoise':>11}  {'blend':11}{'seam':>7}{'flicker':>9}{'jerk':>7}{'return':>8}"
    ]
    for row in rows:
        noise = "yes" if row["freenoise_enable"] else "no"
        numbers = f"{row['seam']:7.2f}{row['flicker']:9.2f}{row['jerk']:7.2f}{row['return']:8.2f}"
        lines.append(f"{row['schedule']:10}{row['overlap']:8}{noise:>11}  {row['blend']:11}{numbers}")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
