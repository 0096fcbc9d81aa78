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
from motion_module.webui.plan.facts import Facts
from motion_module.webui.plan.request import Request
from motion_module.without_effect import idle_fields

_SILENT = ("text",)  # kinds of fields that are typed letter by letter, and that no other field hangs on
_FILES = ("image", "video")


def follow(line: Any, fields: Mapping[str, Any], is_img2img: bool) -> None:
    """Let a line of text follow the fields of a panel; call it inside the panel.

    Args:
        line: a `gr.HTML`.
        fields: name -> component.
        is_img2img: which tab it is for.
    """
    watched = {name: field for name, field in fields.items() if VideoParams.table()[name].kind not in _SILENT}
    asked = {name: _presence(field) if _is_file(name) else field for name, field in watched.items()}
    tell = partial(_hint, list(asked), {name: field.elem_id for name, field in fields.items()}, is_img2img)
    line.value = tell(*(field.value for field in asked.values()))
    for name, field in asked.items():
        changed = field.blur if VideoParams.table()[name].kind == "path" else field.change
        changed(tell, inputs=list(asked.values()), outputs=[line], queue=False, show_progress="hidden", api_name=False)


def _is_file(name: str) -> bool:
    return VideoParams.table()[name].kind in _FILES


def _presence(file: Any) -> Any:
    """A hidden box that is ticked while there is a picture or video, so that the file itself need not be sent."""
    box = gr.Checkbox(False, visible=False)
    file.change(fn=None, _js="(file) => Boolean(file)", inputs=[file], outputs=[box])
    return box


def _hint(names: Sequence[str], elem_ids: Mapping[str, str], is_img2img: bool, *values: Any) -> str:
    asked = {name: value for name, value in zip(names, values, strict=True) if not _is_file(name)}
    files = {name: "a file" for name, value in zip(names, values, strict=True) if _is_file(name) and value}
    try:
        params = VideoParams.from_json({**asked, **files})
        request = Request.of(params, _facts(params, is_img2img))
    except ParamError as error:
        return _as_html([error.whole], {})
    idle = idle_fields(params, request.frames or None)
    dimmed = {elem_ids[name]: f"No effect: {why}." for name, why in idle.items() if name in elem_ids}
    return _as_html(request.messages, dimmed)


def _facts(params: VideoParams, is_img2img: bool) -> Facts:
    """What the page knows before a run: neither how long a video is, nor what pictures img2img will have."""
    from_elsewhere = is_img2img or bool(params.video_source or params.video_path)
    return Facts(tab="img2img" if is_img2img else "txt2img", pictures=int(is_img2img), source_is_unread=from_elsewhere)


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
