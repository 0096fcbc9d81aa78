"""The sampler's part of both tabs."""

from typing import Any

import gradio as gr

from modules import scripts, sd_samplers, sd_schedulers
from modules.infotext_utils import PasteField
from modules.ui_components import FormRow


class ScriptSampler(scripts.ScriptBuiltinUI):
    """Sampler, schedule and steps; a run from the API brings its own."""

    section = "sampler"

    def title(self) -> str:
        """The script's name."""
        return "Sampler"

    def ui(self, is_img2img: bool) -> list[Any]:
        """Steps, sampler, schedule."""
        samplers = [sampler.name for sampler in sd_samplers.visible_samplers()]
        schedules = [scheduler.label for scheduler in sd_schedulers.schedulers]
        tab = self.tabname
        with FormRow(elem_id=f"sampler_selection_{tab}"):
            self.sampler_name = gr.Dropdown(
                label="Sampling method", elem_id=f"{tab}_sampling", choices=samplers, value=samplers[0]
            )
            self.scheduler = gr.Dropdown(
                label="Schedule type", elem_id=f"{tab}_scheduler", choices=schedules, value=schedules[0]
            )
            self.steps = gr.Slider(
                label="Sampling steps", elem_id=f"{tab}_steps", minimum=1, maximum=150, step=1, value=20
            )
        self.infotext_fields = [
            PasteField(self.steps, "Steps", api="steps"),
            PasteField(self.sampler_name, sd_samplers.get_sampler_from_infotext, api="sampler_name"),
            PasteField(self.scheduler, sd_samplers.get_scheduler_from_infotext, api="scheduler"),
        ]
        return [self.steps, self.sampler_name, self.scheduler]

    def setup(self, p: Any, steps: int, sampler_name: str, scheduler: str) -> None:
        """Gives the page's choice to the run."""
        p.steps, p.sampler_name, p.scheduler = steps, sampler_name, scheduler
