"""The txt2img tab: what it has besides img2img."""

from typing import Any

import gradio as gr

from modules import sd_models, sd_samplers, sd_schedulers, shared
from modules.infotext_utils import PasteField
from modules.ui_components import FormRow, InputAccordion
from modules.ui_generation import GenerationTab


def _has_hires(params: dict[str, Any]) -> bool:
    names = ("Hires upscale", "Hires upscaler", "Hires resize-1")
    return "Denoising strength" in params and any(name in params for name in names)


class Txt2ImgTab(GenerationTab):
    """Pictures from words, with hires fix."""

    tabname = "txt2img"

    def build_own_accordions(self) -> None:
        """Hires fix."""
        with InputAccordion(False, label="Hires. fix", elem_id="txt2img_hr") as self.parts["enable_hr"]:
            with FormRow(elem_id="txt2img_hires_fix_row1", variant="compact"):
                self._hires_upscaler()
            with FormRow(elem_id="txt2img_hires_fix_row2", variant="compact"):
                self.slider("hr_scale", "Upscale by", 1.0, 4.0, 0.05, 2.0)
                self.slider("hr_resize_x", "Resize width to", 0, 2048, 8, 0)
                self.slider("hr_resize_y", "Resize height to", 0, 2048, 8, 0)
            with FormRow(elem_id="txt2img_hires_fix_row3", variant="compact", visible=False):
                self._hires_sampler()
            with FormRow(elem_id="txt2img_hires_fix_row4", variant="compact", visible=False):
                self.parts["hr_prompt"] = gr.Textbox(label="Hires prompt", elem_id="hires_prompt", lines=3)
                self.parts["hr_negative_prompt"] = gr.Textbox(
                    label="Hires negative prompt", elem_id="hires_neg_prompt", lines=3
                )

    def _hires_upscaler(self) -> None:
        upscalers = [*shared.latent_upscale_modes, *(upscaler.name for upscaler in shared.sd_upscalers)]
        self.parts["hr_upscaler"] = gr.Dropdown(
            label="Upscaler",
            elem_id="txt2img_hr_upscaler",
            choices=upscalers,
            value=shared.latent_upscale_default_mode,
        )
        self.slider("hires_steps", "Hires steps", 0, 150, 1, 0)
        self.slider("denoising_strength", "Denoising strength", 0.0, 1.0, 0.01, 0.7)

    def _hires_sampler(self) -> None:
        chosen = {
            "hr_checkpoint_name": ("Checkpoint", "hr_checkpoint", "Use same checkpoint", sd_models.checkpoint_tiles()),
            "hr_sampler_name": (
                "Hires sampling method",
                "hr_sampler",
                "Use same sampler",
                [sampler.name for sampler in sd_samplers.visible_samplers()],
            ),
            "hr_scheduler": (
                "Hires schedule type",
                "hr_scheduler",
                "Use same scheduler",
                [scheduler.label for scheduler in sd_schedulers.schedulers],
            ),
        }
        for name, (label, elem_id, same, choices) in chosen.items():
            self.parts[name] = gr.Dropdown(label=label, elem_id=elem_id, choices=[same, *choices], value=same)

    def inputs(self) -> list[Any]:
        """In the order of `modules.txt2img.txt2img`."""
        names = [
            "batch_count",
            "batch_size",
            "cfg_scale",
            "height",
            "width",
            "enable_hr",
            "denoising_strength",
            "hr_scale",
            "hr_upscaler",
            "hires_steps",
            "hr_resize_x",
            "hr_resize_y",
            "hr_checkpoint_name",
            "hr_sampler_name",
            "hr_scheduler",
            "hr_prompt",
            "hr_negative_prompt",
            "override_settings",
        ]
        top = self.toprow
        head = [self.dummy, top.prompt, top.negative_prompt, top.ui_styles.dropdown]
        return [*head, *(self.parts[name] for name in names)]

    def paste_fields(self) -> list[PasteField]:
        """Those of hires fix."""
        parts = self.parts
        return [
            PasteField(parts["enable_hr"], _has_hires, api="enable_hr"),
            PasteField(parts["hr_scale"], "Hires upscale", api="hr_scale"),
            PasteField(parts["hr_upscaler"], "Hires upscaler", api="hr_upscaler"),
            PasteField(parts["hires_steps"], "Hires steps", api="hr_second_pass_steps"),
            PasteField(parts["hr_resize_x"], "Hires resize-1", api="hr_resize_x"),
            PasteField(parts["hr_resize_y"], "Hires resize-2", api="hr_resize_y"),
            PasteField(parts["hr_checkpoint_name"], "Hires checkpoint", api="hr_checkpoint_name"),
            PasteField(parts["hr_sampler_name"], sd_samplers.get_hr_sampler_from_infotext, api="hr_sampler_name"),
            PasteField(parts["hr_scheduler"], sd_samplers.get_hr_scheduler_from_infotext, api="hr_scheduler"),
            PasteField(parts["hr_prompt"], "Hires prompt", api="hr_prompt"),
            PasteField(parts["hr_negative_prompt"], "Hires negative prompt", api="hr_negative_prompt"),
        ]
