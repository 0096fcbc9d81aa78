"""The prompts and seeds of a run, one for each picture as scripts leave them, made into those of whole videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motion_module.webui.host_types import Processing
from motion_module.webui.plan.prompts import OF_PICTURES
from motion_module.webui.request.read import values_of

_PROMPTS = tuple(OF_PICTURES.values())


def one_video_each(p: Processing, frames: int) -> dict[str, Any]:
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


def for_videos(p: Processing, frames: int, runs: int) -> dict[str, Any]:
    """What the lists of `p` have to be after other scripts' `process`, so that each video has one prompt.

    A script that has made another number of prompts, or of runs, has made one for each picture that it wants (Dynamic
    Prompts, combinatorial); each becomes a video. Otherwise the prompt of the first frame of each video counts. Frames
    have seeds of their own whatever the script did: those of a batch, from the seed of their video on.

    Args:
        p: the host's processing object, after `process`.
        frames: N, frames of a video.
        runs: `p.n_iter` before `process`.

    Returns:
        New values for attributes of `p`; only those that differ.
    """
    each = _is_one_each(p, frames, runs)
    videos = len(p.all_prompts) if each else p.n_iter
    lists: dict[str, Any] = {"batch_size": frames, "n_iter": videos}
    for name in _PROMPTS:
        texts = getattr(p, name, None)
        if texts:
            lists[name] = [text for text in _firsts(texts, videos, frames) for _ in range(frames)]
    counted = p.subseed_strength == 0
    lists["all_seeds"] = _seeds(p.all_seeds, videos, frames, counted)
    lists["all_subseeds"] = _seeds(p.all_subseeds, videos, frames)
    return {name: value for name, value in lists.items() if value != getattr(p, name)}


def _is_one_each(p: Processing, frames: int, runs: int) -> bool:
    """Whether the prompts are one for each video."""
    prompts = p.all_prompts
    alike = all(prompt == prompts[number // frames * frames] for number, prompt in enumerate(prompts))
    if alike and len(prompts) in (frames * runs, frames * p.n_iter):
        return False  # they are whole videos already, if not as many as there are to be
    return len(prompts) != frames * p.n_iter or p.n_iter != runs or _combines(p)


def _combines(p: Processing) -> bool:
    """Whether Dynamic Prompts makes combinations: as many as there are frames look like one for each frame."""
    for script in getattr(getattr(p, "scripts", None), "alwayson_scripts", None) or []:
        if str(script.title()).lower().startswith("dynamic prompts"):
            enabled, combinatorial = [*values_of(p, script), False, False][:2]
            return enabled is True and combinatorial is True
    return False


def _firsts(values: Sequence[Any], videos: int, frames: int) -> list[Any]:
    """The value of each video: there is one for each of them, or one for each frame, or fewer for all."""
    step = 1 if len(values) == videos else frames
    return [values[video * step % len(values)] for video in range(videos)]


def _seeds(seeds: Sequence[int], videos: int, frames: int, counted: bool = True) -> list[int]:
    firsts = _firsts(seeds, videos, frames)
    one_each = len(seeds) == videos and firsts == [firsts[0] + video for video in range(videos)]
    for video in range(videos):
        if counted and (one_each or video * frames >= len(seeds) != videos):
            firsts[video] = firsts[0] + video * frames  # no frame has the noise of another one
    return [first + frame * counted for first in firsts for frame in range(frames)]
