"""A unit of the ControlNet that is built into Forge.

Facts of Forge (dfdcbab): on its *Batch* tab a unit takes one picture of a folder for each picture of a batch, by the
names in the folder as `batch_modifiers` change them, and one mask of another folder. It reads files of four kinds, and
compares the control mode by its text alone. A client's words it hardly looks at: what is wrong fails much later.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from motion_module.errors import ParamError
from motion_module.webui.controlnet.spelling import (
    check_paths,
    faults_named,
    refused_model,
    says_mode,
    set_mode,
    spelled_out,
    texts_in,
)
from motion_module.webui.controlnet.units import Files, Unit
from motion_module.webui.host_types import Processing, is_img2img
from motion_module.webui.request.allowed_paths import permitted
from motion_module.webui.request.picture_files import PictureFiles
from motion_module.wording import mention, names_text, value_text

_OTHER_NAMES = {
    "input_image": "image",
    "mask": "mask_image",
    "guidance": "guidance_end",
    "threshold_A": "threshold_a",
    "threshold_B": "threshold_b",
}
_READ = (".png", ".jpg", ".jpeg", ".bmp")
_BATCH, _MERGE = "batch", "merge"
_RESIZED_LATENT = 3  # img2img's number, which Forge takes as well
_GALLERIES = ("batch_input_gallery", "batch_mask_gallery")
_log = logging.getLogger(__name__)
_LINES = "batch_images"  # the folder with its lines, as ControlNet's own extension has them in one field


@dataclass(frozen=True)
class ForgeUnit(Unit):
    """One unit, as Forge's ControlNet takes it."""

    hands_out_by_itself: ClassVar[bool] = True

    @property
    def has_picture(self) -> bool:
        """Also several ones, which it deals out by itself."""
        settings = self.settings
        if _mode(settings) == _MERGE:
            return bool(settings.batch_input_gallery)
        return _mode(settings) != _BATCH and (settings.image is not None or bool(settings.use_preview_as_input))

    @property
    def has_mask(self) -> bool:
        """In another field."""
        return getattr(self.settings, "mask_image", None) is not None

    @property
    def places_pictures(self) -> bool:
        """There are no SparseCtrl."""
        return False

    def takes_masks(self, source: Files) -> bool:
        """Also where its preprocessor says so."""
        return super().takes_masks(source) or "inpaint" in str(self.settings.module).lower()

    @property
    def takes_several(self) -> bool:
        """An IP-Adapter is given one picture for all frames."""
        return False

    def give(self, source: Files, frames: int, p: Processing, pictures: PictureFiles) -> None:
        """Hand the unit a file for each frame.

        Raises:
            ParamError: its pictures are for some frames only, which Forge's ControlNet cannot do.
        """
        if source.keyframes is not None:
            raise ParamError(
                f"keyframe: of ControlNet unit {self.number} does not work with Forge's ControlNet, which has one "
                f"picture for each frame; leave the line out"
            )
        settings = self.settings
        if _mode(settings) == "":
            raise ParamError(
                f"ControlNet unit {self.number} takes one picture for all frames in Forge Neo; give it one, or leave "
                f"{mention('video_path')} empty"
            )
        files = [_file_of(picture, pictures) for picture in source.taken(frames)]
        if isinstance(source.files[0], Image.Image) and is_img2img(p):
            settings.resize_mode = p.resize_mode
        set_mode(settings, batch=True)
        settings.save_detected_map = False  # there would be one more picture in the gallery for each frame
        settings.batch_image_dir = str(files[0].parent)
        settings.batch_mask_dir = source.masks if self.takes_masks(source) else ""
        settings.batch_modifiers = [lambda names, p: [str(file) for file in files]]

    def check_lines(self) -> None:
        """Refuse what Forge's ControlNet cannot do.

        Raises:
            ParamError: a line asks for a weight for each frame.
        """
        if self.lines.weighing:
            raise ParamError(
                f"{self.lines.weighing} of ControlNet unit {self.number} does not work with Forge's ControlNet yet; "
                f"leave the line out"
            )

    def check_taken(self, params: Any, source: Files | None) -> None:
        """See that a unit with a picture for each frame holds as many.

        Args:
            params: what Forge's ControlNet has made of the unit.
            source: where its pictures come from.

        Raises:
            ParamError: its preprocessor takes the first picture alone.
        """
        count = 0 if source is None else len(source.files)
        if count > 1 and not isinstance(params.control_cond, Tensor):
            raise ParamError(
                f"ControlNet unit {self.number} would take the first of its {count} pictures for all frames, because "
                f"its preprocessor {str(self.settings.module)[:80]} makes no pictures of them; give it a picture of "
                f"its own, or leave {mention('video_path')} empty"
            )


