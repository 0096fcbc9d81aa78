"""How an error in a hook reaches the person: the host swallows what a hook raises, so a method of `p` raises it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from motion_module.errors import HostError, SaidError
from motion_module.webui.answers import answer_to, fail
from motion_module.webui.host_types import Processing
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.wording import system_says

_log = logging.getLogger(__name__)
NAME = "animatediff_session"  # of the attribute of `p` that is its run


class FailedRun:
    """A run that is about to end with our sentence. Nothing of it is left but the method of `p` that raises it.

    Args:
        p: the host's processing object.
        method: the next method of `p` that the host calls outside of any hook.
        error: what has gone wrong.
        let_go: has others end their part; some begin it only after our hook.

    Attributes:
        borrowed: that method.
    """

    def __init__(self, p: Processing, method: str, error: SaidError, let_go: Callable[[], None]) -> None:
        answer = answer_to(p, error)

        def stop(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            let_go()
            self.borrowed.end()
            if method == "close":
                original(*args, **kwargs)
            fail(answer)

        self.borrowed = BorrowedP(p)
        self.borrowed.set(NAME, self)
        self.borrowed.wrap("close", self._close)
        self.borrowed.wrap(method, stop)

    def __deepcopy__(self, memo: Any) -> FailedRun:
        return self

    def _close(self, original: Callable[[], Any]) -> Any:
        self.borrowed.end()
        return original()


def guarded(
    p: Processing, method: str, step: Callable[[], None], end: Callable[[], None], let_go: Callable[[], None]
) -> None:
    """Run one step of a hook; an error ends the run as soon as the host calls `p.method`.

    Args:
        p, method, let_go: see `FailedRun`.
        step: what to do.
        end: undoes what the run has changed so far.
    """
    try:
        step()
    except SaidError as error:
        end()
        FailedRun(p, method, error, let_go)
    except Exception as error:  # noqa: BLE001 - anything else is a fault of ours, and must not pass unseen either
        _log.exception("AnimateDiff could not go on")
        failure = HostError(_why(error), quoted=True)
        failure.__cause__ = error
        end()
        FailedRun(p, method, failure, let_go)
    except BaseException:  # the program ends; the host does not swallow this one
        end()
        raise


def _why(error: Exception) -> str:
    """What went wrong inside, in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{system_says(error)} ({error.filename})" if error.filename else system_says(error)
    return f"{type(error).__name__}: {error}"
