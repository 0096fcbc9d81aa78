"""H.265: smaller than H.264, with 10 bits."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter, to_yuv

_QUALITY = ["-crf", "23", "-preset", "medium"]


class H265Writer(VideoWriter):
    """H.265 (HEVC Main 10) of constant quality, in an MP4 file marked as Apple's programs want it."""

    suffix = ".h265.mp4"
    encoder = "libx265"
    container = "mp4"
    sound = ("aac", "-b:a", "192k")
    even = True
    smallest = 16

    def picture(self) -> list[str]:
        return to_yuv("yuv420p10le")

    def arguments(self) -> list[str]:
        return [*_QUALITY, "-x265-params", "log-level=error", "-tag:v", "hvc1", "-movflags", "+faststart"]


WRITER = H265Writer
