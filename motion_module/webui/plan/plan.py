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
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.host_types import Checkpoint
from motion_module.webui.plan import infotext
from motion_module.webui.plan.request import Request
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.motion_modules import ModuleFile
from motion_module.wording import mention


@dataclass(frozen=True)
class Plan:
    """A request, and what is done for it.

    Attributes:
        request: what is asked for; its frames are counted.
        module: the motion module's file.
        model: its layers, on the CPU.
        checkpoint: the title of the one that is loaded.
        seeds: of the first frame of each video, where they are drawn already.
        pictures: that img2img starts from.
        messages: sentences for the person, besides those of the request.
    """

    request: Request
    module: ModuleFile
    model: MotionModel = field(repr=False, compare=False)
    checkpoint: str = ""
    seeds: tuple[int, ...] = ()
    pictures: tuple[Image.Image, ...] = field(default=(), repr=False, compare=False)
    messages: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        request: Request,
        sd_model: Checkpoint,
        seeds: Sequence[int] = (),
        pictures: Sequence[Image.Image] = (),
    ) -> Plan:
        """The plan for a request with this checkpoint.

        Args:
            request: what is asked for.
            sd_model: the host's loaded model.
            seeds, pictures: see `Plan`.

        Raises:
            ParamError: there is no such motion module, or it sees fewer frames at once than it is to.
            CheckpointError: it is damaged, or does not fit the checkpoint.
        """
        params = request.params
        choice = module_choice.choose(params.model, request.facts.modules, sd_model)
        learnt = choice.file.spec.frames
        if min(request.frames, params.batch_size) > learnt:
            raise ParamError(
                f"{mention('batch_size')} is {params.batch_size}; {choice.file.name} sees {learnt} frames at most"
            )
        checkpoint = str(getattr(getattr(sd_model, "sd_checkpoint_info", None), "title", ""))
        return cls(request, choice.file, choice.model, checkpoint, tuple(seeds), tuple(pictures), choice.messages)

    @property
    def params(self) -> VideoParams:
        """The fields as they are used: the module by its name, the frames as counted."""
        return dataclasses.replace(self.request.params, model=self.module.name, video_length=self.request.frames)

    @property
    def infotext(self) -> str:
        """The entry in the generation parameters."""
        source = self.request.source
        title = source.title if source is not None else ""
        extra = {"source": title, "mm_hash": motion_modules.short_hash(self.module), "version": __version__}
        return infotext.write(self.params, **{name: value for name, value in extra.items() if value})

    @property
    def model_calls(self) -> int:
        """Calls of the UNet for one video, where each step calls the denoiser once and the guidance in one piece."""
        params, frames = self.request.params, self.request.frames
        passes = params.freeinit_iters if params.freeinit_enable else 1
        return passes * sum(
            -(-len(params.windows.windows(step, frames)) // params.windows_per_call)
            for steps in self.request.facts.steps
            for step in range(steps)
        )

    @property
    def asked(self) -> dict[str, Any]:
        """What is to be made, as JSON: to be shown, stored, or sent to somebody who makes the same video."""
        facts = self.request.facts
        return {
            "fields": {
                name: json.loads(json.dumps(value, default=_named)) for name, value in vars(self.params).items()
            },
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
            "pictures": [_hash(picture) for picture in self.pictures],
            "model_calls": self.model_calls,
        }


def _named(value: Any) -> Any:
    """A picture among the fields by its hash."""
    return _hash(value) if isinstance(value, Image.Image) else str(value)


def _hash(picture: Image.Image) -> str:
    """SHA-256 of mode, size and pixels."""
    shape = f"{picture.mode} {picture.size}".encode()
    return hashlib.sha256(shape + picture.tobytes()).hexdigest()
