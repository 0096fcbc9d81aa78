"""From the host's pictures to saved videos, and back into the host's result."""

from __future__ import annotations

import base64
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from modules import shared, ui_tempdir
from motion_module import formats
from motion_module.errors import HostError
from motion_module.media.writing.clip import APPEND, PING_PONG, Clip, ClipInfo, with_reverse
from motion_module.media.writing.names import Claim, claimed
from motion_module.media.writing.saving import WriteReport, describe, write_clip
from motion_module.params import VideoParams
from motion_module.webui.answers import comments_of, told
from motion_module.webui.host_types import Processed, Processing
from motion_module.webui.output import interrupted, previews, script_runs
from motion_module.webui.output.sound import sound_for
from motion_module.webui.output.write import write_frames
from motion_module.webui.request import interpolation
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.settings import settings_of

logger = logging.getLogger(__name__)

FILES_KEY = "AnimateDiff files"
MESSAGES_KEY = "AnimateDiff messages"


@dataclass
class SavedVideo:
    """One video and what was saved of it.

    Attributes:
        frames: its frames, reversed part included; also those made between them, where the result returns frames.
        infotext: generation parameters of its first frame.
        seed: seed of its first frame.
        fps: frames per second of `frames`.
        files: finished files by format; PNG has one for each frame.
        messages: sentences for the person about what did not work.
        kept: whether the files stay; those of an interrupted video may not.
    """

    frames: list[Image.Image]
    infotext: str
    seed: int
    fps: float = ClipInfo.fps
    files: dict[str, list[Path]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    kept: bool = True

    @property
    def paths(self) -> dict[str, str]:
        """Where each format is: a file, or the folder of the frames; nowhere where they do not stay."""
        if not self.kept:
            return {}
        return {
            name: str(files[0].parent if name in formats.FOLDERS else files[0]) for name, files in self.files.items()
        }


def host_saves_frames(params: VideoParams) -> bool:
    """Whether frames go to the WebUI's own place, saved by the WebUI (setting `save_to_custom` off)."""
    return (
        formats.PNG in params.format
        and params.interp == "Off"  # the WebUI knows nothing of frames made between its own
        and not settings_of().save_to_custom
    )


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
    with ExitStack() as stack:
        for number, (pictures, infotext, seed) in enumerate(_videos(processed, frames)):
            shared.state.textinfo = f"AnimateDiff: saving video {number + 1}"
            where = (unfinished or {}).get(number)
            if where is None or interrupted.are_kept():
                files, messages = _to_batch_folder(p, params, pictures, number)
                saved.append(save_video(p, params, pictures, infotext, seed, source, files))
                saved[-1].messages += messages
            else:
                saved.append(_unsaved_video(stack, p, params, pictures, infotext, seed, source))
            saved[-1].messages += [interrupted.sentence(where)] if where is not None else []
        if saved:
            saved[0].messages[:0] = source.messages if source is not None else ()
            publish(p, processed, params, saved)
    return saved


def _unsaved_video(
    stack: ExitStack,
    p: Processing,
    params: VideoParams,
    frames: list[Image.Image],
    infotext: str,
    seed: int,
    source: Any,
) -> SavedVideo:
    """A video whose files last as long as the stack: API clients get what is in them, the page a preview."""
    if not _answers_a_client(p):
        return SavedVideo(with_reverse(frames, _reverse_options(params, len(frames))), infotext, seed, kept=False)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    video = save_video(p, params, frames, infotext, seed, source, folder=Path(folder))
    video.kept = False
    return video


def save_video(
    p: Processing,
    params: VideoParams,
    frames: list[Image.Image],
    infotext: str,
    seed: int,
    source: VideoIn | None = None,
    frame_files: Sequence[Path] = (),
    folder: Path | None = None,
) -> SavedVideo:
    """Save one video in the formats of `params.format` under `<outpath_samples>/AnimateDiff/<date>/`.

    A format that fails is reported in `SavedVideo.messages` and costs the others nothing.

    Args:
        p: the host's processing object; only its `outpath_samples` is read.
        params: `format`, `fps`, `loop_number`, `reverse`, `closed_loop`, `batch_size`, `interp`, `interp_x` and
            `request_id` are read.
        frames: the generated frames.
        infotext: generation parameters of the first frame.
        seed: seed of the first frame.
        source: the video that came in, whose sound may be wanted.
        frame_files: where the frames are saved already; PNG is then written only if there are frames made between them.
        folder: where to save; None for the usual place.

    Raises:
        HostError: nothing but text could be saved. The frames are then saved as PNG wherever that works.
    """
    reverse = _reverse_options(params, len(frames))
    video = SavedVideo(with_reverse(frames, reverse), infotext, seed)
    sound, video.messages = sound_for(source, params, len(frames), APPEND in reverse)
    elsewhere = host_saves_frames(params) or (frame_files and params.interp == "Off")
    wanted = [name for name in params.format if name in formats.WRITTEN and not (name == formats.PNG and elsewhere)]
    between = interpolation.of(params, len(video.frames))
    info = ClipInfo(fps=params.fps, loop=params.loop_number, infotext=_embedded(infotext), sound=sound)
    with ExitStack() as stack:
        claim = _claim(stack, folder or _folder_of(p), video, params.request_id) if wanted else None
        written = write_frames(video.frames, info, wanted, claim, between, keep=_returns_frames(params))
        report = written.report
        video.frames, video.fps, video.files = list(written.frames), written.fps, report.files
        if frame_files:
            video.files.setdefault(formats.PNG, list(frame_files))
        video.messages += written.messages
        video.messages += [
            f"AnimateDiff could not save {name}: {why.rstrip('.')}." for name, why in report.failures.items()
        ]
        video.messages += [f"AnimateDiff saved {name}, but {note}." for name, note in report.notes.items()]
        if claim is not None and report.failures and not set(video.files) - set(formats.TEXTS):
            raise HostError(_rescue(Clip(video.frames, info), claim, report, seed))
    return video


def publish(p: Processing, processed: Processed, params: VideoParams, saved: list[SavedVideo]) -> None:
    """Put the videos in the place of the pictures of a run.

    API clients get base64 strings of the files, video by video in the order of the table of formats; then, with
    `Frame` or where there is no video file, the frames. With `returned: pictures` files that are none are left out,
    and a video of which nothing would be left is there as its first frame. The page's gallery gets pictures that it
    shows moving, a script (X/Y/Z plot, prompt matrix) one for each video. Every entry of `processed.images` has its
    infotext at the same place in `processed.infotexts`. The paths, and what could not be saved, are in the result's
    JSON under `extra_generation_params`, from which the page makes players and links, and in the comments below the
    gallery.
    """
    to_script = _serves_script(p)
    entries = list(_for_api(params, saved) if _answers_a_client(p) else _for_gallery(params, saved, to_script))
    processed.images = [image for image, _ in entries]
    processed.infotexts = [infotext for _, infotext in entries]
    processed.index_of_first_image = 0
    paths = [video.paths for video in saved if video.paths]
    messages = [told(p, message) for video in saved for message in video.messages]
    lines = messages + [f"Saved {', '.join(named.values())}" for named in paths]
    if to_script:
        paths = script_runs.tell(p, processed, lines, paths)
    else:
        processed.comments += "".join(f"{line}\n" for line in lines)
    said = list(dict.fromkeys([*comments_of(p), *messages]))
    found = {key: value for key, value in ((FILES_KEY, paths), (MESSAGES_KEY, said)) if value}
    processed.extra_generation_params = {**(processed.extra_generation_params or {}), **found}


def _to_batch_folder(
    p: Processing, params: VideoParams, pictures: list[Image.Image], number: int
) -> tuple[list[Path], list[str]]:
    """The generated frames under their pictures' names in the batch tab's output directory, if it has one."""
    batch = batch_of(p)
    if batch is None or not batch.takes_frames(params):
        return [], []
    try:
        return batch.save(p, pictures, number, p.n_iter), []
    except OSError as error:
        return [], [f"AnimateDiff could not save the frames to {batch.output_dir}: {describe(error)}."]


def _serves_script(p: Processing) -> bool:
    """Whether the result goes to a script (X/Y/Z plot, loopback), which works on pictures."""
    script = (getattr(p, "script_args", None) or [0])[0]  # its number from 1; "None" where an infotext said so
    return script not in (0, None, "None")


def _answers_a_client(p: Processing) -> bool:
    """Whether the result goes straight to an API client."""
    return bool(getattr(p, "is_api", False)) and not _serves_script(p)


def _videos(processed: Processed, frames: int) -> Iterator[tuple[list[Image.Image], str, int]]:
    """Pictures, infotext and seed of each video. A grid in front and masks between the frames are left out."""
    first = processed.index_of_first_image
    pictures, infotexts = processed.images[first:], processed.infotexts[first:]
    if not pictures or not infotexts:
        return  # interrupted before anything was decoded
    pictures = pictures[:: max(1, len(pictures) // len(infotexts))]  # masks have no infotext
    for start in range(0, len(pictures), frames):
        seed = processed.all_seeds[start] if start < len(processed.all_seeds) else processed.seed
        yield pictures[start : start + frames], infotexts[start], seed


def _reverse_options(params: VideoParams, frames: int) -> tuple[int, ...]:
    """A closed loop that fits into one context window is made by playing it back."""
    if not params.reverse and params.closed_loop.wraps and frames <= params.batch_size:
        return PING_PONG
    return tuple(params.reverse)


def _returns_frames(params: VideoParams) -> bool:
    """Whether the result holds the frames themselves, and not only files that show them."""
    return formats.FRAME in params.format or not set(params.format) & set(formats.VIDEOS)


def _embedded(infotext: str) -> str:
    """The generation parameters inside the files, which the host's own setting may switch off."""
    return infotext if getattr(shared.opts, "enable_pnginfo", True) else ""


def _folder_of(p: Processing) -> Path:
    return Path(os.path.abspath(str(p.outpath_samples))) / "AnimateDiff" / date.today().isoformat()


def _claim(stack: ExitStack, folder: Path, video: SavedVideo, request_id: str) -> Claim:
    """A name in the output folder; in a temporary one, with a message, where that cannot be written."""
    try:
        return stack.enter_context(claimed(folder, video.seed, request_id))
    except OSError as error:
        rescue = _rescue_folder()
        video.messages.append(f"AnimateDiff cannot write to {folder} ({describe(error)}); it saved to {rescue}.")
        logger.warning("%s", video.messages[-1])
    try:
        return stack.enter_context(claimed(rescue, video.seed, request_id))
    except OSError as error:
        raise HostError(f"AnimateDiff can write neither to {folder} nor to {rescue}: {describe(error)}.") from error


def _rescue_folder() -> Path:
    return Path(tempfile.gettempdir()) / "AnimateDiff" / date.today().isoformat()


def _rescue(clip: Clip, claim: Claim, report: WriteReport, seed: int) -> str:
    """Save the frames as PNG after everything else failed. Returns the sentence that tells about both."""
    reasons = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in report.failures.items())
    sentence = f"AnimateDiff could not save the video ({reasons})."
    try:
        with ExitStack() as stack:
            files = (
                None
                if formats.PNG in report.failures
                else write_clip(clip, [formats.PNG], claim).files.get(formats.PNG)
            )
            if not files:
                elsewhere = stack.enter_context(claimed(_rescue_folder(), seed))
                files = write_clip(clip, [formats.PNG], elsewhere).files.get(formats.PNG)
    except OSError:
        return sentence
    return f"{sentence} Its frames are in {files[0].parent}." if files else sentence


def _for_api(params: VideoParams, saved: list[SavedVideo]) -> Iterator[tuple[str | Image.Image, str]]:
    left_out = formats.NO_PICTURES if params.returned == "pictures" else ()
    any_video = False
    for video in saved:
        files = [(name, path) for name in formats.VIDEOS for path in video.files.get(name, [])]
        any_video = any_video or bool(files)
        shown = [path for name, path in files if name not in left_out]
        for path in shown:
            yield base64.b64encode(path.read_bytes()).decode("ascii"), video.infotext
        if files and not shown and formats.FRAME not in params.format:
            yield video.frames[0], video.infotext
    if formats.FRAME in params.format or not any_video:
        yield from _frames(saved)


def _for_gallery(
    params: VideoParams, saved: list[SavedVideo], to_script: bool = False
) -> Iterator[tuple[Image.Image, str]]:
    any_video = False
    previews.forget_old()
    for video in saved:
        _allow_page(video)
        shown = [path for name in formats.IN_IMG for path in video.files.get(name, [])]
        if not shown and set(video.files if video.kept else params.format) & set(formats.VIDEOS):
            info = ClipInfo(video.fps, params.loop_number, _embedded(video.infotext))
            shown = previews.preview(video.frames, info, video.seed)
        if to_script and not shown:
            yield video.frames[0], video.infotext
        for path in shown[:1] if to_script else shown:
            any_video = True
            picture = video.frames[0].copy()
            _show_file(picture, path)
            yield picture, video.infotext
    if not to_script and (formats.FRAME in params.format or not any_video):
        yield from _frames(saved)


def _allow_page(video: SavedVideo) -> None:
    """Let the page load the video's files (javascript/animatediff_videos.js), wherever the person had them saved."""
    page = getattr(shared, "demo", None)
    for name, paths in video.files.items():
        for path in () if name in formats.FOLDERS else paths:
            ui_tempdir.register_tmp_file(page, str(path))


def _frames(saved: list[SavedVideo]) -> Iterator[tuple[Image.Image, str]]:
    for video in saved:
        files = next((video.files[name] for name in formats.FOLDERS if name in video.files), [])
        if len(files) == len(video.frames):  # not so where frames were made between them and not kept
            for frame, path in zip(video.frames, files, strict=True):
                _show_file(frame, path)
        for frame in video.frames:
            yield frame, frame.info.get("parameters", video.infotext)


def _show_file(picture: Image.Image, path: Path) -> None:
    """Make the WebUI's gallery show a file in the place of a picture, instead of a temporary copy."""
    picture.already_saved_as = str(path)  # the WebUI's own name for it
