"""How well a clip goes on: 16 frames and 48 more beside 64 in one go: `python tests/quality/continuing.py`.

With windows of 16, of the bundled model, from the same seeds:

Of shapes that rest, if `--motions` names no others: those that move as the prompt asks have left the picture after 16
frames, and begin anew.

- join: the change between the last old and the first new frame, in usual (median) ones,
- more: how much larger the join is than in the clip of the same prompt and seed that was made in one go,
- error: the standard error of that mean,
- largest: the largest change from 4 frames before the join to 4 after it, in usual ones,
- seam, jump, kept, warping, dynamic: as in tests/quality/windows.py,
- calls: of the model, for all 64 frames.

Takes about 2 minutes a prompt on one thread. The table stands in docs/measured.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flows
import joints
import numpy as np
from harness import Host
from PIL import Image
from windows import FIRST_SEED, Size, borders, clip_of, table

OLD, ALL = 16, 64
MANY = 200  # prompts to choose from
MEASURES = ("join", "more", "error", "largest", "seam", "jump", "kept", "warping", "dynamic", "calls")


def main(argv: list[str]) -> int:
    """Measures both ways and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--motions", nargs="+", default=["still"])
    parser.add_argument("--overlap", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args(argv)
    size = Size(args.prompts, ALL, 16, args.steps)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        rows = [row for overlap in args.overlap for row in rows_of(size, overlap, args.motions, Path(data))]
    print(table(rows, MEASURES))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def rows_of(size: Size, overlap: int, motions: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """The means of each way, the first of which is the one that the others are compared with."""
    from train.prompts import held_out_prompts

    prompts = [text for scene, text in held_out_prompts(MANY) if scene.motion in motions][: size.prompts]
    joins: list[float] = []
    for way in WAYS:
        found = [numbers_of(size, overlap, way, text, FIRST_SEED + 100 * i, folder) for i, text in enumerate(prompts)]
        means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        joins = joins or [one["join"] for one in found]
        more = np.array([one["join"] - join for one, join in zip(found, joins, strict=True)])
        compared = {"more": float(more.mean()), "error": float(more.std(ddof=min(1, len(more) - 1)) / len(more) ** 0.5)}
        yield {"way": way, "overlap": overlap, **means, **compared}


def numbers_of(size: Size, overlap: int, way: str, prompt: str, seed: int, folder: Path) -> dict[str, float]:
    """One clip, measured."""
    from train import measure

    fields = {"overlap": overlap}
    with calls_counted() as calls:
        clip = WAYS[way](size, prompt, seed, fields, folder)
    change = joints.changes(clip)
    x, y, _ = measure.tracks(measure.shape_masks(clip, measure.background_of(clip)))
    motion = flows.motion_of(clip)
    return {
        "join": float(change[OLD - 1] / np.median(change)),
        "largest": float(change[OLD - 5 : OLD + 4].max() / np.median(change)),
        "seam": joints.seam(clip, borders(size, fields)),
        "jump": joints.jump(clip),
        "kept": joints.kept(x, y),
        "warping": motion.warping,
        "dynamic": motion.dynamic,
        "calls": float(len(calls)),
    }


def in_one_go(size: Size, prompt: str, seed: int, fields: dict[str, Any], folder: Path) -> Any:
    """All frames in one run: f h w 3, 0..1."""
    return clip_of(size, prompt, seed, fields)


def from_pictures(size: Size, prompt: str, seed: int, fields: dict[str, Any], folder: Path) -> Any:
    """The first frames as pictures, which are encoded to go on."""
    old = clip_of(Size(1, OLD, size.context, size.steps), prompt, seed, fields)
    clip = Path(tempfile.mkdtemp(dir=folder))
    for number, frame in enumerate(old):
        Image.fromarray((frame * 255).round().astype(np.uint8)).save(clip / f"{number:03}.png")
    return continued(size, prompt, seed, fields, clip)


def from_latents(size: Size, prompt: str, seed: int, fields: dict[str, Any], folder: Path) -> Any:
    """The first frames with the latents that were kept of them."""
    from motion_module.core.denoising.latents_file import latents_as_file
    from motion_module.patching import replaced
    from motion_module.webui.output import kept_latents
    from motion_module.webui.request.continued import latents_file

    kept: list[Any] = []
    with replaced(kept_latents, "note", lambda latents, number, samples: kept.append(samples)):
        old = clip_of(Size(1, OLD, size.context, size.steps), prompt, seed, fields)
    clip = Path(tempfile.mkdtemp(dir=folder))
    for number, frame in enumerate(old):
        Image.fromarray((frame * 255).round().astype(np.uint8)).save(clip / f"{number:03}.png")
    latents_file(clip).write_bytes(latents_as_file(kept[0], {}))
    return continued(size, prompt, seed, fields, clip)


def continued(size: Size, prompt: str, seed: int, fields: dict[str, Any], clip: Path) -> Any:
    """The whole video that goes on from a folder."""
    more = Size(1, size.frames - OLD, size.context, size.steps)
    return clip_of(more, prompt, seed, {**fields, "continue_from": str(clip)})


@contextmanager
def calls_counted() -> Iterator[list[int]]:
    """A list that gets an entry for each call of the model inside the block."""
    from motion_module.core.denoising.sliding import SlidingModel
    from motion_module.patching import replaced

    calls: list[int] = []
    make = SlidingModel._make

    def counted(self: Any, *args: Any) -> Any:
        calls.append(1)
        return make(self, *args)

    with replaced(SlidingModel, "_make", counted):
        yield calls


WAYS = {
    "64 in one go": in_one_go,
    "16, then 48 from kept latents": from_latents,
    "16, then 48 from pictures": from_pictures,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
