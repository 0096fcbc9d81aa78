"""The buttons that read an infotext into a tab's fields."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from modules import errors, infotext_utils, paths, script_callbacks, shared
from modules.infotext_utils import PasteField


def _last_infotext() -> str:
    """The parameters of the last generation, which the host keeps in params.txt."""
    try:
        return Path(os.path.join(paths.data_path, "params.txt")).read_text(encoding="utf-8")
    except OSError:
        return ""


def _update_of(field: PasteField, params: dict[str, Any]) -> Any:
    """What the component becomes: its parameter's value as the type of the one it has."""
    value = params.get(field.label) if field.label else None
    if field.function:
        with errors.swallowed(f"Error executing {field.function}"):
            value = field.function(params)
    if value is None:
        return gr.update()
    if isinstance(value, dict) and value.get("__type__"):
        return value
    kind = type(field.component.value)
    try:
        if kind is bool:
            return gr.update(value=value not in ("False", False))
        return gr.update(value=float(value) if kind is int else kind(value))
    except (TypeError, ValueError):
        return gr.update()


def _override_settings(fields: list[PasteField]) -> Callable[[dict[str, Any]], Any]:
    known = {field.label for field in fields if field.label}

    def settings(params: dict[str, Any]) -> Any:
        found = infotext_utils.get_override_settings(params, skip_fields=known)
        texts = [f"{name}: {value}" for name, _, value in found]
        return gr.update(value=texts, choices=texts, visible=bool(texts))

    return settings


def connect_paste(button: Any, fields: list[PasteField], source: Any, override_settings: Any = None) -> None:
    """The button reads the infotext in `source`, or the last generation's when that is empty, into the fields."""
    if override_settings is not None:
        fields = [*fields, PasteField(override_settings, _override_settings(fields))]

    def paste(text: str) -> list[Any]:
        if not text and not shared.cmd_opts.no_prompt_history:
            text = _last_infotext()
        params = infotext_utils.parse_generation_parameters(text)
        script_callbacks.infotext_pasted_callback(text, params)
        return [_update_of(field, params) for field in fields]

    outputs = [field.component for field in fields]
    button.click(fn=paste, inputs=[source], outputs=outputs, show_progress=False)


def connect_paste_params_buttons() -> None:
    """Connects every registered button to its tab's fields."""
    for binding in infotext_utils.registered_param_bindings:
        tab = infotext_utils.paste_fields[binding.tabname]
        override = binding.override_settings_component or tab["override_settings_component"]
        if binding.source_text_component is not None and tab["fields"] is not None:
            connect_paste(binding.paste_button, tab["fields"], binding.source_text_component, override)
