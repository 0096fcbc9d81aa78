"""The panel's row of presets: a list, and buttons that save and delete a person's own."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from modules.ui_components import ToolButton
from motion_module.errors import SaidError
from motion_module.params import VideoParams
from motion_module.presets import HOST_FIELDS, Preset, saved_fields
from motion_module.webui.page import preset_file
from motion_module.webui.page.events import SILENT
from motion_module.webui.page.page_facts import host_components
from motion_module.wording import mention, value_text

_SAVE, _DELETE = "\U0001f4be", "\U0001f5d1\ufe0f"
_MOST_NAMED = 8


@dataclass(frozen=True)
class PresetRow:
    """The components of the row, which are made before the fields that they set."""

    tab: str
    chosen: Any
    save: Any
    delete: Any
    line: Any

    def follow(self, fields: Mapping[str, Any]) -> None:
        """Have the buttons and the list work; call it inside the panel, when its fields are there.

        Args:
            fields: name -> component.
        """
        ours = {
            name: field for name, field in fields.items() if VideoParams.table()[name].recorded and name != "enable"
        }
        of_host = {name: part for name, part in host_components(self.tab).items() if name in HOST_FIELDS}
        targets = [*ours.values(), *of_host.values()]
        names = (list(ours), list(of_host))
        self.chosen.select(_apply(*names), [self.chosen, *targets], [self.line, *targets], **SILENT)
        # The page is as it was when the server started; presets come and go.
        Context.root_block.load(self._listed, outputs=[self.chosen], **SILENT)
        self.save.click(_save(self.tab, *names), [self.chosen, *targets], [self.line, self.chosen], **SILENT)
        self.delete.click(_delete(self.tab), [self.chosen], [self.line, self.chosen], **SILENT)

    def _listed(self) -> Any:
        return gr.update(choices=preset_file.names(self.tab))


def build(tab: str, elem_id: Callable[[str], str]) -> PresetRow:
    """The row, in the running panel."""
    with gr.Row(elem_id=elem_id("preset_row"), elem_classes=["animatediff-beside"]):
        component = gr.Dropdown(
            preset_file.names(tab), label="Preset", elem_id=elem_id("preset_list"), allow_custom_value=True, value=None
        )
        component.do_not_save_to_config = True  # it is no value of its own: what it sets is
        save = ToolButton(_SAVE, elem_id=elem_id("preset_save"), tooltip="Save the panel under the name in the list")
        delete = ToolButton(_DELETE, elem_id=elem_id("preset_delete"), tooltip="Delete the preset of this name")
    line = gr.HTML(elem_id=elem_id("preset_about"), elem_classes=["animatediff-about"])
    return PresetRow(tab, component, save, delete, line)


def _apply(ours: Sequence[str], of_host: Sequence[str]) -> Callable[..., Sequence[Any]]:
    def applied(name: str, *values: Any) -> Sequence[Any]:
        before = dict(zip([*ours, *of_host], values, strict=True))
        try:
            preset = preset_file.preset_named(name or "", before["model"])
        except SaidError as error:
            return _shown(error.whole), *(gr.update() for _ in values)
        updates = [_update(field, preset.fields) for field in ours] + [_update(field, preset.host) for field in of_host]
        return _shown(_told(preset, before, of_host)), *updates

    return applied


def _save(tab: str, ours: Sequence[str], of_host: Sequence[str]) -> Callable[..., Sequence[Any]]:
    def saved(name: str, *values: Any) -> Sequence[Any]:
        host = dict(zip(of_host, values[len(ours) :], strict=True))
        try:
            fields = saved_fields(dict(zip(ours, values, strict=False)))
            preset_file.save(Preset((name or "").strip(), fields, host))
        except SaidError as error:
            return _shown(error.whole), gr.update()
        return _shown(f"The preset {name.strip()} is saved."), gr.update(choices=preset_file.names(tab))

    return saved


def _delete(tab: str) -> Callable[..., Sequence[Any]]:
    def deleted(name: str) -> Sequence[Any]:
        try:
            preset_file.delete((name or "").strip())
        except SaidError as error:
            return _shown(error.whole), gr.update()
        return _shown(f"The preset {name.strip()} is deleted."), gr.update(choices=preset_file.names(tab), value=None)

    return deleted


def _update(field: str, values: Mapping[str, Any]) -> Any:
    if field not in values:
        return gr.update()
    row = VideoParams.table().get(field)
    labels = row.labels if row is not None else ()
    return gr.update(value=[labels[choice] for choice in values[field]] if labels else values[field])


def _told(preset: Preset, before: Mapping[str, Any], of_host: Sequence[str]) -> str:
    """What the preset has changed, and what it could not."""
    changes = list(_changes(preset, before))
    more = f" and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
    said = f"{preset.name}: {', '.join(changes[:_MOST_NAMED]) or 'nothing to change'}{more}."
    by_hand = [f"{HOST_FIELDS[name].label} to {value}" for name, value in preset.host.items() if name not in of_host]
    missing = f"Set {', '.join(by_hand)} by hand." if by_hand else ""
    return " ".join(filter(None, [said, missing, preset.then]))


def _changes(preset: Preset, before: Mapping[str, Any]) -> Iterator[str]:
    for name, value in preset.fields.items():
        if name in before and _update(name, preset.fields)["value"] != before[name]:
            yield f"{mention(name)} {_as_text(value)}"
    for name, value in preset.host.items():
        if name in before and value != before[name]:
            yield f"{HOST_FIELDS[name].label} {value}"


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) or value_text(None) if isinstance(value, list) else value_text(value)


def _shown(sentence: str) -> str:
    return html.escape(VideoParams.worded_for_page(sentence))
