"""FFV1: lossless, as archives keep films."""

from __future__ import annotations

from motion_module.media.writing.encoded import VideoWriter


class Ffv1Writer(VideoWriter):
    """RGB, every pixel as it is, transparency if the first frame has it; each frame for itself, in a Matroska file."""

    suffix = ".ffv1.mkv"
    encoder = "ffv1"
    container = "matroska"
    sound = ("flac",)
    even = False
    smallest = 2  # of its four slices

    def picture(self) -> list[str]:
        return ["-pix_fmt", "bgra" if self.transparent else "bgr0"]

    def arguments(self) -> list[str]:
        return [
            "-level",
            "3",
            "-g",
            "1",
            "-slices",
            "4",
            "-slicecrc",
            "1",
            "-fflags",
            "+bitexact",
        ]  # bitexact: no random identifiers


WRITER = Ffv1Writer
