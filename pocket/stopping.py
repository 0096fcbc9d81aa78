"""How Ctrl+C, SIGTERM and a closed terminal end a command: soon, with one line and the exit code that shells expect.

Python runs signal handlers in the main thread, between two operations, and one operation on large pictures can take
half a minute. So a thread of its own hears of a signal at once and says so. Work that has something to clear away is
given a few seconds for it; then, or at a second signal, the process ends wherever it is. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SECONDS_TO_CLEAR_AWAY = 3.0
_NAMES = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGHUP"):
    _NAMES[signal.SIGHUP] = "its terminal was closed"


class Stopped(KeyboardInterrupt):
    """Raised in the main thread inside of `clearing_away`, so that what was begun is undone on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(number: int) -> int:
    """What shells expect of a process that a signal ended: 130 for Ctrl+C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + number


class Signals:
    """The process's signals; there is one object, as there is one process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._depth = 0
        self._on_signal: Callable[[], None] | None = None
        self._saying = threading.Lock()
        self._said = False

    def listen(self) -> None:
        """From now on these signals end the process. Only for the main thread, and once."""
        self._hears, wakes = socket.socketpair()
        wakes.setblocking(False)
        self._wakes = wakes  # kept open as long as the process lives
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in _NAMES:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._in_main_thread)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    @contextlib.contextmanager
    def clearing_away(self, on_signal: Callable[[], None] | None = None) -> Iterator[None]:
        """The block has a few seconds to clear away when a signal comes; outside of it the process ends at once.

        Args:
            on_signal: called from another thread; without it `Stopped` is raised in the block.
        """
        before = self._on_signal
        self._depth, self._on_signal = self._depth + 1, on_signal
        try:
            yield
        finally:
            self._depth, self._on_signal = self._depth - 1, before

    def _in_main_thread(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            return
        self.received = number
        self._say_once(number)
        if self._depth and self._on_signal is None:
            raise Stopped(number)

    def _watch(self) -> None:
        number = self._next()
        self._say_once(number)
        if self._depth:
            if self._on_signal is not None:
                self._on_signal()
            self._hears.settimeout(SECONDS_TO_CLEAR_AWAY)
            with contextlib.suppress(TimeoutError):
                self._next()
        os._exit(exit_code(number))

    def _say_once(self, number: int) -> None:
        with self._saying:  # by whichever thread comes first, and before the other goes on
            if not self._said:
                self._said = True
                _say(number)

    def _next(self) -> int:
        while True:
            for number in self._hears.recv(1):  # other signals that somebody handles come here, too
                if number in _NAMES:
                    return number


SIGNALS = Signals()


def unblock() -> None:
    """Let signals through that came while one program made place for the next (`blocked`)."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_NAMES))


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Signals wait while another program takes this one's place: it is not listening yet when it begins."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_NAMES))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(number: int) -> None:
    """The one line; what bars and threads say while they are taken down is no use to anybody."""
    start = ("\r\x1b[K" if os.isatty(2) else "\r") if "tqdm" in sys.modules else ""
    with contextlib.suppress(OSError):  # nobody reads it any more
        os.write(2, f"{start}pocket: stopped ({_NAMES[signal.Signals(number)]}).\n".encode())
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
