"""In the panel's part "Module and memory": which motion module is kept for the next video, and a button to drop it."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from motion_module.webui.page.events import SILENT
from motion_module.webui.request import motion_modules

_MEGA = 1_000_000


@dataclass(frozen=True)
class ModuleMemory:
    """The line and the button."""

    line: Any
    remove: Any

    def follow(self, ask: Any) -> None:
        """Have the button work, and the line say what is so now.

        Args:
            ask: a button that the page presses when something has changed, and after runs.
        """
        for event in (Context.root_block.load, ask.click):
            event(_told, outputs=[self.line], **SILENT)
        self.remove.click(_removed, outputs=[self.line], **SILENT)


def build(elem_id: Callable[[str], str]) -> ModuleMemory:
    """The line and the button, at this place of the panel."""
    with gr.Row(elem_classes=["animatediff-memory"]):
        line = gr.HTML(_told(), elem_id=elem_id("memory"), elem_classes=["animatediff-about"])
        remove = gr.Button(
            "Remove motion module from memory", size="sm", elem_id=elem_id("memory_remove"), scale=0, min_width=240
        )
    return ModuleMemory(line, remove)


def _told() -> str:
    kept = motion_modules.kept()
    if kept is None:
        return "No motion module is in memory; the next video loads it from its file."
    size = f"{kept.size / _MEGA:,.1f} MB"
    where = "is kept in main memory for the next video, and off the graphics card between videos."
    return f"{html.escape(kept.name)} ({size}) {where}"


def _removed() -> str:
    motion_modules.let_go()
    return _told()
