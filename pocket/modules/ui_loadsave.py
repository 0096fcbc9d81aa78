"""The page's defaults from a file, under the WebUI's keys: `txt2img/Width/value`, `customscript/FILE.py/...`.

The pocket only reads them. They are the page's: requests to the API start from the scripts' own defaults.
"""

import json
from typing import Any

import gradio as gr

from modules import errors
from modules.script_ui import choice_name
from modules.ui_components import InputAccordion

_NUMBERS = (gr.Slider, gr.Number)


class UiLoadsave:
    """What the page's fields begin with, besides what they are made with."""

    def __init__(self, filename: str) -> None:
        self.ui_settings: dict[str, Any] = {}
        with errors.swallowed(f"Error loading {filename}"):
            self.ui_settings = _read(filename)

    def add_block(self, interface: gr.Blocks, path: str) -> None:
        """Gives the fields of a tab the values that the file has for them; values that do not fit are left out."""
        for component in interface.blocks.values():
            key = f"{path}/{getattr(component, 'label', None)}/value"
            source = getattr(component, "custom_script_source", None)
            value = self.ui_settings.get(f"customscript/{source}/{key}" if source else key)
            if value is not None and _fits(component, value):
                component.value = value
                if isinstance(component, InputAccordion):
                    component.accordion.open = value


def _read(filename: str) -> dict[str, Any]:
    try:
        with open(filename, encoding="utf-8") as file:
            values = json.load(file)
    except FileNotFoundError:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"{filename} must hold one JSON object.")
    return values


def _fits(component: Any, value: Any) -> bool:
    if isinstance(component, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(component, _NUMBERS):
        low, high = component.minimum, component.maximum
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (low is None or value >= low) and (high is None or value <= high)
    if isinstance(component, (gr.Dropdown, gr.Radio)):
        return value in [choice_name(choice) for choice in component.choices]
    return isinstance(component, gr.Textbox) and isinstance(value, str)
