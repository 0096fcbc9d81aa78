"""How windows should be joined, measured on long clips of the bundled model: `python tests/quality/windows.py --write`.

64 frames in windows of 16. For each window schedule, overlap, kind of noise and way of blending (`--part blends`), and for
each closed loop (`--part loops`):

- seam: how much larger the change between two frames is where a window begins or ends than elsewhere (1 = no seam),
- jump: the largest change between two frames, in usual ones,
- flicker: mean change of the background, in levels of 255,
- jerk: median length of the second difference of the shape's track, in pixels,
- kept: how far the shape keeps its direction (1 = it never turns),
- warping: mean difference of each frame to the one before it, moved along the optical flow, in levels of 255,
- dynamic: how far the fastest 5 % of the pixels move from frame to frame, in pixels (0 = a frozen clip, whose warping is 0),
- closing: the difference from the last frame to the first, in usual changes (about 1 = a closed loop),
- end: how far from its start the video ends (1 = as far as frames get from each other, 0 = it has returned).

All settings start from the same noise, so they are compared pairwise. Takes about 12 minutes a prompt on one thread.
`--write` puts the tables into tests/quality/windows.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flows
import joints
from harness import SAMPLER, SCALE, Host

BLENDS = ("overwrite", "flat", "pyramid", "linear")
MEASURES = ("seam", "jump", "flicker", "jerk", "kept", "warping", "dynamic", "closing", "end")
DOCUMENT = Path(__file__).with_suffix(".md")
SECTION = re.compile(r"(?<=<!-- measured by tests/quality/windows.py -->\n).*(?=<!-- end -->)", re.DOTALL)
LOOPS = ["auto:R-P", "auto:R+P", "auto:A", "auto:N", "uniform:R-P"]
FIRST_SEED = 7000


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    prompts: int
    frames: int
    context: int
    steps: int


def main(argv: list[str]) -> int:
    """Measures every combination and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dataclasses.asdict(Size(prompts=2, frames=64, context=16, steps=8)).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--freenoise", nargs="+", choices=["no", "yes"], default=["no", "yes"])
    parser.add_argument("--loops", nargs="+", default=LOOPS, metavar="SCHEDULE:LOOP")
    parser.add_argument("--part", choices=["blends", "loops", "all"], default="all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    args = parser.parse_args(argv)
    size = Size(args.prompts, args.frames, args.context, args.steps)
    parts = {"blends": list(blend_settings(args.overlaps, args.freenoise)), "loops": list(loop_settings(args.loops))}
    started, found = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        for part, settings in parts.items():
            if args.part in (part, "all"):
                found[part] = [row_of(size, fields) for fields in settings]
    for rows in found.values():
        print(table(rows))
    if args.write:
        write(size, found)
    if args.json:
        seconds = round(time.perf_counter() - started, 1)
        args.json.write_text(json.dumps({**dataclasses.asdict(size), "seconds": seconds, **found}, indent=1))
    return 0


def blend_settings(overlaps: list[int], freenoise: list[str]) -> Iterator[dict[str, Any]]:
    """Every way to blend, with every schedule, overlap and noise."""
    for schedule, overlap, noise, blend in itertools.product(("uniform", "static"), overlaps, freenoise, BLENDS):
        yield {"schedule": schedule, "overlap": overlap, "freenoise_enable": noise == "yes", "blend": blend}


def loop_settings(loops: list[str]) -> Iterator[dict[str, Any]]:
    """The closed loops, with the other fields at their defaults."""
    for schedule, loop in (text.split(":") for text in loops):
        yield {"schedule": schedule, "closed_loop": loop}


def row_of(size: Size, fields: dict[str, Any]) -> dict[str, Any]:
    """The means of one setting."""
    import numpy as np
    from train.prompts import held_out_prompts

    prompts = held_out_prompts(size.prompts)
    found = [numbers_of(size, text, FIRST_SEED + 100 * i, fields) for i, (_, text) in enumerate(prompts)]
    means = {name: float(np.mean([one[name] for one in found])) for name in MEASURES}
    print(fields, {name: round(value, 3) for name, value in means.items()}, flush=True)
    return {**fields, **means}


def numbers_of(size: Size, prompt: str, seed: int, fields: dict[str, Any]) -> dict[str, float]:
    """One clip, measured."""
    from train import measure

    clip = clip_of(size, prompt, seed, fields)
    x, y, _ = measure.tracks(measure.shape_masks(clip, measure.background_of(clip)))
    seen = measure.look_at(clip)
    return {
        "seam": joints.seam(clip, borders(size, fields)),
        "jump": joints.jump(clip),
        "flicker": seen.flicker,
        "jerk": seen.jerk,
        "kept": joints.kept(x, y),
        **dataclasses.asdict(flows.motion_of(clip)),
        "closing": joints.closing(clip),
        "end": joints.distance(clip, size.context),
    }


def clip_of(size: Size, prompt: str, seed: int, fields: dict[str, Any], sampler: str = SAMPLER) -> Any:
    """f h w 3, 0..1."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parents[1] / "webui"))
    from runs import frames

    asked = {"model": "pocket_mm_v2.safetensors", "video_length": size.frames, "batch_size": size.context, **fields}
    request = {"prompt": prompt, "negative_prompt": "", "seed": seed, "sampler_name": sampler, "cfg_scale": SCALE}
    return frames(fields=asked, steps=size.steps, **request).astype(np.float32) / 255


def plan_of(size: Size, fields: dict[str, Any]) -> Any:
    """How such a clip is cut into windows; the bundled module has learnt 32 frames."""
    from motion_module.elastic import fitted
    from motion_module.params import VideoParams

    return fitted(VideoParams.from_json({"batch_size": size.context, **fields}).windows, size.frames, learnt=32)


def borders(size: Size, fields: dict[str, Any]) -> list[int]:
    """The places i where a window of the last step begins or ends between frame i and i+1."""
    windows = plan_of(size, fields).windows(size.steps - 1, size.frames)
    places = {place for window in windows for place in ((window[0] - 1) % size.frames, window[-1])}
    return sorted(places - {size.frames - 1})


def table(rows: list[dict[str, Any]], measures: Sequence[str] = MEASURES) -> str:
    """The numbers for people, as Markdown."""
    fields = [name for name in rows[0] if name not in measures]
    lines = [f"| {' | '.join((*fields, *measures))} |", "|" + "---|" * (len(fields) + len(measures))]
    for row in rows:
        cells = [*(str(row[name]) for name in fields), *(f"{row[name]:.2f}" for name in measures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(size: Size, found: dict[str, list[dict[str, Any]]]) -> None:
    """Puts the tables into the document."""
    prompts = "1 prompt" if size.prompts == 1 else f"{size.prompts} prompts"
    how = f"{prompts}, {size.frames} frames in windows of {size.context}, {size.steps} steps of {SAMPLER}:"
    section = "\n\n".join(["", how, *map(table, found.values()), ""])
    DOCUMENT.write_text(SECTION.sub(lambda _: section, DOCUMENT.read_text("utf8")), "utf8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
