"""A digest of what a unit looks at, by which a run that broke off knows its own pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from motion_module.webui.controlnet.units import Files, Unit, listed
from motion_module.webui.request.file_states import states_of

_PICTURES = ("image", "mask", "mask_image", "ipadapter_input", "effective_region_mask")  # of ControlNet's unit


def digest_of(unit: Unit, source: Files | None) -> str:
    """SHA-256 of a unit's pictures and masks, and of names, sizes and times of the files in its folder.

    The frames of the request's video and the pictures of img2img are not its own, and not in it.

    Args:
        unit: an enabled one.
        source: the pictures that change from frame to frame; None where one picture counts for all.
    """
    digest = hashlib.sha256(f"{unit.number}".encode())
    if source is None:
        for name in _PICTURES:
            _feed(digest, [name, getattr(unit.settings, name, None)])
    elif unit.has_folder:
        masks = listed(source.masks, f"mask: of ControlNet unit {unit.number}") if source.masks else ()
        files = (file for file in source.files if isinstance(file, Path))
        _feed(digest, [states_of(files), states_of(masks), source.keyframes])
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Add a value whole: pictures as arrays, tensors, PIL's or base64, and what holds them."""
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    if isinstance(value, Image.Image):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif isinstance(value, Mapping):
        _feed(digest, [item for name in sorted(value, key=str) for item in (name, value[name])])
    elif isinstance(value, (list, tuple)):
        for item in (len(value), *value):
            _feed(digest, item)
    elif isinstance(value, (str, bytes, int, float)) or value is None:
        digest.update(f"{value!r};".encode("utf8", "surrogatepass"))
