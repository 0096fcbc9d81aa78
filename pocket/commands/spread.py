"""The windows of one video over several workers, for commands that make one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bootstrap import say
from commands.dask_there import require_dask


@contextmanager
def windows_shared(args: argparse.Namespace) -> Iterator[None]:
    """Inside the block workers make windows of videos, too, where the command's options ask for that.

    Args:
        args: `workers`, how many processes of this machine; or `scheduler`, the address of one elsewhere.

    Raises:
        PocketError: Dask is not installed, or there are no workers.
    """
    if args.workers is None and args.scheduler is None:
        yield
        return
    require_dask("--scheduler" if args.scheduler else "--workers")
    from farm.cluster import workers
    from farm.windows import OverWorkers
    from modules import shared
    from motion_module.core.denoising.model_calls import windows_made_by

    if args.workers:
        _share_cores(args.workers)
    with workers(args.workers or 0, args.scheduler) as client:
        number = len(client.nthreads())
        say(f"the video's windows are shared with {number} worker{'s' * (number != 1)}")
        executor = OverWorkers(client, lambda: shared.sd_model.model)
        with windows_made_by(executor):
            yield
        if executor.made:
            say(f"workers made {executor.made_there} of {executor.made} windows")


def _share_cores(workers: int) -> None:
    """This process makes windows beside the workers: each gets its share, unless the person has said how many."""
    if "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, (os.cpu_count() or 1) // (workers + 1))
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
