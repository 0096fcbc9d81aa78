"""Reading infotexts, and setting a tab's fields from them."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules import infotext_versions, prompt_parser, shared

sys.modules["modules.generation_parameters_copypaste"] = sys.modules[__name__]  # its name in older WebUIs

NAME = r"\w[\w /-]+"
QUOTED = r'"(?:[^"\\]|\\.)+"'
PARAM = re.compile(rf"\s*({NAME}):\s*({QUOTED}|[^,]*)(?:,|$)")
SIZE = re.compile(r"(\d+)x(\d+)")
FEWEST_PARAMS = 3
"""A last line with fewer parameters than this is a part of the prompt."""

NEGATIVE = "Negative prompt:"

MISSING = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}
"""What it means that a parameter is not in the text."""


class ParamBinding:
    """A button that sends parameters to a tab, and where it takes them from."""

    def __init__(
        self,
        paste_button: Any,
        tabname: str,
        source_text_component: Any = None,
        source_image_component: Any = None,
        source_tabname: str | None = None,
        override_settings_component: Any = None,
        paste_field_names: list[str] | None = None,
    ) -> None:
        self.paste_button = paste_button
        self.tabname = tabname
        self.source_text_component = source_text_component
        self.source_image_component = source_image_component
        self.source_tabname = source_tabname
        self.override_settings_component = override_settings_component
        self.paste_field_names = paste_field_names or []


class PasteField(tuple):
    """A component and the parameter it gets: a name, or a function of all of them. `api` is its name in requests."""

    api: str | None
    component: Any
    label: str | None
    function: Callable[[dict[str, Any]], Any] | None

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> "PasteField":
        self = super().__new__(cls, (component, target))
        self.api = api
        self.component = component
        self.label = target if isinstance(target, str) else None
        self.function = target if callable(target) else None
        return self


paste_fields: dict[str, dict[str, Any]] = {}
registered_param_bindings: list[ParamBinding] = []
infotext_to_setting_name_mapping: list[tuple[str, str]] = []
"""Infotext name and option, added by older extensions; newer ones use `OptionInfo(infotext=...)`."""


def reset() -> None:
    """Forget all tabs' fields and buttons."""
    paste_fields.clear()
    registered_param_bindings.clear()


def add_paste_fields(
    tabname: str, init_img: Any, fields: list[Any] | None, override_settings_component: Any = None
) -> None:
    """Say which components of a tab get which parameters."""
    if fields:
        fields[:] = [field if isinstance(field, PasteField) else PasteField(*field) for field in fields]
    paste_fields[tabname] = {
        "init_img": init_img,
        "fields": fields,
        "override_settings_component": override_settings_component,
    }


def register_paste_params_button(binding: ParamBinding) -> None:
    """Add a button; it is connected when all tabs are made."""
    registered_param_bindings.append(binding)


def create_buttons(tabs_list: list[str]) -> dict[str, Any]:
    """A button for each tab, to be given to `ParamBinding`."""
    return {tab: gr.Button(f"Send to {tab}", elem_id=f"{tab}_tab") for tab in tabs_list}


def quote(text: Any) -> Any:
    """The value as it stands in an infotext: in JSON's quotes if it has a comma, a colon or a line break."""
    return json.dumps(text, ensure_ascii=False) if any(sign in str(text) for sign in ",\n:") else text


