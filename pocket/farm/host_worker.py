"""What runs in a Dask worker: one pocket host, started with the first request, and one request at a time."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from distributed import Worker, WorkerPlugin, get_worker
from interpreter import PocketError

from stopping import exit_code

if TYPE_CHECKING:
    from modules.api.api import Api

BROKEN = "broken"
"""Instead of a request's end: the host cannot be started, with any request."""

Answer = tuple[str, Any, float]
"""`made` and the response, or `refused` or `broken` and a sentence; and how many seconds it took."""


class Host(WorkerPlugin):
    """The host of one worker. There is one object in each worker process, made anew with the process."""

    idempotent = True  # a second farm with the same options finds the host of the first

    def __init__(self, options: argparse.Namespace, log: str = "") -> None:
        """What goes to every worker.

        Args:
            options: the command's, with absolute paths.
            log: file that takes what the host prints; then the process is taken to be this farm's own, too.
        """
        self.options, self.log = options, log

    def setup(self, worker: Worker) -> None:
        """Called in the worker, before its first task."""
        self._api: Api | None = None
        self._one_at_a_time = threading.Lock()
        self._running = self._stopped = False
        if not self.log:
            return
        _print_to(self.log)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)

    def make(self, body: dict[str, Any], img2img: bool) -> Answer:
        """Runs one request."""
        with self._one_at_a_time:
            try:
                api = self._started()
            except PocketError as error:
                return BROKEN, str(error), 0.0
            self._running = True
            try:
                return _run(api, body, img2img)
            finally:
                self._running = False
                if self._stopped:
                    os._exit(exit_code(signal.SIGTERM))

    def _started(self) -> Api:
        """The host's API; starts the host at first.

        Raises:
            PocketError: it cannot be started.
        """
        if self._api is None:
            from commands.host import (
                one_line,
                start_host,
            )  # torch, ldm and gradio: seconds, and not in the client's process
            from modules import shared, web_app

            try:
                start_host(self.options)
            except PocketError:
                raise
            except RuntimeError as error:
                advice = "a Dask worker that has served another farm must be started anew."
                raise PocketError(f"a worker's host cannot be started: {one_line(error)} ({advice})") from error
            except Exception as error:
                raise PocketError(f"a worker's host cannot be started: {one_line(error)}") from error
            shared.cmd_opts.disable_console_progressbars = bool(self.log)
            self._api = web_app.create_api()
        return self._api

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """On SIGTERM: a request that runs is undone first, so that nothing half made is left in the data folder."""
        if not self._running:
            os._exit(exit_code(signal.SIGTERM))
        self._stopped = True
        from modules.call_queue import queue_lock

        queue_lock.close()


def make(plugin: str, topic: str, number: int, body: dict[str, Any], img2img: bool) -> Answer:
    """The task that is sent to workers.

    Args:
        plugin: name under which `Host` was registered.
        topic: where it is said that the request has been begun.
        number: the request's.
    """
    worker = get_worker()
    worker.log_event(topic, number)
    host: Host = worker.plugins[plugin]
    return host.make(body, img2img)


def _run(api: Api, body: dict[str, Any], img2img: bool) -> Answer:
    from commands.host import run_request
    from farm.index import MADE, REFUSED

    started = time.perf_counter()
    try:
        with _settings_kept():
            response = run_request(api, body, img2img)
    except PocketError as error:
        return REFUSED, str(error), time.perf_counter() - started
    return MADE, response, time.perf_counter() - started


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """What a request sets ends with it. The next one loads the checkpoint of the settings, as for any other host."""
    from modules import sd_vae, shared

    data = shared.opts.data
    before = dict(data)
    try:
        yield
    finally:
        vae = data.get("sd_vae")
        data.clear()
        data.update(before)
        if data.get("sd_vae") != vae:
            sd_vae.reload_vae_weights()


def _print_to(log: str) -> None:
    """From now on the process and what it starts print to a file: the terminal is the farm's bar's."""
    with contextlib.suppress(OSError):
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
