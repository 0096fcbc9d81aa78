"""MP4: H.264 that plays everywhere (4:2:0, BT.709, index at the front)."""

from __future__ import annotations

from contextlib import ExitStack

from PIL import Image

from motion_module.media.ffmpeg import FrameProcess, even_rgb_bytes, require_encoder
from motion_module.media.metadata import ffmetadata
from motion_module.media.writers.base import Writer

_BT709 = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
_TO_YUV = "scale=out_color_matrix=bt709:out_range=tv:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp,format=yuv420p"


class Mp4Writer(Writer):
    """H.264 by the bundled ffmpeg. The infotext is the tag `comment`; MP4 knows no loop number.

    Odd sides are widened by one pixel of their own edge.
    """

    suffix = ".mp4"

    def open(self) -> None:
        self._path = require_encoder("libx264")
        self._stack = ExitStack()
        self._process: FrameProcess | None = None
        self._tags = self.part.with_suffix(".mp4.txt")
        self._tags.write_text(ffmetadata({"comment": self.info.infotext}), encoding="utf-8", newline="")

    def add(self, image: Image.Image) -> None:
        size, pixels = even_rgb_bytes(image)
        if self._process is None:
            process = FrameProcess(self._path, size, str(self.info.rate), self._arguments())
            self._process = self._stack.enter_context(process)
        self._process.write(pixels)

    def finish(self) -> None:
        self._stack.close()
        self._tags.unlink()

    def abort(self, error: BaseException) -> None:
        self._stack.__exit__(type(error), error, error.__traceback__)

    def _arguments(self) -> list[str]:
        options = self.options
        quality = ["-crf", str(options.mp4_crf)]
        quality += ["-preset", options.mp4_preset] if options.mp4_preset else []
        quality += ["-tune", options.mp4_tune] if options.mp4_tune else []
        tags = ["-f", "ffmetadata", "-i", str(self._tags), "-map", "0:v", "-map_metadata", "1"]
        encoder = ["-vf", _TO_YUV, "-c:v", "libx264", "-pix_fmt", "yuv420p", *quality, *_BT709]
        return [*tags, *encoder, "-movflags", "+faststart", "-f", "mp4", str(self.part)]
