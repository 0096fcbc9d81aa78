"""The parts of a run that are no values: open pictures, and what changes the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from motion_module.core.film import Film
from motion_module.webui.controlnet.control import Control, let_go_of_sample, names_of_sample, sample_of
from motion_module.webui.output.videos import Saved
from motion_module.webui.plan.plan import LoadedPlan
from motion_module.webui.plan.request import Request
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.sampling.init_pictures import Pictures
from motion_module.webui.sampling.live_preview import LivePreview
from motion_module.webui.sampling.motion_lora import Networks
from motion_module.webui.sampling.prompt_travel import FramePrompts
from motion_module.webui.sampling.record import Record


@dataclass(frozen=True)
class Finished:
    """The pictures of the batches that are finished, without a grid, and their infotexts."""

    pictures: Sequence[Any]
    infotexts: Sequence[str]


class Samples:
    """Our `sample` in the place of that of `p`.

    Args:
        borrowed: `p`.
        sample: is called instead, with the method that it replaces as its first argument.

    Attributes:
        called: pictures have been made through it.
        running: it is on the call stack; below it, another extension may have put a way to it.
    """

    def __init__(self, borrowed: BorrowedP, sample: Any) -> None:
        self.called = self.running = False
        self._borrowed, self._sample = borrowed, sample
        p = borrowed.p
        original = sample_of(p)
        ours = borrowed.wrap("sample", sample, original)
        borrowed.at_end(let_go_of_sample, p, ours, original)
        for name in set(names_of_sample(p)) - {"sample"}:
            borrowed.set(name, ours)
        self._ours = [ours]

    def stay_outermost(self) -> None:
        """Another extension may have put a `sample` of its own in the place of ours: it is called within ours then.

        Where ControlNet has done so, it is known to call ours.
        """
        p = self._borrowed.p
        samples = [vars(p).get(name) for name in names_of_sample(p)]
        if not any(sample is ours for sample in samples for ours in self._ours):
            self._ours.append(self._borrowed.wrap("sample", self._sample))


@dataclass
class Work:
    """The parts of one run.

    Attributes:
        video: the video and the masks that the request brings along, if any.
        control: the ControlNet units.
        pictures: those that img2img starts from.
        prompts: that of each frame.
        networks: the LoRA.
        runs: the WebUI's batch count as it was before `process`.
        film: what makes frames between frames, if it is FILM; None otherwise.
        preview: what the page shows of the video while that is sampled.
        together: whether the person lets branches share calls.
        script_args: of all scripts, as the person has them.
        unfinished: number of a video, from 0 -> where it was interrupted.
        refused: what the device cannot do, see `refusals_of_run`.
        finished: what the host has handed over to be saved; None before that.
        saved: what is saved of each video.
        latents: of each video, by its number; none where the settings do not want them kept.
        kept: the run has failed, and what was finished of it is saved.
        given: the pictures and files that it works on, see `given_to`; nothing where nobody may resume it.
        record: what the denoiser answers, to be played back if the run breaks off; None for nothing.
    """

    video: VideoIn | None
    control: Control
    pictures: Pictures
    prompts: FramePrompts
    networks: Networks
    runs: int
    film: Film | None
    preview: LivePreview
    together: bool
    script_args: Any
    unfinished: dict[int, str] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    finished: Finished | None = None
    saved: Saved = field(default_factory=dict)
    latents: dict[int, Tensor] = field(default_factory=dict)
    kept: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None


class Run(Protocol):
    """A run as the methods of its `p` know it; see `Session`."""

    borrowed: BorrowedP
    plan: Request | LoadedPlan
    work: Work
    samples: Samples

    @property
    def request(self) -> Request:
        """What is asked for."""

    def give_up(self) -> None:
        """End a run that has not come to `postprocess`."""
