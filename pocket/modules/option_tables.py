"""Building the table of options from short rows."""

import os
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules.options import OptionInfo, categories, options_section

options_templates: dict[str, OptionInfo] = {}

CATEGORIES = {
    "saving": "Saving images",
    "sd": "Stable Diffusion",
    "ui": "User Interface",
    "system": "System",
    "postprocessing": "Postprocessing",
}
for category_id, category_label in CATEGORIES.items():
    categories.register_category(category_id, category_label)


def outdirs(base: str) -> dict[str, str]:
    """The default folders for pictures below `base`, by option name."""
    names = ("txt2img-images", "img2img-images", "txt2img-grids", "img2img-grids", "init-images")
    options = ("txt2img_samples", "img2img_samples", "txt2img_grids", "img2img_grids", "init_images")
    return {f"outdir_{option}": os.path.join(base, name) for option, name in zip(options, names, strict=True)}


def add(section: tuple[Any, ...], table: dict[str, tuple[Any, ...]]) -> None:
    """Add a section of options that are shown by the type of their default.

    Args:
        section: `(id, title, category id)`, or id None for options that the Settings page does not show.
        table: name -> `(default, label)` or `(default, label, name in the infotext)`.
    """
    made = {name: OptionInfo(row[0], row[1], infotext=row[2] if len(row) > 2 else None) for name, row in table.items()}
    options_templates.update(options_section(section, made))


def add_choices(section: tuple[Any, ...], table: dict[str, tuple[Any, ...]]) -> None:
    """Add a section of options with a fixed list: name -> `(default, label, choices)` or with the infotext's name."""
    made = {
        name: OptionInfo(row[0], row[1], gr.Radio, {"choices": row[2]}, infotext=row[3] if len(row) > 3 else None)
        for name, row in table.items()
    }
    options_templates.update(options_section(section, made))


def listed(default: Any, label: str, choices: Callable[[], list[str]], **more: Any) -> OptionInfo:
    """An option whose choices are found out when the Settings page is made; a list default takes several."""
    multiselect = isinstance(default, list)
    return OptionInfo(default, label, gr.Dropdown, lambda: {"choices": choices(), "multiselect": multiselect}, **more)


def add_listed(section: tuple[Any, ...], table: dict[str, OptionInfo]) -> None:
    """Add a section of options made with `listed`."""
    options_templates.update(options_section(section, table))
