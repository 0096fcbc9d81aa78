"""MP4: H.264 that plays everywhere (4:2:0, BT.709, index at the front), or keeps more for editing software."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter, to_yuv
from motion_module.settings import LOSSLESS, TEN_BIT


class Mp4Writer(VideoWriter):
    """H.264. MP4 knows no loop number; odd sides, which 4:2:0 H.264 has not, are widened by one pixel.

    For editors: 10 bits with twice the colour (4:2:2), or RGB where every pixel stays as it is, odd sides, too.
    """

    suffix = ".mp4"
    encoder = "libx264"
    container = "mp4"
    sound = ("aac", "-b:a", "192k")
    even = True

    def open(self) -> None:
        if self.settings.mp4_for_editors == LOSSLESS:
            self.encoder, self.even = "libx264rgb", False
        super().open()

    def picture(self) -> list[str]:
        if self.settings.mp4_for_editors == LOSSLESS:
            return ["-pix_fmt", "rgb24"]
        return to_yuv("yuv422p10le" if self.settings.mp4_for_editors == TEN_BIT else "yuv420p")

    def arguments(self) -> list[str]:
        settings = self.settings
        quality = ["-qp", "0"] if settings.mp4_for_editors == LOSSLESS else ["-crf", str(settings.mp4_crf)]
        quality += ["-preset", settings.mp4_preset] if settings.mp4_preset else []
        quality += ["-tune", settings.mp4_tune] if settings.mp4_tune else []
        return [*quality, "-movflags", "+faststart"]


WRITER = Mp4Writer
