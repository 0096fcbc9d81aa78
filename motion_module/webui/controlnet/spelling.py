"""A ControlNet unit in the many ways in which clients write one, read as sd-webui-controlnet 1.1.455 understands it.

ControlNet itself takes the newer and the older names of fields. Here come in addition: `null` for "not said", the
names and numbers of choices besides their values (numbers were the API's own once), a picture alone in a list, and a
folder without `input_mode`, which ControlNet's default `simple` would leave unused.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

from motion_module.errors import ParamError, UserError
from motion_module.webui.request.allowed_paths import is_limited, permitted
from motion_module.wording import names_text, value_text

_BATCH, _SIMPLE, _MERGE = "batch", "simple", "merge"  # values of ControlNet's InputMode
_IMAGE_FIELDS = ("image", "input_image")
_PICTURES = (*_IMAGE_FIELDS, "mask", "mask_image")


def read_unit(external: Any, number: int, value: Any) -> Any:
    """One of ControlNet's arguments as a unit, always a copy; None if it is none.

    Args:
        external: ControlNet's `external_code`.
        number: which unit it is, from 0.
        value: a unit of the page or of another extension, or the object of an API client.

    Raises:
        ParamError: ControlNet does not understand it, has no such model, or cannot read its picture.
    """
    if not isinstance(value, dict) and not hasattr(value, "enabled"):
        return None  # sparing ControlNet's warning about arguments that are no units
    default = external.ControlNetUnit()
    fields = spelled_out(default, value) if isinstance(value, dict) else value
    check_paths(fields, number)
    with faults_named(f"ControlNet unit {number} is not understood", default, fields):
        units = external.get_all_units_from([fields])
    if not units:
        return None
    unit = copy.copy(units[0])
    if unit.enabled:
        _check_model(external, unit, number)
        _settle_pictures(unit, number)
    return unit


def is_batch(unit: Any) -> bool:
    """Whether the unit takes its pictures from a folder."""
    mode = getattr(unit, "input_mode", None)  # Neo has none
    return getattr(mode, "value", mode) == _BATCH


def set_mode(unit: Any, batch: bool) -> None:
    """Have the unit take its pictures from a folder, or from its own field."""
    unit.input_mode = type(unit.input_mode)(_BATCH if batch else _SIMPLE)


def folder_of(unit: Any) -> str:
    """The folder of the unit with the lines after it; "" if there is none."""
    return str(unit.batch_images or "").strip()


def says_mode(unit: Any) -> bool:
    """Whether somebody has chosen the mode; the page always does, and keeps the folder of a tab that is not open."""
    names = getattr(unit, "model_fields_set", None) or getattr(unit, "__fields_set__", None)
    return names is None or "input_mode" in names


def spelled_out(default: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a client wrote, in ControlNet's words as far as they are known."""
    values = {name: _choice(getattr(default, name, None), value) for name, value in fields.items() if value is not None}
    merges = getattr(values.get("input_mode"), "value", "") == _MERGE
    for name in _IMAGE_FIELDS:
        values[name] = _image(values.get(name), merges)
    return {name: value for name, value in values.items() if name not in _PICTURES or _is_some(value)}


def _image(image: Any, merges: bool) -> Any:
    """A list of plain pictures as ControlNet takes it; to ControlNet two of them are a picture and its mask."""
    if isinstance(image, dict):
        return {name: value for name, value in image.items() if _is_some(value)}
    if not isinstance(image, list):
        return image
    if any(isinstance(picture, dict) for picture in image):
        return [_image(picture, merges) for picture in image]
    if merges or len(image) > 2:
        return [{"image": picture} for picture in image]
    return image[0] if len(image) == 1 else image


def _choice(default: Any, value: Any) -> Any:
    """The choice that a name, a value or a number means; what means none is left for ControlNet to judge."""
    if not isinstance(default, Enum) or isinstance(value, bool):
        return value
    choices = list(type(default))
    if isinstance(value, int):
        return choices[value] if 0 <= value < len(choices) else value
    word = str(value).strip().lower().removeprefix(f"{type(default).__name__.lower()}.")
    return next((choice for choice in choices if word in (choice.name.lower(), str(choice.value).lower())), value)


