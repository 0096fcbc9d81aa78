"""How the host's batch becomes videos: how many frames, and what of `p` belongs to a video instead of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.request.batch_folder import batch_of
from motion_module.wording import either, mention


def frames_of(p: Any, params: VideoParams, limits: Mapping[str, int] | None = None) -> tuple[int, str]:
    """Frames of each video, and a sentence where they are fewer than was asked for.

    As many as were asked for, but no more than there are pictures to look at; else as many as those, or as img2img
    has pictures, or one context window.

    Args:
        p: the host's processing object.
        params: what was asked for.
        limits: how many frames there are pictures for, by what holds them.

    Raises:
        ParamError: img2img has several pictures, but not one for each frame.
    """
    pictures = len(getattr(p, "init_images", None) or [])
    shortest = min(limits, key=lambda name: limits[name]) if limits else None
    asked = params.video_length or (pictures if pictures > 1 or batch_of(p) is not None else 0)
    if pictures not in (0, 1, asked) and asked:
        raise ParamError(
            f"AnimateDiff: img2img got {pictures} pictures; allowed is one, or one for each of the {asked} frames."
        )
    if not limits or shortest is None or 0 < asked <= limits[shortest]:
        return asked or params.batch_size, ""
    fewer = f"{limits[shortest]} frames instead of {asked}: {mention(shortest)} holds no more" if asked else ""
    return limits[shortest], fewer


def idle_batch_size(p: Any, frames: int) -> str:
    """A sentence where the WebUI's batch size was set, but each video is a batch of its frames; else ""."""
    if p.batch_size in (1, frames):
        return ""
    size = f"{either('batch_size', 'Batch size')} of the {either('request', 'WebUI')}"
    count = either("n_iter", "Batch count")
    return f"{size}, {p.batch_size}, has no effect: all {frames} frames of a video are one batch; use {count}."


def one_video_each(p: Any, frames: int) -> dict[str, Any]:
    """What a script that gives each picture its own prompt (prompt matrix) has to give each video instead.

    Args:
        p: the host's processing object.
        frames: frames of each video.

    Returns:
        New values for attributes of `p`; none where its prompts are plain texts.
    """
    texts = [name for name in ("prompt", "negative_prompt") if isinstance(getattr(p, name), list)]
    if not texts:
        return {}
    videos = len(getattr(p, texts[0]))
    changed: dict[str, Any] = {"n_iter": videos}
    for name in texts:
        changed[name] = [text for text in getattr(p, name) for _ in range(frames)]
    for name, counted in (("seed", p.subseed_strength == 0), ("subseed", True)):
        seeds = getattr(p, name)
        if isinstance(seeds, list):
            changed[name] = [seed + i * counted for seed in seeds for i in range(frames)]
    return changed
