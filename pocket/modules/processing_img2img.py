"""Image to image, and inpainting."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from modules import devices, errors, images, masking, sd_samplers, shared
from modules.processing_base import StableDiffusionProcessing, opt_f
from modules.processing_decode import create_random_tensors
from modules.processing_overlay import create_binary_mask
from modules.script_base import MaskBlendArgs
from modules.sd_hijack import model_hijack
from modules.sd_samplers_common import approximation_indexes, images_tensor_to_samples
from modules.shared import opts

RESIZE_LATENT = 3
"""Resize mode that encodes the picture as it is and resizes the latents."""

FILL, ORIGINAL, LATENT_NOISE, LATENT_NOTHING = range(4)
"""What is under the mask at the start."""

EMPTY_MASK = 'Unable to perform "Inpaint Only mask" because mask is blank, switch to img2img mode.'


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """An img2img run; with a mask, only what is white in it changes."""

    init_images: Any = None
    resize_mode: int = 0
    denoising_strength: float = 0.75
    image_cfg_scale: float | None = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Image.Image | None = None
    force_task_id: str | None = None

    image_mask: Any = field(default=None, init=False)
    nmask: Any = field(default=None, init=False)
    image_conditioning: Any = field(default=None, init=False)
    init_img_hash: str | None = field(default=None, init=False)
    mask_for_overlay: Any = field(default=None, init=False)
    init_latent: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.image_mask = self.mask
        self.mask = None
        if self.initial_noise_multiplier is None:
            self.initial_noise_multiplier = opts.initial_noise_multiplier

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Encode the pictures and prepare the mask.

        Raises:
            ValueError: there is no picture.
            RuntimeError: there are more pictures than places in a batch.
            NotModelledError: colour correction is asked for.
        """
        if not self.init_images or any(picture is None for picture in self.init_images):
            raise ValueError("There is no picture to start from.")
        if opts.img2img_color_correction:
            raise errors.NotModelledError("Colour correction of img2img is not supported by this host.")
        self.extra_generation_params["Denoising strength"] = self.denoising_strength
        self.image_cfg_scale = self.image_cfg_scale if shared.sd_model.cond_stage_key == "edit" else None
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        image_mask, crop_region = self._prepare_mask()
        latent_mask = self.latent_mask if self.latent_mask is not None else image_mask
        pictures = [self._prepare_picture(img, image_mask, latent_mask, crop_region) for img in self.init_images]
        pixels = torch.from_numpy(self._batch(pictures)).to(shared.device, dtype=devices.dtype_vae)
        method = approximation_indexes.get(opts.sd_vae_encode_method)
        self.init_latent = images_tensor_to_samples(pixels, method, self.sd_model)
        devices.torch_gc()
        if self.resize_mode == RESIZE_LATENT:
            size = (self.height // opt_f, self.width // opt_f)
            self.init_latent = torch.nn.functional.interpolate(self.init_latent, size=size, mode="bilinear")
        if image_mask is not None:
            self._mask_latents(latent_mask, all_seeds)
        self.image_conditioning = self.img2img_image_conditioning(
            pixels * 2 - 1, self.init_latent, image_mask, self.mask_round
        )

    def _prepare_mask(self) -> tuple[Image.Image | None, masking.Box | None]:
        """The mask in the run's size, and the part of the picture it is about if only that is worked on."""
        if self.image_mask is None:
            return None, None
        mask = self._blurred_mask(create_binary_mask(self.image_mask, round=self.mask_round))
        self.overlay_images = []
        if self.inpaint_full_res:
            return self._crop_to_mask(mask)
        mask = images.resize_image(self.resize_mode, mask, self.width, self.height)
        doubled = np.clip(np.array(mask).astype(np.float32) * 2, 0, 255).astype(np.uint8)
        self.mask_for_overlay = Image.fromarray(doubled)
        return mask, None

    def _blurred_mask(self, mask: Image.Image) -> Image.Image:
        if self.inpainting_mask_invert:
            mask = ImageOps.invert(mask)
            self.extra_generation_params["Mask mode"] = "Inpaint not masked"
        if self.mask_blur_x > 0 or self.mask_blur_y > 0:
            mask = masking.blur_mask(mask, self.mask_blur_x, self.mask_blur_y)
            self.extra_generation_params["Mask blur"] = self.mask_blur
        return mask

    def _crop_to_mask(self, mask: Image.Image) -> tuple[Image.Image | None, masking.Box | None]:
        grey = mask.convert("L")
        found = masking.get_crop_region_v2(grey, self.inpaint_full_res_padding)
        if found is None:
            self.inpaint_full_res = False
            model_hijack.comments.append(EMPTY_MASK)
            return None, None
        region = masking.expand_crop_region(found, self.width, self.height, grey.width, grey.height)
        left, top, right, bottom = region
        self.mask_for_overlay = mask
        self.paste_to = (left, top, right - left, bottom - top)
        self.extra_generation_params["Inpaint area"] = "Only masked"
        self.extra_generation_params["Masked area padding"] = self.inpaint_full_res_padding
        return images.resize_image(2, grey.crop(region), self.width, self.height), region

    def _prepare_picture(
        self, img: Image.Image, image_mask: Any, latent_mask: Any, crop_region: masking.Box | None
    ) -> np.ndarray:
        """The picture as it is encoded, (3, h, w) in 0..1; keeps what will be laid over the result."""
        if opts.save_init_img:
            self._save_init(img)
        picture = images.flatten(img, opts.img2img_background_color)
        if crop_region is None and self.resize_mode != RESIZE_LATENT:
            picture = images.resize_image(self.resize_mode, picture, self.width, self.height)
        if image_mask is not None:
            self.overlay_images.append(self._overlay_of(picture))
        if crop_region is not None:
            picture = images.resize_image(2, picture.crop(crop_region), self.width, self.height)
        if image_mask is not None and self.inpainting_fill != ORIGINAL:
            picture = masking.fill(picture, latent_mask)
            if self.inpainting_fill == FILL:
                self.extra_generation_params["Masked content"] = "fill"
        return images.to_array(picture)

    def _save_init(self, img: Image.Image) -> None:
        self.init_img_hash = hashlib.md5(img.tobytes()).hexdigest()
        images.save_image(
            img,
            opts.outdir_init_images,
            None,
            forced_filename=self.init_img_hash,
            save_to_dirs=False,
            existing_info=img.info,
        )

    def _overlay_of(self, picture: Image.Image) -> Image.Image:
        """The picture with a hole where the mask is."""
        if self.mask_for_overlay.size != picture.size:
            self.mask_for_overlay = images.resize_image(self.resize_mode, self.mask_for_overlay, *picture.size)
        overlay = Image.new("RGBa", picture.size)
        kept = ImageOps.invert(self.mask_for_overlay.convert("L"))
        overlay.paste(picture.convert("RGBA").convert("RGBa"), mask=kept)
        return overlay.convert("RGBA")

    def _batch(self, pictures: list[np.ndarray]) -> np.ndarray:
        """One picture for all places of the batch, or one for each (which makes the batch that large)."""
        if len(pictures) == 1:
            if self.overlay_images is not None:
                self.overlay_images = self.overlay_images * self.batch_size
            return np.expand_dims(pictures[0], axis=0).repeat(self.batch_size, axis=0)
        if len(pictures) > self.batch_size:
            raise RuntimeError(f"bad number of images passed: {len(pictures)}; expecting {self.batch_size} or less")
        self.batch_size = len(pictures)
        return np.array(pictures)

    def _mask_latents(self, latent_mask: Image.Image, all_seeds: list[int]) -> None:
        """Make `mask` (1 where the original stays) and `nmask`, (4, h/8, w/8), and clear what is under the mask."""
        count, channels, rows, columns = self.init_latent.shape
        small = np.array(latent_mask.convert("RGB").resize((columns, rows)), dtype=np.float32)[..., 0] / 255
        small = np.tile((np.around(small) if self.mask_round else small)[None], (channels, 1, 1))
        self.mask = torch.asarray(1.0 - small).to(shared.device).type(devices.dtype)
        self.nmask = torch.asarray(small).to(shared.device).type(devices.dtype)
        if self.inpainting_fill == LATENT_NOISE:
            noise = create_random_tensors(self.init_latent.shape[1:], all_seeds[:count])
            self.init_latent = self.init_latent * self.mask + noise * self.nmask
            self.extra_generation_params["Masked content"] = "latent noise"
        elif self.inpainting_fill == LATENT_NOTHING:
            self.init_latent = self.init_latent * self.mask
            self.extra_generation_params["Masked content"] = "latent nothing"

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: list[int],
        subseeds: list[int],
        subseed_strength: float,
        prompts: list[str],
    ) -> torch.Tensor:
        """Latents of the batch; outside the mask they are the original's."""
        x = self.rng.next()
        if self.initial_noise_multiplier != 1.0:
            self.extra_generation_params["Noise multiplier"] = self.initial_noise_multiplier
            x = x * self.initial_noise_multiplier
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(
                p=self, x=self.init_latent, noise=x, c=conditioning, uc=unconditional_conditioning
            )
        samples = self.sampler.sample_img2img(
            self,
            self.init_latent,
            x,
            conditioning,
            unconditional_conditioning,
            image_conditioning=self.image_conditioning,
        )
        if self.mask is not None:
            samples = self._blend(samples)
        devices.torch_gc()
        return samples

    def _blend(self, samples: torch.Tensor) -> torch.Tensor:
        blended = samples * self.nmask + self.init_latent * self.mask
        if self.scripts is None:
            return blended
        args = MaskBlendArgs(samples, self.nmask, self.init_latent, self.mask, blended)
        self.scripts.on_mask_blend(self, args)
        return args.blended_latent

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """This run's ratio, else the request's, else img2img's, else the settings'."""
        overridden = "token_merging_ratio" in self.override_settings and opts.token_merging_ratio
        return self.token_merging_ratio or overridden or opts.token_merging_ratio_img2img or opts.token_merging_ratio


def _get_mask_blur(p: StableDiffusionProcessingImg2Img) -> int | None:
    return p.mask_blur_x if p.mask_blur_x == p.mask_blur_y else None


def _set_mask_blur(p: StableDiffusionProcessingImg2Img, value: Any) -> None:
    if isinstance(value, int):
        p.mask_blur_x = p.mask_blur_y = value


# A property in the class's body would become the field's default.
StableDiffusionProcessingImg2Img.mask_blur = property(  # type: ignore[assignment]
    _get_mask_blur, _set_mask_blur, doc="Blur of the mask both ways, in pixels; None if they differ."
)
