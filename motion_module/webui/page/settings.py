"""The section "AnimateDiff" of the host's settings page, made from the table of settings; runs read them anew."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from modules import shared
from motion_module.settings import PREFIX, Setting, Settings

SECTION = ("animatediff", "AnimateDiff")
_LONGEST_SLIDER = 100  # steps


def register() -> None:
    """Add the settings; the host calls this once when it builds its settings."""
    group = ""
    for row in Settings.rows():
        if row.group != group:
            group = row.group
            _add_title(group)
        component, arguments = _widget(row)
        shown = {**arguments, **shared.hide_dirs} if row.names_folders else arguments
        info = shared.OptionInfo(
            row.default, row.field.label, component, shown, section=SECTION, restrict_api=row.names_folders
        )
        shared.opts.add_option(row.name, info.needs_reload_ui() if row.reload else info)


def _add_title(group: str) -> None:
    name = f"{PREFIX}{group.replace(' ', '_').lower()}_title"
    for key, title in shared.options_section(
        SECTION, {name: shared.OptionHTML(f"<h3>{html.escape(group)}</h3>")}
    ).items():
        shared.opts.add_option(key, title)


def _widget(row: Setting[Any]) -> tuple[Any, dict[str, Any]]:
    """The component that shows a setting, and its arguments."""
    field = row.field
    if field.kind == "bool":
        return gr.Checkbox, {}
    if field.kind == "choices":
        return gr.CheckboxGroup, {"choices": list(field.choices)}
    if field.kind == "choice":
        return gr.Dropdown if "" in field.choices else gr.Radio, {"choices": list(field.choices)}
    if field.kind in ("int", "number"):
        limits = {"minimum": field.low, "maximum": field.high}
        if field.high - field.low <= _LONGEST_SLIDER:
            return gr.Slider, {**limits, "step": field.step}
        return gr.Number, limits
    return gr.Textbox, {"lines": row.lines}
