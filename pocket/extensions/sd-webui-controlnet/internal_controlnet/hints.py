"""From a unit's picture to what its network sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from internal_controlnet.args import ControlNetUnit
from internal_controlnet.external_code import resize_mode_from_value
from internal_controlnet.pictures import HWC3, align_dim_latent, pixel_perfect_resolution, resize_control
from internal_controlnet.preprocessors import Preprocessor
from modules import devices, images, masking, shared
from modules.processing import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from scripts.enums import ResizeMode

FAINT, FULL = 5, 250
"""A mask that is nowhere above the one, or nowhere below the other, says nothing."""


@dataclass
class Hints:
    """What one unit's network sees.

    Attributes:
        first: (rows, 3, h, w) in 0..1.
        hires: the same in the size of hires fix's second pass, None without one.
        maps: the control pictures, (h, w, 3) uint8, to be shown.
    """

    first: torch.Tensor
    hires: torch.Tensor | None
    maps: list[np.ndarray] = field(default_factory=list)


def uses_hires_fix(p: Any) -> bool:
    """Whether the run has a second pass."""
    return isinstance(p, StableDiffusionProcessingTxt2Img) and bool(p.enable_hr)


def target_sizes(p: Any) -> list[tuple[int, int]]:
    """(height, width) in pixels of each pass."""
    sizes = [(p.height, p.width)]
    if uses_hires_fix(p):
        by_scale = p.hr_resize_x == 0 and p.hr_resize_y == 0
        scaled = (int(p.height * p.hr_scale), int(p.width * p.hr_scale))
        sizes.append(scaled if by_scale else (p.hr_resize_y, p.hr_resize_x))
    return [(align_dim_latent(height), align_dim_latent(width)) for height, width in sizes]


def take_batch(unit: ControlNetUnit, p: Any) -> None:
    """Give a unit the pictures of its folder: `batch_images` is the folder, then lines `mask:` and `keyframe:`."""
    folder, *lines = str(unit.batch_images).split("\n")
    for line in lines:
        if line.startswith("mask:"):
            unit.batch_mask_dir = line.removeprefix("mask:").strip()
        elif line.startswith("keyframe:"):
            unit.batch_keyframe_idx = [int(frame) for frame in line.removeprefix("keyframe:").split(",")]
    files = shared.listfiles(folder)
    for modifier in unit.batch_modifiers:
        files = modifier(files, p)
    masks: list[Any] = shared.listfiles(unit.batch_mask_dir) if unit.batch_mask_dir else [None]
    if len(masks) < len(files):
        masks = masks[:1] * len(files)
    unit.batch_image_files = files
    unit.image = [{"image": file, "mask": mask} for file, mask in zip(files, masks, strict=False)]


def _without_mask(picture: np.ndarray) -> np.ndarray:
    """(h, w, 3) of (h, w, 4): the mask where something is drawn on it, else the picture."""
    alpha = picture[:, :, 3]
    nothing = shared.opts.data.get("controlnet_ignore_noninpaint_mask", False)
    return picture[:, :, :3] if nothing or (alpha <= FAINT).all() or (alpha >= FULL).all() else HWC3(alpha)


def input_pictures(p: Any, unit: ControlNetUnit) -> tuple[list[np.ndarray], ResizeMode]:
    """The unit's pictures, else img2img's first with its resize mode: (h, w, 3) each.

    Raises:
        ValueError: there is none.
    """
    own = unit.get_input_images_rgba()
    if own is not None:
        return [_without_mask(picture) for picture in own], unit.resize_mode
    given = getattr(p, "init_images", None) or [None]
    if given[0] is None:
        raise ValueError("controlnet is enabled but no input image is given")
    return [HWC3(np.asarray(given[0]))], resize_mode_from_value(p.resize_mode)


def _blurred_mask(p: Any) -> Image.Image:
    mask = p.image_mask.convert("L")
    if p.inpainting_mask_invert:
        mask = ImageOps.invert(mask)
    return masking.blur_mask(mask, p.mask_blur_x, p.mask_blur_y)


def cropped_to_mask(p: Any, unit: ControlNetUnit, picture: np.ndarray, resize_mode: ResizeMode) -> np.ndarray:
    """The part of the picture that img2img makes anew when it inpaints only what is masked; else all of it."""
    only_masked = isinstance(p, StableDiffusionProcessingImg2Img) and p.inpaint_full_res and p.image_mask is not None
    if not only_masked or not unit.inpaint_crop_input_image:
        return picture
    mask = _blurred_mask(p)
    region = masking.get_crop_region(np.array(mask), p.inpaint_full_res_padding)
    region = masking.expand_crop_region(region, p.width, p.height, mask.width, mask.height)
    whole = images.resize_image(resize_mode.int_value(), Image.fromarray(picture), mask.width, mask.height)
    part = images.resize_image(ResizeMode.OUTER_FIT.int_value(), whole.crop(region), p.width, p.height)
    return np.asarray(part)


def fitted(picture: np.ndarray, mode: ResizeMode, size: tuple[int, int]) -> np.ndarray:
    """A control picture in the size (height, width), stretched, cropped, or filled up in the colour of its border."""
    height, width = size
    if mode is ResizeMode.RESIZE:
        return resize_control(picture, (width, height))
    inner = mode is ResizeMode.INNER_FIT
    factor = (max if inner else min)(height / picture.shape[0], width / picture.shape[1])
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    resized = resize_control(picture, (round(picture.shape[1] * factor), round(picture.shape[0] * factor)))
    top, left = (max(0, abs(target - now) // 2) for target, now in zip(size, resized.shape[:2], strict=True))
    if inner:
        return resized[top : top + height, left : left + width]
    filled = np.tile(np.median(edge, axis=0).astype(np.uint8), (height, width, 1))
    filled[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return filled


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    """(1, c, h, w) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture)).float().div(255.0).permute(2, 0, 1)[None].contiguous()


