"""What the extension uses of the host: of a run, of its result, of sampling.

Only what is used stands here. `Any` is what goes from the host to the host, or is looked at by what it has. tests/
host_types.py shows that the pocket WebUI has it all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeGuard

from torch import Tensor

Model = Callable[..., Tensor]
Loads = Callable[..., Any]
Wrapped = Callable[..., Any]
"""A function in the place of one of the host's, which it is given first."""
"""`(x, t, cond)` -> what the model makes of all rows."""


class Processing(Protocol):
    """One run of either tab: the host's `p`.

    What is asked for is there from the beginning; `all_...` (of every picture of the run) from `setup_prompts` on, and
    what one batch has (`seeds`, `rng`, ...) from the batch on.
    """

    width: int
    height: int
    steps: int
    batch_size: int
    n_iter: int
    sampler_name: str | None
    cfg_scale: float
    styles: list[str] | None
    subseed_strength: float
    override_settings: dict[str, Any]
    outpath_samples: str | None
    do_not_save_samples: bool
    is_api: bool
    scripts: Any
    script_args: Any
    comments: dict[str, int]
    extra_generation_params: dict[str, Any]
    color_corrections: list[Any] | None
    overlay_images: list[Any] | None
    paste_to: tuple[int, int, int, int] | None
    all_prompts: Any
    all_negative_prompts: Any
    all_seeds: Any
    all_subseeds: Any
    seeds: Any
    sampler: Any
    rng: Any
    iteration: int
    is_hr_pass: bool

    def comment(self, text: str) -> None:
        """Say something below the gallery."""

    def setup_prompts(self) -> None:
        """Make the lists of all prompts."""

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Prepare for all batches; img2img encodes its pictures."""

    def parse_extra_network_prompts(self) -> None:
        """Take the tags of networks out of a batch's prompts."""

    def setup_conds(self) -> None:
        """Encode a batch's prompts."""

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: list[int],
        subseeds: list[int],
        subseed_strength: float,
        prompts: list[str],
    ) -> Any:
        """Make the latents of a batch."""

    def close(self) -> None:
        """However the run has ended."""


class Hires(Processing, Protocol):
    """One run of txt2img."""

    enable_hr: bool
    hr_second_pass_steps: int


class Img2Img(Processing, Protocol):
    """One run of img2img, with a mask or without."""

    init_images: Any
    resize_mode: int
    denoising_strength: float
    inpaint_full_res: bool
    image_mask: Any
    mask: Any
    nmask: Any
    mask_for_overlay: Any
    init_latent: Any
    image_conditioning: Any


class Processed(Protocol):
    """The result of a run."""

    images: list[Any]
    infotexts: list[str]
    index_of_first_image: int
    comments: str
    extra_generation_params: dict[str, Any]
    all_seeds: Any
    seed: Any


class State(Protocol):
    """What the host is doing, and what people have asked it to stop doing."""

    skipped: bool
    interrupted: bool
    sampling_step: int
    sampling_steps: int
    job_count: int
    job_no: int
    processing_has_refined_job_count: bool
    textinfo: str | None
    current_image: Any
    current_latent: Any

    def nextjob(self) -> None:
        """A batch is done."""

    def dict(self) -> Mapping[str, Any]:
        """What API clients are told."""


class Denoiser(Protocol):
    """What calls the model in each step."""

    p: Processing
    step: int
    steps: int
    total_steps: int


class DenoiserCall(Protocol):
    """What the host hands to its denoiser callbacks: one call of the model, which they may change."""

    x: Tensor
    text_cond: Any
    text_uncond: Any
    sampling_step: int
    total_sampling_steps: int
    denoiser: Denoiser


Callback = Callable[[DenoiserCall], None]
Around = Callable[[Callback], Callback]


class OverlayOfFrame(Protocol):
    """What the host hands to scripts before it lays the original over a finished picture."""

    index: int
    mask_for_overlay: Any


class Checkpoint(Protocol):
    """The model that the host has loaded."""

    model: Any
    sd_checkpoint_info: Any
    cond_stage_model_empty_prompt: Tensor


def is_stopped(state: State) -> bool:
    """Whether somebody has asked the host to end the batch that is being made."""
    return bool(state.interrupted or state.skipped)


def init_images(p: Processing) -> list[Any]:
    """The pictures that img2img starts from, None where one is missing; none in txt2img."""
    return getattr(p, "init_images", None) or []


def is_img2img(p: Processing) -> TypeGuard[Img2Img]:
    """Whether a run starts from pictures."""
    return hasattr(p, "init_images")


def has_hires(p: Processing) -> TypeGuard[Hires]:
    """Whether a run has a second pass."""
    return bool(getattr(p, "enable_hr", False))
