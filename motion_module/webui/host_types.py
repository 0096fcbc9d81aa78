"""What borrowing a model needs of the host, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor, nn

from motion_module.core.denoising.sliding import LayoutOf
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel

ModelCalls = Callable[..., Tensor]
"""`(x, t, cond)` -> what the model makes of all rows."""


class Host(Protocol):
    """One kind of WebUI. What is changed is changed by context managers that take it back.

    `sd_model` is the checkpoint that the host samples with, as the host has it.
    """

    def unet(self, sd_model: Any) -> nn.Module:
        """The UNet of ldm's shape (input_blocks, middle_block, output_blocks) whose layers are called."""

    def motion_layers(self, sd_model: Any, model: MotionModel, call: CallFrames) -> AbstractContextManager[None]:
        """The motion layers in their places, and the norms over frames where the motion module wants that.

        Raises:
            CheckpointError: the motion module is for another family of models.
        """

    def row_layout(self, frames: int, parts: int, announced: Any, places: tuple[int, ...]) -> LayoutOf:
        """Which row of the coming call of the model is whose.

        Args:
            frames: N, frames of the video.
            parts: k, prompts joined with AND.
            announced: what the host hands to its denoiser callbacks, after these.
            places: where they have moved the rows; see `RowLayout`.
        """

    def noise_schedule(self, sd_model: Any, schedule: str) -> AbstractContextManager[None]:
        """Another noise schedule, one of `SCHEDULES`; `KEEP` changes nothing. Samplers are to be made inside."""

    def last_alpha(self, sd_model: Any) -> float:
        """How much of the picture is left in the noisiest step: the last of the cumulated products of 1 - beta."""

    def put_schedule_right(self) -> None:
        """Take a schedule of ours off that somebody has kept, and put back when its loan was over."""

    def in_memory(self, model: MotionModel) -> AbstractContextManager[Any]:
        """The motion module where the host samples; afterwards it is on the CPU again."""

    def lora(self) -> Any | None:
        """The module of the host's LoRA extension that holds the networks in use; None where there is none."""

    def lora_layers(self, layers: Mapping[str, nn.Module]) -> AbstractContextManager[Mapping[str, nn.Module]]:
        """While the host reads networks, these layers of ours are among those that networks may change.

        Args:
            layers: by the name that the host would give them.

        Yields:
            Every layer that the host knows, by its name.
        """

    def lora_changes(self, layer: nn.Module, name: str) -> AbstractContextManager[None]:
        """The host adds to a layer what its networks have for that name; afterwards its weights are bit by bit as
        before."""

    def apply_lora_anew(self, net: Any) -> None:
        """A network of the same name and weight adds something else than before; have the host not rely on those."""

    def model_calls(self, sd_model: Any, wrap: Callable[[ModelCalls], ModelCalls]) -> AbstractContextManager[Any]:
        """Each call of the model, with all rows of a denoiser call, goes to `wrap(call of the model)`."""