def make_hints(p: Any, unit: ControlNetUnit) -> Hints:
    """Read, prepare and resize the unit's pictures.

    A folder's frames stay on the CPU: cond rows for each frame, then the same for uncond if both go in one call.
    """
    if unit.is_animate_diff_batch:
        take_batch(unit, p)
    pictures, mode = input_pictures(p, unit)
    if not unit.is_animate_diff_batch:
        if len(pictures) > 1:
            raise ValueError(f"module {unit.module} takes one picture, not {len(pictures)}")
        pictures = [cropped_to_mask(p, unit, pictures[0], mode)]
    sizes = target_sizes(p)
    if unit.pixel_perfect:
        unit.processor_res = pixel_perfect_resolution(pictures[0], *sizes[0], outer_fit=mode is ResizeMode.OUTER_FIT)
    module = Preprocessor.get_preprocessor(unit.module)
    passes: list[list[torch.Tensor]] = [[] for _ in sizes]
    maps = []
    for picture in pictures:
        control = HWC3(module.code(picture, unit.processor_res, unit.threshold_a, unit.threshold_b))
        for number in reversed(range(len(sizes))):
            shown = fitted(control, mode, sizes[number])
            passes[number].append(as_tensor(shown))
            if unit.save_detected_map:
                maps.append(shown)
    tensors = [_for_frames(p, unit, made) for made in passes]
    return Hints(tensors[0], tensors[1] if len(tensors) > 1 else None, maps)


def _for_frames(p: Any, unit: ControlNetUnit, hints: list[torch.Tensor]) -> torch.Tensor:
    if len(hints) == 1:
        return hints[0] if unit.is_animate_diff_batch else hints[0].to(devices.get_device_for("controlnet"))
    frames = torch.cat(hints)
    if unit.batch_keyframe_idx is not None:
        spread = frames.new_zeros(p.batch_size, *frames.shape[1:])
        spread[unit.batch_keyframe_idx] = frames
        frames = spread
    return torch.cat([frames, frames]) if shared.opts.batch_cond_uncond else frames
