"""ProRes 4444: the colour of every pixel, and transparency where frames have it."""

from __future__ import annotations

from motion_module.media.writing.encoded import to_yuv
from motion_module.media.writing.prores422 import Prores422Writer


class Prores4444Writer(Prores422Writer):
    """10 bits, colours not shared between pixels, an alpha channel if the first frame has one."""

    suffix = ".prores4444.mov"
    even = False
    profile = "4444"

    def picture(self) -> list[str]:
        return to_yuv("yuva444p10le" if self.transparent else "yuv444p10le")


WRITER = Prores4444Writer
