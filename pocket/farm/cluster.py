"""Dask's workers for as long as a block runs: processes of this machine, or those of a scheduler elsewhere.

The nannies of local workers run in this process. A worker that dies is started anew; when this process dies, however it
does, its workers notice and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
import psutil
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Security
from distributed.comm import connect
from interpreter import PocketError

TRIES = 3
"""How often something is begun whose worker dies."""

MARK = "POCKET_FARM"
"""Environment variable of a local cluster's processes, by which they are told from others; its folder's path."""

_FOLDER = "pocket-farm-"  # then the process that it belongs to
_SET_BY_NANNIES = (MARK, "OMP_NUM_THREADS", "PYTHONHASHSEED", "__DASK_PARENT_PID")
_SECONDS_TO_CONNECT = 5.0
_SECONDS_TO_START = 300.0
_SECONDS_TO_UNDO = 1.5  # of the three that a command has to clear away (stopping.py)


@contextlib.contextmanager
def workers(count: int, scheduler: str | None = None, tries: int = TRIES) -> Iterator[Client]:
    """A Dask client with workers; of local ones nothing is left after the block: no process, no port, no file.

    Args:
        count: processes on this machine, with one task at a time each.
        scheduler: address of a scheduler, such as `tcp://192.168.1.5:8786`, whose workers are taken instead.
        tries: how often Dask begins a task whose worker dies; waiting there counts. A scheduler elsewhere has its own.

    Raises:
        PocketError: the scheduler does not answer, or the workers do not start.
    """
    with _elsewhere(scheduler) if scheduler is not None else _local(count, tries) as client:
        yield client


@contextlib.contextmanager
def _elsewhere(address: str) -> Iterator[Client]:
    advice = f"no Dask scheduler answers at {address}; start it, or correct the address."
    try:
        about = asyncio.run(asyncio.wait_for(_asked_who_it_is(address), 2 * _SECONDS_TO_CONNECT))
        if about["type"] != "Scheduler":
            raise PocketError(advice)
        _quiet()
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except Exception as error:
        raise PocketError(advice) from error  # whoever listens there may say anything
    try:
        yield client
    finally:
        _close(client)


async def _asked_who_it_is(address: str) -> dict[str, Any]:
    """A client waits for minutes for a listener that is no scheduler, and complains at its end of a wrong address."""
    comm = await connect(address, timeout=_SECONDS_TO_CONNECT, **Security().get_connection_args("client"))
    try:
        await comm.write({"op": "identity", "reply": True})
        return dict(await comm.read())
    finally:
        comm.abort()


@contextlib.contextmanager
def _local(count: int, tries: int) -> Iterator[Client]:
    _remove_folders_of_the_dead()
    with contextlib.ExitStack() as stack:
        prefix = f"{_FOLDER}{os.getpid()}-"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True))
        stack.enter_context(_environment_kept(*_SET_BY_NANNIES))
        stack.enter_context(dask.config.set(_settings(count, tries, folder)))
        _quiet()
        # Empty at first: from here on there is something that can be taken down, whatever happens while workers start.
        cluster = LocalCluster(
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # without a dashboard it listens there, too
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            local_directory=folder,
            env=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),  # nobody else clears it for one that is killed
            silence_logs=logging.CRITICAL,
        )
        stack.callback(_end, cluster, folder)
        client = Client(cluster, set_as_default=False)
        stack.callback(_close, client)
        stack.callback(_end_processes, cluster, folder)  # first: the client would wait for tasks that run
        _keep_terminal_from_workers(cluster)
        cluster.scale(count)
        try:
            client.wait_for_workers(count, timeout=_SECONDS_TO_START)
        except TimeoutError as error:
            raise PocketError(f"the {count} workers did not start within {_SECONDS_TO_START:.0f} s.") from error
        yield client


def _remove_folders_of_the_dead() -> None:
    """What was left of this person's farms that were killed, and of no other's."""
    if not hasattr(os, "getuid"):
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        with contextlib.suppress(OSError):
            ours = folder.lstat().st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
            if ours and pid.isdecimal() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _settings(count: int, tries: int, folder: str) -> dict[str, Any]:
    """Dask's settings for local workers.

    What is set before a worker is spawned takes the place of Dask's own, one thread for each library, by which results
    would have other last bits than those of a process without Dask. Dask prefers what is set in our environment.
    """
    return {
        "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": max(1, CPU_COUNT // count), MARK: folder},
        "temporary-directory": folder,
        "distributed.scheduler.allowed-failures": tries - 1,
        "distributed.scheduler.http.routes": [],
        "distributed.scheduler.worker-ttl": None,  # a machine that slept has not lost its workers
        "distributed.worker.profile.enabled": False,
    }


@contextlib.contextmanager
def _environment_kept(*names: str) -> Iterator[None]:
    """A nanny sets what its workers are to have in its own environment, which is ours."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _quiet() -> None:
    """Dask logs what it meets on the way down, too, and after it: so this is not taken back."""
    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(logging.CRITICAL)


def _keep_terminal_from_workers(cluster: LocalCluster) -> None:
    """A terminal sends Ctrl+C and its own end to all of its processes, but only this one knows how to end in order."""
    if not hasattr(signal, "pthread_sigmask"):
        return
    with _environment_kept("PYTHONWARNINGS"):
        # Python's tracker tells the terminal of the locks of workers that were killed. The system has freed them.
        os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
        resource_tracker.ensure_running()  # before the next line, which it would take back
    # For the thread that spawns workers, which inherit it.
    cluster.loop.add_callback(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})


def _workers_of(folder: str) -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _is_worker(child, folder)]


def _is_worker(process: psutil.Process, folder: str) -> bool:
    """Our other children may have the mark, too, but are no spawned Python."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(MARK) == folder and "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _end_processes(cluster: LocalCluster, folder: str) -> None:
    """Ends the workers: by SIGTERM, which gives them a moment, then hard, with all that they have started."""
    for nanny in list(cluster.workers.values()):
        nanny.close_gracefully()  # it does not start its worker anew any more
    found = _workers_of(folder)
    started = [process for worker in found for process in _started_by(worker)]
    _each(found, psutil.Process.terminate)
    end = time.monotonic() + _SECONDS_TO_UNDO
    while any(map(_lives, [*found, *started])) and time.monotonic() < end:
        time.sleep(0.02)
    _each([*found, *started, *_workers_of(folder)], psutil.Process.kill)


def _started_by(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _each(found: list[psutil.Process], do: Callable[[psutil.Process], None]) -> None:
    for process in found:
        with contextlib.suppress(psutil.Error):
            do(process)


def _close(client: Client) -> None:
    with contextlib.suppress(TimeoutError):  # it goes on in its own thread
        client.close(timeout=1)


def _end(cluster: LocalCluster, folder: str) -> None:
    with contextlib.suppress(TimeoutError):  # of a scheduler that is ill; what matters is gone
        cluster.close(timeout=_SECONDS_TO_CONNECT)
    _each(_workers_of(folder), psutil.Process.kill)  # one that was being started
