"""How much there is to do for a request."""

from __future__ import annotations

from motion_module import formats
from motion_module.webui.host_types import Processing
from motion_module.webui.plan.request import Request
from motion_module.webui.progress import Amount, Pass

_MILLION = 1_000_000


def amount_of(p: Processing, request: Request) -> Amount:
    """The work that a request is, as far as it is known: a video source that is not read yet may have other frames.

    Args:
        p: the host's processing object, for what hires fix makes of the size.
        request: what is asked for.
    """
    params, facts, source = request.params, request.facts, request.source
    frames = request.frames or (source.about if source is not None else None) or params.batch_size
    sizes = _pixels_of_passes(p, facts.width * facts.height, len(facts.steps))
    repeats = params.freeinit_iters if params.freeinit_enable else 1
    passes = [
        Pass(kind, steps, frames * pixels / _MILLION)
        for kind, steps, pixels in zip(("sample", "hires"), facts.steps, sizes, strict=False)
        for _ in range(repeats)
    ]
    written = frames + (frames - 1) * params.interp_x if params.interp != "Off" else frames
    shown = tuple(name for name in params.format if name in formats.VIDEOS + formats.FOLDERS)
    return Amount(
        videos=p.n_iter,
        search=params.video_start if source is not None and source.name == "video_source" else 0,
        read=_units_of_source(request, frames),
        passes=tuple(passes),
        decode=frames * sizes[-1] / _MILLION,
        save=written * max(1, len(shown)) * sizes[-1] / _MILLION,
        steps=p.n_iter * repeats * sum(facts.steps),
        formats=shown,
    )


def jobs_of(p: Processing, request: Request) -> tuple[int, int]:
    """How many jobs the host counts for a run, and how many more the passes of FreeInit are."""
    jobs = p.n_iter * len(request.facts.steps)
    params = request.params
    return jobs, jobs * (params.freeinit_iters - 1) if params.freeinit_enable else 0


def _pixels_of_passes(p: Processing, pixels: int, passes: int) -> list[float]:
    """Of a frame in each sampling pass; the host works out the size for hires fix only when it begins."""
    if passes == 1:
        return [pixels]
    chosen = getattr(p, "hr_resize_x", 0) or 0, getattr(p, "hr_resize_y", 0) or 0
    if all(chosen):
        return [pixels, chosen[0] * chosen[1]]
    return [pixels, pixels * float(getattr(p, "hr_scale", 1) or 1) ** 2]


def _units_of_source(request: Request, frames: int) -> float:
    source = request.source
    if source is None or source.size is None:
        return 0.0
    return (source.count or source.about or frames) * source.size[0] * source.size[1] / _MILLION
