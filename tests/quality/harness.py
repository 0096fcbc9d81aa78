"""Measures the bundled model through the pocket WebUI: `python tests/quality/harness.py --prompts 50 --json FILE`.

Runs in a process of its own, because a host can be started once in a process. Prints a table, writes it as JSON.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "pocket" / "model"
NAMES = ("colour", "background", "shape", "motion")
STEPS, SCALE, SAMPLER = 20, 3.0, "Euler"
FIRST_SEED = 5000
V2 = "pocket_mm_v2.safetensors"
LORAS = {"pocket_pan_left": "x", "pocket_zoom_in": "area"}  # and what they change


def main(argv: list[str]) -> int:
    """Measures what is asked for and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=50, help="held-out prompts for text and motion (v2)")
    parser.add_argument(
        "--few", type=int, default=8, help="prompts for v1, for flicker without a module, for each LoRA"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the sampler ({STEPS})")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args(argv)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as data:
        host = Host(Path(data), args.steps)
        found = measure_all(host, args.prompts, args.few)
    found["seconds"] = round(time.perf_counter() - started, 1)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


class Host:
    """The pocket WebUI with the bundled model, in this process."""

    def __init__(self, data: Path, steps: int = STEPS) -> None:
        self.steps = steps
        sys.path[:1] = [str(ROOT / "pocket"), str(ROOT)]
        from modules import initialize_pocket

        initialize_pocket.start(
            checkpoint=MODEL / "pocket.safetensors",
            motion_modules=MODEL / "motion",
            lora_dir=MODEL / "lora",
            data_dir=data,
            ui=False,
        )
        from modules.web_app import create_api

        self.api = create_api()
        self._made: dict[tuple[str, int, str | None, int], Any] = {}

    def frames(self, prompt: str, seed: int, module: str | None, count: int = 16) -> Any:
        """A clip (`f h w 3`, 0..1) made with a motion module, or `count` single pictures without one."""
        asked = (prompt, seed, module, count)
        if asked not in self._made:
            self._made[asked] = self._make(*asked)
        return self._made[asked]

    def _make(self, prompt: str, seed: int, module: str | None, count: int) -> Any:
        import numpy as np
        from PIL import Image

        from modules.api import models

        body: dict[str, Any] = {
            "prompt": prompt,
            "seed": seed,
            "steps": self.steps,
            "cfg_scale": SCALE,
            "sampler_name": SAMPLER,
            "scheduler": "Automatic",
            "width": 64,
            "height": 64,
        }
        if module:
            video = {"enable": True, "model": module, "video_length": count, "format": ["PNG"]}
            body["alwayson_scripts"] = {"AnimateDiff": {"args": [video]}}
        else:
            body["batch_size"] = count
        images = self.api.text2imgapi(models.StableDiffusionTxt2ImgProcessingAPI(**body)).images
        pictures = [Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB") for text in images]
        pictures = [picture for picture in pictures if picture.size == (64, 64)]  # not the grid
        if len(pictures) != count:
            raise RuntimeError(f"{count} frames were asked for, {len(pictures)} came back")
        return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])


def measure_all(host: Host, prompts: int, few: int) -> dict[str, Any]:
    """All numbers of the table."""
    return {
        "v2": measure_text(host, V2, prompts),
        "v1": measure_text(host, "pocket_mm_v1.safetensors", few),
        "without": measure_text(host, None, few),
        "same pixels": measure_same_pixels(host, few),
        "lora": measure_lora(host, few),
    }


def measure_text(host: Host, module: str | None, count: int) -> dict[str, Any]:
    """How often held-out prompts come out right, and how calm the clips are."""
    import numpy as np
    from train import measure
    from train.prompts import held_out_prompts

    wanted = held_out_prompts(count)
    seen = [measure.look_at(host.frames(text, FIRST_SEED + 100 * i, module)) for i, (_, text) in enumerate(wanted)]
    pairs = [(scene, found) for (scene, _), found in zip(wanted, seen, strict=True)]
    shares = {name: sum(getattr(s, name) == getattr(f, name) for s, f in pairs) / count for name in NAMES}
    both = sum(s.colour == f.colour and s.background == f.background for s, f in pairs) / count
    return {
        "prompts": count,
        **shares,
        "both colours": both,
        "flicker": float(np.mean([found.flicker for found in seen])),
        "jerk": float(np.median([found.jerk for found in seen])),
        "motions": {kind: list(_of_motion(pairs, kind)) for kind in {scene.motion for scene, _ in pairs}},
    }


