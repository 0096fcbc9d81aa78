"""A run that ends because there is too little memory: what to set lower, in one sentence, and what is kept of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from modules import devices, shared
from motion_module.errors import HostError
from motion_module.memory import is_of_processor, is_out_of_memory
from motion_module.settings import Settings
from motion_module.webui.host_types import Processing, has_hires
from motion_module.webui.plan.plan import LoadedPlan
from motion_module.webui.progress import progress_of
from motion_module.webui.run import finished_videos
from motion_module.webui.run.resuming import goes_on
from motion_module.webui.run.work import Finished, Run
from motion_module.wording import either, mention

_log = logging.getLogger(__name__)
_HOSTS_LOOP = "process_images_inner"  # the host's function that collects the pictures of all batches
_SMALLEST_SIDE = 64  # of a picture
_SAMPLING = "sampling"
_OF_METHODS = {"sample": _SAMPLING, "init": "encoding pictures"}  # method of `p` -> what goes on in it
_OF_PICTURES = (*_OF_METHODS.values(), "decoding", "saving")  # stages that take less memory for smaller pictures


@contextmanager
def told(run: Run, method: str) -> Iterator[None]:
    """Whatever method of `p` a run replaces: too little memory in it ends in a sentence of ours.

    Args:
        run: whose `p` it is.
        method: its name.

    Raises:
        HostError: there was too little memory.
    """
    p = run.borrowed.p
    progress = progress_of(p)
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise said(p, run, error, _OF_METHODS.get(method, progress.stage)) from None


def passed(run: Run, error: BaseException | None) -> HostError | None:
    """What the host's own part of a run has failed with, as our sentence; None if it is anything else."""
    p = run.borrowed.p
    return said(p, run, error, progress_of(p).stage) if error is not None and is_out_of_memory(error) else None


def said(p: Processing, run: Run | None, error: BaseException, stage: str) -> HostError:
    """The sentence for a run that has failed.

    Args:
        p: the host's processing object.
        run: the run; None where it has not begun.
        error: the one that means too little memory; what it holds is let go.
        stage: what was going on.
    """
    _log.warning("%s: %s", type(error).__name__, str(error).partition("\n")[0])
    finished = finished_videos.finished(p, run, error)
    _let_go(error)
    of_processor = is_of_processor(error)
    advice = _advice(p, run, of_processor, stage)
    while_ = f" while {stage}" if stage else ""
    sentence = f"the {'computer' if of_processor else 'GPU'} ran out of memory{while_}"
    sentence += f"; {advice}" if advice else ""
    kept = "; ".join(filter(None, [_kept(p, run, finished) if finished is not None else "", goes_on(run)]))
    return HostError(f"{sentence} ({kept})" if kept else sentence)


def _advice(p: Processing, run: Run | None, of_processor: bool, stage: str) -> str:
    """What to set lower, in this order, as far as it helps; "" where nothing does."""
    ways = []
    sampling_here = devices.device.type == "cpu" or not of_processor
    if run is not None and stage == _SAMPLING and sampling_here:
        ways += _fewer_frames_at_once(run)
    if stage in _OF_PICTURES:
        ways += _smaller(p)
        if run is not None and of_processor and run.request.frames > 1:
            ways.append(_lower("video_length", run.request.frames))
    if of_processor:
        ways.append("close other programs")
    elif option := _option():
        ways.append(f"start the WebUI with {option}")
    return ", or ".join([", then ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)


def _fewer_frames_at_once(run: Run) -> list[str]:
    params, frames = run.request.params, run.request.frames
    used = run.plan.windows if isinstance(run.plan, LoadedPlan) else params.windows
    together, context = min(used.windows_per_call, len(used.windows(0, frames))), min(params.batch_size, frames)
    ways = [_lower("windows_per_call", together)] if together > 1 else []
    if not run.request.facts.least_memory:
        row = Settings.least_memory
        label = f'the setting "{row.field.label.partition(" (")[0]}"'
        ways.append(f"switch {either(f'the setting {row.name}', label)} on")
    if used.context > params.batch_size:
        ways.append(f"switch {mention('elastic')} off")
    return [*ways, *([_lower("batch_size", context)] if context > 1 else [])]


def _lower(name: str, now: int) -> str:
    """A field that takes 1 and more is to be less than it is now."""
    return f"set {mention(name)} " + (f"below {now}" if now > 2 else "to 1")


def _smaller(p: Processing) -> list[str]:
    if has_hires(p) and getattr(p, "is_hr_pass", False):
        width, height = getattr(p, "hr_upscale_to_x", 0), getattr(p, "hr_upscale_to_y", 0)
        return [f"set {either('hr_scale', 'Upscale by')} lower (hires fix makes {width}x{height})"]
    if max(p.width, p.height) <= _SMALLEST_SIDE:
        return []
    return [f"make width and height smaller than {p.width}x{p.height}"]


def _option() -> str:
    """The option of the command line that would help, if it is not there yet."""
    options, sdxl = shared.cmd_opts, getattr(shared.sd_model, "is_sdxl", False)
    if options.lowvram:
        return ""
    return "--lowvram" if options.medvram or (options.medvram_sdxl and sdxl) else "--medvram"


def _let_go(error: BaseException) -> None:
    """Free what the frames that an error has passed hold: the tensors that there was no room beside."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__context__
    devices.torch_gc()


def _kept(p: Processing, run: Run | None, finished: Finished) -> str:
    kept = finished_videos.keep(p, run, finished)
    if finished_videos.is_all_saved(run):
        return kept
    video = "this video" if kept else "the video"
    frames_stay = finished_videos.frames_stay(p, run)
    lost = f"only the frames of {video} are kept" if frames_stay else f"nothing of {video} is kept"
    return f"{lost}, {kept}" if kept else lost
