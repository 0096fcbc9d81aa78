"""The scripts' panels in a tab: their components, and which argument belongs to which script."""

import os
from typing import Any

import gradio as gr

from modules import errors
from modules.script_base import Script

DESCRIBED = ("value", "minimum", "maximum", "step")


def choice_name(choice: Any) -> Any:
    """A dropdown's choice as text; gradio keeps some of them as `(text, value)`."""
    return choice[0] if isinstance(choice, tuple) else choice


def title_of(script: Script, default: str) -> str:
    """The script's title; `default` if it has none or fails."""
    with errors.swallowed(f"Error calling: {script.filename}/title"):
        return script.title() or default
    return default


class ScriptPanels:
    """Components of all scripts in one list, `inputs`; place 0 is the dropdown of selectable scripts."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.selectable_scripts: list[Script] = []
        self.alwayson_scripts: list[Script] = []
        self.titles: list[str] = []
        self.title_map: dict[str, Script] = {}
        self.infotext_fields: list[Any] = []
        self.paste_field_names: list[str] = []
        self.inputs: list[Any] = [None]

    def prepare_ui(self) -> None:
        """Start a new list of components."""
        self.inputs = [None]

    def create_script_ui(self, script: Script) -> None:
        """Make one script's components and give it its places in the arguments; a failing script has none."""
        script.args_from = script.args_to = len(self.inputs)
        with errors.swallowed(f"Error creating UI for {script.name}: "):
            self._create(script)

    def _create(self, script: Script) -> None:
        script.controls = None
        with errors.swallowed(f"Error calling: {script.filename}/ui"):
            script.controls = script.ui(script.is_img2img)
        if script.controls is None:
            return
        script.name = title_of(script, script.filename).lower()
        script.api_info = self._describe(script, script.controls)
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []
        self.inputs += script.controls
        script.args_to = len(self.inputs)

    def _describe(self, script: Script, controls: list[Any]) -> Any:
        """The script as the API's `script-info` shows it."""
        from modules.api import models  # which imports much that imports this module

        described = []
        for control in controls:
            control.custom_script_source = os.path.basename(script.filename)
            arg = models.ScriptArg(label=control.label or "")
            for field in DESCRIBED:
                value = getattr(control, field, None)
                if value is not None:
                    setattr(arg, field, value)
            if getattr(control, "choices", None) is not None:
                arg.choices = [choice_name(choice) for choice in control.choices]
            described.append(arg)
        return models.ScriptInfo(
            name=script.name, is_img2img=script.is_img2img, is_alwayson=script.alwayson, args=described
        )

    def setup_ui_for_section(self, section: str | None, scriptlist: list[Script] | None = None) -> None:
        """Make the panels of the scripts that belong into this part of the page."""
        for script in self.alwayson_scripts if scriptlist is None else scriptlist:
            if script.alwayson and script.section != section:
                continue
            if script.create_group:
                with gr.Group(visible=script.alwayson) as group:
                    self.create_script_ui(script)
                script.group = group
            else:
                self.create_script_ui(script)

    def setup_ui(self) -> list[Any]:
        """Make the dropdown and the panels of the always-on scripts without a section and of the selectable ones.

        Returns:
            All components made so far, in the order of the arguments.
        """
        self.title_map = {title_of(script, script.filename).lower(): script for script in self.scripts}
        self.titles = [title_of(script, f"{script.filename} [error]") for script in self.selectable_scripts]
        self.setup_ui_for_section(None)
        dropdown = gr.Dropdown(
            label="Script", elem_id="script_list", choices=["None", *self.titles], value="None", type="index"
        )
        self.inputs[0] = dropdown
        self.setup_ui_for_section(None, self.selectable_scripts)
        self._connect(dropdown)
        self.apply_on_before_component_callbacks()
        return self.inputs

    def apply_on_before_component_callbacks(self) -> None:
        """Take over the component callbacks that scripts asked for; the runner knows how."""
        raise NotImplementedError

    def _connect(self, dropdown: Any) -> None:
        """Show the chosen script's panel, also when an infotext names it."""
        selectable = self.selectable_scripts

        def select(index: int | None) -> Any:
            shown = [gr.update(visible=place == (index or 0)) for place in range(1, len(selectable) + 1)]
            return shown if len(shown) != 1 else shown[0]  # gradio takes a list of one for the value itself

        def init_field(title: str) -> None:
            if title != "None":
                selectable[self.titles.index(title)].group.visible = True

        def shown_when_pasted(title: str) -> Any:
            return lambda params: gr.update(visible=params.get("Script") == title)

        panels = [script.group for script in selectable]
        dropdown.init_field = init_field
        dropdown.change(fn=select, inputs=[dropdown], outputs=panels)
        self.infotext_fields.append((dropdown, lambda params: gr.update(value=params.get("Script", "None"))))
        for title, panel in zip(self.titles, panels, strict=True):
            if panel is not None:
                self.infotext_fields.append((panel, shown_when_pasted(title)))
