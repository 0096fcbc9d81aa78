"""A video as it is asked for: a value, made in the host's `before_process` while the host is untouched, or on the page.

Making one says whether the request is possible, before anything is decoded or changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.plan import prompts
from motion_module.webui.plan.facts import Facts
from motion_module.webui.plan.frame_count import frames_of, idle_batch_size
from motion_module.webui.request.sources import Source
from motion_module.windows import overlap_note
from motion_module.without_effect import without_effect
from motion_module.wording import either, mention


@dataclass(frozen=True)
class Request:
    """What is asked for, and is possible.

    Attributes:
        params: the fields.
        facts: what is known besides.
        frames: N, frames of each video; 0 where nobody knows before the source is read.
        source: the video or folder that the fields name, as far as its header tells; None where they name none.
        fewer: why the frames are fewer than those asked for, in words with mentions; "" where they are not.
        messages: sentences for the person, with mentions.
    """

    params: VideoParams
    facts: Facts
    frames: int
    source: Source | None = None
    fewer: str = ""
    messages: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: VideoParams, facts: Facts, source: Source | None = None) -> Request:
        """The request that these fields make among these facts.

        Raises:
            ParamError: it is impossible; one sentence with the field, the value and what is allowed.
        """
        check_pictures(params, facts)
        frames, fewer = frames_of(params, facts)
        strange = prompts.check(facts.texts, facts.read, frames, params.closed_loop.closes_travel)
        messages = [*_messages(params, facts, frames, source), *strange, *([f"{fewer}."] if fewer else [])]
        return cls(params, facts, frames, source, fewer, tuple(messages))


def check_pictures(params: VideoParams, facts: Facts) -> None:
    """See that img2img has the pictures that the fields need; the host finds out while it encodes them.

    Raises:
        ParamError: it has none.
    """
    if facts.lacks_picture:
        raise ParamError(
            f"img2img has no picture to start from; give it one{either(' (init_images)', '')}, or use "
            f"txt2img, where {mention('video_path')}, {mention('video_source')} and ControlNet need none"
        )
    if params.last_frame is not None and not facts.pictures:
        raise ParamError(f"{mention('last_frame')} needs a first frame; use it with img2img")


def _messages(params: VideoParams, facts: Facts, frames: int, source: Source | None) -> Iterator[str]:
    idle = dict(without_effect(params, frames or None))
    if params.mask_path and not facts.pictures and (source is None or source.name == "mask_path"):
        idle["mask_path"] = "there is neither a picture to inpaint nor a video"
    for name, why in idle.items():
        yield f"{mention(name)} has no effect: {why}."
    if params.last_frame is not None and facts.pictures > 1:
        yield f"{mention('last_frame')} has no effect where each frame has a picture of its own."
    for note in (idle_batch_size(facts, frames), overlap_note(frames, params.windows)):
        if note:
            yield note