def read_forge_unit(external: Any, number: int, value: Any) -> Any:
    """One of the arguments as a unit, always a copy; None if it is none.

    Args:
        external: the `external_code` of Forge's ControlNet.
        number: which unit it is, from 0.
        value: a unit of the page, or the object of an API client.

    Raises:
        ParamError: a field is none of its own, or has a value that is not allowed; there is no such model.
    """
    if not isinstance(value, dict):
        return _settled(copy.copy(value), "", number) if hasattr(value, "enabled") else None
    default = external.ControlNetUnit()
    fields = {_OTHER_NAMES.get(name, name): item for name, item in spelled_out(default, value).items()}
    fields |= _picture_and_mask(fields.get("image"))
    fields.setdefault("enabled", bool(fields.get("model")))  # one that says nothing is none
    check_paths(fields, number)
    for name in _GALLERIES:
        for text in texts_in(fields.get(name)):
            permitted(f"{name} of ControlNet unit {number}", text)
    lines = fields.pop(_LINES, "")
    _check_choices(default, fields, number, [*getattr(external, "resize_mode_aliases", ()), _RESIZED_LATENT])
    unknown = sorted(fields.keys() - vars(default).keys())
    if unknown:
        _log.warning("Forge's ControlNet knows nothing of %s of unit %d", names_text(unknown), number)
    with faults_named(f"ControlNet unit {number} is not understood"):
        unit = external.ControlNetUnit.from_dict(fields)
    unit.model_fields_set = {*fields}
    return _settled(unit, str(lines), number)


def _picture_and_mask(image: Any) -> dict[str, Any]:
    """The two fields of a picture that has its mask with it."""
    if isinstance(image, list) and len(image) == 1:
        image = image[0]
    if isinstance(image, dict):
        pair = image.get("image"), image.get("mask")
    elif isinstance(image, (list, tuple)) and len(image) == 2:
        pair = image[0], image[1]
    else:
        return {}
    return {name: value for name, value in zip(("image", "mask_image"), pair, strict=True) if value is not None}


def _settled(unit: Any, lines: str, number: int) -> Any:
    """The unit with its folder, mode and model in Forge's words."""
    folder, masks = (str(getattr(unit, name, "") or "") for name in ("batch_image_dir", "batch_mask_dir"))
    unit.batch_images = lines or "\n".join([folder, *[f"mask: {masks}"] * bool(masks)])
    if isinstance(unit.control_mode, Enum):
        unit.control_mode = unit.control_mode.value
    if unit.image is None and not says_mode(unit) and unit.batch_images.strip() and _mode(unit):
        set_mode(unit, batch=True)
    if unit.enabled:
        unit.module, unit.model = _names(unit, number)
    return unit


def _mode(unit: Any) -> str:
    """Where its pictures come from; "" in Neo, which has one picture a unit."""
    mode = getattr(unit, "input_mode", "")
    return str(getattr(mode, "value", mode))


def _check_choices(default: Any, fields: Mapping[str, Any], number: int, aliases: Sequence[str | int] = ()) -> None:
    """Refuse words that are no choice: Forge would take them for another one, or fail much later."""
    for name, value in fields.items():
        own, others = getattr(default, name, None), aliases if name == "resize_mode" else ()
        if isinstance(own, Enum) and not isinstance(value, type(own)) and value not in others:
            allowed = ", ".join(str(choice.value) for choice in type(own))
            raise ParamError(f"{name} of ControlNet unit {number} is {value_text(value)}; allowed is one of {allowed}")


def _names(unit: Any, number: int) -> tuple[str, str]:
    """Preprocessor and model as they stand in Forge's lists; a model may be named in part.

    Raises:
        ParamError: one of them is not there.
    """
    state, module, model = sys.modules["lib_controlnet.global_state"], str(unit.module), str(unit.model)
    modules = {name.lower(): name for name in state.get_all_preprocessor_names()}
    if module.lower() not in modules:
        allowed = names_text(list(modules.values()))
        raise ParamError(f"module of ControlNet unit {number} is {value_text(module)}; allowed is one of {allowed}")
    module = modules[module.lower()]
    if getattr(state.get_preprocessor(module), "do_not_need_model", False):
        return module, model
    models = [name for name in state.get_all_controlnet_names() if name != "None"]
    found = [name for name in models if model == name] or [name for name in models if model.lower() in name.lower()]
    if not found or model in ("", "None"):
        raise refused_model(number, model, models)
    return module, found[0]


def _file_of(picture: Path | Image.Image, pictures: PictureFiles) -> Path:
    """A file that Forge's ControlNet reads: another kind, or a picture in memory, becomes a copy."""
    if isinstance(picture, Path) and picture.suffix.lower() in _READ:
        return picture
    return pictures.written(picture)
