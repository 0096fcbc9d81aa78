"""Programs that we start: without a window of their own, listened to, and ended when they hang."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import IO, TypeVar

NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would open a console for each process
PATIENCE_S = 900  # the slowest encoder takes a frame, or the rest of a clip, in less
BEAT_S = 0.2  # so often whoever waits for a program is asked whether to go on
_ADDRESS = re.compile(r"\[[^]@]+ @ 0x[0-9a-f]+\] ")  # "[libx264 @ 0x43f4a340] "

Beat = Callable[[], None]
"""Called while something is waited for, in the thread of whoever waits; raises to wait no longer."""
_Result = TypeVar("_Result")


def silent() -> None:
    """A beat that nobody hears."""


def finished(command: Sequence[str], limit_s: float, beat: Beat = silent) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; it reads nothing.

    Args:
        command: the program and its arguments.
        limit_s: after so many seconds it is ended.
        beat: what it raises ends the program.

    Raises:
        OSError: it does not start.
        subprocess.TimeoutExpired: it was ended.
    """
    end = time.monotonic() + limit_s
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=pipe, creationflags=NO_WINDOW) as process:
        try:
            while True:
                beat()
                try:
                    written, complaints = process.communicate(timeout=min(BEAT_S, limit_s))
                    return subprocess.CompletedProcess(command, process.returncode, written, complaints)
                except subprocess.TimeoutExpired:
                    if time.monotonic() > end:
                        raise
        except BaseException:
            process.kill()
            raise


class Child:
    """A running ffmpeg.

    Args:
        command: the program and its arguments.
        stdin, stdout: `subprocess.PIPE` or `DEVNULL`.

    Attributes:
        messages: the first and the last line that it wrote to its standard error, once it has ended.
        hung: whether it was ended because it did nothing.

    Raises:
        OSError: it does not start.
    """

    def __init__(self, command: Sequence[str], stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE) -> None:
        self.messages: list[str] = []
        self.hung = False
        self._last_sign = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, creationflags=NO_WINDOW
        )
        # A full error pipe would stop it, and with it us.
        self._listener = threading.Thread(target=self._listen, name="ffmpeg messages", daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> IO[bytes] | None:
        """What it reads."""
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it writes."""
        return self._process.stdout

    @contextmanager
    def patience(self) -> Iterator[None]:
        """What waits for it, but not for ever: after `PATIENCE_S` it is killed, and what waits comes to an end."""

        def give_up() -> None:
            self.hung = True
            self._process.kill()

        timer = threading.Timer(PATIENCE_S, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it ends at once, and nothing of ours runs on behind a clip

    def awaited(self, work: Callable[[], _Result], beat: Beat = silent) -> _Result:
        """What `work` returns, which waits for it in a thread, and not for ever: as `patience`.

        Args:
            work: comes to its end when the program is killed.
            beat: called once before, and then every `BEAT_S`; what it raises ends the program, and is raised here.
        """
        result: Future[_Result] = Future()

        def run() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                result.set_exception(error)

        worker = threading.Thread(target=run, name="waits for ffmpeg", daemon=True)
        self.sign_of_life()
        worker.start()
        try:
            self._listen_meanwhile(worker, beat)
        except BaseException:
            self.kill()
            raise
        finally:
            worker.join()
        return result.result()

    def sign_of_life(self) -> None:
        """It has done something; patience with it begins anew."""
        self._last_sign = time.monotonic()

    def wait(self, beat: Beat = silent) -> int:
        """Its exit code, once it has ended and all its messages are read; `beat` as in `awaited`."""
        return self.awaited(self._end, beat)

    def kill(self) -> None:
        """Ends it, if it runs still."""
        self._process.kill()

    def failure(self, code: int) -> str:
        """How it ended, as a sentence without a full stop."""
        if self.hung:
            return f"ffmpeg did nothing for {PATIENCE_S:g} seconds and was ended"
        return failure(code, self.messages)

    def _end(self) -> int:
        code = self._process.wait()
        self._listener.join()
        return code

    def _listen_meanwhile(self, worker: threading.Thread, beat: Beat) -> None:
        beat()
        worker.join(min(BEAT_S, PATIENCE_S))
        while worker.is_alive():
            beat()
            if time.monotonic() - self._last_sign > PATIENCE_S:
                self.hung = True
                self.kill()
                return
            worker.join(min(BEAT_S, PATIENCE_S))

    def _listen(self) -> None:
        if self._process.stderr is None:
            return
        with self._process.stderr as messages:
            for line in messages:
                text = line.decode("utf-8", errors="replace").strip()
                if text:
                    self.messages[1:] = [text]


def plain(message: str) -> str:
    """One of ffmpeg's messages, without addresses and the full stop."""
    return _ADDRESS.sub("", message.strip()).rstrip(".")


def failure(code: int, messages: Sequence[str]) -> str:
    """How ffmpeg ended, with its first message (the cause, as a rule) and its last."""
    lines = [plain(line) for line in messages if line.strip()]
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    reasons = dict.fromkeys([lines[0], lines[-1]]) if lines else ["it gave no reason"]
    return f"ffmpeg {how}: {'; '.join(reasons)}"
