"""Sizes and channels of control pictures."""

from collections.abc import Callable

import cv2
import numpy as np

from internal_controlnet.thinning import is_thin, peaks, thinned


def HWC3(picture: np.ndarray) -> np.ndarray:  # noqa: N802
    """Any (h, w) or (h, w, 1|3|4) uint8 as (h, w, 3); what is transparent becomes white."""
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
        raise ValueError(f"a picture of shape {picture.shape} and type {picture.dtype} is not one of 8 bits a channel")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    channels = picture.shape[2]
    if channels == 4:
        alpha = picture[:, :, 3:].astype(np.float32) / 255.0
        over_white = picture[:, :, :3].astype(np.float32) * alpha + 255.0 * (1.0 - alpha)
        return over_white.clip(0, 255).astype(np.uint8)
    if channels not in (1, 3):
        raise ValueError(f"a picture of {channels} channels")
    return np.repeat(picture, 3, axis=2) if channels == 1 else picture


def align_dim_latent(pixels: int) -> int:
    """The next smaller size that is a whole number of latents."""
    return pixels // 8 * 8


def resize_image_with_pad(
    picture: np.ndarray, resolution: int
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The picture with a shorter side of `resolution`, its last row and column repeated up to multiples of 64.

    Returns:
        it, and a function that takes a result of the same size and cuts the padding off.
    """
    height, width = picture.shape[:2]
    factor = float(resolution) / min(height, width)
    height, width = round(height * factor), round(width * factor)
    interpolation = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    resized = cv2.resize(HWC3(picture), (width, height), interpolation=interpolation)
    padded = np.pad(resized, [(0, -height % 64), (0, -width % 64), (0, 0)], mode="edge")
    return padded, lambda result: np.ascontiguousarray(result[:height, :width])


def pixel_perfect_resolution(picture: np.ndarray, target_H: int, target_W: int, outer_fit: bool) -> int:
    """The shorter side that a picture has once it is resized to the target."""
    height, width = picture.shape[:2]
    fit = min if outer_fit else max
    return round(fit(target_H / height, target_W / width) * min(height, width))


def resize_control(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A control picture (h, w, 3) in another size (width, height), kept binary, flat or thin if it was."""
    if picture.shape[:2] == size[::-1]:
        return picture
    shrinks, grows = (np.sign(size[0] * size[1] - picture.shape[0] * picture.shape[1]) == sign for sign in (-1, 1))
    colours = len(np.unique(picture.reshape(-1, 3), axis=0))
    binary = colours == 2 and picture.min() < 16 and picture.max() > 240
    smooth = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    interpolation = cv2.INTER_NEAREST if 2 < colours < 200 else smooth
    resized = cv2.resize(picture, size, interpolation=interpolation)
    if not binary:
        return resized
    grey = resized.astype(np.float32).mean(axis=2).clip(0, 255).astype(np.uint8)
    thin = is_thin(picture)
    grey = cv2.threshold(peaks(grey) if thin else grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return HWC3(thinned(grey, prune=bool(grows)) if thin else grey)
