"""AV1 in an MP4 file, with sound; AVIF is the same without."""

from __future__ import annotations

from motion_module.media.writing.avif import av1_options
from motion_module.media.writing.encoded import VideoWriter


class Av1Writer(VideoWriter):
    """AV1 of constant quality by libaom; odd sides are kept."""

    suffix = ".av1.mp4"
    encoder = "libaom-av1"
    container = "mp4"
    sound = ("aac", "-b:a", "192k")
    even = False

    def arguments(self) -> list[str]:
        return [*av1_options(self.info), "-movflags", "+faststart"]


WRITER = Av1Writer
