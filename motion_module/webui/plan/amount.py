"""How much there is to do for a request."""

from __future__ import annotations

from motion_module import formats
from motion_module.webui.amounts import Amount, Pass, units_of
from motion_module.webui.plan.facts import Facts
from motion_module.webui.plan.request import Request


def amount_of(request: Request, videos: int) -> Amount:
    """The work that a request is, as far as it is known: a video source that is not read yet may have other frames.

    Args:
        request: what is asked for.
        videos: how many are made.
    """
    params, facts, source = request.params, request.facts, request.source
    frames = request.frames or (source.about if source is not None else None) or params.batch_size
    sampled = min(frames, max(frames - facts.before, 0) + params.windows.shared_frames)  # old frames stay
    sizes = _pixels_of_passes(facts)
    repeats = params.freeinit_iters if params.freeinit_enable else 1
    passes = [
        Pass(kind, steps, units_of(pixels, sampled if facts.before else frames))
        for kind, steps, pixels in zip(("sample", "hires"), facts.steps, sizes, strict=False)
        for _ in range(repeats)
    ]
    written = frames + (frames - 1) * params.interp_x if params.interp != "Off" else frames
    shown = tuple(name for name in params.format if name in formats.VIDEOS + formats.FOLDERS)
    return Amount(
        videos=videos,
        search=params.video_start if source is not None and source.name == "video_source" else 0,
        read=_units_of_source(request, frames),
        passes=tuple(passes),
        decode=units_of(sizes[-1], frames),
        save=units_of(sizes[-1], written * max(1, len(shown))),
        steps=videos * repeats * sum(facts.steps),
        formats=shown,
    )


def jobs_of(request: Request, videos: int) -> tuple[int, int]:
    """How many jobs the host counts for a run, and how many more the passes of FreeInit are."""
    jobs = videos * len(request.facts.steps)
    params = request.params
    return jobs, jobs * (params.freeinit_iters - 1) if params.freeinit_enable else 0


def _pixels_of_passes(facts: Facts) -> list[float]:
    """Of a frame in each sampling pass; the host works out the size for hires fix only when it begins."""
    pixels, (width, height) = facts.width * facts.height, facts.hires_size
    if len(facts.steps) == 1:
        return [pixels]
    return [pixels, width * height or pixels * facts.hires_scale**2]


def _units_of_source(request: Request, frames: int) -> float:
    source = request.source
    if source is None or source.size is None:
        return 0.0
    return units_of(source.size[0] * source.size[1], source.count or source.about or frames)