def measure_same_pixels(host: Host, count: int) -> dict[str, float]:
    """Flicker with the v2 module and without, both outside of the shape as it moves with the module.

    Single pictures have their shape here and there. `measure_text` leaves out where it is in each of them, so it tells
    how calm their backgrounds are; this tells how calm the same part of the picture is to somebody who looks at it.
    """
    import numpy as np
    from train import measure
    from train.prompts import held_out_prompts

    found: dict[str, list[float]] = {"v2": [], "without": []}
    for i, (_, text) in enumerate(held_out_prompts(count)):
        clip, single = (host.frames(text, FIRST_SEED + 100 * i, module) for module in (V2, None))
        masks = measure.shape_masks(clip, measure.background_of(clip))
        found["v2"].append(measure.flicker(clip, masks))
        found["without"].append(measure.flicker(single, masks))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


def measure_lora(host: Host, count: int) -> dict[str, dict[str, float]]:
    """Mean change from the first frame to the last, without each LoRA and with it at weight 1.

    Also the largest difference, in levels of 255, that a LoRA at weight 0 makes in the first clip: there should be none.
    """
    import numpy as np
    from train.prompts import held_out_prompts

    found: dict[str, dict[str, list[float]]] = {name: {"without": [], "with": [], "at 0": []} for name in LORAS}
    for i, (scene, _) in enumerate(held_out_prompts(count)):
        text, seed = f"a {scene.colour} {scene.shape}, {scene.background} background", FIRST_SEED + 100 * i
        plain = host.frames(text, seed, V2)
        for name, what in LORAS.items():
            found[name]["without"].append(change(plain, what))
            found[name]["with"].append(change(host.frames(f"{text} <lora:{name}:1>", seed, V2), what))
            if i == 0:
                nothing = host.frames(f"{text} <lora:{name}:0>", seed, V2)
                found[name]["at 0"].append(float(np.abs(nothing - plain).max() * 255))
    return {name: {case: float(np.mean(values)) for case, values in cases.items()} for name, cases in found.items()}


def change(clip: Any, what: str) -> float:
    """From the first frame of `f h w 3` to the last: "x", pixels to the right, or "area", doublings."""
    import numpy as np
    from train import measure

    x, _, area = measure.tracks(measure.shape_masks(clip, measure.background_of(clip)))
    return float(x[-1] - x[0] if what == "x" else np.log2((area[-1] + 1) / (area[0] + 1)))


def _of_motion(pairs: list[Any], kind: str) -> Iterator[str]:
    return (found.motion for scene, found in pairs if scene.motion == kind)


def table(found: dict[str, Any]) -> str:
    """The numbers for people."""
    lines = [f"{'':24}{'v2':>10}{'v1':>10}{'no module':>12}"]
    for name in ("prompts", *NAMES, "both colours", "flicker", "jerk"):
        row = [found[kind][name] for kind in ("v2", "v1", "without")]
        shown = [f"{value:.0%}" if name in (*NAMES, "both colours") else f"{value:.2f}" for value in row]
        lines.append(f"{name:24}{shown[0]:>10}{shown[1]:>10}{shown[2]:>12}")
    same = found["same pixels"]
    lines.append(f"{'in the same pixels':24}{same['v2']:10.2f}{'':10}{same['without']:12.2f}")
    for name, values in found["lora"].items():
        lines.append(
            f"{name:24}{values['without']:10.2f} without, {values['with']:.2f} at weight 1, off by {values['at 0']:g} at 0"
        )
    for kind, motions in sorted(found["v2"]["motions"].items()):
        lines.append(f"  asked for {kind}: {', '.join(motions)}")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
