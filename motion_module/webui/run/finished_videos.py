"""What is kept of a run that has failed: the videos that were finished before, which the host would lose.

The host collects the pictures of all batches in one function, and hands them on when the last one is there.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from types import FrameType

from modules import processing
from motion_module.errors import SaidError
from motion_module.webui.host_types import Processed, Processing
from motion_module.webui.output import videos
from motion_module.webui.output.saved_video import host_saves_frames
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.run.resuming import goes_on
from motion_module.webui.run.work import Finished, Run
from motion_module.wording import for_client

_log = logging.getLogger(__name__)
_HOSTS_LOOP = "process_images_inner"  # the host's function that collects the pictures


def finished(p: Processing, run: Run | None, error: BaseException) -> Finished | None:
    """What is finished in the run of `p`, which fails with this error; None where the host's loop is not running."""
    if run is not None and run.work.finished is not None:
        return run.work.finished
    frames = [*_frames_below(sys._getframe()), *(frame for frame, _ in traceback.walk_tb(error.__traceback__))]
    for frame in frames:
        variables = frame.f_locals if frame.f_code.co_name == _HOSTS_LOOP else {}
        if variables.get("p") is p and "output_images" in variables:
            return Finished(list(variables["output_images"]), list(variables.get("infotexts", ())))
    return None


def of_result(processed: Processed) -> Finished:
    """All pictures of a run, whose result is about to be changed."""
    first = processed.index_of_first_image
    return Finished(processed.images[first:], processed.infotexts[first:])


def keep(p: Processing, run: Run | None, found: Finished) -> str:
    """Save finished videos, once in a run; where they are, in words, or "" where there are none.

    Args:
        p: the host's processing object.
        run: its run; None where it has not begun.
        found: its pictures.
    """
    if run is None or run.work.kept or not (run.samples.called and found.pictures and found.infotexts):
        return ""
    run.work.kept = True
    _save(p, run, found)
    return _where(run)


def is_all_saved(run: Run | None) -> bool:
    """Whether every video was saved, and what has failed came after that."""
    return run is not None and run.work.finished is not None and None not in run.work.saved.values()


def frames_stay(p: Processing, run: Run | None) -> bool:
    """Whether the video that could not be saved has its single frames on the disk, in the host's own place."""
    if run is None or run.work.finished is None:
        return False
    params, batch = run.request.params, batch_of(p)
    return host_saves_frames(params) or (batch is not None and batch.takes_frames(params))


def say_what_is_kept(p: Processing, run: Run | None, error: BaseException) -> None:
    """Save them, and add where they are to the error's sentence, and how the run is resumed; for an error of others it
    is a line in the log."""
    found = finished(p, run, error)
    kept = "; ".join(filter(None, [keep(p, run, found) if found is not None else "", goes_on(run)]))
    if kept and isinstance(error, SaidError):
        error.add(kept)
    elif kept:
        _log.warning("A video could not be made; %s.", for_client(kept))


def _frames_below(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _save(p: Processing, run: Run, found: Finished) -> None:
    request, work = run.request, run.work
    whole = len(found.infotexts) // request.frames * request.frames  # a batch may have been cut off
    share = len(found.pictures) // len(found.infotexts)  # with masks each picture is there more than once
    result = processing.Processed(p, list(found.pictures[: whole * share]), infotexts=list(found.infotexts[:whole]))
    videos.save_rest(p, result, request.params, request.frames, work.video, work.unfinished, work.saved)


def _where(run: Run) -> str:
    """Where the videos that are saved are, as others than the one that has failed."""
    saved = run.work.saved
    paths = {number: next(iter(video.paths.values())) for number, video in saved.items() if video and video.paths}
    failed = [number for number, video in saved.items() if video is None]
    if not paths:
        return ""
    before, other = " before it", ""
    if is_all_saved(run):
        before = ""
    elif run.work.finished is not None and max(paths) > min(failed):
        before, other = "", "other "
    many = f"{len(paths)} " if before or other else ""
    what = f"the {other}video{before} is" if len(paths) == 1 else f"the {other}{many}videos{before} are"
    return f"{what} in {', '.join(paths.values())}"
