"""The checkpoints that a run will have, loaded or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modules import sd_models, shared
from motion_module.core.module.base_model import base_model_of
from motion_module.errors import CheckpointError, ParamError, UserError
from motion_module.webui.host_types import Processing, has_hires
from motion_module.webui.request import module_choice
from motion_module.webui.request.module_choice import Base, base_of
from motion_module.wording import either, names_text, value_text

_NO_REFINER = (None, "", "None", "none")
_SAME_CHECKPOINT = (None, "", "Use same checkpoint")
_REFINER = either("refiner_checkpoint", "the refiner's checkpoint")
_HIRES = either("hr_checkpoint_name", "the checkpoint of hires fix")


def base_of_run(overrides: dict[str, Any] | None = None) -> Base:
    """What the motion module of a run has to fit; nothing is loaded.

    Args:
        overrides: the run's `override_settings`. Like the host, a name in them that no checkpoint has is ignored.

    Raises:
        UserError: the checkpoint cannot be read.
        CheckpointError: there is none.
    """
    chosen = sd_models.checkpoint_aliases.get(str((overrides or {}).get("sd_model_checkpoint")))
    return _base_of(chosen or sd_models.get_closet_checkpoint_match(shared.opts.sd_model_checkpoint))


def check_later_checkpoints(p: Processing, model: str, listing: Mapping[str, Path]) -> None:
    """See that the motion module fits the checkpoints that the host changes to while it samples, too.

    Args:
        p: the host's processing object.
        model: the motion module as the request names it; "" is the first that fits.
        listing: the files that may be motion modules.

    Raises:
        ParamError: there is no such checkpoint, or no such module.
        UserError: it cannot be read, or is none that the module fits; the sentence names both.
    """
    later = later_bases(p)
    first = base_of_run(p.override_settings) if later else None
    if first is None or (first.unread and not model):  # nobody knows which module the run will take
        return
    module = module_choice.foreseen(model, listing, first)
    for base in later:
        module_choice.check_fits(module, base, listing)


def later_bases(p: Processing) -> list[Base]:
    """What the motion module has to fit besides the run's first checkpoint.

    Raises:
        ParamError: there is no such checkpoint.
        UserError: it cannot be read.
    """
    found = [(field, _found(field, name), used) for field, name, used in _later_names(p)]
    bases = [(field, _base_of(info)) for field, info, used in found if used]
    return [dataclasses.replace(base, called=f"{field} {base.title}") for field, base in bases]


def _later_names(p: Processing) -> Iterator[tuple[str, str, bool]]:
    """The checkpoints that a run names besides its first: the field in words, its value, and whether it is used."""
    hires, refiner = getattr(p, "hr_checkpoint_name", None), getattr(p, "refiner_checkpoint", None)
    if has_hires(p) and hires not in _SAME_CHECKPOINT:
        yield _HIRES, str(hires), True
    switch_at = getattr(p, "refiner_switch_at", None)
    if refiner not in _NO_REFINER:  # from 1 on the host never comes to it, but looks for it all the same
        yield _REFINER, str(refiner), switch_at is None or switch_at < 1


def _found(field: str, name: str) -> Any:
    """The checkpoint that the host takes for this name."""
    info = sd_models.get_closet_checkpoint_match(name)
    if info is None:
        allowed = names_text([each.title for each in sd_models.checkpoints_list.values()])
        raise ParamError(f"{field} is {value_text(name)}; allowed is one of {allowed}")
    return info


def _base_of(info: Any) -> Base:
    """What a checkpoint of the host's list is; None is the one that is loaded."""
    loaded = sd_models.model_data.sd_model
    if info is None or info.filename == getattr(getattr(loaded, "sd_checkpoint_info", None), "filename", None):
        return base_of(loaded)
    try:
        found = base_model_of(info.filename)
    except CheckpointError as error:
        raise UserError(f"the checkpoint {info.title} cannot be read; choose another") from error
    if found is None:
        unread = (
            f"{info.title} holds other Python objects than weights, which are not opened here: whether the motion "
            "module fits it shows only when the WebUI has loaded it"
        )
        return Base("", (), info.title, unread)
    return Base(*found, info.title)
