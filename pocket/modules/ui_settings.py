"""The Settings page: every option in its section, those of extensions too."""

from typing import Any

import gradio as gr

from modules import script_callbacks, shared, ui_common
from modules.call_queue import wrap_gradio_call_no_job
from modules.shared import opts
from modules.ui_components import FormRow

COMPONENTS = {str: gr.Textbox, int: gr.Number, float: gr.Number, bool: gr.Checkbox}


def _args_of(info: Any) -> dict[str, Any]:
    return dict((info.component_args() if callable(info.component_args) else info.component_args) or {})


def create_setting_component(key: str, is_quicksettings: bool = False) -> Any:
    """The component for one option, with its value as it is now.

    Raises:
        ValueError: the option names no component and its default's type has none.
    """
    info = opts.data_labels[key]
    kind = info.component or COMPONENTS.get(type(info.default))
    if kind is None:
        raise ValueError(f"bad options item type: {type(info.default)} for key {key}")
    args = {"label": info.label, "elem_id": f"setting_{key}", **_args_of(info)}
    if info.refresh is None:
        return kind(value=lambda: opts.data.get(key, info.default), **args)
    with FormRow():
        component = kind(value=lambda: opts.data.get(key, info.default), **args)
        ui_common.create_refresh_button(component, info.refresh, info.component_args, f"refresh_{key}")
    return component


class UiSettings:
    """Builds the page and changes options from it."""

    def __init__(self) -> None:
        self.component_dict: dict[str, Any] = {}
        self.interface: gr.Blocks | None = None

    def register_settings(self) -> None:
        """Lets extensions add their options."""
        script_callbacks.ui_settings_callback()

    def _sections(self) -> dict[tuple[str | None, str], list[str]]:
        sections: dict[tuple[str | None, str], list[str]] = {}
        for key, info in opts.data_labels.items():
            if info.section and info.section[0] is not None:
                sections.setdefault(tuple(info.section[:2]), []).append(key)
        return sections

    def create_ui(self) -> gr.Blocks:
        """The page: one tab a section."""
        shared.settings_components = self.component_dict
        with gr.Blocks(analytics_enabled=False) as self.interface:
            self.submit = gr.Button(value="Apply settings", variant="primary", elem_id="settings_submit")
            self.result = gr.HTML(elem_id="settings_result")
            with gr.Tabs(elem_id="settings"):
                for (section_id, title), keys in self._sections().items():
                    with (
                        gr.TabItem(elem_id=f"settings_{section_id}", label=title),
                        gr.Column(elem_id=f"column_settings_{section_id}", variant="compact"),
                    ):
                        self.component_dict |= {key: create_setting_component(key) for key in keys}
            self.text_settings = gr.Textbox(elem_id="settings_json", value=lambda: opts.dumpjson(), visible=False)
            self.submit.click(
                fn=wrap_gradio_call_no_job(self.run_settings, extra_outputs=[gr.update()]),
                inputs=list(self.component_dict.values()),
                outputs=[self.text_settings, self.result],
            )
        return self.interface

    def run_settings(self, *values: Any) -> tuple[str, str]:
        """Sets and saves the options from the page's values.

        Raises:
            ValueError: a value is of another type than the option's default.
        """
        chosen = dict(zip(self.component_dict, values, strict=True))
        for key, value in chosen.items():
            if not opts.same_type(value, opts.data_labels[key].default):
                raise ValueError(f"Bad value for setting {key}: {value}")
        settable = {key: value for key, value in chosen.items() if not opts.data_labels[key].do_not_save}
        changed = [key for key, value in settable.items() if opts.set(key, value)]
        opts.save(shared.config_filename)
        return opts.dumpjson(), f"{len(changed)} settings changed{': ' if changed else ''}{', '.join(changed)}."
