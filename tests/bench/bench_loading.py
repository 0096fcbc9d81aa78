"""What it costs to load a motion module of full size: processor time, modules that Python imports for it, memory.

    python tests/bench/bench_loading.py [--widths 320 640 1280 1280]

A v2 module with seeded weights is written in half and in full precision, as safetensors and as torch writes files, and
loaded in half precision, each in a process of its own. The peak of anonymous memory is set against what stays; the last
row loads a second file after the first as the extension does when people change their module. Exits with 1 where a peak
is more than 1.1 times what stays.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "pocket")]
WIDTHS = (320, 640, 1280, 1280)
MOST = 1.1  # times what stays
_KB = 1024


def peak() -> int:
    """The most bytes of this process so far, files included."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf8").splitlines())
    return int(lines["VmHWM"].split()[0]) * _KB


def resident() -> int:
    """Bytes of this process, files included."""
    return int(Path("/proc/self/statm").read_text("utf8").split()[1]) * 4 * _KB


def load(files: list[str]) -> dict[str, float]:
    """Load files, one after the other, in this process.

    Returns:
        seconds of processor time and modules imported for the first one, bytes of weights, and the peak that all of it
        added.
    """
    import torch

    from motion_module.core.module.model import load_motion_model

    before, known, start = resident(), len(sys.modules), time.process_time()
    model = load_motion_model(files[0], "cpu", torch.float16)
    seconds, imported = time.process_time() - start, len(sys.modules) - known
    for file in files[1:]:
        del model
        model = load_motion_model(file, "cpu", torch.float16)
    weights = [*model.parameters(), *model.buffers()]
    stays = sum(weight.numel() * weight.element_size() for weight in weights)
    return {"seconds": seconds, "imported": imported, "stays": stays, "peak": peak() - before}


def loaded(*files: Path) -> dict[str, float]:
    """As `load`, in a process of its own."""
    command = [sys.executable, __file__, "--load", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def written(folder: Path, widths: tuple[int, ...]) -> dict[str, Path]:
    """The same module in four files, by what they are."""
    import torch
    from safetensors.torch import load_file, save_file

    import weights

    half, full = folder / "half.safetensors", folder / "full.safetensors"
    weights.make_motion_module(half, version="v2", widths=widths, frames=32, seed=1)
    values = load_file(half)
    save_file({name: value.float() for name, value in values.items()}, full)
    torch.save({"state_dict": values}, folder / "half.ckpt")
    torch.save({name: value.float() for name, value in values.items()}, folder / "full.ckpt")
    return {
        "safetensors, half": half,
        "safetensors, full": full,
        "torch, half": folder / "half.ckpt",
        "torch, full": folder / "full.ckpt",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=4, default=WIDTHS)
    parser.add_argument("--load", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        print(json.dumps(load(asked.load)))
        return
    worst = 0.0
    print("| file | MB | CPU seconds | modules imported | MB that stay | peak beside that |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), tuple(asked.widths))
        rows = {name: (path,) for name, path in files.items()}
        rows["another one after it"] = (files["safetensors, half"], files["safetensors, full"])
        for name, paths in rows.items():
            found = loaded(*paths)
            ratio = found["peak"] / found["stays"]
            worst = max(worst, ratio)
            size = paths[-1].stat().st_size / 1e6
            print(
                f"| {name} | {size:.0f} | {found['seconds']:.2f} | {found['imported']:.0f} | "
                f"{found['stays'] / 1e6:.0f} | {ratio:.3f} |",
                flush=True,
            )
    raise SystemExit(worst > MOST)


if __name__ == "__main__":
    main()
