"""The page's paste and "send to" buttons."""

import base64
import io
import os
from typing import Any

import gradio as gr
from PIL import Image

from modules import errors, images, infotext_utils, paths, script_callbacks, shared

ALWAYS_SENT = ["Prompt", "Negative prompt", "Steps", "Face restoration"]


def image_from_url_text(filedata: Any) -> Image.Image | None:
    """A gallery's picture: a dict with a file's name, a base64 text, or a list whose first counts."""
    if isinstance(filedata, list):
        filedata = filedata[0] if filedata else None
    if not filedata:
        return None
    if isinstance(filedata, dict):
        return images.read(filedata["name"].rsplit("?", 1)[0])
    return images.read(io.BytesIO(base64.b64decode(filedata.removeprefix("data:image/png;base64,"))))


def _picture(sent: Any) -> Image.Image | None:
    return sent if isinstance(sent, Image.Image) else image_from_url_text(sent)


def send_image_and_dimensions(x: Any) -> tuple[Any, Any, Any]:
    """A picture, and its size for the tab's sliders if the settings want it sent."""
    picture = _picture(x)
    if shared.opts.send_size and picture is not None:
        return picture, picture.width, picture.height
    return picture, gr.update(), gr.update()


def _last_infotext() -> str:
    path = os.path.join(paths.data_path, "params.txt")
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf8") as file:
        return file.read()


def _update_for(component: Any, value: Any) -> Any:
    """The component's update for a parameter: text is turned into the type of the component's value."""
    if value is None:
        return gr.update()
    if isinstance(value, dict) and "__type__" in value:  # an update already
        return value
    kind = type(component.value)
    if component.value is None:
        return gr.update(value=value)
    with errors.swallowed(f"Error pasting {value!r}"):
        if kind is bool and value == "False":
            return gr.update(value=False)
        return gr.update(value=float(value) if kind is int else kind(value))
    return gr.update()


def _value_of(target: Any, params: dict[str, Any]) -> Any:
    if not callable(target):
        return params.get(target)
    with errors.swallowed(f"Error executing {target}"):
        return target(params)
    return None


def connect_paste(
    button: Any, paste_fields: list[Any], input_comp: Any, override_settings_component: Any, tabname: str
) -> None:
    """Have the button parse the prompt box as an infotext (the last one made if it is empty) into the fields."""
    fields = list(paste_fields)
    if override_settings_component is not None:
        handled = {target for _, target in paste_fields if isinstance(target, str)}

        def overrides(params: dict[str, Any]) -> Any:
            found = infotext_utils.get_override_settings(params, skip_fields=handled)
            texts = [f"{name}: {value}" for name, _, value in found]
            return gr.update(value=texts, choices=texts, visible=bool(texts))

        fields.append((override_settings_component, overrides))

    def paste(prompt: str) -> list[Any]:
        text = prompt or _last_infotext()
        params = infotext_utils.parse_generation_parameters(text)
        script_callbacks.infotext_pasted_callback(text, params)
        return [_update_for(component, _value_of(target, params)) for component, target in fields]

    outputs = [component for component, _ in fields]
    button.click(fn=paste, inputs=[input_comp], outputs=outputs, show_progress=False)


def connect_paste_params_buttons() -> None:
    """Connect all registered buttons, now that every tab has its fields; each then shows the tab that it fills."""
    for binding in infotext_utils.registered_param_bindings:
        _connect(binding)
        binding.paste_button.click(
            fn=None, _js=f"switch_to_{binding.tabname}", inputs=None, outputs=None, show_progress=False
        )


def _component(fields: list[Any], name: str) -> Any:
    return next((component for component, target in fields if target == name), None)


def _connect(binding: Any) -> None:
    target = infotext_utils.paste_fields[binding.tabname]
    fields = target["fields"] or []
    if binding.source_image_component and target["init_img"]:
        size = [_component(fields, "Size-1"), _component(fields, "Size-2")]
        outputs = [target["init_img"], *(size if None not in size else [])]
        send = send_image_and_dimensions if len(outputs) == 3 else _picture
        binding.paste_button.click(
            fn=send, inputs=[binding.source_image_component], outputs=outputs, show_progress=False
        )
    if binding.source_text_component is not None and fields:
        settings = binding.override_settings_component or target["override_settings_component"]
        connect_paste(binding.paste_button, fields, binding.source_text_component, settings, binding.tabname)
    if binding.source_tabname is not None and fields:
        _connect_tabs(binding, infotext_utils.paste_fields[binding.source_tabname]["fields"], fields)


def _connect_tabs(binding: Any, source: list[Any], target: list[Any]) -> None:
    names = [*ALWAYS_SENT, *(["Seed"] if shared.opts.send_seed else []), *binding.paste_field_names]
    binding.paste_button.click(
        fn=lambda *values: values,
        inputs=[component for component, name in source if name in names],
        outputs=[component for component, name in target if name in names],
        show_progress=False,
    )
