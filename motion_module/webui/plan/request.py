"""A video as it is asked for: a value, made in the host's `before_process` while the host is untouched, or on the page.

Making one says whether the request is possible, before anything is decoded or changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from motion_module.errors import ParamError
from motion_module.own_params import HOLD
from motion_module.params import FREENOISE, SAME_NOISE, VideoParams
from motion_module.webui.plan import prompts
from motion_module.webui.plan.facts import Facts
from motion_module.webui.plan.frame_count import frames_of, idle_batch_size
from motion_module.webui.request.continued import Continued
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
        clip: the video that is continued, as far as its header tells; None for none.
        fewer: why the frames are fewer than those asked for, in words with mentions; "" where they are not.
        messages: sentences for the person, with mentions.
    """

    params: VideoParams
    facts: Facts
    frames: int
    source: Source | None = None
    clip: Continued | None = None
    fewer: str = ""
    messages: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, params: VideoParams, facts: Facts, source: Source | None = None, clip: Continued | None = None
    ) -> Request:
        """The request that these fields make among these facts.

        Raises:
            ParamError: it is impossible; one sentence with the field, the value and what is allowed.
        """
        check_pictures(params, facts)
        _check_noise(params, facts)
        check_clip(params, facts, clip)
        frames, fewer = frames_of(params, facts)
        if params.enable:
            _check_held(params, frames, facts.before)
        if params.enable and frames:
            params.check_frames(frames)
        strange = prompts.check(facts.texts, facts.read, frames, params.closed_loop.closes_travel)
        messages = [*_messages(params, facts, frames, source), *strange, *([f"{fewer}."] if fewer else [])]
        return cls(params, facts, frames, source, clip, fewer, tuple(messages))

    def at_rate_of_source(self) -> Request:
        """The same with its video's own frames per second, as far as the header tells."""
        known = (named.fps for named in (self.clip, self.source) if named is not None)
        fps = next((fps for fps in known if fps), None)
        return dataclasses.replace(self, params=dataclasses.replace(self.params, fps=fps)) if fps else self


def check_pictures(params: VideoParams, facts: Facts) -> None:
    """See that img2img has the pictures that the fields need; the host finds out while it encodes them.

    Raises:
        ParamError: it has none.
    """
    if facts.lacks_picture and not (params.video_source or params.video_path):
        raise ParamError(
            f"img2img has no picture to start from; give it one{either(' (init_images)', '')} or a video "
            f"({mention('video_source')}, {mention('video_path')}), or use txt2img"
        )
    if params.last_frame is not None and not facts.pictures:
        raise ParamError(f"{mention('last_frame')} needs a first frame; use it with img2img")


def check_clip(params: VideoParams, facts: Facts, clip: Continued | None) -> None:
    """See that a video can be continued where it is asked for.

    Raises:
        ParamError: it cannot.
    """
    if clip is None:
        return
    name = mention("continue_from")
    if len(facts.steps) > 1 or params.freeinit_enable:
        pass_ = "hires fix" if len(facts.steps) > 1 else mention("freeinit_enable")
        raise ParamError(f"{name} needs a single sampling pass; switch {pass_} off, or leave {name} empty")
    if facts.is_folder or facts.pictures > 1:
        raise ParamError(f"{name} needs one picture on img2img, or none; a folder has a picture for each frame already")
    if facts.has_mask or params.mask_path or (facts.tab == "img2img" and facts.masks_of_source):
        raise ParamError(f"{name} has no use for inpaint masks; leave them out, or leave {name} empty")


def _check_noise(params: VideoParams, facts: Facts) -> None:
    asked = {SAME_NOISE: "same_noise", FREENOISE: "freenoise_enable"}.get(params.noise)
    if asked is not None and params.enable and not facts.shows_noise:
        raise ParamError(f"{mention(asked)} needs WebUI 1.10 or newer; switch it off, or update the WebUI")


def _check_held(params: VideoParams, frames: int, before: int) -> None:
    old = [frame for frame, _ in params.hold if frame < before]
    if old:
        raise ParamError(
            f"{mention('hold')} is set for frame {old[0]}, but the first {before} frames are those of "
            f"{mention('continue_from')}; hold one of the new frames"
        )
    beyond = [frame for frame, _ in params.hold if frame >= frames]
    if frames and beyond:
        raise ParamError(
            f"{mention('hold')} is set for frame {beyond[0]}; the {frames} frames of this video are 0 to {frames - 1}"
        )


def _messages(params: VideoParams, facts: Facts, frames: int, source: Source | None) -> Iterator[str]:
    idle = without_effect(params, frames or None, facts.each_has_picture)
    if params.mask_path and not facts.pictures and (source is None or not source.has_frames):
        idle["mask_path"] = "there is neither a picture to inpaint nor a video"
    if params.hold_pictures and not facts.pictures:
        idle["hold_pictures"] = "it needs the picture of img2img"
    if params.denoise_travel and facts.tab != "img2img":
        idle["denoise_travel"] = "txt2img starts from noise alone"
    if params.travel == HOLD and not prompts.any_travels(facts.read):
        idle["travel"] = "no prompt travels"
    if params.enable and not any(map(params.motion_steps.count, facts.steps)):
        steps = " + ".join(map(str, facts.steps))
        yield (
            f"None of the {steps} steps lies between {mention('motion_start')} and {mention('motion_end')}: "
            "each frame is made by itself."
        )
    for name, why in idle.items():
        yield f"{mention(name)} has no effect: {why}."
    if facts.starts_from and facts.pictures and not facts.lacks_picture:
        yield f"The picture of img2img has no effect: the frames start from those of {mention(facts.starts_from)}."
    for note in (idle_batch_size(facts, frames), overlap_note(frames, params.windows)):
        if note:
            yield note
