"""How an error in a hook reaches the person: the host swallows what a hook raises, so a method of `p` raises it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from motion_module.errors import HostError, SaidError
from motion_module.memory import is_out_of_memory
from motion_module.webui.answers import answer_to, fail
from motion_module.webui.host_types import Processing
from motion_module.webui.progress import progress_of
from motion_module.webui.run import finished_videos, too_little_memory
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.work import Run
from motion_module.wording import system_says

_log = logging.getLogger(__name__)
BEFORE_PROMPTS = "setup_prompts"  # the first method of `p` that raises after `before_process`
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
        if method == BEFORE_PROMPTS and hasattr(p, "refiner_checkpoint"):
            self.borrowed.set("refiner_checkpoint", None)  # the host looks for it before it calls the method

    def __deepcopy__(self, memo: Any) -> FailedRun:
        return self

    def _close(self, original: Callable[[], Any]) -> Any:
        self.borrowed.end()
        return original()


def guarded(
    p: Processing,
    method: str,
    step: Callable[[], None],
    end: Callable[[], None],
    let_go: Callable[[], None],
    run: Run | None = None,
) -> None:
    """Run one step of a hook; an error ends the run as soon as the host calls `p.method`.

    Args:
        p, method, let_go: see `FailedRun`.
        step: what to do.
        end: undoes what the run has changed so far.
        run: whose step it is; None where it has not begun.
    """
    progress = progress_of(p)  # the step may take it off `p`
    try:
        step()
    except SaidError as error:
        finished_videos.say_what_is_kept(p, run, error)
        end()
        FailedRun(p, method, error, let_go)
    except Exception as error:  # noqa: BLE001 - anything else is a fault of ours, and must not pass unseen either
        stage = "loading the motion module" if method == "init" else progress.stage
        failure = _failure(p, run, stage, error)
        end()
        FailedRun(p, method, failure, let_go)
    except BaseException:  # the program ends; the host does not swallow this one
        end()
        raise


def _failure(p: Processing, run: Run | None, stage: str, error: Exception) -> HostError:
    """The sentence for what nobody has expected in a hook."""
    if is_out_of_memory(error):
        return too_little_memory.said(p, run, error, stage)
    _log.exception("AnimateDiff could not go on")
    failure = HostError(_why(error), quoted=True)
    failure.__cause__ = error
    finished_videos.say_what_is_kept(p, run, failure)
    return failure


def _why(error: Exception) -> str:
    """What went wrong inside, in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{system_says(error)} ({error.filename})" if error.filename else system_says(error)
    return f"{type(error).__name__}: {error}"
