"""Trains the pocket model from nothing and writes it to `pocket/model`: `python3 pocket/train/run.py`.

Every stage can be killed and goes on where it was; a stage that is done is skipped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

POCKET = Path(__file__).resolve().parents[1]


def main(argv: list[str]) -> int:
    """Runs the stages that are asked for, inside the pocket's environment; returns the exit code."""
    sys.path[:1] = [str(POCKET), str(POCKET.parent)]  # not this folder: its file names are those of other packages
    args = parse(argv)
    _enter_environment(argv)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read when torch is imported
    os.nice(args.nice)
    import torch

    import modules.torch_compat  # noqa: F401  (makes ldm importable)
    from train import export, stages

    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    setting = stages.Setting(args.work, device, args.seed)
    for name in args.stages or stages.STAGES:
        stages.run_stage(name, setting, args.steps)
    if not args.stages or args.export:
        for path in export.export(setting, args.out):
            print(f"{path} {path.stat().st_size / 1e6:.2f} MB")
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python3 pocket/train/run.py", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", help="only these: vae, words, pictures, clips, whole, v1, pan_left, zoom_in"
    )
    parser.add_argument("--steps", type=int, help="another number of steps for these stages")
    parser.add_argument("--work", type=Path, default=POCKET.parent / ".pocket" / "train", help="folder of checkpoints")
    parser.add_argument("--out", type=Path, default=POCKET / "model", help="folder of the finished model")
    parser.add_argument("--export", action="store_true", help="write the model after these stages, too")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the CPU")
    parser.add_argument("--nice", type=int, default=0, help="how far to stand back for other programs (0..19)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def _enter_environment(argv: list[str]) -> None:
    """As `python3 pocket` does: makes the environment if need be, and goes on in it."""
    import bootstrap

    layout = bootstrap.Layout()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.environ.get("POCKET_PYTHON") == "current" or bootstrap.inside(layout):
        return
    bootstrap.make_environment(layout, with_tests=False)
    os.execv(layout.python, [str(layout.python), str(Path(__file__).resolve()), *argv])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
