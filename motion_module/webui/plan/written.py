"""What is written of the frames of a video: played back, and with frames between."""

from __future__ import annotations

from motion_module.media.writing.clip import PING_PONG, with_reverse
from motion_module.media.writing.interpolation import interpolated_count
from motion_module.params import VideoParams
from motion_module.webui.request.interpolation import interpolation_of


def reverse_options(params: VideoParams, frames: int) -> tuple[int, ...]:
    """A closed loop that fits into one context window is made by playing it back."""
    if not params.reverse and params.closed_loop.wraps and frames <= params.batch_size:
        return PING_PONG
    return tuple(params.reverse)


def written_frames(params: VideoParams, frames: int) -> tuple[int, int]:
    """How many frames a video of so many has when it is played back, and how many with those between."""
    played = len(with_reverse(range(frames), reverse_options(params, frames)))
    between = interpolation_of(params, played)
    return played, interpolated_count(played, between.between, between.closed) if between else played
