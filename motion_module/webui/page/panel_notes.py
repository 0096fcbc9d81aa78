"""What the panel says before a run: which fields change nothing as the others are, or why the run would be refused."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr

from motion_module import formats
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.page.page_facts import PROMPTS, facts_of_page, host_components
from motion_module.webui.plan.request import Request
from motion_module.without_effect import idle_fields

_SILENT = ("text",)  # kinds of fields that are typed letter by letter, and that no other field hangs on
_FILES = ("image", "video")


def follow(line: Any, fields: Mapping[str, Any], tab: str) -> None:
    """Let a line of text follow the fields of a panel; call it inside the panel.

    Args:
        line: a `gr.HTML`.
        fields: name -> component.
        tab: txt2img or img2img.
    """
    watched = {name: field for name, field in fields.items() if VideoParams.table()[name].kind not in _SILENT}
    asked = {name: _presence(field) if _is_file(name) else field for name, field in watched.items()}
    of_host = host_components(tab)
    elem_ids = {name: field.elem_id for name, field in fields.items()}
    inputs = [*asked.values(), *of_host.values()]
    tell = partial(_hint, list(asked), list(of_host), elem_ids, tab)
    line.value = tell(*(component.value for component in inputs))
    events = [field.blur if VideoParams.table()[name].kind == "path" else field.change for name, field in asked.items()]
    events += [of_host[name].change for name in ("batch_size", "styles") if name in of_host]
    events += [of_host[name].blur for name in PROMPTS if name in of_host]
    for event in events:
        event(tell, inputs=inputs, outputs=[line], queue=False, show_progress="hidden", api_name=False)


def _is_file(name: str) -> bool:
    return VideoParams.table()[name].kind in _FILES


def _presence(file: Any) -> Any:
    """A hidden box that is ticked while there is a picture or video, so that the file itself need not be sent."""
    box = gr.Checkbox(False, visible=False)
    file.change(fn=None, _js="(file) => Boolean(file)", inputs=[file], outputs=[box])
    return box


def _hint(names: Sequence[str], of_host: Sequence[str], elem_ids: Mapping[str, str], tab: str, *values: Any) -> str:
    ours = dict(zip(names, values, strict=False))
    asked = {name: value for name, value in ours.items() if not _is_file(name)}
    files = {name: "a file" for name, value in ours.items() if _is_file(name) and value}
    try:
        params = VideoParams.from_json({**asked, **files})
        request = Request.of(params, facts_of_page(tab, params, dict(zip(of_host, values[len(names) :], strict=True))))
    except ParamError as error:
        return _as_html([error.whole], {})
    idle = idle_fields(params, request.frames or None)
    dimmed = {elem_ids[name]: f"No effect: {why}." for name, why in idle.items() if name in elem_ids}
    return _as_html(request.messages, dimmed)


def _as_html(sentences: Sequence[str], idle: Mapping[str, str]) -> str:
    """For the page's scripts the element carries what is to be dimmed, and how the page shows formats."""
    worded = VideoParams.worded_for_page
    text = "<br>".join(html.escape(worded(sentence)) for sentence in sentences)
    carried = {
        "idle": {elem_id: worded(why) for elem_id, why in idle.items()},
        "formats": {"played": formats.IN_VIDEO, "folders": formats.FOLDERS},
    }
    data = " ".join(f'data-{name}="{html.escape(json.dumps(value))}"' for name, value in carried.items())
    return f'<div class="animatediff-hint" {data}>{text}</div>'
