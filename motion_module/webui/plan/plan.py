"""What a run will do: a value, made in the host's `process`, when the request's settings and checkpoint are there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from motion_module import __version__
from motion_module.core.module.model import MotionModel
from motion_module.elastic import fitted
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.host_types import Checkpoint
from motion_module.webui.plan import infotext
from motion_module.webui.plan.module_notes import module_notes
from motion_module.webui.plan.request import Request
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.module_choice import Base, base_of
from motion_module.webui.request.motion_modules import ModuleFile
from motion_module.window_counts import window_counts_after
from motion_module.windows import WindowPlan
from motion_module.wording import mention


@dataclass(frozen=True)
class Plan:
    """A request, and what is done for it.

    Attributes:
        request: what is asked for; its frames are counted, or 0 where nobody has.
        module: the motion module's file.
        checkpoint: the title of the one that the video is made with.
        seeds: of the first frame of each video, where they are drawn already.
        pictures: that img2img starts from.
        messages: sentences for the person, besides those of the request.

    Raises:
        ParamError: the motion module sees fewer frames at once than it is to, or is for a UNet of other levels.
    """

    request: Request
    module: ModuleFile
    checkpoint: str = ""
    seeds: tuple[int, ...] = ()
    pictures: tuple[Image.Image, ...] = field(default=(), repr=False, compare=False)
    messages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        context, learnt = self.request.params.batch_size, self.module.spec.frames
        if min(self.request.frames, context) > learnt and not self.request.params.pe_stretch:
            raise ParamError(
                f"{mention('batch_size')} is {context}; {self.module.name} sees {learnt} frames at most: set it to "
                f"{learnt} or less, or set {mention('pe_stretch')}, which spreads what it has learnt over more frames"
            )
        self.request.params.effect_levels(len(self.module.spec.widths))

    @classmethod
    def foreseen(
        cls, request: Request, base: Base, seeds: Sequence[int] = (), pictures: Sequence[Image.Image] = ()
    ) -> Plan:
        """The plan for a request with this checkpoint, as far as headers of files tell; nothing is loaded.

        Args:
            request: what is asked for.
            base: the checkpoint.
            seeds, pictures: see `Plan`.

        Raises:
            ParamError: there is no such motion module, or it sees fewer frames at once than it is to.
            CheckpointError: it does not fit the checkpoint, or is no motion module.
        """
        file = module_choice.foreseen(request.params.model, request.facts.modules, base)
        said = (*([f"{base.unread}."] if base.unread else []), *module_notes(file, request))
        return cls(request, file, base.title, tuple(seeds), tuple(pictures), said)

    @property
    def windows(self) -> WindowPlan:
        """How the video is cut into windows; as it is asked for where nobody knows yet how many frames there are."""
        params, facts, spec = self.request.params, self.request.facts, self.module.spec
        asked = dataclasses.replace(params.windows, windows_per_call=1) if facts.least_memory else params.windows
        if spec.kind.trained_on is not None or params.pe_stretch:  # which go with the number that is asked for
            return asked
        return fitted(asked, self.request.frames, spec.frames, facts.before)

    @property
    def params(self) -> VideoParams:
        """The fields as they are used: the module by its name, the frames as counted."""
        added = max(0, self.request.frames - self.request.facts.before)
        return dataclasses.replace(self.request.params, model=self.module.name, video_length=added)

    @property
    def infotext(self) -> str:
        """The entry in the generation parameters."""
        source = self.request.source
        title = source.title if source is not None else ""
        extra = {"source": title, "mm_hash": motion_modules.short_hash(self.module), "version": __version__}
        params = dataclasses.replace(self.params, schedule=self._schedule)
        return infotext.write(params, **{name: value for name, value in extra.items() if value})

    @property
    def _schedule(self) -> str:
        """That of the windows, once there are several: another version may take another one for `AUTO`."""
        params, frames = self.request.params, self.request.frames
        return params.windows.resolved_schedule if frames > params.batch_size else params.schedule

    @property
    def model_calls(self) -> int | None:
        """Calls of the UNet for one video, where each step calls the denoiser once and the guidance in one piece; None
        where nobody knows how many frames there will be."""
        params, frames, before = self.request.params, self.request.frames, self.request.facts.before
        windows = self.windows
        if not frames:
            return None
        passes = params.freeinit_iters if params.freeinit_enable else 1
        return passes * sum(
            -(-count // windows.windows_per_call) * times
            for steps in self.request.facts.steps
            for count, times in window_counts_after(windows, frames, steps, before).items()
        )

    @property
    def asked(self) -> dict[str, Any]:
        """What is to be made, as JSON: to be shown, stored, or sent to somebody who makes the same video."""
        facts = self.request.facts
        return {
            "fields": {
                name: json.loads(json.dumps(value, default=_named)) for name, value in vars(self.params).items()
            },
            "frames": self.request.frames or None,
            "tab": facts.tab,
            "width": facts.width,
            "height": facts.height,
            "steps": list(facts.steps),
            "sampler": facts.sampler,
            "videos": facts.batch_count,
            "seeds": list(self.seeds),
            "prompts": {name: list(texts) for name, texts in facts.read.items() if any(texts)},
            "checkpoint": self.checkpoint,
            "source": None if self.request.source is None else str(self.request.source.path),
            "pictures": [hash_of(picture) for picture in self.pictures],
            "model_calls": self.model_calls,
        }


@dataclass(frozen=True)
class LoadedPlan(Plan):
    """A plan that can be carried out.

    Attributes:
        model: the motion module's layers, on the CPU.
    """

    model: MotionModel = field(kw_only=True, repr=False, compare=False)

    @classmethod
    def of(
        cls, request: Request, sd_model: Checkpoint, seeds: Sequence[int] = (), pictures: Sequence[Image.Image] = ()
    ) -> LoadedPlan:
        """The plan for a request with the checkpoint that the host has loaded.

        Args:
            request: what is asked for.
            sd_model: the host's loaded model.
            seeds, pictures: see `Plan`.

        Raises:
            ParamError: there is no such motion module, or it sees fewer frames at once than it is to.
            CheckpointError: it is damaged, or does not fit the checkpoint.
        """
        base = base_of(sd_model)
        choice = module_choice.choose(request.params.model, request.facts.modules, base)
        said = (*choice.messages, *module_notes(choice.file, request))
        return cls(request, choice.file, base.title, tuple(seeds), tuple(pictures), said, model=choice.model)


def _named(value: Any) -> Any:
    """A picture among the fields by its hash."""
    return hash_of(value) if isinstance(value, Image.Image) else str(value)


def hash_of(picture: Image.Image) -> str:
    """A picture's SHA-256 of mode, size and pixels."""
    shape = f"{picture.mode} {picture.size}".encode()
    return hashlib.sha256(shape + picture.tobytes()).hexdigest()
