"""The txt2img and the img2img tab, built part by part in the WebUI's order and with its ids."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from modules import infotext_utils, scripts, shared, ui_common, ui_toprow
from modules.call_queue import wrap_gradio_gpu_call
from modules.infotext_utils import ParamBinding, PasteField
from modules.ui_components import FormGroup, FormRow

# Parts of a tab. A script says with `section` after which of them it wants to be.
CATEGORIES = [
    "prompt",
    "image",
    "inpaint",
    "sampler",
    "accordions",
    "checkboxes",
    "dimensions",
    "cfg",
    "denoising",
    "seed",
    "batch",
    "override_settings",
    "scripts",
]


def ordered_ui_categories(runner: Any) -> list[str]:
    """The parts, and behind them the sections that scripts made up; a person's own order goes first."""
    wanted = [script.section for script in runner.scripts if isinstance(script.section, str)]
    own = {name.strip(): 2 * place + 1 for place, name in enumerate(shared.opts.ui_reorder_list)}
    categories = dict.fromkeys([*CATEGORIES, *wanted])
    places = {name: own.get(name, 2 * place) for place, name in enumerate(categories)}
    return sorted(categories, key=places.__getitem__)


def _override_settings(tabname: str) -> Any:
    """Settings that a pasted infotext changes for the next run."""
    dropdown = gr.Dropdown(
        [], value=[], label="Override settings", visible=False, elem_id=f"{tabname}_override_settings", multiselect=True
    )
    dropdown.change(fn=lambda chosen: gr.update(visible=bool(chosen)), inputs=[dropdown], outputs=[dropdown])
    return dropdown


class GenerationTab:
    """Builds one tab; its components are in `parts` by name."""

    tabname = ""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.parts: dict[str, Any] = {}
        self.custom_inputs: list[Any] = []

    def build(self, generate: Callable[..., Any]) -> gr.Blocks:
        """The tab's interface; `generate` runs when its button is pressed."""
        image = self.tabname == "img2img"
        scripts.scripts_current = self.runner
        self.runner.initialize_scripts(is_img2img=image)
        with gr.Blocks(analytics_enabled=False) as interface:
            self.toprow = ui_toprow.Toprow(is_img2img=image)
            # Labels that nobody sees; the page's script puts the task's name into them.
            self.dummy, self.second_dummy = gr.Label(visible=False), gr.Label(visible=False)
            with gr.Row(equal_height=False):
                with gr.Column(variant="compact", elem_id=f"{self.tabname}_settings"):
                    self.runner.prepare_ui()
                    for category in ordered_ui_categories(self.runner):
                        self._build_category(category)
                outdir = getattr(shared.opts, f"outdir_{self.tabname}_samples")
                self.panel = ui_common.create_output_panel(self.tabname, outdir, self.toprow)
            self._connect(generate)
            self._add_paste_fields()
        return interface

    def _build_category(self, category: str) -> None:
        build = getattr(self, f"build_{category}", None)
        if build is not None:
            build()
        # Scripts in "accordions" and "scripts" are built inside those parts.
        if category not in ("accordions", "scripts"):
            self.runner.setup_ui_for_section(category)

    def slider(self, name: str, label: str, minimum: float, maximum: float, step: float, value: float) -> None:
        """A slider among the parts, with the WebUI's id."""
        self.parts[name] = gr.Slider(
            minimum=minimum, maximum=maximum, step=step, label=label, value=value, elem_id=f"{self.tabname}_{name}"
        )

    def build_dimensions(self) -> None:
        """Width and height."""
        with FormRow(), gr.Column(elem_id=f"{self.tabname}_column_size", scale=4):
            self.slider("width", "Width", 64, 2048, 8, 512)
            self.slider("height", "Height", 64, 2048, 8, 512)

    def build_cfg(self) -> None:
        """CFG scale."""
        with gr.Row():
            self.slider("cfg_scale", "CFG Scale", 1.0, 30.0, 0.5, 7.0)

    def build_batch(self) -> None:
        """How many."""
        with FormRow(elem_id=f"{self.tabname}_column_batch"):
            self.slider("batch_count", "Batch count", 1, 100, 1, 1)
            self.slider("batch_size", "Batch size", 1, 8, 1, 1)

    def build_override_settings(self) -> None:
        """Settings for the next run only."""
        with FormRow(elem_id=f"{self.tabname}_override_settings_row"):
            self.parts["override_settings"] = _override_settings(self.tabname)

    def build_accordions(self) -> None:
        """Parts that open and shut."""
        with gr.Row(elem_id=f"{self.tabname}_accordions", elem_classes="accordions"):
            self.build_own_accordions()
            self.runner.setup_ui_for_section("accordions")

    def build_own_accordions(self) -> None:
        """The tab's own parts that open and shut."""

    def build_scripts(self) -> None:
        """The scripts without a section, the list of selectable ones, and these."""
        with FormGroup(elem_id=f"{self.tabname}_script_container"):
            self.custom_inputs = self.runner.setup_ui()

    def inputs(self) -> list[Any]:
        """The components whose values `generate` gets, before the scripts'."""
        raise NotImplementedError

    def paste_fields(self) -> list[PasteField]:
        """The fields that an infotext fills, besides those of both tabs and the scripts'."""
        raise NotImplementedError

    def _connect(self, generate: Callable[..., Any]) -> None:
        event = {
            "fn": wrap_gradio_gpu_call(generate, extra_outputs=[None, "", ""]),
            "_js": f"submit_{self.tabname}",
            "inputs": [*self.inputs(), *self.custom_inputs],
            "outputs": self.panel.outputs,
            "show_progress": False,
        }
        self.toprow.prompt.submit(**event)
        self.toprow.submit.click(**event)

    def _add_paste_fields(self) -> None:
        fields = [
            PasteField(self.toprow.prompt, "Prompt", api="prompt"),
            PasteField(self.toprow.negative_prompt, "Negative prompt", api="negative_prompt"),
            PasteField(self.parts["cfg_scale"], "CFG scale", api="cfg_scale"),
            PasteField(self.parts["width"], "Size-1", api="width"),
            PasteField(self.parts["height"], "Size-2", api="height"),
            PasteField(self.parts["batch_size"], "Batch size", api="batch_size"),
            PasteField(self.parts["denoising_strength"], "Denoising strength", api="denoising_strength"),
            PasteField(self.toprow.ui_styles.dropdown, _styles, api="styles"),
            *self.paste_fields(),
            *self.runner.infotext_fields,
        ]
        image = self.parts.get("init_img")
        infotext_utils.add_paste_fields(self.tabname, image, fields, self.parts["override_settings"])
        infotext_utils.register_paste_params_button(
            ParamBinding(self.toprow.paste, self.tabname, source_text_component=self.toprow.prompt)
        )


def _styles(params: dict[str, Any]) -> Any:
    found = params.get("Styles array")
    return found if isinstance(found, list) else gr.update()
