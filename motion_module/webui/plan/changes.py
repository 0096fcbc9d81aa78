"""What a run changes of its `p`, as values: new ones for attributes, to be taken back when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motion_module.webui.answers import worded_for
from motion_module.webui.host_types import Processing, init_images, is_img2img
from motion_module.webui.plan import infotext
from motion_module.webui.plan.job_lists import one_video_each
from motion_module.webui.plan.plan import Plan
from motion_module.webui.plan.request import Request
from motion_module.webui.request.batch_folder import batch_of


def changes_of_request(p: Processing, request: Request) -> dict[str, Any]:
    """Those that the host's `setup_prompts` and the `process` of other scripts have to see."""
    frames = request.frames
    changes = {**one_video_each(p, frames), "batch_size": frames, "do_not_save_grid": True}
    pictures, strength = init_images(p), request.params.strength
    if is_img2img(p) and strength is not None:
        changes["denoising_strength"] = strength
    if len(pictures) > frames:
        changes["init_images"] = pictures[:frames]
    return changes


def changes_of_plan(p: Processing, plan: Plan, host_saves_frames: bool, more: Mapping[str, str]) -> dict[str, Any]:
    """Those that depend on the settings and the checkpoint of the request.

    Args:
        p: the host's processing object.
        plan: what is made.
        host_saves_frames: frames go to the WebUI's own place, saved by the WebUI.
        more: what else goes into the infotext.
    """
    batch = batch_of(p)
    ours = not host_saves_frames or (batch is not None and batch.takes_frames(plan.request.params))
    recorded = {**p.extra_generation_params, infotext.LABEL: plan.infotext, **more}
    if plan.request.fewer:
        recorded["AnimateDiff frames"] = worded_for(p, plan.request.fewer)
    return {"do_not_save_samples": ours or p.do_not_save_samples, "extra_generation_params": recorded}
