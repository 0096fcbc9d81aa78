"""The host's job numbers, finer for the length of a run, so that what it reports of them moves inside a step.

Facts of the WebUI 1.10: what the page and the API report is `(job_no + sampling_step / sampling_steps) / job_count`,
and the time left follows from that and from when the job has begun. `sampling_step` belongs to other extensions, too,
and to the live preview, so that only the jobs are counted in another way here: in many small parts instead of batches.
What `state.dict()` tells API clients are the batches as ever. Scripts (X/Y/Z plot) count the jobs of all their runs
before the first one; a `job_count` of -1 is set by the host when a run begins to sample, and hires fix doubles it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from modules import shared
from motion_module.patching import replaced, replaced_call
from motion_module.stand_in import given_original

_PARTS = 100_000  # of a job, so that a step in them is less than anybody sees


class HostCounters:
    """What the host counts during one run of ours.

    Args:
        jobs: how many the host counts for this run.
        more: how many we add to them: further passes of FreeInit.
    """

    def __init__(self, jobs: int, more: int = 0) -> None:
        state = shared.state
        self._before = state.job_count
        counted = state.job_count > 0  # by a script, for all its runs
        self._jobs = (state.job_count if counted else jobs) + more
        self._job = state.job_no
        self._from = min(1.0, self._job / state.job_count) if counted else 0.0
        self._to = max(self._from, min(1.0, (self._job + jobs + more) / self._jobs)) if counted else 1.0
        self._part = round(self._from * _PARTS)

    @contextmanager
    def fine(self, steps: int) -> Iterator[None]:
        """Count in parts for the length of the block; afterwards the jobs are as the host would have counted them.

        Args:
            steps: of all jobs of the run, for the bar in the console.
        """
        state = shared.state
        with ExitStack() as stack:
            stack.callback(self._give_back)
            stack.enter_context(
                replaced(state, "processing_has_refined_job_count", True)
            )  # else hires fix doubles ours
            stack.enter_context(replaced_call(state, "nextjob", given_original(self._next_job)))
            stack.enter_context(replaced_call(state, "dict", given_original(self._as_ever)))
            bar = given_original(self._whole_bar(steps))
            stack.enter_context(replaced_call(shared.total_tqdm, "reset", bar))
            self.tell(0.0)
            yield

    def tell(self, fraction: float) -> None:
        """So much of this run is done, from 0 to 1; what is reported never falls."""
        reached = self._from + (self._to - self._from) * min(1.0, fraction)
        self._part = max(self._part, int(reached * _PARTS))
        shared.state.job_count, shared.state.job_no = _PARTS, self._part

    def _next_job(self, original: Callable[[], None]) -> None:
        original()  # counts one up and begins with step 0, which is less than one
        self._job += 1
        self._part += 1
        shared.state.job_no = self._part

    def _as_ever(self, original: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return {**original(), "job_count": self._jobs, "job_no": self._job}

    def _whole_bar(self, steps: int) -> Callable[..., None]:
        def reset(original: Callable[[], None]) -> None:
            original()
            shared.total_tqdm.updateTotal(steps if self._before <= 0 else self._jobs * shared.state.sampling_steps)

        return reset

    def _give_back(self) -> None:
        shared.state.job_count = self._jobs if self._before else 0  # 0: nobody has begun a job
        shared.state.job_no = self._job
