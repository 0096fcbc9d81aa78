"""Lets scripts see every component as it is made, and gives components the WebUI's `tooltip` and classes.

Importing this module changes gradio's classes, once. Its name is spelt as in the WebUI.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from modules import script_callbacks, scripts, ui_tempdir


def _add_classes(component: Any) -> None:
    component.elem_classes = [f"gradio-{component.get_block_name()}", *(component.elem_classes or [])]
    if getattr(component, "multiselect", False):
        component.elem_classes.append("multiselect")


def _current_runner() -> Any:
    return getattr(scripts, "scripts_current", None)


def _announced(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` of a component, with the scripts' callbacks before and after it."""

    @wraps(init)
    def announced_init(self: Any, *args: Any, **kwargs: Any) -> None:
        self.webui_tooltip = kwargs.pop("tooltip", None)
        runner = _current_runner()
        if runner is not None:
            runner.before_component(self, **kwargs)
        script_callbacks.before_component_callback(self, **kwargs)
        init(self, *args, **kwargs)
        _add_classes(self)
        script_callbacks.after_component_callback(self, **kwargs)
        if runner is not None:
            runner.after_component(self, **kwargs)

    return announced_init


def _with_tooltip(get_config: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(get_config)
    def config_with_tooltip(self: Any) -> dict[str, Any]:
        config = get_config(self)
        if getattr(self, "webui_tooltip", None):
            config["webui_tooltip"] = self.webui_tooltip
        return config

    return config_with_tooltip


def install() -> None:
    """Changes gradio's classes; a second call changes nothing."""
    if getattr(gr.components.IOComponent.__init__, "__wrapped__", None) is not None:
        return
    gr.components.IOComponent.__init__ = _announced(gr.components.IOComponent.__init__)
    gr.blocks.BlockContext.__init__ = _announced(gr.blocks.BlockContext.__init__)
    gr.blocks.Block.get_config = _with_tooltip(gr.blocks.Block.get_config)
    ui_tempdir.install_ui_tempdir_override()


install()
