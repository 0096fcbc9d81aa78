"""From the host's pictures to saved videos, and back into the host's result."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from motion_module.media.errors import describe
from motion_module.params import VideoParams
from motion_module.webui.host_counters import show
from motion_module.webui.host_types import Processed, Processing
from motion_module.webui.output import interrupted
from motion_module.webui.output.response import answers_a_client, publish
from motion_module.webui.output.saved_video import Generated, SavedVideo, save_video
from motion_module.webui.progress import progress_of
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.video_source import VideoIn

_log = logging.getLogger(__name__)
Saved = dict[int, SavedVideo | None]
"""Number of a video, from 0 -> what is saved of it; None from when saving it has begun until it is finished."""


def save_videos(
    p: Processing,
    processed: Processed,
    params: VideoParams,
    frames: int,
    source: VideoIn | None = None,
    unfinished: Mapping[int, str] | None = None,
    saved: Saved | None = None,
) -> list[SavedVideo]:
    """Save every video of a finished run and put the results in the place of its pictures.

    Args:
        p: the host's processing object.
        processed: its result, with `frames` pictures for each video; changed in place by `publish`.
        params: what was asked for.
        frames: frames of each video, as generated.
        source: the video that came in; its messages are passed on, and its sound if that is wanted.
        unfinished: number of a video, from 0 -> where it was interrupted.
        saved: is told of each video, also where a later one fails.

    Raises:
        HostError: a video could not be saved in any of its formats.
    """
    results: list[SavedVideo] = []
    saved = {} if saved is None else saved
    progress = progress_of(p)
    progress.saving()
    with ExitStack() as stack:
        for number, generated in enumerate(_videos(processed, frames)):
            show(f"saving video {number + 1}")
            saved[number] = None
            video = _video(stack, p, params, generated, source, number, (unfinished or {}).get(number))
            saved[number] = video
            results.append(video)
            progress.finished()
        if results:
            results[0].messages[:0] = source.messages if source is not None else ()
            publish(p, processed, params, results)
    return results


def save_rest(
    p: Processing,
    processed: Processed,
    params: VideoParams,
    frames: int,
    source: VideoIn | None,
    unfinished: Mapping[int, str],
    saved: Saved,
) -> None:
    """Save the videos of a run that has failed, as far as that has not been tried. Nobody gets a result of it.

    Args:
        p, params, frames, source, unfinished: see `save_videos`.
        processed: what is finished; stays as it is.
        saved: those that are saved, or were to be; is told of the others.
    """
    progress_of(p).saving()
    for number, generated in enumerate(_videos(processed, frames)):
        if number in saved or (number in unfinished and not interrupted.are_saved()):
            continue
        show(f"saving video {number + 1}")
        saved[number] = None
        try:
            saved[number] = _kept_video(p, params, generated, source, number)
        except Exception:  # noqa: BLE001 - the sentence of what has failed first must come out, whatever fails next
            _log.exception("video %d, which was finished, could not be saved", number + 1)


def _video(
    stack: ExitStack,
    p: Processing,
    params: VideoParams,
    generated: Generated,
    source: VideoIn | None,
    number: int,
    where: str | None,
) -> SavedVideo:
    """A video whose files stay, unless it was interrupted (`where`) and the person does not save such ones."""
    if where is None or interrupted.are_saved():
        video = _kept_video(p, params, generated, source, number)
    else:
        video = _unsaved_video(stack, p, params, generated, source)
    video.messages += [interrupted.sentence(where)] if where is not None else []
    return video


def _kept_video(
    p: Processing, params: VideoParams, generated: Generated, source: VideoIn | None, number: int
) -> SavedVideo:
    files, messages = _to_batch_folder(p, params, generated, number)
    video = save_video(p, params, generated, source, files)
    video.messages += messages
    return video


def _unsaved_video(
    stack: ExitStack, p: Processing, params: VideoParams, generated: Generated, source: VideoIn | None
) -> SavedVideo:
    """A video whose files last as long as the stack: API clients get what is in them, the page a preview."""
    if answers_a_client(p):
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        video = save_video(p, params, generated, source, folder=Path(folder))
    else:
        video = SavedVideo.unwritten(generated, params)
    video.stays = False
    return video


def _to_batch_folder(
    p: Processing, params: VideoParams, generated: Generated, number: int
) -> tuple[list[Path], list[str]]:
    """The generated frames under their pictures' names in the batch tab's output directory, if it has one."""
    batch = batch_of(p)
    if batch is None or not batch.takes_frames(params):
        return [], []
    try:
        return batch.save(p, generated.frames, number, p.n_iter), []
    except OSError as error:
        return [], [f"AnimateDiff could not save the frames to {batch.output_dir}: {describe(error)}."]


def _videos(processed: Processed, frames: int) -> Iterator[Generated]:
    """Each video of a result. A grid in front and masks between the frames are left out."""
    first = processed.index_of_first_image
    pictures, infotexts = processed.images[first:], processed.infotexts[first:]
    if not pictures or not infotexts:
        return  # interrupted before anything was decoded
    pictures = pictures[:: max(1, len(pictures) // len(infotexts))]  # masks have no infotext
    for start in range(0, len(pictures), frames):
        seed = processed.all_seeds[start] if start < len(processed.all_seeds) else processed.seed
        yield Generated(pictures[start : start + frames], infotexts[start], seed)
