"""MP4: H.264 that plays everywhere (4:2:0, BT.709, index at the front)."""

from __future__ import annotations

from motion_module.media.writers.video import VideoWriter


class Mp4Writer(VideoWriter):
    """H.264. MP4 knows no loop number; odd sides, which 4:2:0 H.264 has not, are widened by one pixel."""

    suffix = ".mp4"
    encoder = "libx264"
    container = "mp4"
    even = True

    def arguments(self) -> list[str]:
        options = self.options
        quality = ["-crf", str(options.mp4_crf)]
        quality += ["-preset", options.mp4_preset] if options.mp4_preset else []
        quality += ["-tune", options.mp4_tune] if options.mp4_tune else []
        return [*quality, "-movflags", "+faststart"]
