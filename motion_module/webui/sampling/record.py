"""What the denoiser answers in one run, call by call: noted while it runs, and played back when it is resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from motion_module.core.denoising import noted_calls
from motion_module.core.denoising.noted_calls import NotedCall, call_as_file, is_same_trace, read_call, trace_of
from motion_module.errors import UserError
from motion_module.media.errors import describe
from motion_module.webui.request import unfinished
from motion_module.webui.request.owner import this_process
from motion_module.webui.request.same_run import check_same_infotext
from motion_module.webui.request.unfinished import CALL, NAME, Unfinished
from motion_module.webui.settings import settings_of
from motion_module.wording import mention

_GB = 1_000_000_000
_log = logging.getLogger(__name__)


@dataclass
class Record:
    """The answers of one run.

    Args:
        run: what it is to make, under the name by which it can be resumed.
        resumed: it has broken off before.
        videos: how many it makes.
        after_s: it is noted if its sampling takes longer than this, in seconds.

    Attributes:
        video, call: of the coming call, from 0.
        is_noted: None before that is decided; then whether answers are noted.
        is_tidied: room was made for it.
    """

    run: Unfinished
    resumed: bool
    videos: int
    after_s: float
    video: int = -1
    call: int = 0
    is_noted: bool | None = None
    is_tidied: bool = False
    _size: int = 0
    _most: float = field(default_factory=lambda: settings_of().resume_gb * _GB or float("inf"))

    @classmethod
    def of(cls, run: Unfinished, resumed: bool, videos: int) -> Record | None:
        """That of a run; None where the person does not want any."""
        after_s = settings_of().resume_after
        if not resumed:
            return cls(run, resumed, videos, after_s) if after_s else None
        return cls(run, resumed, videos, after_s, is_noted=True, _size=run.size)

    def begin(self, video: int, infotext: str) -> None:
        """A video is about to be sampled.

        Args:
            video: its number.
            infotext: the host's of its first frame; only that of the first video counts.

        Raises:
            ParamError: what the host and others do for it is not what they did for the run that broke off.
        """
        self.video, self.call = video, 0
        if video == 0 and self.resumed:
            check_same_infotext(self.run, infotext)
            self._note_run()
        elif video == 0:
            self.run = replace(self.run, infotext=infotext)

    def played_back(self, x: Tensor, sigma: Tensor) -> NotedCall | None:
        """The answer to the coming call, if it is noted.

        Args:
            x, sigma: as the denoiser is called.

        Raises:
            UserError: another call is noted in its place.
        """
        if not self.resumed:
            return None
        noted = read_call(self._file)
        if noted is None:
            return None
        if not is_same_trace(noted.trace, trace_of(x, sigma)):
            raise UserError(
                f"{mention(NAME)} is {self.run.id}, but call {self.call + 1} of the denoiser is not the one of that "
                f"run; use the settings and the WebUI of that time, or leave {mention(NAME)} empty"
            )
        self.call += 1
        return noted

    @contextmanager
    def noting(self, x: Tensor, sigma: Tensor, calls: int) -> Iterator[Answer]:
        """Around the coming call of the denoiser, whose answer is put into what this yields.

        Args:
            x, sigma: as it is called.
            calls: that the sampler makes for one video.
        """
        answer = Answer()
        if self.is_noted is False:
            yield answer
            self.call += 1
            return
        begun, before = time.monotonic(), noted_calls.generators_of(x.device)
        yield answer
        if self.is_noted is None:
            noted_calls.wait_for(x.device)
            self._decide((time.monotonic() - begun) * calls * self.videos, calls)
        if self.is_noted and answer.value is not None:
            drawn = noted_calls.changed_generators(before, noted_calls.generators_of(x.device))
            self._write(NotedCall(answer.value, trace_of(x, sigma), answer.negative, drawn, answer.notes))
        self.call += 1

    @property
    def goes_on(self) -> str:
        """How a run that breaks off now is resumed, with mentions; "" where it cannot be."""
        return self.run.goes_on if self.call else ""

    def is_over(self) -> None:
        """The run is finished, and will not be resumed."""
        if self.is_noted is not None:
            unfinished.remove(self.run.id)

    def put_down(self, interrupted: bool) -> None:
        """The run has ended; where it is not over, it can be resumed from now on.

        Args:
            interrupted: somebody has stopped it on purpose.
        """
        if self.run.owner:
            try:
                unfinished.put_down(self.run, interrupted)
            except OSError as error:
                _log.warning("AnimateDiff: %s cannot be noted as ended: %s", self.run.id, describe(error))

    @property
    def _file(self) -> Path:
        return self.run.folder / CALL.format(video=self.video, call=self.call)

    def _decide(self, seconds: float, calls: int) -> None:
        """By how long the sampling will take, as its first call tells: nothing is known of the later ones."""
        self.is_noted = seconds >= self.after_s
        self.run = replace(self.run, calls=calls)
        if self.is_noted:
            self._note_run()

    def _note_run(self) -> None:
        """From now on it is sampled by this process."""
        self.run = replace(self.run, owner=this_process(), interrupted=False)
        self._guarded(lambda: unfinished.write(self.run))

    def _write(self, call: NotedCall) -> None:
        content = call_as_file(call)
        if not self.is_tidied:
            self.is_tidied = True
            coming = len(content) * (self.run.calls * self.videos - self.call)
            self._guarded(lambda: unfinished.tidy(self.run.id, coming))
        self._size += len(content)
        if self._size > self._most:
            self._stop(f"it takes more than the {settings_of().resume_gb:g} GB of the setting")
            return
        self._guarded(lambda: unfinished.put(self._file, content))

    def _guarded(self, do: Callable[[], None]) -> None:
        """A full disk costs the video nothing."""
        if self.is_noted:
            try:
                do()
            except OSError as error:
                self._stop(describe(error))

    def _stop(self, why: str) -> None:
        self.is_noted = False
        _log.warning("AnimateDiff does not note the sampling of this video any further: %s", why)


@dataclass
class Answer:
    """What a call of the denoiser has given; see `NotedCall`."""

    value: Tensor | None = None
    negative: Tensor | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
