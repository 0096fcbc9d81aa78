"""What the page knows of a run before there is one: the values of the WebUI's own components on the tab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradio.context import Context

from motion_module.params import VideoParams
from motion_module.webui.plan import prompts
from motion_module.webui.plan.facts import Facts

_ELEMENTS = {  # name here -> what the WebUI calls the element
    "width": "{tab}_width",
    "height": "{tab}_height",
    "steps": "{tab}_steps",
    "sampler": "{tab}_sampling",
    "batch_size": "{tab}_batch_size",
    "batch_count": "{tab}_batch_count",
    "styles": "{tab}_styles",
    "prompt": "{tab}_prompt",
    "negative_prompt": "{tab}_neg_prompt",
    "hires": "{tab}_hr-checkbox",
    "hires_steps": "{tab}_hires_steps",
    "hr_prompt": "hires_prompt",
    "hr_negative_prompt": "hires_neg_prompt",
}
PROMPTS = tuple(prompts.OF_PICTURES)


def host_components(tab: str) -> dict[str, Any]:
    """The components that count, by their names here; those that this host does not have are missing.

    Call it inside the tab, when the host has built its own part.
    """
    by_elem_id = {getattr(block, "elem_id", None): block for block in Context.root_block.blocks.values()}
    elements = {name: by_elem_id.get(element.format(tab=tab)) for name, element in _ELEMENTS.items()}
    return {name: component for name, component in elements.items() if component is not None}


def facts_of_page(tab: str, params: VideoParams, values: Mapping[str, Any]) -> Facts:
    """The facts of a run as the page is now. How long a video is, and what pictures img2img gets, nobody knows yet.

    Args:
        tab: txt2img or img2img.
        params: our own fields.
        values: those of `host_components`.
    """
    known = values if params.enable else {}  # a prompt that is no travel is nobody's concern without a video
    texts = {name: str(known.get(name) or "") for name in (PROMPTS if known.get("hires") else PROMPTS[:2])}
    styles = known.get("styles") or []
    steps = _whole(known, "steps", Facts.steps[0])
    return Facts(
        tab="img2img" if tab == "img2img" else "txt2img",
        width=_whole(known, "width", Facts.width),
        height=_whole(known, "height", Facts.height),
        steps=(steps, _whole(known, "hires_steps", steps)) if known.get("hires") else (steps,),
        sampler=str(known.get("sampler") or ""),
        batch_size=_whole(known, "batch_size", Facts.batch_size),
        batch_count=_whole(known, "batch_count", Facts.batch_count),
        pictures=int(tab == "img2img"),
        source_is_unread=tab == "img2img" or bool(params.video_source or params.video_path),
        texts={name: (text,) for name, text in texts.items()},
        read={name: (prompts.as_read(name, text, styles),) for name, text in texts.items()},
    )


def _whole(values: Mapping[str, Any], name: str, default: int) -> int:
    """A number that is above 0; 0 and nothing stand for the default."""
    return int(values.get(name) or default)
