"""ProRes 422 HQ: what editing software likes best to cut."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter, to_yuv


class Prores422Writer(VideoWriter):
    """10 bits, a colour for every two pixels, each frame for itself, in a QuickTime file; sound as it is (PCM).

    Odd sides are widened by one pixel.

    Attributes:
        profile: ffmpeg's name of the kind of ProRes.
    """

    suffix = ".prores422.mov"
    encoder = "prores_ks"
    container = "mov"
    sound = ("pcm_s16le",)
    even = True
    profile = "hq"

    def picture(self) -> list[str]:
        return to_yuv("yuv422p10le")

    def arguments(self) -> list[str]:
        # Apple's own mark, which some programs ask for; and tags in a place where they may be longer than 64 KB
        return ["-profile:v", self.profile, "-vendor", "apl0", "-movflags", "+faststart+use_metadata_tags"]


WRITER = Prores422Writer
