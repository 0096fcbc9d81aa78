"""What API clients and the page get of a run's videos, in the place of its pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from modules import shared, ui_tempdir
from motion_module import formats
from motion_module.media.writing.clip import ClipInfo
from motion_module.params import VideoParams
from motion_module.webui.answers import comments_of, message_for
from motion_module.webui.host_types import Processed, Processing
from motion_module.webui.output import previews, script_runs, told
from motion_module.webui.output.saved_video import SavedVideo, embedded
from motion_module.webui.progress import progress_of

FILES_KEY = "AnimateDiff files"
MESSAGES_KEY = "AnimateDiff messages"
PAGE_KEY = "AnimateDiff page"


def publish(p: Processing, processed: Processed, params: VideoParams, saved: list[SavedVideo]) -> None:
    """Put the videos in the place of the pictures of a run.

    API clients get base64 strings of the files, video by video in the order of the table of formats; then, with
    `Frame` or where there is no video file, the frames. With `returned: pictures` files that are none are left out,
    and a video of which nothing would be left is there as its first frame. The page's gallery gets pictures that it
    shows moving, a script (X/Y/Z plot, prompt matrix) one for each video. Every entry of `processed.images` has its
    infotext at the same place in `processed.infotexts`. The paths, and what could not be saved, are in the result's
    JSON under `extra_generation_params`; there is also what the page makes players and links from. The comments below
    the gallery say what was made.
    """
    to_script = serves_script(p)
    entries = list(_for_api(params, saved) if answers_a_client(p) else _for_gallery(params, saved, to_script))
    processed.images = [image for image, _ in entries]
    processed.infotexts = [infotext for _, infotext in entries]
    processed.index_of_first_image = 0
    results = _results(p, saved)
    messages = [message_for(p, message) for video in saved for message in video.messages]
    lines = messages + told.lines(saved, None if to_script else progress_of(p).seconds)
    if to_script:
        results = dict(script_runs.add_lines(p, processed, lines, results))
    else:
        processed.comments += "".join(f"{line}\n" for line in lines)
    results[MESSAGES_KEY] = list(dict.fromkeys([*comments_of(p), *messages]))
    added = {key: value for key, value in results.items() if value}
    processed.extra_generation_params = {**(processed.extra_generation_params or {}), **added}


def _results(p: Processing, saved: list[SavedVideo]) -> dict[str, list[Any]]:
    results: dict[str, list[Any]] = {FILES_KEY: [video.paths for video in saved if video.paths]}
    if not getattr(p, "is_api", False):
        results[PAGE_KEY] = [told.for_page(video) for video in saved if video.kept]
    return results


def answers_a_client(p: Processing) -> bool:
    """Whether the result goes straight to an API client."""
    return bool(getattr(p, "is_api", False)) and not serves_script(p)


def serves_script(p: Processing) -> bool:
    """Whether the result goes to a script (X/Y/Z plot, loopback), which works on pictures."""
    script = (getattr(p, "script_args", None) or [0])[0]  # its number from 1; "None" where an infotext said so
    return script not in (0, None, "None")


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


def _for_gallery(params: VideoParams, saved: list[SavedVideo], to_script: bool) -> Iterator[tuple[Image.Image, str]]:
    any_video = False
    previews.forget_old()
    for video in saved:
        _allow_page(video)
        shown = _moving_pictures(params, video)
        if to_script and not shown:
            yield video.frames[0], video.infotext
        for path in shown[:1] if to_script else shown:
            any_video = True
            picture = video.frames[0].copy()
            _show_file(picture, path)
            yield picture, video.infotext
    if not to_script and (formats.FRAME in params.format or not any_video):
        yield from _frames(saved)


def _moving_pictures(params: VideoParams, video: SavedVideo) -> list[Path]:
    """The files that the gallery plays; a preview of a video that it cannot play. None where there is no video."""
    shown = [path for name in formats.IN_IMG for path in video.files.get(name, [])]
    if not shown and set(video.files if video.stays else params.format) & set(formats.VIDEOS):
        info = ClipInfo(video.fps, params.loop_number, embedded(video.infotext))
        shown = video.stand_ins = previews.preview(video.frames, info, video.seed)
    return shown


def _allow_page(video: SavedVideo) -> None:
    """Let the page load the video's files (javascript/animatediff_results.js), wherever the person had them saved."""
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
