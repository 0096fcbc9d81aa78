"""Trains the pocket model from nothing and writes it to `pocket/model`: `python3 pocket/train/run.py`.

Every stage can be killed and goes on where it was; a stage that is done is skipped.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

POCKET = Path(__file__).resolve().parents[1]


def main(argv: list[str]) -> int:
    """Runs what is asked for, inside the pocket's environment; returns the exit code."""
    sys.path[:1] = [str(POCKET), str(POCKET.parent)]  # not this folder: its file names are those of other packages
    args = parse(argv)
    _enter_environment(argv)
    if args.processes == 1:
        work(0, args)
        return 0
    import torch.multiprocessing

    with tempfile.TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(work, (args, f"file://{meeting}/point"), nprocs=args.processes)
    return 0


def work(rank: int, args: argparse.Namespace, meeting: str = "") -> None:
    """One process of a run: its stages, and in the first process the export.

    Args:
        rank: 0 for the first process.
        meeting: where several processes find each other.
    """
    sys.path[:1] = [str(POCKET), str(POCKET.parent)]
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read when torch is imported
    os.nice(args.nice)
    import torch

    import modules.torch_compat  # noqa: F401  (makes ldm importable)
    from train import export, stages

    torch.set_num_threads(args.threads)
    if args.processes > 1:
        torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    setting = stages.Setting(args.work, device, args.seed)
    for name in args.stages or stages.STAGES:
        stages.run_stage(name, setting, args.steps)
    if rank == 0 and (not args.stages or args.export):
        for path in export.export(setting, args.out):
            print(f"{path} {path.stat().st_size / 1e6:.2f} MB")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python3 pocket/train/run.py", description=__doc__)
    parser.add_argument(
        "stages",
        nargs="*",
        help="only these: vae, words, pictures, plans, clips, motions, decoder, v1, pan_left, zoom_in",
    )
    parser.add_argument("--steps", type=int, help="another number of steps for these stages")
    parser.add_argument("--work", type=Path, default=POCKET.parent / ".pocket" / "train", help="folder of checkpoints")
    parser.add_argument("--out", type=Path, default=POCKET / "model", help="folder of the finished model")
    parser.add_argument("--export", action="store_true", help="write the model after these stages, too")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the CPU")
    parser.add_argument("--processes", type=int, default=1, help="train together, each with --threads (2 cores: 2 x 1)")
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
