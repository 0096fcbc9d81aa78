"""The ffmpeg that imageio-ffmpeg carries: where it is, what it can, and a process that takes frames."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from motion_module.media.child import Child, failure, finished
from motion_module.media.errors import WriterError
from motion_module.wording import system_says

_LIMIT_S = 60  # for a list of what it can


def ffmpeg_path() -> str:
    """Path of the bundled ffmpeg, or of the one that `IMAGEIO_FFMPEG_EXE` names. Never one found on PATH.

    Raises:
        WriterError: there is none.
    """
    try:
        import imageio_ffmpeg  # here, so that the formats of Pillow work where it is not installed

        path = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise WriterError("imageio-ffmpeg, the package that brings ffmpeg, is missing: install it again") from error
    bundled = Path(imageio_ffmpeg.__file__).parent
    if not os.environ.get("IMAGEIO_FFMPEG_EXE") and bundled not in Path(path).parents:
        raise WriterError("ffmpeg inside the package imageio-ffmpeg is missing: install that package again")
    return path


def require_encoder(encoder: str, container: str) -> str:
    """Path of ffmpeg, once it is known to have what a format needs.

    Args:
        encoder: ffmpeg's name of it, such as `libx264`.
        container: ffmpeg's name of the file format, such as `mp4`.

    Raises:
        WriterError: ffmpeg is missing, does not start, or cannot do this.
    """
    path = ffmpeg_path()
    if encoder not in _listed(path, "-encoders"):
        raise WriterError(f"The ffmpeg at {path} has no encoder {encoder}")
    if container not in _listed(path, "-muxers"):
        raise WriterError(f"The ffmpeg at {path} is too old for {container} files: update imageio-ffmpeg")
    return path


def require_filter(name: str) -> str:
    """Path of ffmpeg, once it is known to have a filter.

    Raises:
        WriterError: ffmpeg is missing, does not start, or has no such filter.
    """
    path = ffmpeg_path()
    if name not in _listed(path, "-filters"):
        raise WriterError(f"The ffmpeg at {path} has no filter {name}")
    return path


class FrameProcess:
    """An ffmpeg process that reads raw RGB or RGBA frames of one size from its standard input.

    A context manager: leaving it waits for ffmpeg and raises WriterError if that failed; leaving it by an exception
    ends ffmpeg. An ffmpeg that hangs is ended after a quarter of an hour, and that is a WriterError, too.

    Args:
        path: ffmpeg.
        size: width and height in pixels.
        rate: frames per second, as ffmpeg writes it ("30000/1001").
        arguments: everything behind the first input: further inputs, filters, encoder, output.
        reads_back: its standard output is wanted. Frames then have to be written by another thread than the reader.
        alpha: frames are RGBA.
    """

    def __init__(
        self,
        path: str,
        size: tuple[int, int],
        rate: str,
        arguments: Sequence[str],
        reads_back: bool = False,
        alpha: bool = False,
    ) -> None:
        frames = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgba" if alpha else "rgb24",
            "-s",
            f"{size[0]}x{size[1]}",
            "-framerate",
            rate,
        ]
        only = ["-protocol_whitelist", "pipe", "-format_whitelist", "rawvideo"]
        source = [*frames, *only, "-i", "pipe:0"]
        self._command = [path, "-hide_banner", "-loglevel", "error", "-y", *source, *arguments]
        self._output = subprocess.PIPE if reads_back else subprocess.DEVNULL
        self._reads_back = reads_back

    def __enter__(self) -> FrameProcess:
        try:
            self._child = Child(self._command, stdin=subprocess.PIPE, stdout=self._output)
        except OSError as error:
            raise WriterError(f"ffmpeg does not start: {system_says(error)}") from error
        return self

    def write(self, frame: bytes) -> None:
        """Pass on one frame: width * height * 3 bytes, or 4 with alpha."""
        stdin = self._child.stdin
        if stdin is None:
            raise WriterError("ffmpeg has no input")
        # Where its output is read, it may wait for the reader, and may the reader take its time.
        try:
            with nullcontext() if self._reads_back else self._child.patience():
                stdin.write(frame)
        except (OSError, ValueError) as error:  # it has gone, or its input was closed; its own words say why
            raise WriterError(self._child.failure(self._wait())) from error

    def end_input(self) -> None:
        """There are no more frames."""
        try:
            if self._child.stdin and not self._child.stdin.closed:
                self._child.stdin.close()
        except OSError:
            pass  # the rest of the buffer finds no reader; the exit code tells

    def read(self, length: int) -> bytes:
        """So many bytes of what ffmpeg writes.

        Raises:
            WriterError: it ended before.
        """
        stdout = self._child.stdout
        with self._child.patience():
            data = stdout.read(length) if stdout else b""
        if len(data) < length:
            raise WriterError(self._child.failure(self._wait()))
        return data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._child.kill()
        elif self._child.stdout:
            with self._child.patience():
                while self._child.stdout.read(1 << 20):  # or it would wait for a reader
                    pass
        code = self._wait()
        if self._child.stdout:
            self._child.stdout.close()
        if error is not None:
            return
        if code:
            raise WriterError(self._child.failure(code))

    def _wait(self) -> int:
        with self._child.patience():
            self.end_input()
        return self._child.wait()


def widened_bytes(image: Image.Image, even: bool, smallest: int) -> tuple[tuple[int, int], bytes]:
    """Size and raw bytes of an RGB or RGBA picture, widened by its own edge.

    Args:
        image: the picture.
        even: to even sides, as 4:2:0 colour needs.
        smallest: to so many pixels a side.
    """
    sides = [max(side + (side % 2 if even else 0), smallest) for side in image.size]
    width, height = sides
    if (width, height) == image.size:
        return image.size, image.tobytes()
    more = ((0, height - image.height), (0, width - image.width), (0, 0))
    return (width, height), np.pad(np.asarray(image), more, mode="edge").tobytes()


def _run(command: Sequence[str]) -> bytes:
    try:
        done = finished(command, _LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise WriterError(f"ffmpeg did not end within {_LIMIT_S:g} seconds") from error
    except OSError as error:
        raise WriterError(f"ffmpeg does not start: {system_says(error)}") from error
    if done.returncode:
        raise WriterError(failure(done.returncode, done.stderr.decode("utf-8", errors="replace").split("\n")))
    return done.stdout


@lru_cache(maxsize=8)
def _listed(path: str, kind: str) -> frozenset[str]:
    """Names that `ffmpeg -encoders`, `-muxers` or `-filters` prints in the second column."""
    lines = _run([path, "-hide_banner", "-loglevel", "error", kind]).decode("utf-8", errors="replace")
    return frozenset(row[1] for row in map(str.split, lines.splitlines()) if len(row) > 1)
