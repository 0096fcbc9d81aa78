"""The head of a tab: prompts, the buttons to begin and end, and the one that reads an infotext."""

from typing import Any

import gradio as gr

from modules import shared
from modules.ui_components import ToolButton

paste_symbol = "\u2199\ufe0f"


def press_interrupt() -> None:
    """The button: where several batches are to be made, the first click ends the run after this one."""
    state = shared.state
    if not state.stopping_generation and state.job_count > 1 and shared.opts.interrupt_after_current:
        state.stop_generating()
        gr.Info("Generation will stop after this picture; click again to stop at once.")
    else:
        state.interrupt()


class UiPromptStyles:
    """The choice of styles; `dropdown` is the component."""

    def __init__(self, tabname: str) -> None:
        names = list(shared.prompt_styles.styles)
        self.dropdown = gr.Dropdown(
            label="Styles", elem_id=f"{tabname}_styles", choices=names, value=[], multiselect=True
        )


class Toprow:
    """Makes the head of a tab when it is made."""

    def __init__(self, is_img2img: bool) -> None:
        self.is_img2img = is_img2img
        self.id_part = "img2img" if is_img2img else "txt2img"
        with gr.Row(elem_id=f"{self.id_part}_toprow", variant="compact"):
            self.create_prompts()
            with gr.Column(scale=1, elem_id=f"{self.id_part}_actions_column"):
                self.create_submit_box()
                with gr.Row(elem_id=f"{self.id_part}_tools"):
                    self.paste = ToolButton(
                        value=paste_symbol,
                        elem_id="paste",
                        tooltip="Read generation parameters from the prompt, or those of the last generation",
                    )
                self.ui_styles = UiPromptStyles(self.id_part)

    def create_prompts(self) -> None:
        """The two text boxes."""
        with gr.Column(elem_id=f"{self.id_part}_prompt_container", scale=6):
            self.prompt = self._text_box("Prompt", "prompt")
            self.negative_prompt = self._text_box("Negative prompt", "neg_prompt")

    def _text_box(self, label: str, name: str) -> Any:
        with gr.Row(elem_id=f"{self.id_part}_{name}_row", elem_classes=["prompt-row"]):
            return gr.Textbox(
                label=label,
                elem_id=f"{self.id_part}_{name}",
                show_label=False,
                lines=3,
                placeholder=label,
                elem_classes=["prompt"],
            )

    def create_submit_box(self) -> None:
        """Generate, Interrupt and Skip."""
        with gr.Row(elem_id=f"{self.id_part}_generate_box", elem_classes=["generate-box"]):
            self.interrupt = gr.Button(
                "Interrupt", elem_id=f"{self.id_part}_interrupt", elem_classes="generate-box-interrupt"
            )
            self.skip = gr.Button("Skip", elem_id=f"{self.id_part}_skip", elem_classes="generate-box-skip")
            self.submit = gr.Button("Generate", elem_id=f"{self.id_part}_generate", variant="primary")
        # A closure, because gradio would ask the bound methods for arguments of their own.
        self.skip.click(fn=lambda: shared.state.skip())
        self.interrupt.click(fn=press_interrupt)
