"""How far a run is: what is read, sampled, decoded and saved of it, through the host's own counters."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from modules import shared
from motion_module.estimate import Estimate
from motion_module.webui.amounts import Amount
from motion_module.webui.host_counters import HostCounters, is_counting, show_nothing
from motion_module.webui.host_types import Processing

NAME = "animatediff_progress"  # attribute of the `p` of a run
# Seconds a unit takes where no run has shown it yet. A unit is a frame of a million pixels; of sampling, one step.
_USUAL = {"search": 0.002, "read": 0.06, "sample": 0.5, "save": 0.3, "finish": 0.02}
# Decoding a frame costs about as much as its two rows in the UNet (prompt and negative prompt): 1.2 T multiplications
# against twice 0.4 T in SD1.5 at 512x512, and motion's share besides.
_RELATIVE = {"hires": ("sample", 1.0), "decode": ("sample", 1.0)}
_MEASURED: dict[str, float] = {}
"""What earlier runs have found: kind of work -> seconds a unit takes."""


class Progress:
    """The progress of one run. Its methods are called in the run's thread when something is done.

    Args:
        amount: how much there is to do, as far as it is known when the run begins.
        counters: what the host counts; None to tell nobody.

    Attributes:
        anything_made: the video in work is more than the noise that it began with.
    """

    def __init__(self, amount: Amount, counters: HostCounters | None = None) -> None:
        self.anything_made = True
        self._begun = time.perf_counter()
        self._stage = ""  # of the video in work
        self._amount, self._counters = amount, counters
        self._save, self._finish = (f"{kind} {' '.join(amount.formats)}" for kind in ("save", "finish"))
        usual = {**_USUAL, self._save: _USUAL["save"], self._finish: _USUAL["finish"]}
        self._estimate = Estimate(lambda: time.time(), usual, _MEASURED, _RELATIVE)
        self._video = self._pass = self._saved = 0
        self._step, self._steps_done = 0, math.inf
        self._decoded = 0.0
        self.expect(amount)

    def expect(self, amount: Amount) -> None:
        """So much there is to do in all, as is known now."""
        self._amount = amount
        totals = {
            "search": amount.search,
            "read": amount.read,
            "sample": amount.videos * amount.sampled("sample"),
            "hires": amount.videos * amount.sampled("hires"),
            "decode": amount.videos * amount.decode,
            self._save: amount.videos * amount.save,
            self._finish: amount.videos * amount.save,
        }
        for kind, units in totals.items():
            self._estimate.expect(kind, units)

    def expect_jobs(self, jobs: int, more: int) -> None:
        """So many jobs the host counts, as is known now; see `HostCounters`."""
        if self._counters is not None:
            self._counters.expect(jobs, more, self._amount.steps)

    def searched(self, frames: int) -> None:
        """So many frames of the source lie behind, and the first one that is taken has not come yet."""
        self._reach("search", frames)

    def read(self, share: float) -> None:
        """This share of the frames of the source is read."""
        self._estimate.leave_out("search", self._amount.search)
        self._reach("read", self._amount.read * min(1.0, share))

    @contextmanager
    def sampling(self, video: int, from_noise: bool) -> Iterator[None]:
        """One video is sampled inside the block, in all its passes.

        Args:
            video: its number, from 0.
            from_noise: it begins with nothing but noise.
        """
        self._video, self._pass, self._steps_done = video, -1, math.inf
        self.anything_made, self._stage = not from_noise, "sampling"
        self._leave_out(video)
        self._estimate.begin()
        try:
            yield
        finally:
            self._stage = "sampled" if self._stage == "sampling" else self._stage
            if shared.state.interrupted:  # then there will be no further video
                self.expect(replace(self._amount, videos=video + 1))
            for kind in ("sample", "hires"):
                self._estimate.leave_out(kind, (video + 1) * self._amount.sampled(kind))
            self._tell()

    def step(self, step: int, steps: int) -> None:
        """A call of the denoiser begins, number `step` (from 0) of `steps` that there are in its pass."""
        if step < self._steps_done:  # a sampler has begun anew
            self._pass = min(self._pass + 1, len(self._amount.passes) - 1)
        if self._pass >= 0:
            self._expect_calls(self._amount.passes[self._pass].kind, steps)
        self._step = step

    def window(self, number: int, windows: int) -> None:
        """Of this call, the model has been called `number` (from 1) of `windows` times."""
        self._steps_done = self._step + number / windows
        self.anything_made = self.anything_made or number == windows
        if self._pass >= 0:
            sampling = self._amount.passes[self._pass]
            before = self._video * self._amount.sampled(sampling.kind) + self._amount.before(sampling.kind, self._pass)
            self._reach(sampling.kind, before + sampling.units * min(sampling.calls, self._steps_done))

    def played_back(self, call: int, calls: int) -> None:
        """Call number `call` (from 0) of a pass has its answer from an earlier run: nothing is to be done for it."""
        self.step(call, calls)
        self.anything_made, self._steps_done = True, call + 1
        if self._pass >= 0:
            sampling = self._amount.passes[self._pass]
            before = self._video * self._amount.sampled(sampling.kind) + self._amount.before(sampling.kind, self._pass)
            self._estimate.leave_out(sampling.kind, before + sampling.units * (call + 1))
            self._estimate.begin()
            self._tell()

    @property
    def awaits_decoding(self) -> bool:
        """Whether the host decodes the frames of the video next; with hires fix it does so while it samples."""
        last = self._pass >= len(self._amount.passes) - 1
        stopped = shared.state.interrupted or shared.state.skipped
        return self._stage == "sampled" or (self._stage == "sampling" and (last or stopped))

    def decoding(self) -> None:
        """The frames of the video are decoded from now on."""
        self._stage = "decoding"
        self._decoded = self._video * self._amount.decode
        self._estimate.begin()

    def decoded(self, units: float) -> None:
        """Another frame is decoded."""
        self._decoded += units
        self._reach("decode", self._decoded)

    def all_decoded(self) -> None:
        """All frames of the video are decoded."""
        self._stage = ""

    @property
    def stage(self) -> str:
        """What is going on: `sampling`, `decoding`, `saving`; "" between these."""
        return "decoding" if self._stage == "sampled" else self._stage

    def saving(self) -> None:
        """A video is saved from now on."""
        self._stage = "saving"
        self._leave_out(self._amount.videos)
        self._estimate.begin()

    def saved(self, share: float) -> None:
        """This share of the frames of the video has been handed to its writers."""
        self._reach(self._save, self._amount.save * (self._saved + min(1.0, share)))

    def finished(self) -> None:
        """The video is saved in all formats."""
        self._saved += 1
        self._estimate.leave_out(self._save, self._amount.save * self._saved)
        self._reach(self._finish, self._amount.save * self._saved)

    def enter(self, context: AbstractContextManager[Any]) -> None:
        """Enter what is to be left when this progress is shown no more."""
        if self._counters is not None:
            self._counters.enter(context)

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.perf_counter() - self._begun

    def remember(self) -> None:
        """Let later runs know how long things have taken."""
        _MEASURED.update(self._estimate.rates())

    def seconds_left(self) -> float:
        """How long the rest will take, as far as earlier runs and this one tell."""
        return self._estimate.left()

    def _expect_calls(self, kind: str, calls: int) -> None:
        """Some samplers call the denoiser twice in each step."""
        passes = tuple(
            replace(sampling, calls=calls) if sampling.kind == kind else sampling for sampling in self._amount.passes
        )
        if passes != self._amount.passes:
            self.expect(replace(self._amount, passes=passes))

    def _leave_out(self, videos: int) -> None:
        """Of so many videos nothing is sampled or decoded any more; of the source nothing is read."""
        amount = self._amount
        self._decoded = max(self._decoded, videos * amount.decode)
        for kind, units in (
            ("search", amount.search),
            ("read", amount.read),
            ("sample", videos * amount.sampled("sample")),
            ("hires", videos * amount.sampled("hires")),
            ("decode", videos * amount.decode),
        ):
            self._estimate.leave_out(kind, units)

    def _reach(self, kind: str, units: float) -> None:
        self._estimate.reach(kind, units)
        self._tell()

    def _tell(self) -> None:
        if self._counters is not None:
            self._counters.tell(self._estimate.fraction())


def progress_of(p: Processing) -> Progress:
    """The progress of the run of `p`; one that tells nobody where there is none."""
    progress = getattr(p, NAME, None)
    return progress if isinstance(progress, Progress) else Progress(Amount())


@dataclass(frozen=True)
class Foreseen:
    """How many seconds a run will take in all, and for its sampling."""

    total: float
    sampling: float


def foreseen(amount: Amount) -> Foreseen | None:
    """How long a run will take; None where none has told yet how fast this machine is."""
    if "sample" not in _MEASURED:
        return None
    rest = replace(amount, passes=())
    total = Progress(amount).seconds_left()
    return Foreseen(total, total - Progress(rest).seconds_left())


def progress_shown(p: Processing, amount: Amount, jobs: int, more: int) -> AbstractContextManager[Progress]:
    """The progress of a run inside the block, shown by the host. Nothing of it is left when the block ends.

    Args:
        p: the host's processing object; it is not kept alive.
        amount: how much there is to do.
        jobs: how many jobs the host counts for it.
        more: how many we add to them.
    """
    if is_counting():  # a video inside of another one, which goes on telling how far it is
        return nullcontext(Progress(amount))
    return _told(HostCounters(p, jobs, more), amount)


@contextmanager
def _told(counters: HostCounters, amount: Amount) -> Iterator[Progress]:
    progress = Progress(amount, counters)
    counters.begin(amount.steps)
    try:
        yield progress
    finally:
        progress.remember()
        counters.end()
        show_nothing()  # what was shown when another job had begun inside of this run, and the counters had ended
