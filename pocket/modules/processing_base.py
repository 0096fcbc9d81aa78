"""What is asked for in one run: prompts, seeds, size, sampler; and the state of the run while it goes on."""

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from modules import devices, extra_networks, prompt_parser, sd_samplers, shared
from modules.processing_conditioning import ImageConditioning
from modules.shared import opts, state

opt_C = 4  # noqa: N816
"""Channels of a latent."""

opt_f = 8
"""Pixels for one latent, each way."""

Cache = list[Any]
"""A conditioning kept for the next run: `[what it was made from, the conditioning]`."""


@dataclass(repr=False)
class StableDiffusionProcessing(ImageConditioning):
    """A run of either tab. `init` and `sample` are what the tabs do differently."""

    sd_model: Any = None
    outpath_samples: str | None = None
    outpath_grids: str | None = None
    prompt: Any = ""
    prompt_for_display: str | None = None
    negative_prompt: Any = ""
    styles: list[str] | None = None
    seed: Any = -1
    subseed: Any = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    seed_enable_extras: bool = True
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict[str, Any] = None  # type: ignore[assignment]  # never after `__post_init__`
    overlay_images: list[Any] | None = None
    eta: float | None = None
    do_not_reload_embeddings: bool = False
    denoising_strength: float | None = None
    ddim_discretize: str | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] = None  # type: ignore[assignment]
    override_settings_restore_afterwards: bool = True
    sampler_index: int | None = None
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: Image.Image | None = None
    comments: dict[str, int] = None  # type: ignore[assignment]

    scripts_value: Any = field(default=None, init=False)
    script_args_value: Any = field(default=None, init=False)
    scripts_setup_complete: bool = field(default=False, init=False)
    sampler: Any = field(default=None, init=False)
    is_using_inpainting_conditioning: bool = field(default=False, init=False)
    paste_to: tuple[int, int, int, int] | None = field(default=None, init=False)
    is_hr_pass: bool = field(default=False, init=False)
    c: Any = field(default=None, init=False)
    uc: Any = field(default=None, init=False)
    rng: Any = field(default=None, init=False)
    step_multiplier: int = field(default=1, init=False)
    firstpass_steps: int = field(default=0, init=False)
    color_corrections: list[Any] | None = field(default=None, init=False)
    all_prompts: Any = field(default=None, init=False)
    all_negative_prompts: Any = field(default=None, init=False)
    all_seeds: Any = field(default=None, init=False)
    all_subseeds: Any = field(default=None, init=False)
    iteration: int = field(default=0, init=False)
    main_prompt: str | None = field(default=None, init=False)
    main_negative_prompt: str | None = field(default=None, init=False)
    prompts: Any = field(default=None, init=False)
    negative_prompts: Any = field(default=None, init=False)
    seeds: Any = field(default=None, init=False)
    subseeds: Any = field(default=None, init=False)
    extra_network_data: Any = field(default=None, init=False)
    user: str | None = field(default=None, init=False)
    sd_model_name: str | None = field(default=None, init=False)
    sd_model_hash: str | None = field(default=None, init=False)
    sd_vae_name: str | None = field(default=None, init=False)
    sd_vae_hash: str | None = field(default=None, init=False)
    is_api: bool = field(default=False, init=False)

    token_merging_ratio = 0.0
    token_merging_ratio_hr = 0.0
    cached_uc = [None, None]
    cached_c = [None, None]

    def __post_init__(self) -> None:
        if self.sampler_index is not None:
            print("sampler_index has no effect; sampler_name says which sampler", file=sys.stderr)
        self.comments = {}
        self.styles = self.styles or []
        self.extra_generation_params = self.extra_generation_params or {}
        self.override_settings = self.override_settings or {}
        self.script_args = self.script_args or []
        self.sampler_noise_scheduler_override: Any = None
        self.refiner_checkpoint_info: Any = None
        if not self.seed_enable_extras:
            self.subseed, self.subseed_strength = -1, 0
            self.seed_resize_from_h = self.seed_resize_from_w = 0
        self.cached_uc = StableDiffusionProcessing.cached_uc
        self.cached_c = StableDiffusionProcessing.cached_c

    def fill_fields_from_opts(self) -> None:
        """Take from the settings what was not asked for; a missing `s_tmax` is infinite."""
        for name in ("s_min_uncond", "s_churn", "s_tmin", "s_tmax", "s_noise"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(opts, name))
        self.s_tmax = self.s_tmax or float("inf")

    @property
    def scripts(self) -> Any:
        """The tab's script runner; once it and the arguments are there, the scripts' `setup` runs."""
        return self.scripts_value

    @scripts.setter
    def scripts(self, value: Any) -> None:
        self.scripts_value = value
        self._setup_scripts_once()

    @property
    def script_args(self) -> Any:
        """The values of all scripts' components, the dropdown's first."""
        return self.script_args_value

    @script_args.setter
    def script_args(self, value: Any) -> None:
        self.script_args_value = value
        self._setup_scripts_once()

    def _setup_scripts_once(self) -> None:
        if self.scripts_value and self.script_args_value and not self.scripts_setup_complete:
            self.setup_scripts()

    def setup_scripts(self) -> None:
        """Let the scripts set up this run."""
        self.scripts_setup_complete = True
        self.scripts.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text: str) -> None:
        """Say something to the person under the result; the same text is said once."""
        self.comments[text] = 1

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Prepare for all batches."""

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: list[int],
        subseeds: list[int],
        subseed_strength: float,
        prompts: list[str],
    ) -> Any:
        """Make the samples of one batch, `(b, 4, h/8, w/8)`."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what is large. Called when the run's owner is done with it."""
        self.sampler = None
        self.c = self.uc = None
        if not opts.persistent_cond_cache:
            StableDiffusionProcessing.cached_c = [None, None]
            StableDiffusionProcessing.cached_uc = [None, None]

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The ratio for the first or the hires pass: this run's, else the settings'."""
        first = self.token_merging_ratio or opts.token_merging_ratio
        return (self.token_merging_ratio_hr or opts.token_merging_ratio_hr or first) if for_hr else first

    def setup_prompts(self) -> None:
        """Make the lists of all prompts, one for each picture, with styles.

        Raises:
            RuntimeError: there are not as many negative prompts as prompts.
        """
        prompts, negatives = self.prompt, self.negative_prompt
        if not isinstance(prompts, list):
            prompts = [prompts] * (len(negatives) if isinstance(negatives, list) else self.batch_size * self.n_iter)
        if not isinstance(negatives, list):
            negatives = [negatives] * len(prompts)
        if len(prompts) != len(negatives):
            raise RuntimeError(f"There are {len(prompts)} prompts and {len(negatives)} negative prompts.")
        self.all_prompts, self.all_negative_prompts = self._styled(prompts, negatives)
        self.main_prompt, self.main_negative_prompt = self.all_prompts[0], self.all_negative_prompts[0]

    def _styled(self, prompts: list[str], negatives: list[str]) -> tuple[list[str], list[str]]:
        styles = shared.prompt_styles
        return (
            [styles.apply_styles_to_prompt(prompt, self.styles) for prompt in prompts],
            [styles.apply_negative_styles_to_prompt(prompt, self.styles) for prompt in negatives],
        )

    def batch_slice(self, values: Sequence[Any], iteration: int | None = None) -> list[Any]:
        """Those of the values that belong to one batch (the running one)."""
        start = (self.iteration if iteration is None else iteration) * self.batch_size
        return list(values[start : start + self.batch_size])

    def cached_params(
        self,
        required_prompts: Any,
        steps: int,
        extra_network_data: Any,
        hires_steps: int | None = None,
        use_old_scheduling: bool = False,
    ) -> tuple[Any, ...]:
        """Everything that a conditioning depends on."""
        return (
            required_prompts,
            steps,
            hires_steps,
            use_old_scheduling,
            opts.CLIP_stop_at_last_layers,
            shared.sd_model.sd_checkpoint_info,
            extra_network_data,
            opts.sdxl_crop_left,
            opts.sdxl_crop_top,
            self.width,
            self.height,
            opts.fp8_storage,
            opts.cache_fp16_weight,
            opts.emphasis,
        )

    def get_conds_with_caching(
        self,
        function: Callable[..., Any],
        required_prompts: Any,
        steps: int,
        caches: list[Cache],
        extra_network_data: Any,
        hires_steps: int | None = None,
    ) -> Any:
        """The conditioning of the prompts: from the first cache that has it, else made and kept in the first cache.

        Args:
            function: `f(model, prompts, steps, hires_steps, use_old_scheduling)`.
            caches: `[made from, conditioning]` each.
        """
        old = opts.use_old_scheduling
        if old and self._schedules(required_prompts, steps, hires_steps) is not None:
            self.extra_generation_params["Old prompt editing timelines"] = True
        made_from = self.cached_params(required_prompts, steps, extra_network_data, hires_steps, old)
        for cache in caches:
            if cache[0] is not None and cache[0] == made_from:
                return cache[1]
        with devices.autocast():
            caches[0][1] = function(shared.sd_model, required_prompts, steps, hires_steps, old)
        caches[0][0] = made_from
        return caches[0][1]

    def _schedules(self, prompts: Any, steps: int, hires_steps: int | None) -> Any:
        """The prompts' timelines by the old rule if it makes any difference, else None."""
        rule = prompt_parser.get_learned_conditioning_prompt_schedules
        old, new = (rule(prompts, steps, hires_steps, flag) for flag in (False, True))
        return old if old != new else None

    def setup_conds(self) -> None:
        """Make the conditionings of the running batch."""
        size = {"width": self.width, "height": self.height}
        prompts = prompt_parser.SdConditioning(self.prompts, **size)
        negatives = prompt_parser.SdConditioning(self.negative_prompts, is_negative_prompt=True, **size)
        config = sd_samplers.find_sampler_config(self.sampler_name)
        total = config.total_steps(self.steps) if config else self.steps
        self.step_multiplier = total // self.steps
        self.firstpass_steps = total
        networks = self.extra_network_data
        self.uc = self.get_conds_with_caching(
            prompt_parser.get_learned_conditioning, negatives, total, [self.cached_uc], networks
        )
        self.c = self.get_conds_with_caching(
            prompt_parser.get_multicond_learned_conditioning, prompts, total, [self.cached_c], networks
        )

    def get_conds(self) -> tuple[Any, Any]:
        """The conditionings in use: cond, uncond."""
        return self.c, self.uc

    def parse_extra_network_prompts(self) -> None:
        """Take `<lora:...>` and the like out of the batch's prompts; those of the first prompt count."""
        self.prompts, self.extra_network_data = extra_networks.parse_prompts(self.prompts)

    def save_samples(self) -> bool:
        """Whether finished pictures go to disk."""
        complete = opts.save_incomplete_images or not (state.interrupted or state.skipped)
        return bool(opts.samples_save and not self.do_not_save_samples and complete)


# A property in the class's body would become the field's default; the argument is accepted and ignored.
StableDiffusionProcessing.sd_model = property(  # type: ignore[assignment]
    lambda self: shared.sd_model, lambda self, value: None, doc="The checkpoint in use now."
)


def get_fixed_seed(seed: Any) -> Any:
    """The seed as a number; a random one for -1, nothing, or text that is no number."""
    if isinstance(seed, str):
        seed = int(seed) if seed.strip().lstrip("-").isdigit() else -1
    return random.randrange(4294967294) if seed is None or seed == -1 else seed


def fix_seed(p: StableDiffusionProcessing) -> None:
    """Make both seeds of a run numbers."""
    p.seed = get_fixed_seed(p.seed)
    p.subseed = get_fixed_seed(p.subseed)
