"""Who reads a sentence of ours - an API client, or a person on the page - and how an error gets there through the host.

Facts of the WebUI: the page shows an error as `class name: text`; the API answers with `error` (the class's name),
`detail` and `errors` (the text), and prints a traceback for everything but an HTTP exception. The page's caller prints
one in any case.
"""

from __future__ import annotations

import functools
import logging
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastapi.exceptions import HTTPException

from motion_module.errors import HostError, SaidError, UserError
from motion_module.params import VideoParams
from motion_module.patching import replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.wording import NAME, for_client, with_full_stop, with_name

_log = logging.getLogger(__name__)
_BEGINNINGS = (NAME, "Prompt travel")


class Answer(SaidError):  # noqa: N818  (what is called an error is what it answers)
    """An error of ours as its reader is to see it; it has been logged."""


def worded_for(p: Processing | None, sentence: str) -> str:
    """A sentence with mentions, in the words of whoever has asked for the run of `p`."""
    return for_client(sentence) if getattr(p, "is_api", False) else VideoParams.worded_for_page(sentence)


def message_for(p: Processing | None, sentence: str) -> str:
    """A sentence as whoever has asked for the run of `p` reads it among those of others."""
    return worded_for(p, with_name(with_full_stop(sentence)))


def add_message(p: Processing, sentence: str) -> None:
    """Put a sentence below the gallery, and into an API client's `info`."""
    p.comment(message_for(p, sentence))


def comments_of(p: Processing) -> list[str]:
    """What `add_message` has said in the run of `p`; of the host's comments clients get none."""
    return [line for line in getattr(p, "comments", ()) if line.startswith(_BEGINNINGS)]


def answer_to(p: Processing | None, error: SaidError) -> Answer:
    """The error as whoever has asked for the run of `p` is to see it, after a line in the log.

    On the page its class is called as the extension is, because the page shows that name; in the API it keeps its name.
    """
    if isinstance(error, Answer):
        return error
    _log.error("%s", worded_for(p, error.whole))
    kind: Any = type(error)
    if getattr(p, "is_api", False):
        answer = _class_for_client(kind)(error.sentence, quoted=error.quoted)
    else:
        answer = _class_for_page(kind)(error.sentence, quoted=error.quoted)
        answer.detail = worded_for(p, error.whole).removeprefix(f"{NAME}: ").removeprefix(f"{NAME} ")
    answer.__cause__ = error if isinstance(error, HostError) else None  # whose log is to show where it happened
    answer.__suppress_context__ = True
    return answer


def fail(answer: Answer) -> None:
    """Raise it; the page's caller, who would print a traceback, keeps quiet where the person is at fault.

    Raises:
        Answer: this one, always.
    """
    if isinstance(answer, UserError) and not isinstance(answer, HTTPException):
        _log_no_traceback_of(answer)
    raise answer


@contextmanager
def answering(p: Processing | None) -> Iterator[None]:
    """Errors of ours that leave the block are raised as whoever has asked for the run of `p` is to see them; without a
    run, as they are seen on the page.

    Raises:
        Answer: see `answer_to`.
    """
    try:
        yield
    except SaidError as error:
        if isinstance(error, Answer):
            raise
        answer = answer_to(p, error)
    else:
        return
    fail(answer)


def answered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose first argument is a `p`, inside `answering`."""

    @functools.wraps(function)
    def call(p: Processing, *args: Any, **kwargs: Any) -> Any:
        with answering(p):
            return function(p, *args, **kwargs)

    return call


@functools.lru_cache
def _class_for_client(kind: type[SaidError]) -> type[Any]:
    """A kind of error that the host's API answers without a traceback, unless the fault is ours."""
    bases = (kind, Answer, HTTPException) if issubclass(kind, UserError) else (kind, Answer)
    return type(kind.__name__, bases, {"headers": None})


@functools.lru_cache
def _class_for_page(kind: type[SaidError]) -> type[Any]:
    return type(NAME, (kind, Answer), {})


def _log_no_traceback_of(error: Answer) -> None:
    """Until the host has reported this very error, or nobody has it any more, what it reports by looks for it."""
    awaited = weakref.ref(error)
    stack = ExitStack()

    def report_others(report: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        if sys.exc_info()[1] is awaited() is not None:
            stack.close()
        else:
            report(*args, **kwargs)

    stack.enter_context(replaced_call(*host.reports_errors_by(), given_original(report_others)))
    weakref.finalize(error, stack.close)
