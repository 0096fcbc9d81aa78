"""Reporting errors on stderr, and keeping the last few for whoever asks what went wrong."""

import contextlib
import sys
import textwrap
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

MAX_RECORDS = 5

exception_records: deque[dict[str, Any]] = deque(maxlen=MAX_RECORDS)
already_displayed: set[str] = set()


def format_traceback(tb: TracebackType | None) -> list[list[str]]:
    """One `[place, source line]` pair per frame of the traceback."""
    frames = traceback.extract_tb(tb)
    return [[f"{frame.filename}, line {frame.lineno}, {frame.name}", frame.line or ""] for frame in frames]


def format_exception(e: BaseException, tb: TracebackType | None) -> dict[str, Any]:
    """The JSON form of an exception, as the API's error list shows it."""
    return {"exception": str(e), "traceback": format_traceback(tb)}


def get_exceptions() -> list[dict[str, Any]]:
    """The exceptions reported last, newest first."""
    return list(reversed(exception_records))


def record_exception() -> None:
    """Remember the exception that is being handled right now, if there is one."""
    _, e, tb = sys.exc_info()
    if e is not None:
        exception_records.append(format_exception(e, tb))


def report(message: str, *, exc_info: bool = False) -> None:
    """Print a message to stderr, with the traceback of the exception being handled if `exc_info` is set."""
    record_exception()
    for line in message.splitlines():
        print("***", line, file=sys.stderr)
    if exc_info:
        print(textwrap.indent(traceback.format_exc(), "    "), "---", sep="\n", file=sys.stderr)


def print_error_explanation(message: str) -> None:
    """Print a message between two rules, so that it is not lost among tracebacks."""
    record_exception()
    lines = message.strip().split("\n")
    rule = "=" * max(map(len, lines))
    print(rule, *lines, rule, sep="\n", file=sys.stderr)


def display(e: BaseException, task: str, *, full_traceback: bool = False) -> None:
    """Print what was being done, and the exception's traceback (from the program's start if `full_traceback`)."""
    record_exception()
    report_of = traceback.TracebackException.from_exception(e)
    if full_traceback:
        report_of.stack = traceback.StackSummary(traceback.extract_stack()[:-2] + report_of.stack)
    print(f"{task or 'error'}: {type(e).__name__}", file=sys.stderr)
    print(*report_of.format(), sep="", file=sys.stderr)


def display_once(e: BaseException, task: str) -> None:
    """`display`, but only the first time for each task."""
    if task not in already_displayed:
        already_displayed.add(task)
        display(e, task)


@contextlib.contextmanager
def swallowed(message: str) -> Iterator[None]:
    """Run foreign code: whatever it raises is reported under `message` and then forgotten.

    A host cannot know what an extension raises, and one broken extension must not stop the others;
    so this is the one place where any Exception is caught.
    """
    try:
        yield
    except Exception:  # noqa: BLE001
        report(message, exc_info=True)


def run(code: Callable[[], object], task: str) -> None:
    """Call `code`; an exception is reported and swallowed."""
    with swallowed(task):
        code()


class NotModelledError(NotImplementedError):
    """Something the real WebUI can do and this host cannot; the message says what."""
