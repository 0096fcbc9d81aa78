"""What the page knows of a run before there is one: the values of the WebUI's own components on the tab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.context import Context

from motion_module.params import VideoParams
from motion_module.webui.plan import prompts
from motion_module.webui.plan.facts import Facts, host_shows_noise, steps_of_img2img
from motion_module.webui.request import motion_modules
from motion_module.webui.settings import settings_of

_ELEMENTS = {  # name here -> what the WebUI calls the element
    "width": "{tab}_width",
    "height": "{tab}_height",
    "steps": "{tab}_steps",
    "sampler": "{tab}_sampling",
    "scheduler": "{tab}_scheduler",
    "cfg_scale": "{tab}_cfg_scale",
    "batch_size": "{tab}_batch_size",
    "batch_count": "{tab}_batch_count",
    "styles": "{tab}_styles",
    "prompt": "{tab}_prompt",
    "negative_prompt": "{tab}_neg_prompt",
    "hires": "{tab}_hr-checkbox",
    "hires_steps": "{tab}_hires_steps",
    "hires_scale": "{tab}_hr_scale",
    "hires_width": "{tab}_hr_resize_x",
    "hires_height": "{tab}_hr_resize_y",
    "denoising_strength": "{tab}_denoising_strength",
    "hr_prompt": "hires_prompt",
    "hr_negative_prompt": "hires_neg_prompt",
    "batch_folder": "{tab}_batch_input_dir",
}
_PICTURES = ("img2img_image", "img2img_sketch", "img2maskimg", "inpaint_sketch", "img_inpaint_base")
_PICTURE = "picture "
PROMPTS = tuple(prompts.OF_PICTURES)


def host_components(tab: str) -> dict[str, Any]:
    """The components that count, by their names here; those that this host does not have are missing.

    Call it inside the tab, when the host has built its own part.
    """
    by_elem_id = _by_elem_id()
    elements = {name: by_elem_id.get(element.format(tab=tab)) for name, element in _ELEMENTS.items()}
    return {name: component for name, component in elements.items() if component is not None}


def picture_components(tab: str) -> dict[str, Any]:
    """The places for the picture that img2img starts from, of which the tab that is chosen counts; by names for
    `facts_of_page`, to which only goes whether there is one. Call it as `host_components`."""
    by_elem_id = _by_elem_id() if tab == "img2img" else {}
    return {f"{_PICTURE}{name}": _kept_in(by_elem_id[name], by_elem_id) for name in _PICTURES if name in by_elem_id}


def _kept_in(place: Any, by_elem_id: Mapping[str | None, Any]) -> Any:
    """Where the picture of a place is: on Forge the place is HTML to paint on, and names the box with its picture."""
    if not isinstance(place, gr.HTML):
        return place
    named = (box for elem_id, box in by_elem_id.items() if elem_id and f"image_{elem_id}" in str(place.value))
    return next(named, place)


def _by_elem_id() -> dict[str | None, Any]:
    return {getattr(block, "elem_id", None): block for block in Context.root_block.blocks.values()}


def facts_of_page(tab: str, params: VideoParams, values: Mapping[str, Any]) -> Facts:
    """The facts of a run as the page is now. How long a video is, and what pictures img2img gets, nobody knows yet.

    Args:
        tab: txt2img or img2img.
        params: our own fields.
        values: those of `host_components`, and whether there is something in `picture_components`.
    """
    known = values if params.enable else {}  # a prompt that is no travel is nobody's concern without a video
    texts = {name: str(known.get(name) or "") for name in (PROMPTS if known.get("hires") else PROMPTS[:2])}
    styles = known.get("styles") or []
    places = [value for name, value in known.items() if name.startswith(_PICTURE)]
    steps = _whole(known, "steps", Facts.steps[0])
    if tab == "img2img" and "denoising_strength" in known:
        own = float(known["denoising_strength"] or 0)
        steps = steps_of_img2img(steps, own if params.strength is None else params.strength)
    return Facts(
        tab="img2img" if tab == "img2img" else "txt2img",
        width=_whole(known, "width", Facts.width),
        height=_whole(known, "height", Facts.height),
        steps=(steps, _whole(known, "hires_steps", steps)) if known.get("hires") else (steps,),
        hires_scale=float(known.get("hires_scale") or Facts.hires_scale),
        hires_size=(_whole(known, "hires_width", 0), _whole(known, "hires_height", 0)),
        sampler=str(known.get("sampler") or ""),
        cfg=float(known.get("cfg_scale") or Facts.cfg),
        batch_size=_whole(known, "batch_size", Facts.batch_size),
        batch_count=_whole(known, "batch_count", Facts.batch_count),
        pictures=int(tab == "img2img"),
        lacks_picture=bool(places) and not any(places) and not known.get("batch_folder"),
        source_is_unread=bool(params.video_source or params.video_path),
        texts={name: (text,) for name, text in texts.items()},
        modules=motion_modules.files() if params.enable else {},
        least_memory=params.enable and settings_of().least_memory,
        shows_noise=host_shows_noise(),
        read={name: (prompts.as_read(name, text, styles),) for name, text in texts.items()},
    )


def _whole(values: Mapping[str, Any], name: str, default: int) -> int:
    """A number that is above 0; 0 and nothing stand for the default."""
    return int(values.get(name) or default)
