"""The panel, laid out from the table of parameters: what everybody needs, then parts that fold out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import gradio as gr

from modules.ui_components import InputAccordion
from motion_module.familiar_params import GROUPS, MEMORY
from motion_module.fields import Field
from motion_module.params import VideoParams
from motion_module.webui.page import module_field, module_memory, panel_notes, pasted, preset_row, video_card
from motion_module.webui.page.module_memory import ModuleMemory
from motion_module.webui.page.video_card import VideoCard
from motion_module.webui.page.widgets import widget
from motion_module.webui.plan import infotext

_STYLE = Path(__file__).with_name("panel.css")
InfotextField = tuple[Any, Callable[[dict[str, Any]], Any]]


@dataclass(frozen=True)
class Panel:
    """What the host wants to know of a script's panel.

    Attributes:
        fields: the components, whose values become the script's arguments.
        infotext_fields: (component, function of the pasted generation parameters).
        paste_field_names: the keys in the generation parameters that belong to the panel.
        connect: has the panel follow its own fields and the WebUI's; to be called when all of both are there.
    """

    fields: list[Any]
    infotext_fields: list[InfotextField]
    paste_field_names: list[str]
    connect: Callable[[], None]


@dataclass
class _Layout:
    """A panel while it is built.

    Attributes:
        tab: txt2img or img2img.
        elem_id: the host's naming of elements.
        shown: field -> component.
        parts: title -> the part that folds out.
        video: what stands below the upload of a video.
        memory: what stands below the fields of the part "Module and memory".
    """

    tab: str
    elem_id: Callable[[str], str]
    shown: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    video: VideoCard = field(init=False)
    memory: ModuleMemory = field(init=False)

    def part(self, title: str) -> None:
        """A part of the panel; what has no title stands open."""
        members = {name: of for name, of in _table().items() if of.group == title}
        used = any(self.on_tab(of) for of in members.values())
        if title:
            self.parts[title] = gr.Accordion(title, open=False, visible=used, elem_id=self.elem_id(_slug(title)))
        with self.parts.get(title) or nullcontext():
            for _, line in groupby(sorted(members.items(), key=lambda row: row[1].line), key=lambda row: row[1].line):
                self.line(dict(line))
            if title == MEMORY:
                self.memory = module_memory.build(self.elem_id)

    def line(self, members: Mapping[str, Field]) -> None:
        """Fields beside each other."""
        if "model" in members:  # which has a line of its own
            self.shown["model"] = module_field.build(members["model"], self.elem_id("model"))
            return
        with gr.Row(visible=any(map(self.on_tab, members.values()))):
            for name, of in members.items():
                self.shown[name] = widget(name, of, self.on_tab(of), self.elem_id(name))
        if "video_source" in members:
            self.video = video_card.build(self.shown["video_source"], self.elem_id)

    def on_tab(self, of: Field) -> bool:
        """The field has a meaning on this tab."""
        return self.tab in of.tabs


def build(is_img2img: bool, elem_id: Callable[[str], str]) -> Panel:
    """Build the panel inside the running `gr.Blocks`.

    Args:
        is_img2img: which tab it is for.
        elem_id: the host's naming of elements.
    """
    layout = _Layout("img2img" if is_img2img else "txt2img", elem_id)
    with InputAccordion(False, label="AnimateDiff", elem_id=elem_id("enable")) as enable:
        gr.HTML(f"<style>{_STYLE.read_text('utf8')}</style>", visible=False)
        with gr.Column(elem_id=elem_id("panel"), elem_classes=["animatediff-panel"]):
            presets = preset_row.build(layout.tab, elem_id)
            layout.part(GROUPS[0])
            hint = gr.HTML(elem_id=elem_id("hint"))
            for title in GROUPS[1:]:
                layout.part(title)
        shown = {"enable": enable, **layout.shown}
        files = {"video_source": layout.video.path}
        notes = panel_notes.build(hint, layout.parts, shown, files, layout.tab, elem_id("plan"))

    def connect() -> None:
        notes.follow()
        presets.follow(layout.shown)
        layout.video.follow(layout.shown)
        layout.memory.follow(notes.ask)

    in_order = {"enable": enable, **{name: layout.shown[name] for name in _table()}}
    paste: list[InfotextField] = [(of, partial(pasted.value_of, name)) for name, of in in_order.items()]
    return Panel([*in_order.values()], [*paste, (notes.pasted, pasted.left_out)], [infotext.LABEL], connect)


def _table() -> dict[str, Field]:
    return {name: of for name, of in VideoParams.table().items() if name != "enable"}


def _slug(title: str) -> str:
    return title.lower().replace(" ", "_")
