"""Whether a clip in windows of another length is as good, on the bundled model: `python tests/quality/elastic.py --write`.

Each clip is made twice from the same noise. `elastic`: with the switch of this name off and on. `lengths`: in windows that
are longer, or shorter and as many; what that does is why elastic windows are none of these. `open`: with closed loop N, in
windows that move from step to step and in windows that stay in place. The columns are those of tests/quality/windows.py,
and rows of the UNet for each frame; the third line of each three is the mean difference with its standard error. `--write`
puts the tables into tests/quality/elastic.md. About 4 minutes a prompt on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import SAMPLER, Host
from windows import FIRST_SEED, Size, numbers_of, plan_of

CONTEXT = 16
MEASURES = ("seam", "jump", "flicker", "jerk", "kept", "warping", "dynamic", "rows")
DOCUMENT = Path(__file__).with_suffix(".md")
SECTION = re.compile(r"(?<=<!-- measured by tests/quality/elastic.py -->\n).*(?=<!-- end -->)", re.DOTALL)
PARTS: dict[str, list[dict[str, tuple[Any, Any]]]] = {  # what is tried, and its two values; of all else there is one
    "elastic": [{"video_length": (n, n), "elastic": (False, True)} for n in (17, 18, 32, 65)],
    "lengths": [
        {"video_length": (n, n), "batch_size": (CONTEXT, b)} for n, b in ((20, 20), (24, 14), (37, 15), (48, 15))
    ],
    "open": [{"video_length": (n, n), "closed_loop": ("N", "N"), "schedule": ("uniform", "static")} for n in (40, 64)],
}
Found = dict[str, float]


def main(argv: list[str]) -> int:
    """Measures every pair and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        found = {name: [measured(pair, args.prompts, args.steps) for pair in PARTS[name]] for name in args.parts}
    tables = [table(PARTS[name], pairs) for name, pairs in found.items()]
    print("\n\n".join(tables))
    if args.write:
        how = f"{args.prompts} prompts, {args.steps} steps of {SAMPLER}, overlap 4, `pyramid`:"
        section = "\n\n".join(["", how, *tables, ""])
        DOCUMENT.write_text(SECTION.sub(lambda _: section, DOCUMENT.read_text("utf8")), "utf8")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def measured(pair: Mapping[str, tuple[Any, Any]], prompts: int, steps: int) -> list[list[Found]]:
    """Of both values the numbers of each prompt."""
    from train.prompts import held_out_prompts

    texts = [text for _, text in held_out_prompts(prompts)]
    both = ({name: values[place] for name, values in pair.items()} for place in (0, 1))
    found = [[numbers(fields, steps, text, place) for place, text in enumerate(texts)] for fields in both]
    print(dict(pair), [{name: round(mean(one, name), 2) for name in MEASURES} for one in found], flush=True)
    return found


def numbers(fields: dict[str, Any], steps: int, prompt: str, number: int) -> Found:
    """One clip, measured; a video in one window has no seam."""
    asked = {"overlap": 4, **fields}
    size = Size(1, asked.pop("video_length"), asked.pop("batch_size", CONTEXT), steps)
    plan = plan_of(size, asked)
    rows = [sum(map(len, plan.windows(step, size.frames))) for step in range(steps)]
    found = numbers_of(size, prompt, FIRST_SEED + 100 * number, asked)
    found["rows"] = sum(rows) / steps / size.frames
    return {
        name: math.nan if name == "seam" and len(plan.windows(0, size.frames)) == 1 else found[name]
        for name in MEASURES
    }


def mean(found: list[Found], name: str) -> float:
    """Of all prompts."""
    return statistics.fmean(one[name] for one in found)


def table(pairs: list[dict[str, tuple[Any, Any]]], found: list[list[list[Found]]]) -> str:
    """The numbers for people, as Markdown; below them the differences of all pairs together."""
    lines = [f"| {' | '.join((*pairs[0], *MEASURES))} |", "|" + "---|" * (len(pairs[0]) + len(MEASURES))]
    for pair, both in zip(pairs, found, strict=True):
        for place, one in enumerate(both):
            cells = [*(str(values[place]) for values in pair.values()), *(_shown(mean(one, name)) for name in MEASURES)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append(_differences(str(pair["video_length"][0]), len(pair), [both]))
    return "\n".join([*lines, _differences("all", len(pairs[0]), found)])


def _differences(title: str, fields: int, found: list[list[list[Found]]]) -> str:
    cells = [title, *["difference"] * (fields - 1)]
    for name in MEASURES:
        every = [other[name] - one[name] for both in found for one, other in zip(*both, strict=True)]
        known = [value for value in every if not math.isnan(value)]
        error = statistics.stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.nan
        cells.append(f"{statistics.fmean(known):+.2f} ± {_shown(error)}" if known else "")
    return f"| {' | '.join(cells)} |"


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
