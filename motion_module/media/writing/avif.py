"""AVIF: AV1, one file that browsers show as a moving picture."""

from __future__ import annotations

from motion_module.media.writing.clip import ClipInfo
from motion_module.media.writing.encoded import VideoWriter
from motion_module.media.writing.isobmff import with_exif
from motion_module.media.writing.metadata import exif_comment

# Measured: speed 8, the fastest of the kind that is not meant for live video, already takes several times MP4's time.
_QUALITY = ["-crf", "30", "-b:v", "0", "-cpu-used", "8", "-row-mt", "1"]


class AvifWriter(VideoWriter):
    """AV1 of constant quality by libaom; odd sides are kept. The infotext is EXIF's UserComment."""

    suffix = ".avif"
    encoder = "libaom-av1"
    container = "avif"
    even = False

    def arguments(self) -> list[str]:
        return [*av1_options(self.info), "-loop", str(self.info.loop)]

    def finish(self) -> None:
        super().finish()
        if self.info.infotext:
            self.part.write_bytes(with_exif(self.part.read_bytes(), exif_comment(self.info.infotext)))


WRITER = AvifWriter


def av1_options(info: ClipInfo) -> list[str]:
    """ffmpeg's options for AV1 of a clip, whatever file it goes into."""
    slow = ["-fps_mode", "passthrough", "-enc_time_base", f"1/{info.rate.numerator}"]
    return [*_QUALITY, *(slow if info.rate < 1 else [])]  # libaom takes no unit of time above a second
