"""Text to image, with or without a second pass at a higher resolution."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from modules import devices, extra_networks, images, prompt_parser, rng, sd_models, sd_samplers, shared
from modules.processing_base import StableDiffusionProcessing, opt_f
from modules.processing_hires import old_hires_fix_first_pass_dimensions, target_of
from modules.processing_infotext import create_infotext
from modules.sd_samplers_common import approximation_indexes, decode_first_stage, images_tensor_to_samples
from modules.shared import opts, state

SAME_CHECKPOINT = "Use same checkpoint"


def other_than(name: str, all_texts: str) -> Any:
    """An infotext entry: the picture's text in `p.all_texts`, unless it equals the one named `name`."""

    def entry(p: Any, index: int, **context: Any) -> str | None:
        text = getattr(p, all_texts)[index]
        return text if text != context[name] else None

    return entry


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """A txt2img run; `enable_hr` asks for the second pass."""

    enable_hr: bool = False
    denoising_strength: float = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: Any = ""
    hr_negative_prompt: Any = ""
    force_task_id: str | None = None

    hr_checkpoint_info: Any = field(default=None, init=False)
    hr_upscale_to_x: int = field(default=0, init=False)
    hr_upscale_to_y: int = field(default=0, init=False)
    truncate_x: int = field(default=0, init=False)
    truncate_y: int = field(default=0, init=False)
    applied_old_hires_behavior_to: tuple[int, int] | None = field(default=None, init=False)
    latent_scale_mode: dict[str, Any] | None = field(default=None, init=False)
    hr_c: Any = field(default=None, init=False)
    hr_uc: Any = field(default=None, init=False)
    all_hr_prompts: Any = field(default=None, init=False)
    all_hr_negative_prompts: Any = field(default=None, init=False)
    hr_prompts: Any = field(default=None, init=False)
    hr_negative_prompts: Any = field(default=None, init=False)
    hr_extra_network_data: Any = field(default=None, init=False)

    cached_hr_uc = [None, None]
    cached_hr_c = [None, None]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.firstphase_width or self.firstphase_height:
            self.hr_upscale_to_x, self.hr_upscale_to_y = self.width, self.height
            self.width, self.height = self.firstphase_width, self.firstphase_height
        self.cached_hr_uc = StableDiffusionProcessingTxt2Img.cached_hr_uc
        self.cached_hr_c = StableDiffusionProcessingTxt2Img.cached_hr_c

    def calculate_target_resolution(self) -> None:
        """Find the second pass's size and note in the infotext what was asked for."""
        if opts.use_old_hires_fix_width_height and self.applied_old_hires_behavior_to != (self.width, self.height):
            self.hr_resize_x, self.hr_resize_y = self.width, self.height
            self.width, self.height = old_hires_fix_first_pass_dimensions(self.width, self.height)
            self.applied_old_hires_behavior_to = (self.width, self.height)
        if self.hr_resize_x or self.hr_resize_y:
            self.extra_generation_params["Hires resize"] = f"{self.hr_resize_x}x{self.hr_resize_y}"
        else:
            self.extra_generation_params["Hires upscale"] = self.hr_scale
        target = target_of(self.width, self.height, self.hr_scale, self.hr_resize_x, self.hr_resize_y, opt_f)
        self.hr_upscale_to_x, self.hr_upscale_to_y, self.truncate_x, self.truncate_y = target

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Prepare the second pass.

        Raises:
            ValueError: there is no such checkpoint or upscaler.
        """
        if not self.enable_hr:
            return
        params = self.extra_generation_params
        params["Denoising strength"] = self.denoising_strength
        self._find_hires_checkpoint()
        if self.hr_sampler_name is not None and self.hr_sampler_name != self.sampler_name:
            params["Hires sampler"] = self.hr_sampler_name
        params["Hires prompt"] = other_than("prompt_text", "all_hr_prompts")
        params["Hires negative prompt"] = other_than("negative_prompt", "all_hr_negative_prompts")
        params["Hires schedule type"] = None  # the sampler fills it in
        if self.hr_scheduler is None:
            self.hr_scheduler = self.scheduler
        self._find_upscaler()
        self.calculate_target_resolution()
        self._count_both_passes()
        if self.hr_second_pass_steps:
            params["Hires steps"] = self.hr_second_pass_steps
        if self.hr_upscaler is not None:
            params["Hires upscaler"] = self.hr_upscaler

    def _find_hires_checkpoint(self) -> None:
        if not self.hr_checkpoint_name or self.hr_checkpoint_name == SAME_CHECKPOINT:
            return
        self.hr_checkpoint_info = sd_models.get_closet_checkpoint_match(self.hr_checkpoint_name)
        if self.hr_checkpoint_info is None:
            raise ValueError(f"Could not find checkpoint with name {self.hr_checkpoint_name}")
        self.extra_generation_params["Hires checkpoint"] = self.hr_checkpoint_info.short_title

    def _find_upscaler(self) -> None:
        """Latent upscalers have a mode; the others enlarge the decoded picture."""
        name = shared.latent_upscale_default_mode if self.hr_upscaler is None else self.hr_upscaler
        self.latent_scale_mode = shared.latent_upscale_modes.get(name)
        if self.latent_scale_mode is None and all(known.name != name for known in shared.sd_upscalers):
            raise ValueError(f"could not find upscaler named {name}")

    def _count_both_passes(self) -> None:
        if state.processing_has_refined_job_count:
            return
        if state.job_count == -1:
            state.job_count = self.n_iter
        second = self.hr_second_pass_steps or self.steps
        first = 0 if getattr(self, "txt2img_upscale", False) else self.steps
        shared.total_tqdm.updateTotal((first + second) * state.job_count)
        state.job_count *= 2
        state.processing_has_refined_job_count = True

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: list[int],
        subseeds: list[int],
        subseed_strength: float,
        prompts: list[str],
    ) -> Any:
        """Latents of the batch; with a second pass, decoded pictures."""
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        decoded = None
        if self.firstpass_image is not None and self.enable_hr:
            samples, decoded = self._samples_of_given_picture()
        else:
            samples = self._first_pass(conditioning, unconditional_conditioning)
            if not self.enable_hr:
                return samples
            devices.torch_gc()
            if self.latent_scale_mode is None:
                pictures = self._decoded(samples)
                decoded = torch.stack(pictures).float()
        with sd_models.SkipWritingToConfig():
            sd_models.reload_model_weights(info=self.hr_checkpoint_info)
        return self.sample_hr_pass(samples, decoded, seeds, subseeds, subseed_strength, prompts)

    def _first_pass(self, c: Any, uc: Any) -> torch.Tensor:
        x = self.rng.next()
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(p=self, x=x, noise=x, c=c, uc=uc)
        return self.sampler.sample(self, x, c, uc, image_conditioning=self.txt2img_image_conditioning(x))

    def _samples_of_given_picture(self) -> tuple[Any, Any]:
        """The picture that takes the place of the first pass: (latents, None) or (None, decoded in -1..1)."""
        pixels = torch.from_numpy(images.to_array(self.firstpass_image)[None])
        if self.latent_scale_mode is None:
            return None, pixels * 2.0 - 1.0
        pixels = pixels.to(shared.device, dtype=devices.dtype_vae)
        method = approximation_indexes.get(opts.sd_vae_encode_method)
        return images_tensor_to_samples(pixels, method, self.sd_model), None

    def sample_hr_pass(
        self,
        samples: Any,
        decoded_samples: Any,
        seeds: list[int],
        subseeds: list[int],
        subseed_strength: float,
        prompts: list[str],
    ) -> Any:
        """The second pass: enlarge, add noise, sample again, decode. After an interrupt the first pass's latents."""
        if state.interrupted:
            return samples
        self.is_hr_pass = True
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name, self.sd_model)
        if self.latent_scale_mode is not None:
            samples, image_conditioning = self._enlarged_latents(samples)
        else:
            samples, image_conditioning = self._enlarged_pictures(decoded_samples)
        state.nextjob()
        samples = self._cut(samples)
        self.rng = rng.ImageRNG(
            samples.shape[1:],
            self.seeds,
            subseeds=self.subseeds,
            subseed_strength=self.subseed_strength,
            seed_resize_from_h=self.seed_resize_from_h,
            seed_resize_from_w=self.seed_resize_from_w,
        )
        noise = self.rng.next()
        devices.torch_gc()
        return self._second_pass(samples, noise, image_conditioning)

    def _second_pass(self, samples: torch.Tensor, noise: torch.Tensor, image_conditioning: Any) -> Any:
        with devices.autocast():
            if not self.disable_extra_networks:
                extra_networks.activate(self, self.hr_extra_network_data)
            self.calculate_hr_conds()
        sd_models.apply_token_merging(self.sd_model, self.get_token_merging_ratio(for_hr=True))
        if self.scripts is not None:
            self.scripts.before_hr(self)
            self.scripts.process_before_every_sampling(p=self, x=samples, noise=noise, c=self.hr_c, uc=self.hr_uc)
        steps = self.hr_second_pass_steps or self.steps
        samples = self.sampler.sample_img2img(
            self, samples, noise, self.hr_c, self.hr_uc, steps=steps, image_conditioning=image_conditioning
        )
        sd_models.apply_token_merging(self.sd_model, self.get_token_merging_ratio())
        self.sampler = None
        devices.torch_gc()
        decoded = self._decoded(samples)
        self.is_hr_pass = False
        return decoded

    def _decoded(self, samples: torch.Tensor) -> Any:
        from modules import processing  # under whose name others replace this; in the WebUI all of it is one module

        return processing.decode_latent_batch(self.sd_model, samples, target_device=devices.cpu, check_for_nans=True)

    def _enlarged_latents(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for index in range(samples.shape[0]):
            self._save_before_hires(samples, index)
        size = (self.hr_upscale_to_y // opt_f, self.hr_upscale_to_x // opt_f)
        samples = torch.nn.functional.interpolate(samples, size=size, **self.latent_scale_mode)
        if getattr(self, "inpainting_mask_weight", opts.inpainting_mask_weight) < 1.0:
            return samples, self.img2img_image_conditioning(decode_first_stage(self.sd_model, samples), samples)
        return samples, self.txt2img_image_conditioning(samples)

    def _enlarged_pictures(self, decoded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        large = []
        for index, sample in enumerate(torch.clamp((decoded + 1.0) / 2.0, min=0.0, max=1.0)):
            picture = images.to_picture(sample)
            self._save_before_hires(picture, index)
            size = self.hr_upscale_to_x, self.hr_upscale_to_y
            large.append(images.to_array(images.resize_image(0, picture, *size, upscaler_name=self.hr_upscaler)))
        pixels = torch.from_numpy(np.array(large)).to(shared.device, dtype=devices.dtype_vae)
        samples = images_tensor_to_samples(pixels, approximation_indexes.get(opts.sd_vae_encode_method))
        return samples, self.img2img_image_conditioning(pixels, samples)

    def _cut(self, samples: torch.Tensor) -> torch.Tensor:
        """The middle, where more than the wanted size was made."""
        top, left = self.truncate_y // 2, self.truncate_x // 2
        bottom = samples.shape[2] - (self.truncate_y + 1) // 2
        right = samples.shape[3] - (self.truncate_x + 1) // 2
        return samples[:, :, top:bottom, left:right]

    def _save_before_hires(self, picture: Any, index: int) -> None:
        """Save a first-pass picture (or one of the latents) if the settings ask for it."""
        if not self.save_samples() or not opts.save_images_before_highres_fix:
            return
        if not isinstance(picture, Image.Image):
            picture = sd_samplers.sample_to_image(picture, index, approximation=0)
        info = create_infotext(
            self, self.all_prompts, self.all_seeds, self.all_subseeds, iteration=self.iteration, position_in_batch=index
        )
        images.save_image(
            picture,
            self.outpath_samples,
            "",
            self.seeds[index],
            self.prompts[index],
            opts.samples_format,
            info=info,
            p=self,
            suffix="-before-highres-fix",
        )

    def close(self) -> None:
        """Let go of what is large, of both passes."""
        super().close()
        self.hr_c = self.hr_uc = None
        if not opts.persistent_cond_cache:
            StableDiffusionProcessingTxt2Img.cached_hr_uc = [None, None]
            StableDiffusionProcessingTxt2Img.cached_hr_c = [None, None]

    def setup_prompts(self) -> None:
        """Make the lists of prompts of both passes; an empty hires prompt is the first pass's."""
        super().setup_prompts()
        if not self.enable_hr:
            return
        if self.hr_prompt == "":
            self.hr_prompt = self.prompt
        if self.hr_negative_prompt == "":
            self.hr_negative_prompt = self.negative_prompt
        count = self.batch_size * self.n_iter
        lists = [
            prompts if isinstance(prompts, list) else [prompts] * count
            for prompts in (self.hr_prompt, self.hr_negative_prompt)
        ]
        self.all_hr_prompts, self.all_hr_negative_prompts = self._styled(*lists)

    def calculate_hr_conds(self) -> None:
        """Make the second pass's conditionings, unless they are there."""
        if self.hr_c is not None:
            return
        size = {"width": self.hr_upscale_to_x, "height": self.hr_upscale_to_y}
        prompts = prompt_parser.SdConditioning(self.hr_prompts, **size)
        negatives = prompt_parser.SdConditioning(self.hr_negative_prompts, is_negative_prompt=True, **size)
        config = sd_samplers.find_sampler_config(self.hr_sampler_name or self.sampler_name)
        steps = self.hr_second_pass_steps or self.steps
        total = config.total_steps(steps) if config else steps
        networks, first = self.hr_extra_network_data, self.firstpass_steps
        self.hr_uc = self.get_conds_with_caching(
            prompt_parser.get_learned_conditioning,
            negatives,
            first,
            [self.cached_hr_uc, self.cached_uc],
            networks,
            total,
        )
        self.hr_c = self.get_conds_with_caching(
            prompt_parser.get_multicond_learned_conditioning,
            prompts,
            first,
            [self.cached_hr_c, self.cached_c],
            networks,
            total,
        )

    def setup_conds(self) -> None:
        """Make the conditionings of the running pass."""
        if self.is_hr_pass:  # asked for by the refiner, for its own model
            self.hr_c = None
            self.calculate_hr_conds()
            return
        super().setup_conds()
        self.hr_uc = self.hr_c = None
        if self.enable_hr and self.hr_checkpoint_info is None and opts.hires_fix_use_firstpass_conds:
            self.calculate_hr_conds()

    def get_conds(self) -> tuple[Any, Any]:
        """The conditionings of the running pass: cond, uncond."""
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()

    def parse_extra_network_prompts(self) -> None:
        """Take the networks' tags out of the batch's prompts of both passes."""
        super().parse_extra_network_prompts()
        if self.enable_hr:
            self.hr_negative_prompts = self.batch_slice(self.all_hr_negative_prompts)
            prompts = self.batch_slice(self.all_hr_prompts)
            self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(prompts)
