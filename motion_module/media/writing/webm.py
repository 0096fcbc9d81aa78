"""WEBM: VP9."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter

# Measured: about the quality of MP4 at its default; speed 4 is the slowest that keeps up with that.
_QUALITY = ["-crf", "30", "-b:v", "0", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1"]


class WebmWriter(VideoWriter):
    """VP9 of constant quality. WEBM knows no loop number; odd sides are kept."""

    suffix = ".webm"
    encoder = "libvpx-vp9"
    container = "webm"
    sound = ("libopus", "-b:a", "128k")
    even = False

    def arguments(self) -> list[str]:
        return [*_QUALITY, "-fflags", "+bitexact"]  # bitexact: no random identifiers


WRITER = WebmWriter
