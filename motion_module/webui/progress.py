"""How far a run is: what is read, sampled, decoded and saved of it, told through the host's own counters."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from modules import shared
from motion_module.estimate import Estimate
from motion_module.webui.host_counters import HostCounters, is_counting
from motion_module.webui.host_types import Processing

NAME = "animatediff_progress"  # attribute of the `p` of a run
# Seconds a unit takes where no run has told yet. A unit is a frame of a million pixels; for sampling, one step of it.
_USUAL = {"search": 0.002, "read": 0.06, "sample": 0.5, "save": 0.3, "finish": 0.02}
# Decoding a frame costs about as much as its two rows in the UNet (prompt and negative prompt): 1.2 T multiplications
# against twice 0.4 T in SD1.5 at 512x512, and motion's share besides.
_RELATIVE = {"hires": ("sample", 1.0), "decode": ("sample", 1.0)}
_MEASURED: dict[str, float] = {}
"""What earlier runs have found: kind of work -> seconds a unit takes."""


@dataclass(frozen=True)
class Pass:
    """One sampling pass.

    Attributes:
        kind: `sample` or `hires`.
        calls: how often it calls the denoiser; as many times as it has steps, where nothing else is known.
        units: of a call.
    """

    kind: str
    calls: int
    units: float


@dataclass(frozen=True)
class Amount:
    """How much there is to do in a run; units are frames of a million pixels.

    Attributes:
        videos: how many.
        search: how many frames of a video source lie before the first one that is taken, whatever their size.
        read: units of a video source.
        passes: the sampling passes of one video, in order.
        decode: units of one video.
        save: units of one video times formats.
        steps: of all passes of all videos.
        formats: names of those in which a video is saved.
    """

    videos: int = 1
    search: float = 0.0
    read: float = 0.0
    passes: tuple[Pass, ...] = ()
    decode: float = 0.0
    save: float = 0.0
    steps: int = 0
    formats: tuple[str, ...] = ()

    def before(self, kind: str, number: int) -> float:
        """Units of one kind in those passes of a video that come before one of them."""
        return sum(sampling.calls * sampling.units for sampling in self.passes[:number] if sampling.kind == kind)

    def sampled(self, kind: str) -> float:
        """Units of one kind in all passes of a video."""
        return self.before(kind, len(self.passes))


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
        self._stage = ""  # of the video in work: it is being sampled, or sampled and not decoded yet
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
            self._stage = "sampled" if self._stage else ""
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

    @property
    def awaits_decoding(self) -> bool:
        """Whether the host decodes the frames of the video next; with hires fix it does so while it samples."""
        last = self._pass >= len(self._amount.passes) - 1
        stopped = shared.state.interrupted or shared.state.skipped
        return self._stage == "sampled" or (self._stage == "sampling" and (last or stopped))

    def decoding(self) -> None:
        """The frames of the video are decoded from now on."""
        self._stage = ""
        self._decoded = self._video * self._amount.decode
        self._estimate.begin()

    def decoded(self, units: float) -> None:
        """Another frame is decoded."""
        self._decoded += units
        self._reach("decode", self._decoded)

    def saving(self) -> None:
        """A video is saved from now on."""
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
        """Enter what is to be left when this progress is told no more."""
        if self._counters is not None:
            self._counters.enter(context)

    def remember(self) -> None:
        """Let later runs know how long things have taken."""
        _MEASURED.update(self._estimate.rates())

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


def progress_shown(p: Processing, amount: Amount, jobs: int, more: int) -> AbstractContextManager[Progress]:
    """The progress of a run inside the block, told to the host. Nothing of it is left when the block ends.

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
