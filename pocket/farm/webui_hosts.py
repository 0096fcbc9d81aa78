"""Running WebUIs as hosts: a thread for each, which takes the next request when its WebUI has answered the last."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

from tqdm import tqdm

from bootstrap import say
from farm.index import FAILED, MADE, REFUSED
from farm.outcomes import BodyOf, Outcome, one_line, times
from farm.request_file import Request, WrongLineError
from farm.webui import RefusedError, SickError, WebUI, WebUIAwayError

TRIES = 3
PATIENCE = 60.0
"""Seconds for a WebUI that went away to answer again."""

_UNREACHED_IN_A_ROW = 2 * TRIES
"""Then a WebUI has no seat any more: it answers when it is asked how it is, but takes no request."""


class WebUIHosts:
    """Seats at running WebUIs, for one farm."""

    def __init__(self, webuis: Sequence[WebUI], patience: float | None = None) -> None:
        """Takes the seats.

        Args:
            patience: seconds for a WebUI that went away to answer again; `PATIENCE` unless it is given.
        """
        self._webuis, self._patience = webuis, PATIENCE if patience is None else patience
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._begun: Counter[int] = Counter()
        self._unanswered_by: dict[int, WebUI] = {}
        self._ended: queue.SimpleQueue[Outcome | Exception | None] = queue.SimpleQueue()
        self._seats = len(webuis)
        self._closed = False

    def outcomes(self, requests: Iterable[Request], body_of: BodyOf) -> Iterator[Outcome]:
        """The end of each request, in the order in which they come.

        Raises:
            PocketError: a body cannot be read any more.
        """
        self._waiting.extend(requests)
        left = {request.number: request for request in self._waiting}
        for webui in self._webuis:
            threading.Thread(target=self._sit, args=(webui, body_of), name=webui.name, daemon=True).start()
        try:
            while left:
                ended = self._ended.get()
                if ended is None:
                    break
                if isinstance(ended, Exception):
                    raise ended
                del left[ended.request.number]
                yield ended
            for request in left.values():
                sentence, tries = "no WebUI is left to make it", self._begun[request.number]
                yield Outcome(request, FAILED, sentence=sentence, tries=tries)
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def _sit(self, webui: WebUI, body_of: BodyOf) -> None:
        """One seat, until there is nothing to do any more or its WebUI stays away.

        What a WebUI has begun and failed at may be the request's fault, so it counts against that one alone.
        """
        unreached = 0  # in a row
        try:
            while unreached < _UNREACHED_IN_A_ROW and (request := self._take(webui)) is not None:
                try:
                    self._ended.put(self._make(webui, request, body_of))
                    unreached = 0
                except SickError as error:
                    unreached = 0
                    self._give_back(webui, request, begun=True, said=str(error))
                except WebUIAwayError as error:
                    unreached = 0 if error.begun else unreached + 1
                    self._give_back(webui, request, error.begun)
                    if not self._comes_back(webui):
                        break
        except Exception as error:
            self._ended.put(error)
            raise
        finally:
            self._leave()

    def _make(self, webui: WebUI, request: Request, body_of: BodyOf) -> Outcome:
        tries = self._begun[request.number] + 1
        try:
            body = body_of(request)
        except WrongLineError as error:
            return Outcome(request, REFUSED, sentence=str(error), tries=0)
        started = time.perf_counter()
        try:
            response = webui.make(request.mode, body)
        except RefusedError as error:
            seconds = time.perf_counter() - started
            return Outcome(request, REFUSED, sentence=str(error), tries=tries, seconds=seconds)
        except (SickError, WebUIAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs the others nothing
            return Outcome(request, FAILED, sentence=f"it cannot be sent: {one_line(error)}.", tries=tries)
        return Outcome(request, MADE, response=response, tries=tries, seconds=time.perf_counter() - started)

    def _take(self, webui: WebUI) -> Request | None:
        """The next request; waits while others may give theirs back. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next_for(webui) is not None)
            request = None if self._closed else self._next_for(webui)
            if request is not None:
                self._waiting.remove(request)
            return request

    def _next_for(self, webui: WebUI) -> Request | None:
        """One that this WebUI gave no answer to is for another, where there is another."""
        fitting = (one for one in self._waiting if self._seats == 1 or self._unanswered_by.get(one.number) is not webui)
        return next(fitting, None)

    def _comes_back(self, webui: WebUI) -> bool:
        """Whether a WebUI is there; waits for one that is not, and says so where that takes longer."""
        if webui.comes_back(0.0):
            return True
        _say(f"{webui.name} is away; it has {self._patience:.0f} s to come back")
        if webui.comes_back(self._patience):
            return True
        _say(f"{webui.name} stays away, and makes no more of these")
        return False

    def _give_back(self, webui: WebUI, request: Request, begun: bool, said: str = "") -> None:
        """For another seat to make anew, unless it has been begun often enough.

        Args:
            said: why the WebUI failed, where it did answer; then it is not asked again where there is no other.
        """
        self._begun[request.number] += begun
        tries = self._begun[request.number]
        if tries >= TRIES or (said and self._seats == 1):
            away = f"the WebUI went away {times(tries)} while making it, at last {webui.name}"
            sentence = f"{webui.name} fails: {said}" if said else away
            self._ended.put(Outcome(request, FAILED, sentence=sentence, tries=tries))
            return
        with self._changed:
            self._unanswered_by[request.number] = webui
            self._waiting.appendleft(request)
            self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._seats -= 1
            self._changed.notify_all()
            if not self._seats:
                self._ended.put(None)


def _say(text: str) -> None:
    """From a seat's thread, while the bar may be there."""
    with tqdm.external_write_mode():
        say(text)
