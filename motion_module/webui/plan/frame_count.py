"""How many frames each video of a run has, and what of the host's own counts has no effect then."""

from __future__ import annotations

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.plan.facts import Facts
from motion_module.webui.request.sources import MOST
from motion_module.wording import either, mention

_CLIP = mention("continue_from")


def frames_of(params: VideoParams, facts: Facts) -> tuple[int, str]:
    """Frames of each video, and in words why they are fewer than was asked for.

    As many as were asked for, but no more than there are pictures to look at; else as many as those, or as img2img
    has pictures, or one context window; on top of those of a video that is continued. 0 where nobody knows before the
    source is read.

    Raises:
        ParamError: img2img has several pictures, but not one for each frame; or a video is continued and there are no
            pictures for more frames than it has, or it would have more than a video may have.
    """
    pictures, limits = facts.pictures, facts.limits
    asked = params.video_length or (pictures if pictures > 1 or facts.is_folder else 0)
    if facts.before and (asked or not limits):
        asked = facts.before + (asked or params.batch_size)
    if pictures not in (0, 1, asked) and asked:
        raise ParamError(f"img2img got {pictures} pictures; allowed is one, or one for each of the {asked} frames")
    if facts.before and asked > MOST:
        raise ParamError(f"the video of {_CLIP} and what is added have {asked} frames; allowed are {MOST} together")
    shortest = min(limits, key=lambda name: limits[name]) if limits else ""
    if facts.source_is_unread and ((params.continue_from and not facts.before) or not (shortest or asked)):
        return 0, ""
    if shortest and facts.before >= limits[shortest]:
        raise ParamError(
            f"{mention(shortest)} has pictures for {limits[shortest]} frames, but the video of {_CLIP} has "
            f"{facts.before} already; give it pictures for the whole video"
        )
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
