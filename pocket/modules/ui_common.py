"""What both tabs and the extensions' panels share."""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules.ui_components import ToolButton

folder_symbol = "\U0001f4c2"
refresh_symbol = "\U0001f504"


def plaintext_to_html(text: str, classname: str | None = None) -> str:
    """The text as an HTML paragraph, line by line."""
    content = "<br>\n".join(html.escape(line) for line in str(text).split("\n"))
    return f"<p class='{classname}'>{content}</p>" if classname else f"<p>{content}</p>"


def update_generation_info(generation_info: str, html_info: str, img_index: float) -> tuple[Any, Any]:
    """The infotext of the picture that is looked at in the gallery."""
    try:
        infotexts = json.loads(generation_info)["infotexts"]
        index = int(img_index)
    except (TypeError, ValueError, KeyError):
        return html_info, gr.update()
    if not 0 <= index < len(infotexts):
        return html_info, gr.update()
    return plaintext_to_html(infotexts[index]), gr.update()


@dataclass
class OutputPanel:
    """The components in which a tab shows its results."""

    gallery: Any = None
    generation_info: Any = None
    infotext: Any = None
    html_log: Any = None
    button_upscale: Any = None

    @property
    def outputs(self) -> list[Any]:
        """The four things that a generation returns."""
        return [self.gallery, self.generation_info, self.infotext, self.html_log]


def create_output_panel(tabname: str, outdir: str, toprow: Any = None) -> OutputPanel:
    """Makes a tab's gallery with the texts under it."""
    panel = OutputPanel()
    with (
        gr.Column(elem_id=f"{tabname}_results"),
        gr.Column(variant="panel", elem_id=f"{tabname}_results_panel"),
    ):
        with gr.Group(elem_id=f"{tabname}_gallery_container"):
            panel.gallery = gr.Gallery(
                label="Output", show_label=False, elem_id=f"{tabname}_gallery", columns=4, preview=True
            )
        gr.Row(elem_id=f"image_buttons_{tabname}", elem_classes="image-buttons")
        with gr.Group():
            panel.infotext = gr.HTML(elem_id=f"html_info_{tabname}", elem_classes="infotext")
            panel.html_log = gr.HTML(elem_id=f"html_log_{tabname}", elem_classes="html-log")
            panel.generation_info = gr.Textbox(visible=False, elem_id=f"generation_info_{tabname}")
            shown = gr.Button(visible=False, elem_id=f"{tabname}_generation_info_button")
        shown.click(
            fn=update_generation_info,
            _js="function(x, y, z){ return [x, y, selected_gallery_index()] }",
            inputs=[panel.generation_info, panel.infotext, panel.infotext],
            outputs=[panel.infotext, panel.infotext],
            show_progress=False,
        )
    return panel


def create_refresh_button(
    refresh_component: Any,
    refresh_method: Callable[[], object],
    refreshed_args: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None,
    elem_id: str,
) -> ToolButton:
    """A button that calls `refresh_method` and gives the components the arguments that hold afterwards."""
    components = refresh_component if isinstance(refresh_component, list) else [refresh_component]
    label = next((component.label for component in components if getattr(component, "label", None)), None)

    def refresh() -> Any:
        refresh_method()
        args = dict((refreshed_args() if callable(refreshed_args) else refreshed_args) or {})
        for component in components:
            for key, value in args.items():
                setattr(component, key, value)
        updates = [gr.update(**args) for _ in components]
        return updates if len(updates) > 1 else updates[0]

    tooltip = f"{label}: refresh" if label else "Refresh"
    button = ToolButton(value=refresh_symbol, elem_id=elem_id, tooltip=tooltip)
    button.click(fn=refresh, inputs=[], outputs=components)
    return button
