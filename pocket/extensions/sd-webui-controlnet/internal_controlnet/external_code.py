"""What other extensions call to find the units of a run and to change them."""

from __future__ import annotations

import logging
from typing import Any

from internal_controlnet.args import RESIZE_MODE_ALIASES, ControlNetUnit
from internal_controlnet.preprocessors import PREPROCESSORS, Preprocessor  # noqa: F401
from modules import shared
from scripts import global_state
from scripts.enums import BatchOption, ControlMode, InputMode, ResizeMode  # noqa: F401

logger = logging.getLogger("ControlNet")

API_VERSION = 3


def get_api_version() -> int:
    """Of the endpoints below /controlnet."""
    return API_VERSION


def resize_mode_from_value(value: Any) -> ResizeMode:
    """The mode of a name of any age, or of img2img's number (its latent upscale is Just Resize)."""
    if isinstance(value, str):
        return ResizeMode(RESIZE_MODE_ALIASES.get(value, value))
    if isinstance(value, int):
        return dict(enumerate(ResizeMode)).get(value, ResizeMode.RESIZE)
    return value


def to_processing_unit(unit: Any) -> ControlNetUnit:
    """A unit, also of the dict that an API request sends.

    Raises:
        pydantic.ValidationError: a field is wrong.
        TypeError: it is neither.
    """
    if isinstance(unit, dict):
        return ControlNetUnit.from_dict(unit)
    if not isinstance(unit, ControlNetUnit):
        raise TypeError(f"{unit} is not a ControlNetUnit")
    return unit


def get_all_units_from(script_args: list[Any]) -> list[ControlNetUnit]:
    """The units among the script's own arguments; what is neither unit nor dict is left out."""
    units = [to_processing_unit(one) for one in script_args if isinstance(one, (ControlNetUnit, dict))]
    if not units:
        logger.warning("No ControlNetUnit detected in args: %s", script_args)
    return units


def get_all_units(script_runner: Any, script_args: Any) -> list[ControlNetUnit]:
    """The units among the arguments of all scripts."""
    script = find_cn_script(script_runner)
    return [] if script is None else get_all_units_from(script_args[script.args_from : script.args_to])


def get_all_units_in_processing(p: Any) -> list[ControlNetUnit]:
    """The units of a run. Dicts become new objects at every call: put units back to have changes seen."""
    return get_all_units(p.scripts, p.script_args)


def update_cn_script_in_processing(p: Any, cn_units: list[ControlNetUnit], **_kwargs: Any) -> None:
    """Make these the units of a run."""
    p.script_args = update_cn_script(p.scripts, p.script_args_value, cn_units)


def update_cn_script(script_runner: Any, script_args: Any, cn_units: list[ControlNetUnit]) -> Any:
    """The arguments of all scripts with these units in place of the script's own, filled up with disabled ones.

    The arguments keep their type; scripts after this one find theirs at new places if there are more units than before.
    """
    script = find_cn_script(script_runner)
    if script is None or len(script_args) < script.args_from:
        return script_args
    missing = max(get_max_models_num() - len(cn_units), 0)
    units = [*cn_units, *(ControlNetUnit(enabled=False) for _ in range(missing))]
    values = list(script_args)
    values[script.args_from : script.args_to] = units
    shift, end = len(units) - (script.args_to - script.args_from), script.args_to
    script.args_to += shift
    for other in script_runner.alwayson_scripts:
        if other is not script and other.args_from >= end:
            other.args_from += shift
            other.args_to += shift
    return type(script_args)(values)


def get_max_models_num() -> int:
    """The number of units on the page."""
    return int(shared.opts.data.get("control_net_unit_count", 3))


def get_models(update: bool = False) -> list[str]:
    """The names of the models, with hashes; `update` looks at the folders again."""
    if update:
        global_state.update_cn_models()
    return list(global_state.cn_models_names.values())


def get_modules(alias_names: bool = False) -> list[str]:
    """The names, or the labels, of the modules."""
    return [one.label if alias_names else one.name for one in PREPROCESSORS]


def get_modules_detail(alias_names: bool = False) -> dict[str, Any]:
    """The sliders of each module."""
    return {
        one.label if alias_names else one.name: {
            "model_free": False,
            "sliders": [slider.api_json for slider in one.sliders],
        }
        for one in PREPROCESSORS
    }


def find_cn_script(script_runner: Any) -> Any:
    """The tab's ControlNet script; None if there is none."""
    scripts = script_runner.alwayson_scripts if script_runner is not None else []
    return next((script for script in scripts if is_cn_script(script)), None)


def is_cn_script(script: Any) -> bool:
    """Whether a script is ControlNet, by its title."""
    return script.title().lower() == "controlnet"
