"""What the formats share that ffmpeg encodes: frames go to an ffmpeg process, the infotext through a file of tags."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack, suppress
from typing import ClassVar

from PIL import Image

from motion_module.media.ffmpeg import FrameProcess, require_encoder, widened_bytes
from motion_module.media.reading.probe import input_options
from motion_module.media.writing.base import Writer
from motion_module.media.writing.metadata import ffmetadata

# The tags of sRGB pictures on the web: BT.709 with narrow range, and a conversion that does what they say.
_TAGS = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
_TO_YUV = "scale=out_color_matrix=bt709:out_range=tv:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


def to_yuv(pixels: str) -> list[str]:
    """ffmpeg's options for a conversion to BT.709 in a pixel format such as `yuv420p`, and the tags that say so."""
    return ["-vf", f"{_TO_YUV},format={pixels}", "-pix_fmt", pixels, *_TAGS]


class VideoWriter(Writer):
    """A writer that leaves encoding to the bundled ffmpeg. The infotext is the tag `comment`.

    Attributes:
        encoder: ffmpeg's name of the encoder.
        container: ffmpeg's name of the file format.
        even: widen odd sides by one pixel of their own edge.
        smallest: widen shorter sides to so many pixels.
        sound: ffmpeg's encoder of sound and its options; () where the format is silent.
        transparent: the first frame is RGBA, and so the file is; those behind it become what it is.
    """

    encoder: str
    container: ClassVar[str]
    even: bool
    smallest: ClassVar[int] = 1
    transparent: bool
    sound: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def arguments(self) -> list[str]:
        """Options of the encoder and the container."""

    def picture(self) -> list[str]:
        """How RGB becomes what the encoder takes: 8 bits, a colour for every four pixels."""
        return to_yuv("yuv420p")

    def open(self) -> None:
        self.transparent = False
        self._path = require_encoder(self.encoder, self.container)
        self._stack = ExitStack()
        self._process: FrameProcess | None = None
        self._tags = self.part.with_name(f"{self.part.name}.txt")
        self._tags.write_text(ffmetadata({"comment": self.info.infotext}), encoding="utf-8", newline="")

    def add(self, image: Image.Image) -> None:
        if self._process is None:
            self.transparent = image.mode == "RGBA"
        wanted = "RGBA" if self.transparent else "RGB"
        image = image if image.mode == wanted else image.convert(wanted)
        size, pixels = widened_bytes(image, self.even, self.smallest)
        if self._process is None:
            process = FrameProcess(self._path, size, str(self.info.rate), self._command(), alpha=self.transparent)
            self._process = self._stack.enter_context(process)
        self._process.write(pixels)

    def finish(self) -> None:
        self._stack.close()
        with suppress(OSError):  # somebody holds it; it goes with its folder
            self._tags.unlink()

    def abort(self, error: BaseException) -> None:
        self._stack.__exit__(type(error), error, error.__traceback__)

    def _command(self) -> list[str]:
        tags = ["-f", "ffmetadata", *input_options(self._tags, "ffmetadata")]
        heard, sound = self._sound()
        streams = ["-map", "0:v", "-map_metadata", "1", *self.picture(), "-c:v", self.encoder, *self.arguments()]
        return [*tags, *heard, *streams, *sound, "-f", self.container, str(self.part)]

    def _sound(self) -> tuple[list[str], list[str]]:
        """ffmpeg's options for the sound's file, which is its third input, and for what becomes of it."""
        part = self.info.sound
        if part is None or not self.sound:
            return [], []
        asked = ["-ss", f"{part.start:.6f}", "-t", f"{part.seconds:.6f}"]
        return [*asked, *input_options(part.path)], ["-map", "2:a:0", "-c:a", *self.sound]
