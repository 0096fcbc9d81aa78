"""How many frames each video of a run has, and what of the host's own counts has no effect then."""

from __future__ import annotations

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.plan.facts import Facts
from motion_module.wording import either, mention


def frames_of(params: VideoParams, facts: Facts) -> tuple[int, str]:
    """Frames of each video, and in words why they are fewer than was asked for.

    As many as were asked for, but no more than there are pictures to look at; else as many as those, or as img2img
    has pictures, or one context window. 0 where nobody knows before the source is read.

    Raises:
        ParamError: img2img has several pictures, but not one for each frame.
    """
    pictures, limits = facts.pictures, facts.limits
    asked = params.video_length or (pictures if pictures > 1 or facts.is_folder else 0)
    if pictures not in (0, 1, asked) and asked:
        raise ParamError(f"img2img got {pictures} pictures; allowed is one, or one for each of the {asked} frames")
    shortest = min(limits, key=lambda name: limits[name]) if limits else ""
    if not shortest and not asked and facts.source_is_unread:
        return 0, ""
    if not shortest or 0 < asked <= limits[shortest]:
        return asked or params.batch_size, ""
    fewer = f"{limits[shortest]} frames instead of {asked}: {mention(shortest)} holds no more" if asked else ""
    return limits[shortest], fewer


def idle_batch_size(facts: Facts, frames: int) -> str:
    """A sentence where the WebUI's batch size was set, but each video is a batch of its frames; else ""."""
    if facts.batch_size in (1, frames) or not frames:
        return ""
    size = f"{either('batch_size', 'Batch size')} of the {either('request', 'WebUI')}"
    count = either("n_iter", "Batch count")
    return f"{size}, {facts.batch_size}, has no effect: all {frames} frames of a video are one batch; use {count}."
