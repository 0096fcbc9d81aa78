"""A plain panel, made from the table of parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from modules.ui_components import InputAccordion
from motion_module.fields import Field
from motion_module.params import VideoParams
from motion_module.settings import Settings
from motion_module.webui.page import panel_notes
from motion_module.webui.plan import infotext
from motion_module.webui.request import motion_modules
from motion_module.webui.settings import usable

_ANIMATIONS = [".gif", ".webp", ".apng", ".png", ".avif", ".mkv"]  # what browsers do not count as video
_UNREADABLE = (OSError, ValueError, SyntaxError, AssertionError, KeyError, TypeError, Image.DecompressionBombError)
InfotextField = tuple[Any, Callable[[dict[str, Any]], Any]]


@dataclass(frozen=True)
class Panel:
    """What the host wants to know of a script's panel.

    Attributes:
        fields: the components, whose values become the script's arguments.
        infotext_fields: (component, function of the pasted generation parameters).
        paste_field_names: the keys in the generation parameters that belong to the panel.
    """

    fields: list[Any]
    infotext_fields: list[InfotextField]
    paste_field_names: list[str]


def build(is_img2img: bool, elem_id: Callable[[str], str]) -> Panel:
    """Build the panel inside the running `gr.Blocks`.

    Args:
        is_img2img: which tab it is for.
        elem_id: the host's naming of elements.
    """
    table = {name: field for name, field in VideoParams.table().items() if name != "enable"}
    shown: dict[str, Any] = {}
    with InputAccordion(False, label="AnimateDiff", elem_id=elem_id("enable")) as enable:
        hint = gr.HTML(elem_id=elem_id("hint"))
        for group in dict.fromkeys(field.group for field in table.values()):
            members = {name: field for name, field in table.items() if field.group == group}
            with gr.Group(), gr.Row(visible=any(_on_tab(field, is_img2img) for field in members.values())):
                for name, field in members.items():
                    shown[name] = _widget(name, field, _on_tab(field, is_img2img), elem_id(name))
        panel_notes.follow(hint, {"enable": enable, **shown}, "img2img" if is_img2img else "txt2img")
    fields = [enable, *(shown[name] for name in table)]
    pasted: list[InfotextField] = [
        (field, partial(_pasted, name)) for name, field in zip(["enable", *table], fields, strict=True)
    ]
    return Panel(fields, pasted, [infotext.LABEL])


def _pasted(name: str, generation: dict[str, Any]) -> Any:
    value = infotext.field_of(name, generation)
    labels = VideoParams.table()[name].labels
    if value is not None and labels:
        return [labels[choice] for choice in value]
    return gr.update() if value is None else value


def _on_tab(field: Field, is_img2img: bool) -> bool:
    return ("img2img" if is_img2img else "txt2img") in field.tabs


def _widget(name: str, field: Field, visible: bool, elem_id: str) -> Any:
    default = _default(name)
    common = {"label": field.label, "elem_id": elem_id, "visible": visible, "info": field.help}
    if name == "model":
        return gr.Dropdown(choices=motion_modules.names(), value=default, **common)
    if field.kind == "bool":
        return gr.Checkbox(value=default, **common)
    if field.kind == "choice":
        return gr.Radio(choices=list(field.choices), value=default, **common)
    if field.kind == "choices":
        choices = list(field.labels or field.choices)
        return gr.CheckboxGroup(choices=choices, value=default, **common)
    if field.kind == "image":
        return _read_by_us(gr.Image(type="pil", label=field.label, elem_id=elem_id, visible=visible))
    if field.kind == "video":
        types = ["video", *_ANIMATIONS]
        return _read_by_us(gr.File(file_types=types, label=field.label, elem_id=elem_id, visible=visible))
    if field.kind in ("int", "number"):
        whole = 0 if field.kind == "int" else None
        limits = {"minimum": field.low, "maximum": field.high, "step": field.step}
        return _read_by_us(gr.Number(value=default, precision=whole, **limits, **common))
    return gr.Textbox(value=default, **common)


def _read_by_us(field: Any) -> Any:
    """Let what gradio refuses in a component of ours come to our own check, which names the field.

    Gradio's refusal would be a message that does not, over the old picture, and a progress bar that waits for ever. The
    limits stay in the page as a help for the person. The component keeps its class, by which the host knows whose
    defaults it can save.
    """
    field.preprocess = _as_sent if isinstance(field, gr.Number) else partial(_opened_or_as_sent, field.preprocess)
    return field


def _as_sent(value: Any) -> Any:
    return value


def _opened_or_as_sent(preprocess: Callable[[Any], Any], value: Any) -> Any:
    """The uploaded file or picture, or the file's name or the text, where it is gone or no picture."""
    try:
        return preprocess(value)
    except _UNREADABLE:
        return value.get("name") if isinstance(value, dict) else value


def _default(name: str) -> Any:
    if name == "model":
        return next(iter(motion_modules.names()), "")
    if name == "format":
        return usable(Settings.default_save_formats) or VideoParams.default_of(name)
    return VideoParams.default_of(name)
