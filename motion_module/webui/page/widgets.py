"""The component of the panel for each field of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from motion_module.fields import Field
from motion_module.params import VideoParams
from motion_module.settings import Settings
from motion_module.webui.settings import usable

_ANIMATIONS = [".gif", ".webp", ".apng", ".png", ".avif", ".mkv"]  # what browsers do not count as video
_UNREADABLE = (OSError, ValueError, SyntaxError, AssertionError, KeyError, TypeError, Image.DecompressionBombError)
_NARROWEST = 170  # pixels; what does not fit beside the others goes into a row of its own


def widget(name: str, field: Field, visible: bool, elem_id: str) -> Any:
    """The component that shows a field.

    Args:
        name, field: of the table.
        visible: the field has a meaning on this tab.
        elem_id: of the element in the page.
    """
    common = {"label": field.label, "elem_id": elem_id, "visible": visible}
    if field.kind == "image":
        return _read_by_us(gr.Image(type="pil", height=180, **common))
    if field.kind == "video":
        return _read_by_us(gr.File(file_types=["video", *_ANIMATIONS], height=80, **common))
    return _WIDGETS[field.kind](
        field, {"value": default_of(name), "info": field.help, "min_width": _NARROWEST, **common}
    )


def default_of(name: str) -> Any:
    """What a new panel shows."""
    if name == "format":
        return usable(Settings.default_save_formats) or VideoParams.default_of(name)
    return VideoParams.default_of(name)


def _number(field: Field, common: dict[str, Any]) -> Any:
    if field.kind == "number":  # the API turns what an infotext says into what the value here is
        common = {**common, "value": float(common["value"])}
    if field.slider is not None:
        low, high = field.slider
        return _read_by_us(gr.Slider(minimum=low, maximum=high, step=field.step, **common))
    limits = {"minimum": field.low, "maximum": field.high, "step": field.step}
    return _read_by_us(gr.Number(precision=0 if field.kind == "int" else None, **limits, **common))


def _choice(field: Field, common: dict[str, Any]) -> Any:
    shown = gr.Dropdown if field.folded else gr.Radio
    return shown(choices=list(field.choices), **common)


def _choices(field: Field, common: dict[str, Any]) -> Any:
    return gr.CheckboxGroup(choices=list(field.labels or field.choices), **common)


def _text(field: Field, common: dict[str, Any]) -> Any:
    return gr.Textbox(max_lines=1, **common)


def _held(field: Field, common: dict[str, Any]) -> Any:
    return gr.Textbox(lines=1, **{**common, "value": ""})


def _values(field: Field, common: dict[str, Any]) -> Any:
    return gr.Textbox(max_lines=4, **common)  # a box of one line alone would join the lines of what is pasted


def _bool(field: Field, common: dict[str, Any]) -> Any:
    return gr.Checkbox(**common)


_WIDGETS: dict[str, Callable[[Field, dict[str, Any]], Any]] = {
    "bool": _bool,
    "int": _number,
    "number": _number,
    "values": _values,
    "numbers": _values,
    "choice": _choice,
    "choices": _choices,
    "text": _text,
    "path": _text,
    "held": _held,
}


def _read_by_us(component: Any) -> Any:
    """Let what gradio refuses in a component of ours come to our own check, which names the field.

    Gradio's refusal would be a message that does not, over the old picture, and a progress bar that waits for ever. The
    limits stay in the page as a help for the person. The component keeps its class, by which the host knows whose
    defaults it can save.
    """
    is_number = isinstance(component, (gr.Number, gr.Slider))
    component.preprocess = _as_sent if is_number else partial(_opened_or_as_sent, component.preprocess)
    return component


def _as_sent(value: Any) -> Any:
    return value


def _opened_or_as_sent(preprocess: Callable[[Any], Any], value: Any) -> Any:
    """The uploaded file or picture, or the file's name or the text, where it is gone or no picture."""
    try:
        return preprocess(value)
    except _UNREADABLE:
        return value.get("name") if isinstance(value, dict) else value
