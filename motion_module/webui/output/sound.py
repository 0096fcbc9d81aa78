"""The sound of a video that comes in, put back into the one that is made from it."""

from __future__ import annotations

from motion_module.formats import WITH_SOUND, listed
from motion_module.media.writing.clip import Sound
from motion_module.params import VideoParams
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.settings import settings_of
from motion_module.wording import mention


def sound_for(
    source: VideoIn | None, params: VideoParams, frames: int, backwards: bool
) -> tuple[Sound | None, list[str]]:
    """The sound of one video, or why it has none, though it was asked for.

    Args:
        source: the video that came in.
        params: what was asked for; its `fps` is the source's.
        frames: how many were made of the source's, before any between them.
        backwards: some of them play backwards.
    """
    if source is None or source.sound is None:
        return None, []
    if backwards:
        return None, [f"{mention('keep_sound')} adds no sound, because frames play backwards."]
    if params.interp != "Off" and settings_of().interp_slow:
        return None, [f"{mention('keep_sound')} adds no sound, because the video plays slower than its source."]
    if not set(params.format) & set(WITH_SOUND):
        return None, [f"{mention('keep_sound')} has no effect; sound goes into {listed(WITH_SOUND)} only."]
    if not source.sound.is_file():
        return None, [f"{mention('keep_sound')} adds no sound, because {source.title} no longer exists."]
    return Sound(source.sound, source.sound_start, frames / params.fps), []
