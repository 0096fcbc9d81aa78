"""The host's job numbers, finer for the length of a run, so that what it reports of them moves inside a step.

Facts of the WebUI 1.10: what the page and the API report is `(job_no + sampling_step / sampling_steps) / job_count`,
and the time left follows from that and from when the job has begun. `sampling_step` belongs to other extensions, too,
and to the live preview, so that only the jobs are counted in another way here: in many small parts instead of batches.
What `state.dict()` tells API clients are the batches as ever. Scripts (X/Y/Z plot) count the jobs of all their runs
before the first one; a `job_count` of -1 is set by the host when a run begins to sample, and hires fix doubles it once.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from modules import shared
from motion_module.patching import assign, replaced, replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Processing, has_hires
from motion_module.wording import with_name

_PARTS = 100_000  # of a job, so that a step in them is less than anybody sees


class _Parts(int):
    """`_PARTS` for whoever divides by it; the number of jobs for whoever compares it.

    The host's Interrupt button asks whether there is more than one job, and waits for the end of the first one then.
    """

    def __new__(cls, jobs: int) -> _Parts:
        return super().__new__(cls, _PARTS)

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __gt__(self, other: int) -> bool:
        return self.jobs > other

    def __ge__(self, other: int) -> bool:
        return self.jobs >= other

    def __lt__(self, other: int) -> bool:
        return self.jobs < other

    def __le__(self, other: int) -> bool:
        return self.jobs <= other


_LIVING: list[HostCounters] = []
"""Those that have begun and not ended."""


class HostCounters:
    """What the host counts during one run of ours, from `begin` to `end`.

    Some runs are never closed: those of copies of `p` that a script makes, when another extension breaks them. Then it
    ends as soon as that copy is gone, another job has begun, or another run asks for it (`left_over`).

    Args:
        p: the host's processing object of the run.
        jobs: how many the host counts for this run.
        more: how many we add to them: further passes of FreeInit.

    Attributes:
        thread: in which the run is made.
    """

    def __init__(self, p: Processing, jobs: int, more: int = 0) -> None:
        state = shared.state
        if has_hires(p) and state.job_count > 0 and not state.processing_has_refined_job_count:
            # As the host does it, once in a job, when its first run with hires fix begins to sample.
            assign(state, job_count=state.job_count * 2, processing_has_refined_job_count=True)
        self.thread = threading.get_ident()
        self._p = weakref.ref(p, lambda _: self.end())
        self._before, self._begun = state.job_count, state.time_start
        self._counted = state.job_count > 0  # by a script, for all its runs
        self._jobs = (state.job_count if self._counted else jobs) + more
        self._steps = 0
        self._job = state.job_no
        self._from = min(1.0, self._job / state.job_count) if self._counted else 0.0
        self._to = max(self._from, min(1.0, (self._job + jobs + more) / self._jobs)) if self._counted else 1.0
        self._part = round(self._from * _PARTS)
        self._parts = _Parts(state.job_count if self._counted else jobs)
        self._stack = ExitStack()

    @property
    def p(self) -> Any:
        """Whose run it is; None when it is gone."""
        return self._p()

    def begin(self, steps: int) -> None:
        """Count in parts from now on.

        Args:
            steps: of all jobs of the run, for the bar in the console.
        """
        state, self._steps = shared.state, steps
        with ExitStack() as stack:
            _LIVING.append(self)
            stack.callback(_LIVING.remove, self)
            stack.callback(self._give_back)
            stack.enter_context(replaced(state, "processing_has_refined_job_count", True))  # or hires fix doubles it
            for owner, name, ours in (
                (state, "nextjob", self._next_job),
                (state, "dict", self._as_ever),
                (shared.total_tqdm, "reset", self._whole_bar),
            ):
                stack.enter_context(replaced_call(owner, name, given_original(ours)))
            assign(state, job_count=self._parts, job_no=self._part)
            self._stack = stack.pop_all()

    def expect(self, jobs: int, more: int, steps: int) -> None:
        """Another script has changed how much there is to do; what a script has counted for all its runs stays.

        Args:
            jobs, more: as for the class.
            steps: as for `begin`.
        """
        self._steps = steps
        if not self._counted:
            self._jobs, self._parts = jobs + more, _Parts(jobs)

    def enter(self, context: AbstractContextManager[Any]) -> None:
        """Enter what is to be left at the end."""
        self._stack.enter_context(context)

    def end(self) -> None:
        """Count as ever, with the jobs as the host would have counted them. Further calls do nothing."""
        self._stack.close()

    def tell(self, fraction: float) -> None:
        """So much of this run is done, from 0 to 1; what is reported never falls."""
        if self._is_over():
            return
        reached = self._from + (self._to - self._from) * min(1.0, fraction)
        self._part = max(self._part, int(reached * _PARTS))
        assign(shared.state, job_count=self._parts, job_no=self._part)

    def _next_job(self, original: Callable[[], None]) -> None:
        original()  # counts one up and begins with step 0, which is less than one
        if self._is_over():
            return
        self._job += 1
        self._part += 1
        assign(shared.state, job_no=self._part)

    def _as_ever(self, original: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        counters = original()
        return counters if self._is_over() else {**counters, "job_count": self._jobs, "job_no": self._job}

    def _whole_bar(self, original: Callable[[], None]) -> None:
        original()
        if not self._is_over():
            counted = self._jobs * shared.state.sampling_steps
            shared.total_tqdm.updateTotal(counted if self._counted else self._steps)

    def _is_over(self) -> bool:
        """Whether the host has ended the job, or begun another one; then this ends, too."""
        over = bool(shared.state.time_start != self._begun or shared.state.job_count == 0)
        if over:
            self.end()
        return over

    def _give_back(self) -> None:
        state = shared.state
        if state.time_start != self._begun:
            return  # another job is on
        assign(state, textinfo=None, current_image=None, current_latent=None, job_no=self._job)
        if state.job_count:  # else the host has ended the job
            assign(state, job_count=self._jobs if self._before else 0)  # 0: nobody had begun one


def show(text: str) -> None:
    """Tell people what a run of ours is doing, below the progress bar and in the API's progress.

    Args:
        text: without our name in front.
    """
    assign(shared.state, textinfo=with_name(text))


def show_nothing() -> None:
    """Take the text of ours away that is shown; another's stays."""
    if (shared.state.textinfo or "").startswith(with_name("")):
        assign(shared.state, textinfo=None)


def is_counting() -> bool:
    """Whether a run of ours counts in parts at the moment: one that begins now is made inside of it."""
    return isinstance(shared.state.job_count, _Parts)


def left_over(running: Iterable[Any]) -> list[Any]:
    """Each `p` whose run still counts although the host has broken it off.

    Args:
        running: each `p` that the host is processing in this thread.
    """
    lasting = list(running)
    elsewhere = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    mine = [counters.p for counters in _LIVING if counters.thread not in elsewhere]
    return [p for p in mine if not any(p is other for other in lasting)]
