"""Below the panel's upload: the video itself, what it is, a button that takes all of its frames, or why it is none."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from motion_module.errors import SaidError
from motion_module.media.reading.describe import Description
from motion_module.params import VideoParams
from motion_module.webui.page.events import SILENT
from motion_module.webui.request.sources import described
from motion_module.wording import number_text

_RANGE = ("video_start", "video_end")
_PICTURES = (".gif", ".webp", ".apng", ".png", ".avif")  # what a browser shows as one


@dataclass(frozen=True)
class VideoCard:
    """What stands below the upload.

    Attributes:
        upload: the field.
        path: a hidden box with the place of the uploaded file, so that the file itself need not be sent again.
        about: the video and its text.
        take_all: the button.
    """

    upload: Any
    path: Any
    about: Any
    take_all: Any

    def follow(self, fields: Mapping[str, Any]) -> None:
        """Let the card, and the range of frames, follow the upload.

        Args:
            fields: name -> component.
        """
        ranges = [fields[name] for name in _RANGE]
        self.upload.change(
            _looked_at, [self.upload, *ranges], [self.path, self.about, self.take_all, *ranges], **SILENT
        )
        frames = [fields[name] for name in ("video_length", *_RANGE, "every_nth")]
        self.take_all.click(_all_frames, [self.path, *frames[1:]], frames[:1], **SILENT)


def build(upload: Any, elem_id: Callable[[str], str]) -> VideoCard:
    """The card of an upload, at this place of the panel."""
    path = gr.Textbox(visible=False, elem_id=elem_id("video_source_path"))
    about = gr.HTML(elem_id=elem_id("video_source_about"), elem_classes=["animatediff-about"])
    take_all = gr.Button(
        "As many frames as this video", size="sm", visible=False, elem_id=elem_id("video_source_take_all")
    )
    return VideoCard(upload, path, about, take_all)


def _looked_at(upload: Any, start: Any, end: Any) -> list[Any]:
    """What there is to say of an upload as soon as it is there."""
    path = getattr(upload, "name", None) or (upload if isinstance(upload, str) else "")
    frames, shown = 0, ""
    try:
        source = described(VideoParams(video_source=path or None))
    except SaidError as error:
        source, shown = None, _refused(error)
    if source is not None and source.described is not None:
        frames, shown = source.expected, _card(Path(path), source.described)
    return [path, shown, gr.update(visible=bool(frames)), *_ranges(frames, (start, end))]


def _ranges(frames: int, chosen: Sequence[Any]) -> list[Any]:
    """First and last frame: sliders as long as the video; what was chosen stays where the video has such a frame."""
    table, updates = VideoParams.table(), []
    for name, value in zip(_RANGE, chosen, strict=True):
        longest = frames - 1 if frames > 1 else (table[name].slider or (0, 0))[1]
        there = not frames or (isinstance(value, (int, float)) and value < frames)
        updates.append(gr.update(maximum=longest, value=value if there else VideoParams.default_of(name)))
    return updates


def _all_frames(path: str, start: Any, end: Any, step: Any) -> Any:
    """How many frames are left of a video between its first and last one that are wanted."""
    wanted = {"video_source": path, "video_start": start, "video_end": end, "every_nth": step}
    try:
        source = described(VideoParams.from_json(wanted))
    except SaidError:
        return gr.update()  # the line below the first fields says why
    return source.expected if source is not None and source.expected else gr.update()


def _card(path: Path, video: Description) -> str:
    address = f"file={quote(str(path).replace(os.sep, '/'))}"
    shown = _picture(address) if path.suffix.lower() in _PICTURES else _player(address, video.fps)
    return f'<div class="animatediff-card">{shown}<span>{html.escape(_facts(path.name, video))}</span></div>'


def _picture(address: str) -> str:
    return f'<img src="{address}" alt="The uploaded video">'


def _player(address: str, fps: float | None) -> str:
    """What the browser cannot play is not shown; the facts stay."""
    rate = f' data-fps="{fps}"' if fps else ""
    return (
        f'<video src="{address}"{rate} aria-label="The uploaded video" controls muted loop preload="metadata" '
        f'onerror="this.remove()"></video>'
    )


def _facts(name: str, video: Description) -> str:
    """What a video is, in one line."""
    frames = video.count or video.about
    parts = [
        f"{'' if video.count else 'about '}{number_text(frames)} frame{'s' * (frames > 1)}" if frames else "",
        f"{frames / video.fps:.1f} s" if frames and video.fps else "",
        f"{video.width}x{video.height}",
        f"{video.fps:g} FPS" if video.fps else "",
        "with sound" if video.probe is not None and video.probe.sound else "",
    ]
    return f"{name}: {', '.join(filter(None, parts))}"


def _refused(error: SaidError) -> str:
    return f'<span class="animatediff-refused">{html.escape(VideoParams.worded_for_page(error.whole))}</span>'
