"""From the host's pictures to saved videos, and back into the host's result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from modules import shared
from motion_module.media.errors import describe
from motion_module.params import VideoParams
from motion_module.webui.host_types import Processed, Processing
from motion_module.webui.output import interrupted
from motion_module.webui.output.response import answers_a_client, publish
from motion_module.webui.output.saved_video import Generated, SavedVideo, save_video
from motion_module.webui.progress import progress_of
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.video_source import VideoIn


def save_videos(
    p: Processing,
    processed: Processed,
    params: VideoParams,
    frames: int,
    source: VideoIn | None = None,
    unfinished: Mapping[int, str] | None = None,
) -> list[SavedVideo]:
    """Save every video of a finished run and put the results in the place of its pictures.

    Args:
        p: the host's processing object.
        processed: its result, with `frames` pictures for each video; changed in place by `publish`.
        params: what was asked for.
        frames: frames of each video, as generated.
        source: the video that came in; its messages are passed on, and its sound if that is wanted.
        unfinished: number of a video, from 0 -> where it was interrupted.

    Raises:
        HostError: a video could not be saved in any of its formats.
    """
    saved: list[SavedVideo] = []
    progress = progress_of(p)
    progress.saving()
    with ExitStack() as stack:
        for number, generated in enumerate(_videos(processed, frames)):
            shared.state.textinfo = f"AnimateDiff: saving video {number + 1}"
            where = (unfinished or {}).get(number)
            if where is None or interrupted.are_saved():
                saved.append(_kept_video(p, params, generated, source, number))
            else:
                saved.append(_unsaved_video(stack, p, params, generated, source))
            saved[-1].messages += [interrupted.sentence(where)] if where is not None else []
            progress.finished()
        if saved:
            saved[0].messages[:0] = source.messages if source is not None else ()
            publish(p, processed, params, saved)
    return saved


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
