"""What each kind of host has to do for a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from motion_module.core.denoising.remembering import Prediction
from motion_module.core.denoising.row_order import Snapshot
from motion_module.core.denoising.sliding import LayoutOf
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel
from motion_module.webui.host_types import Around, Checkpoint, DenoiserCall, Loads, Model, Processing, Wrapped


class Host(Protocol):
    """One kind of WebUI. What is changed is changed by context managers that take it back.

    `sd_model` is the checkpoint that the host samples with, as the host has it.
    """

    def unet(self, sd_model: Checkpoint) -> nn.Module:
        """The UNet of ldm's shape (input_blocks, middle_block, output_blocks) whose layers are called."""

    def is_loaded(self, sd_model: Checkpoint) -> bool:
        """Whether there is a checkpoint that `sd_model` stands for; some hosts load theirs in the first run."""

    def check_unet(self) -> None:
        """See that the host calls the checkpoint's own UNet.

        Raises:
            UserError: another one (TensorRT) stands in its place.
        """

    def reports_errors_by(self) -> tuple[Any, str]:
        """Of what, and under which name, the page's caller calls the function that prints the error it is handling."""

    def with_style(self, style: str, prompt: str) -> str:
        """A prompt with one style, both without comments, as the host would write it."""

    def motion_layers(self, sd_model: Checkpoint, model: MotionModel, call: CallFrames) -> AbstractContextManager[None]:
        """The motion layers in their slots, and the norms over frames where the motion module wants that.

        Raises:
            CheckpointError: the motion module is for another family of models.
        """

    def row_layout(self, frames: int, parts: int, announced: DenoiserCall, moved_rows: tuple[int, ...]) -> LayoutOf:
        """Which row of the coming call of the model is whose.

        Args:
            frames: N, frames of the video.
            parts: k, prompts joined with AND.
            announced, moved_rows: what the host's callbacks were handed, and where they moved rows; see `RowLayout`.
        """

    def moved_rows(self, before: Snapshot, after: Snapshot, frames: int, parts: int) -> tuple[int, ...]:
        """Where callbacks have moved rows, as `find_moved_rows` tells it.

        Raises:
            UnknownRowsError: nobody can tell.
        """

    def texts_for_call(self, cond: Any, uncond: Any, in_windows: bool) -> tuple[Any, Any]:
        """The conditions of all frames in the form, and at the place, in which the host may join them.

        Args:
            cond, uncond: of the prompts and the negative prompt; None where the host leaves that out.
            in_windows: the video is cut into windows.
        """

    def rows_at_once(self, sd_model: Checkpoint, frames: int, context: int) -> AbstractContextManager[None]:
        """Meanwhile the host makes room for so many frames of the video's `frames`, as its UNet never sees more."""

    def branches_share_calls(self) -> bool:
        """Whether prompt and negative prompt of a frame may share a call of the model; as set, or as a request says."""

    def whole_calls(self, lasting: bool | None) -> AbstractContextManager[None]:
        """Meanwhile the host calls the model with all rows of a denoiser call; we cut them, by whole branches.
        `lasting` is the person's own setting, which a request may override; None: the one there is."""

    def noise_schedule(self, sd_model: Checkpoint, schedule: str) -> AbstractContextManager[None]:
        """Another noise schedule, one of `SCHEDULES`; `KEEP` changes nothing. Samplers are to be made inside."""

    def last_alpha(self, sd_model: Checkpoint) -> float:
        """How much of the picture is left in the noisiest step: the last of the cumulated products of 1 - beta."""

    def prediction(self, sd_model: Checkpoint) -> Prediction:
        """What an answer of the model says, by the noise schedule as it is now, which may be a lent one."""

    def put_schedule_right(self) -> None:
        """Take a schedule of ours off that somebody has kept, and put back when its loan was over."""

    def weights_dtype(self) -> torch.dtype:
        """In which weights of layers in its UNet are kept."""

    def attention(self) -> str:
        """Which of `WAYS` comes nearest to how the host's own attention is calculated."""

    def in_memory(self, model: MotionModel, in_turn: bool) -> AbstractContextManager[Any]:
        """The motion module where the host samples, or each layer only while it is called (`in_turn`); afterwards it is
        on the CPU again."""

    def rows_in_turn(self, sd_model: Checkpoint, over_frames: bool) -> AbstractContextManager[None]:
        """Meanwhile those layers of the UNet that take much memory, and see each row by itself, are called with a few
        rows at a time; `over_frames`: norms go over all frames."""

    def lora_loads(self, wrap: Callable[[Loads], Loads]) -> AbstractContextManager[Any]:
        """The host's loading of the networks (LoRA) for `p` and what its prompts name goes to `wrap(loading)`."""

    def lora_files(
        self, layers: Mapping[str, nn.Module], read: Wrapped, build: Wrapped, anew: Callable[[Any], bool]
    ) -> AbstractContextManager[Mapping[str, nn.Module]]:
        """While the host loads networks, these layers of ours are among those that networks may change.

        Args:
            layers: by the name that the host would give them.
            read: in the place of its reading of a file, which it is given first, and then the file's name.
            build: in the place of its building of a network, which it is given first, and then the network's name.
            anew: whether a network that is in memory is read again.

        Yields:
            Every layer that the host knows, by its name; none where it knows no LoRA.
        """

    def lora_in_use(self) -> list[Any]:
        """The host's networks for the prompts of the moment."""

    def lora_exists(self, name: str) -> bool:
        """Whether the host knows a network by this name."""

    def unknown_lora(self, data: dict[str, Any] | None) -> set[str]:
        """The names of LoRA among the tags of a prompt, as the host has parsed them, that it does not know."""

    def more_lora(self, files: Mapping[str, Path]) -> AbstractContextManager[None]:
        """Inside the block it knows these files, too, by their names; its own come first."""

    def forget_lora(self, net: Any, layers: Iterable[str]) -> None:
        """The host's network knows these layers no longer, and is read again when it is asked for."""

    def lora_changes(self, layer: nn.Module, name: str) -> AbstractContextManager[None]:
        """The host adds to a layer what its networks have for that name; afterwards all its bits are as before."""

    def apply_lora_anew(self, net: Any) -> None:
        """A network of the same name and weight adds something else than before; make the host apply it again."""

    def model_calls(self, sd_model: Checkpoint, wrap: Callable[[Model], Model]) -> AbstractContextManager[Any]:
        """Each call of the model, with all rows of a denoiser call, goes to `wrap(call of the model)`."""

    def checkpoint_changes(self, around: Callable[[Loads], Loads]) -> AbstractContextManager[Any]:
        """Each change of checkpoints in the middle of sampling goes to `around(change)`."""

    def change_checkpoint_in_turn(self, denoiser: Any, x: Tensor, sigma: Tensor) -> None:
        """What the host does before each call `(x, sigma)` of a denoiser: from some step on another checkpoint."""

    def telling_rows(self, rows: Sequence[int], whole: int) -> AbstractContextManager[None]:
        """The call of the model inside the block has these rows of `whole`, in this order."""

    def predicted_x0(self, denoiser: Any) -> Callable[..., Tensor]:
        """`(x, answer, sigma)` of a denoiser -> the latents without noise that the answer stands for."""

    def denoiser_callbacks(self, before: Around, after: Around) -> AbstractContextManager[Any]:
        """Other extensions' callbacks before each call of the model go to `before(callbacks)`, later to `after`."""

    def negatives_of_one_length(self) -> AbstractContextManager[Any]:
        """Negative prompts of the frames may have different lengths."""

    def noise_of_steps(self, p: Processing, change: Callable[[Tensor], None]) -> AbstractContextManager[None]:
        """Inside a sampling pass `change` is given each noise that the sampler adds, one for each frame of `p`."""

    def guidance_of_others(self, sampler: Any) -> Callable[..., Any] | None:
        """What weighs the branches in a sampler in the place of the host's own way; None where that is still there."""

    def guidance(self, sampler: Any, scales: Sequence[float], scale: float) -> AbstractContextManager[Any]:
        """Frame i is guided by `scales[i]` in the place of the CFG `scale`, but not in steps without negative prompt.

        Raises:
            UserError: this checkpoint is guided in a way that has no scale for each frame.
        """
