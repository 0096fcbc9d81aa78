"""The WebUI's script: each hook is one call into the package."""

from __future__ import annotations

from typing import Any

import gradio as gr

from modules import scripts
from motion_module.webui.host_types import OverlayOfFrame, Processed, Processing
from motion_module.webui.page import panel
from motion_module.webui.run import hooks


class AnimateDiffScript(scripts.Script):
    """Videos with AnimateDiff, as a panel on both tabs and as `alwayson_scripts` in the API."""

    def title(self) -> str:
        """The name in the API; clients look for it in lower case."""
        return "AnimateDiff"

    def show(self, is_img2img: bool) -> object:
        """On every tab, always."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[gr.components.Component]:
        """The panel's fields, in the order of `VideoParams.table`."""
        shown = panel.build(is_img2img, self.elem_id)
        self._connect = shown.connect
        self.infotext_fields = shown.infotext_fields
        self.paste_field_names = shown.paste_field_names
        return shown.fields

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """A component of the tab has been made; the gallery comes when all fields are there, in whatever order."""
        if kwargs.get("elem_id") == f"{'img2img' if self.is_img2img else 'txt2img'}_gallery":
            self._connect()

    def before_process(self, p: Processing, *args: Any) -> None:
        """The request is read; the host has not loaded the checkpoint of the request yet."""
        hooks.before_process(p, args)

    def process(self, p: Processing, *args: Any) -> None:
        """The checkpoint of the request is loaded."""
        hooks.process(p)

    def process_batch(self, p: Processing, *args: Any, **kwargs: Any) -> None:
        """One video is about to be made; its LoRA are loaded, its prompts not encoded yet."""
        hooks.process_batch(p)

    def process_before_every_sampling(self, p: Processing, *args: Any, noise: Any, **kwargs: Any) -> None:
        """The noise of a sampling pass is drawn, and the host goes on with this very tensor."""
        hooks.before_every_sampling(p, noise)

    def postprocess_maskoverlay(self, p: Processing, ppmo: OverlayOfFrame, *args: Any) -> None:
        """The original is about to be laid over an inpainted frame."""
        hooks.before_overlay(p, ppmo)

    def postprocess(self, p: Processing, processed: Processed, *args: Any) -> None:
        """All frames are there."""
        hooks.postprocess(p, processed)