def _settle_pictures(unit: Any, number: int) -> None:
    """Decide between picture and folder, and see that the picture can be read."""
    if not _is_some(unit.image):
        unit.image = None  # ControlNet takes "" for a picture
    if unit.image is None and not says_mode(unit) and folder_of(unit):
        set_mode(unit, batch=True)
    if is_batch(unit) or unit.image is None:
        return
    count = _count(unit.image)
    if count > 1 and getattr(unit.input_mode, "value", "") == _SIMPLE and not unit.accepts_multiple_inputs:
        raise ParamError(
            f"ControlNet unit {number} has {count} pictures in image, but takes one for all frames; "
            f"for one in each frame put them into a folder, and name it in batch_images"
        )
    try:
        with faults_named(f"image of ControlNet unit {number} cannot be read"):
            unit.get_input_images_rgba()
    except ParamError as error:
        raise (_no_picture(number) if is_limited() else error) from None


def check_paths(fields: Any, number: int) -> None:
    """ControlNet opens a text that is the path of a file, and a folder of masks: both only where that is allowed."""
    if not is_limited():
        return
    values = fields if isinstance(fields, dict) else {"batch_mask_dir": getattr(fields, "batch_mask_dir", None)}
    for text in texts_in([values.get(name) for name in _PICTURES]):
        if os.path.exists(text):
            try:
                permitted("", text)
            except ParamError:
                raise _no_picture(number) from None
    permitted(f"the mask folder of ControlNet unit {number}", str(values.get("batch_mask_dir") or ""))


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a field that may hold lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part)


def _no_picture(number: int) -> ParamError:
    """The same sentence for a path that may not be read, a missing one, and what is no picture."""
    return ParamError(
        f"image of ControlNet unit {number} cannot be read; allowed is a picture in base64, or the path "
        f"of one inside the folders that may be read"
    )


def _is_some(image: Any) -> bool:
    """Whether the field holds a picture; the page's empty canvas is a dict without one."""
    if isinstance(image, dict):
        return _is_some(image.get("image"))
    if isinstance(image, (list, tuple)):
        return any(map(_is_some, image))
    return image is not None and not (isinstance(image, str) and image == "")


def _count(image: Any) -> int:
    """The pictures in the field; a list that holds no dicts is a picture and its mask."""
    return len(image) if isinstance(image, (list, tuple)) and isinstance(image[0], dict) else 1


def _check_model(external: Any, unit: Any, number: int) -> None:
    """Refuse a model that ControlNet would not find: its own sentence calls it None."""
    state = getattr(external, "global_state", None)
    module = external.Preprocessor.get_preprocessor(unit.module)
    if state is None or getattr(module, "do_not_need_model", False) or _finds(state, str(unit.model)):
        return
    raise refused_model(number, str(unit.model), list(state.cn_models_names.values()))


def refused_model(number: int, model: str, names: list[str]) -> ParamError:
    """What to say of a model that is not among these names."""
    allowed = f"allowed is one of {names_text(names)}" if names else "its folder of models is empty"
    return ParamError(f"ControlNet unit {number} cannot be used: its model is {model[:80]!r}; {allowed}")


def _finds(state: Any, model: str) -> bool:
    """Whether ControlNet finds a model of that name: as it is, or within a file's name in any case."""
    if not model or model == "None":
        return False
    return model in state.cn_models or any(model.lower() in name for name in state.cn_models_names)


@contextmanager
def faults_named(what: str, default: Any = None, fields: Any = None) -> Iterator[None]:
    """Say in a sentence what ControlNet makes of a client's words."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise ParamError(f"{what}: {_one_line(error, default, fields)}", quoted=True) from error


def _one_line(error: Exception, default: Any, fields: Any) -> str:
    return "; ".join(filter(None, map(str.strip, _lines(error, default, fields))))[:300] or type(error).__name__


def _lines(error: Exception, default: Any, fields: Any) -> Iterator[str]:
    list_errors = getattr(error, "errors", None)  # pydantic lists them: where, and what
    if not callable(list_errors):
        yield from str(getattr(error, "detail", "") or error).splitlines()
        return
    for fault in list_errors():
        name = ".".join(map(str, fault.get("loc", ())))
        choices = getattr(default, name, None)
        if isinstance(choices, Enum) and isinstance(fields, dict):
            allowed = ", ".join(str(choice.value) for choice in type(choices))
            yield f"{name} is {value_text(fields.get(name))}; allowed is one of {allowed}"
        else:
            yield f"{name}: {fault.get('msg', '')}"
