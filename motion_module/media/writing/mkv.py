"""MKV: FFV1, for editing programs."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter


class MkvWriter(VideoWriter):
    """FFV1, every pixel exact; odd sides are kept. MKV knows no loop number."""

    suffix = ".mkv"
    encoder = "ffv1"
    container = "matroska"
    even = False

    def picture(self) -> list[str]:
        return ["-pix_fmt", "gbrp"]

    def arguments(self) -> list[str]:
        return ["-level", "1", "-fflags", "+bitexact"]  # one slice, for pictures of any size; no random identifiers


WRITER = MkvWriter
