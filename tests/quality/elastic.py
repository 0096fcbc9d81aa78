"""Whether clips with elastic windows are as good as with windows of the length that is asked for, on the bundled model.

`python tests/quality/elastic.py --prompts 6 --write`. Each clip is made with both, from the same noise, and what is
different is measured: see tests/quality/windows.py for what the columns mean. The same for closed loop N with windows that
move and with windows that stay in place. `--write` puts the tables into tests/quality/elastic.md. About 3 minutes a prompt
on one idle thread.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import SAMPLER, Host
from windows import FIRST_SEED, Size, numbers_of, table

MEASURES = ("seam", "jump", "flicker", "jerk", "kept", "warping", "dynamic")
DOCUMENT = Path(__file__).with_suffix(".md")
SECTION = re.compile(r"(?<=<!-- measured by tests/quality/elastic.py -->\n).*(?=<!-- end -->)", re.DOTALL)
Pair = tuple[dict[str, Any], dict[str, Any]]


def main(argv: list[str]) -> int:
    """Measures every pair and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--lengths", type=int, nargs="*", default=[17, 20, 24, 32, 65], help="frames of clips")
    parser.add_argument("--open", type=int, nargs="*", default=[40, 64], help="frames of clips with closed loop N")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    args = parser.parse_args(argv)
    parts = {"elastic": list(elastic_pairs(args.lengths)), "open": list(open_pairs(args.open))}
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        found = {name: [row for pair in pairs for row in rows_of(pair, args)] for name, pairs in parts.items() if pairs}
    for rows in found.values():
        print(table(rows, (*MEASURES, "rows")))
    if args.write:
        write(args, found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def elastic_pairs(lengths: Sequence[int]) -> Iterator[Pair]:
    """Windows as asked for, and elastic ones."""
    for frames in lengths:
        yield {"frames": frames, "elastic": False}, {"frames": frames, "elastic": True}


def open_pairs(lengths: Sequence[int]) -> Iterator[Pair]:
    """Closed loop N with windows that move, and with windows that stay in place."""
    for frames in lengths:
        asked = {"frames": frames, "closed_loop": "N"}
        yield {**asked, "schedule": "uniform"}, {**asked, "schedule": "static"}


def rows_of(pair: Pair, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Of both, the means over the prompts; and the mean difference with its standard error."""
    import numpy as np
    from train.prompts import held_out_prompts

    prompts = [text for _, text in held_out_prompts(args.prompts)]
    both = [[numbers(fields, args.steps, text, i) for i, text in enumerate(prompts)] for fields in pair]
    rows = []
    for fields, found in zip(pair, both, strict=True):
        means = {name: float(np.nanmean([one[name] for one in found])) for name in found[0]}
        rows.append({**{name: str(value) for name, value in fields.items()}, **means})
        print(rows[-1], flush=True)
    return rows


def numbers(fields: dict[str, Any], steps: int, prompt: str, number: int) -> dict[str, float]:
    """One clip, measured; without a seam where there is but one window. Also the rows of the UNet a frame."""
    asked = dict(fields)
    size = Size(1, asked.pop("frames"), 16, steps)
    found = numbers_of(size, prompt, FIRST_SEED + 100 * number, asked)
    return {**{name: found[name] for name in MEASURES}, "rows": rows_a_frame(size, asked)}


def rows_a_frame(size: Size, fields: dict[str, Any]) -> float:
    """Rows of the UNet for each frame, in the mean of all steps."""
    from windows import plan_of

    plan = plan_of(size, fields)
    rows = [sum(map(len, plan.windows(step, size.frames))) for step in range(size.steps)]
    return sum(rows) / len(rows) / size.frames


def write(args: argparse.Namespace, found: dict[str, list[dict[str, Any]]]) -> None:
    """Puts the tables into the document."""
    how = f"{args.prompts} prompts, {args.steps} steps of {SAMPLER}, windows of 16 with overlap 4 asked for:"
    tables = [table(rows, (*MEASURES, "rows")) for rows in found.values()]
    section = "\n\n".join(["", how, *tables, ""])
    DOCUMENT.write_text(SECTION.sub(lambda _: section, DOCUMENT.read_text("utf8")), "utf8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