def unquote(text: str) -> Any:
    """The value of a quoted text; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _split_prompts(lines: list[str]) -> tuple[str, str]:
    """Prompt and negative prompt from the lines before the parameters."""
    stripped = [line.strip() for line in lines]
    start = next((number for number, line in enumerate(stripped) if line.startswith(NEGATIVE)), len(stripped))
    negative = [line.removeprefix(NEGATIVE).strip() for line in stripped[start:]]
    return "\n".join(stripped[:start]).lstrip("\n"), "\n".join(negative).lstrip("\n")


def _read_params(line: str) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, text in PARAM.findall(line):
        value = unquote(text)
        size = SIZE.fullmatch(value) if isinstance(value, str) else None
        if size:
            params[f"{name}-1"], params[f"{name}-2"] = size.groups()
        else:
            params[name] = value
    return params


def _take_styles(params: dict[str, Any], prompt: str, negative: str) -> tuple[str, str]:
    """The prompts without the styles found in them; the styles go into "Styles array" as the settings say."""
    mode = shared.opts.infotext_styles
    if mode == "Ignore":
        return prompt, negative
    extract = shared.prompt_styles.extract_styles_from_prompt
    found, plain, plain_negative = extract(prompt, negative)
    made_by = infotext_versions.parse_version(params.get("Version"))
    if ("Hires prompt" in params or "Hires negative prompt" in params) and (
        made_by is None or made_by > infotext_versions.v180_hr_styles
    ):
        hr_found, hr_plain, hr_negative = extract(
            params.get("Hires prompt", prompt), params.get("Hires negative prompt", negative)
        )
        if hr_found != found:
            return prompt, negative
        params["Hires prompt"] = "" if hr_plain == plain else hr_plain
        params["Hires negative prompt"] = "" if hr_negative == plain_negative else hr_negative
    if mode == "Apply" or (mode == "Apply if any" and found):
        params["Styles array"] = found
    return plain, plain_negative


def _uses_emphasis(prompt: str) -> bool:
    return any(weight != 1.0 and text != "BREAK" for text, weight in prompt_parser.parse_prompt_attention(prompt))


def _restore_old_hires_fix_params(params: dict[str, Any]) -> None:
    """Infotexts of old have the first pass's size besides the final one: turn both into today's parameters."""
    if shared.opts.use_old_hires_fix_width_height:
        wanted = int(params.get("Hires resize-1", 0)), int(params.get("Hires resize-2", 0))
        if all(wanted):
            params["Size-1"], params["Size-2"] = wanted
            return
    first = params.get("First pass size-1"), params.get("First pass size-2")
    if None in first:
        return
    from modules.processing_hires import old_hires_fix_first_pass_dimensions  # which needs this module

    final = int(params.get("Size-1", 512)), int(params.get("Size-2", 512))
    sides = int(first[0]), int(first[1])
    params["Size-1"], params["Size-2"] = sides if all(sides) else old_hires_fix_first_pass_dimensions(*final)
    params["Hires resize-1"], params["Hires resize-2"] = final


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """The parameters in an infotext by name; values are text, what is missing gets the value it stands for.

    Args:
        x: prompt lines, lines beginning with "Negative prompt:", and a last line of `name: value` pairs.
        skip_fields: names to leave out; those of the settings if not given.
    """
    *lines, last = x.strip().split("\n")
    if len(PARAM.findall(last)) < FEWEST_PARAMS:
        lines, last = [*lines, last], ""
    prompt, negative = _split_prompts(lines)
    params = _read_params(last)
    prompt, negative = _take_styles(params, prompt, negative)
    params["Prompt"], params["Negative prompt"] = prompt, negative
    if "Hypernet" in params:
        params["Prompt"] += f"<hypernet:{params['Hypernet']}:{params.get('Hypernet strength', '1.0')}>"
    params = {**params, **{name: value for name, value in MISSING.items() if name not in params}}
    _restore_old_hires_fix_params(params)
    if "Emphasis" not in params and (_uses_emphasis(prompt) or _uses_emphasis(negative)):
        params["Emphasis"] = "Original"
    infotext_versions.backcompat(params)
    for name in shared.opts.infotext_skip_pasting if skip_fields is None else skip_fields:
        params.pop(name, None)
    return params


def _settings_by_infotext_name() -> list[tuple[str, str]]:
    labelled = [(info.infotext, name) for name, info in shared.opts.data_labels.items() if info.infotext]
    return labelled + infotext_to_setting_name_mapping


def create_override_settings_dict(text_pairs: list[str]) -> dict[str, Any]:
    """Settings by option name from texts such as "Clip skip: 2"."""
    given = {name: value.strip() for name, _, value in (pair.partition(":") for pair in text_pairs)}
    cast = shared.opts.cast_value
    return {option: cast(option, given[name]) for name, option in _settings_by_infotext_name() if name in given}


def get_override_settings(params: dict[str, Any], *, skip_fields: Any = None) -> list[tuple[str, str, Any]]:
    """The settings in a parsed infotext that differ from the present ones: `(infotext name, option, value)`."""
    found = []
    for name, option in _settings_by_infotext_name():
        unwanted = option == "sd_model_checkpoint" and shared.opts.disable_weights_auto_swap
        if name in (skip_fields or ()) or params.get(name) is None or unwanted:
            continue
        value = shared.opts.cast_value(option, params[name])
        if value != getattr(shared.opts, option, None):
            found.append((name, option, value))
    return found


# These need what is above, and are looked for here.
from modules.infotext_paste import (  # noqa: E402, F401
    connect_paste,
    connect_paste_params_buttons,
    image_from_url_text,
    send_image_and_dimensions,
)
