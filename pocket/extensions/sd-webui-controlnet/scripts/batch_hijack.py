"""img2img's folder of pictures and a unit's own folder: both become one video when AnimateDiff is on."""

from __future__ import annotations

import contextlib
from typing import Any

from modules import errors, img2img, processing, script_callbacks
from scripts import external_code
from scripts.enums import InputMode

KEPT = "__controlnet_original_"
HIJACKED = ((img2img, "process_batch"), (processing, "process_images_inner"))


def animatediff_params(p: Any) -> Any:
    """AnimateDiff's argument of a run if it is there and on, else None."""
    try:
        from scripts.animatediff_utils import get_animatediff_arg
    except ImportError:
        return None
    params = get_animatediff_arg(p)
    return params if params and params.enable else None


def process_batch(p: Any, *args: Any, **kwargs: Any) -> Any:
    """img2img's batch tab: AnimateDiff's if it is on, else the host's own."""
    params = animatediff_params(p)
    if params is None:
        _refuse_batch_units(p)
    else:
        params.is_i2i_batch = True
        with contextlib.suppress(ImportError):
            from scripts.animatediff_i2ibatch import animatediff_i2i_batch

            return animatediff_i2i_batch(p, *args, **kwargs)
    return getattr(img2img, f"{KEPT}process_batch")(p, *args, **kwargs)


def process_images_inner(p: Any, *args: Any, **kwargs: Any) -> Any:
    """A run. A unit that cannot be read ends it here, unless AnimateDiff is on: then the script's hook meets it."""
    if animatediff_params(p) is None:
        _refuse_batch_units(p)
    return getattr(processing, f"{KEPT}process_images_inner")(p, *args, **kwargs)


def _refuse_batch_units(p: Any) -> None:
    units = external_code.get_all_units_in_processing(p)
    if any(unit.enabled and unit.input_mode is InputMode.BATCH for unit in units):
        raise errors.NotModelledError("A ControlNet unit with a folder, but without AnimateDiff, is not in this host.")


def do_hijack() -> None:
    """Put both functions in the place of the host's, once."""
    undo_hijack()
    for module, name in HIJACKED:
        setattr(module, KEPT + name, getattr(module, name))
        setattr(module, name, globals()[name])
    script_callbacks.on_script_unloaded(undo_hijack)


def undo_hijack() -> None:
    """Put the host's own back."""
    for module, name in HIJACKED:
        if hasattr(module, KEPT + name):
            setattr(module, name, getattr(module, KEPT + name))
            delattr(module, KEPT + name)
