"""Pocket hosts in Dask's workers: sends requests, as many at a time as there are workers, and waits for their ends."""

from __future__ import annotations

import asyncio
import queue
import time
import uuid
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any

from distributed import Client, Future, KilledWorker
from interpreter import PocketError

from farm.cluster import TRIES
from farm.host_worker import BROKEN, Host, make
from farm.index import FAILED, REFUSED
from farm.outcomes import BodyOf, Outcome, one_line, times
from farm.request_file import Request, WrongLineError

_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_WITHOUT_WORKERS = 120.0
_DEATHS_OF_OTHERS = 10  # that a request may wait behind
_GONE = "the Dask scheduler is gone; run the same command again to go on."


class WorkerHosts:
    """The workers of one client, as hosts for one farm."""

    def __init__(self, client: Client, host: Host, name: str) -> None:
        """Sends what hosts are made from to all workers, those to come too; they start with their first request.

        Args:
            name: tells hosts of these options from others that the workers may hold.

        Raises:
            PocketError: the workers cannot take it.
        """
        self._client = client
        self._plugin, self._topic = f"pocket-{name}", f"pocket-farm-{uuid.uuid4().hex}"
        self._begun: Counter[int] = Counter()
        self._killed: Counter[int] = Counter()
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._running: dict[str, Request] = {}
        self._alone_since: float | None = None
        try:
            client.register_plugin(host, name=self._plugin)
        except OSError as error:
            raise PocketError(_GONE) from error
        except Exception as error:
            advice = "elsewhere, start scheduler and workers with the pocket's PYTHONPATH"
            raise PocketError(f"the workers cannot run the pocket ({one_line(error)}); {advice}.") from error
        client.subscribe_topic(self._topic, self._note_begin)

    def outcomes(self, requests: Iterable[Request], body_of: BodyOf) -> Iterator[Outcome]:
        """The end of each request, in the order in which they come.

        Raises:
            PocketError: hosts cannot be started, or there are no workers any more.
        """
        waiting = deque(requests)
        while waiting or self._running:
            while waiting and len(self._running) < max(1, self._workers()):
                request = waiting.popleft()
                try:
                    self._send(request, body_of(request))
                except WrongLineError as error:
                    yield Outcome(request, REFUSED, sentence=str(error), tries=0)
                except PocketError:
                    raise
                except Exception as error:  # noqa: BLE001 - of Dask, which cannot pack it
                    self._workers()  # unless the scheduler is gone
                    yield Outcome(request, FAILED, sentence=f"it cannot be sent: {one_line(error)}.", tries=0)
            if not self._running:
                continue
            future = self._next()
            request = self._running.pop(future.key)
            outcome = self._outcome(request, future)
            future.release()
            if outcome is None:
                waiting.appendleft(request)
            else:
                yield outcome

    def _send(self, request: Request, body: dict[str, Any]) -> None:
        arguments = (self._plugin, self._topic, request.number, body, request.mode == "img2img")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # pictures are large
            future = self._client.submit(
                make, *arguments, key=f"request-{request.number}-{uuid.uuid4().hex}", pure=False
            )
        self._running[future.key] = request
        future.add_done_callback(self._ended.put)

    def _next(self) -> Future:
        while True:
            try:
                return self._ended.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                self._look_for_workers()

    def _look_for_workers(self) -> None:
        if self._workers():
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since > _SECONDS_WITHOUT_WORKERS:
            raise PocketError("there are no workers any more; run the same command again to go on.")

    def _workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except OSError as error:
            raise PocketError(_GONE) from error

    def _outcome(self, request: Request, future: Future) -> Outcome | None:
        """How a request ended; None where it is to be made anew.

        Dask counts it against a request, too, that it only waited at a worker which another one ended. So what counts
        here is how often it has been begun, as far as its workers lived long enough to say so.
        """
        try:
            status, answer, seconds = future.result()
        except KilledWorker:
            self._killed[request.number] += 1
            tries = max(self._begun[request.number], self._killed[request.number] - _DEATHS_OF_OTHERS)
            if tries < TRIES:
                return None
            return Outcome(request, FAILED, sentence=f"the worker died {times(tries)} while making it", tries=tries)
        except (CancelledError, asyncio.CancelledError) as error:
            raise PocketError(_GONE) from error
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs the others nothing
            self._workers()  # unless the scheduler is gone
            tries = self._begun[request.number]
            return Outcome(request, FAILED, sentence=f"the worker failed: {one_line(error)}", tries=tries)
        if status == BROKEN:
            raise PocketError(answer)
        tries = max(1, self._begun[request.number])
        if status == REFUSED:
            return Outcome(request, status, sentence=answer, tries=tries, seconds=seconds)
        return Outcome(request, status, response=answer, tries=tries, seconds=seconds)

    def _note_begin(self, event: tuple[float, int]) -> None:
        self._begun[event[1]] += 1
