"""Frames between frames. The frames themselves pass through unchanged, in their order and one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from PIL import Image

from motion_module.media.errors import WriterError
from motion_module.media.ffmpeg import FrameProcess, require_filter

Predictor = Callable[[Image.Image, Image.Image, float], Image.Image]
"""The picture at a time, above 0 and below 1, on the way from one picture to another."""

_FILTER = "minterpolate"
_SEARCH = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
_SCALE = "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp"
_SMALLEST = 64  # the filter needs several blocks of 16 pixels in each direction


def interpolated_count(frames: int, between: int, closed: bool) -> int:
    """How many frames come out.

    Args:
        frames: how many there are.
        between: how many are made between two.
        closed: the clip goes on from its last frame to its first, so frames are made there, too.
    """
    if frames < 2:
        return frames
    return frames * (between + 1) if closed else (frames - 1) * (between + 1) + 1


def motion_compensated(frames: Sequence[Image.Image], between: int, closed: bool = False) -> Iterator[Image.Image]:
    """Interpolate along the motion that ffmpeg's filter `minterpolate` finds. Across a cut it repeats frames instead.

    Args:
        frames: RGB pictures of one size. They come back as they are; only pictures between them are new.
        between: how many are made between two, from 1.
        closed: also between the last and the first.

    Yields:
        `interpolated_count` pictures. No more than a few of them are held at a time.

    Raises:
        WriterError: ffmpeg is missing or fails, or the sizes differ.
    """
    if len(frames) < 2:
        yield from frames
        return
    _check_sizes(frames)
    step, count = between + 1, len(frames)
    # The filter holds back what follows the last but one frame, and sees motion better from the frame before.
    order = [count - 1, *range(count), 0, 1] if closed else [*range(count), count - 1]
    size, (width, height) = frames[0].size, _padded_size(frames[0].size)
    filters = f"{_SCALE},format=yuv444p,{_FILTER}=fps={step}:{_SEARCH},{_SCALE},format=rgb24"
    arguments = ["-vf", filters, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    process = FrameProcess(require_filter(_FILTER), (width, height), "1", arguments, reads_back=True)
    with _fed(process, (_padded_bytes(frames[index]) for index in order)):
        for _ in range(step if closed else 0):  # the way from the last frame to the first comes at the end
            process.read(width * height * 3)
        for number in range(interpolated_count(count, between, closed)):
            pixels = process.read(width * height * 3)
            index, beyond = divmod(number, step)
            yield Image.frombytes("RGB", (width, height), pixels).crop((0, 0, *size)) if beyond else frames[index]


def along_flow(frames: Sequence[Image.Image], between: int, closed: bool = False) -> Iterator[Image.Image]:
    """Interpolate along the motion that OpenCV's optical flow finds. Across a cut it repeats frames instead.

    Args:
        frames: pictures of one size. They come back as they are; those between them are RGB, or RGBA where some are
            transparent.
        between: how many are made between two, from 1.
        closed: also between the last and the first.

    Yields:
        `interpolated_count` pictures; two frames and one picture between them are held at a time.

    Raises:
        WriterError: OpenCV is missing, or the sizes differ.
    """
    _check_sizes(frames)
    flow = _optical_flow().Flow()
    for index, frame in enumerate(frames):
        yield frame
        after = (index + 1) % len(frames)
        if after or (closed and len(frames) > 1):
            yield from flow.between(frame, frames[after], between)


def pairwise(
    frames: Sequence[Image.Image], between: int, predict: Predictor, closed: bool = False
) -> Iterator[Image.Image]:
    """Interpolate with a function that knows two pictures. Middles come first: they are what such models learn best.

    Args:
        frames: pictures of one size. They come back as they are.
        between: how many are made between two, from 1.
        predict: makes a picture between two.
        closed: also between the last and the first.

    Yields:
        `interpolated_count` pictures; about log2(between) are held at a time.
    """
    for index, frame in enumerate(frames):
        yield frame
        after = (index + 1) % len(frames)
        if after or (closed and len(frames) > 1):
            yield from _halved(frame, frames[after], between + 1, predict)


def check_motion_compensation() -> None:
    """Raise WriterError where `motion_compensated` cannot work: ffmpeg, or its filter, is missing."""
    require_filter(_FILTER)


def check_optical_flow() -> None:
    """Raise WriterError where `along_flow` cannot work: OpenCV is missing."""
    _optical_flow()


def _optical_flow() -> ModuleType:
    """What needs OpenCV, which WebUIs bring and which nothing else here needs."""
    try:
        from motion_module.media.writing import optical_flow
    except ImportError as error:
        raise WriterError(f"OpenCV (the package opencv-python) cannot be used: {error}") from error
    return optical_flow


def _halved(first: Image.Image, last: Image.Image, steps: int, predict: Predictor) -> Iterator[Image.Image]:
    """The steps - 1 pictures between two."""
    if steps < 2:
        return
    half = steps // 2
    middle = predict(first, last, half / steps)
    yield from _halved(first, middle, half, predict)
    yield middle
    yield from _halved(middle, last, steps - half, predict)


@contextmanager
def _fed(process: FrameProcess, frames: Iterable[bytes]) -> Iterator[None]:
    """Hand frames to a process from a thread of their own, so that its output can be read meanwhile."""
    failures: list[Exception] = []

    def feed() -> None:
        try:
            for frame in frames:
                process.write(frame)
            process.end_input()
        except WriterError:
            pass  # its output ends as well, and the reader tells why
        except Exception as error:  # noqa: BLE001 - a thread cannot raise; the reader does it
            failures.append(error)
            process.end_input()

    feeder = threading.Thread(target=feed, name="interpolation", daemon=True)
    try:
        with process:
            feeder.start()
            yield
    except WriterError as error:
        raise failures[0] if failures else error from None
    finally:
        if feeder.ident is not None:
            feeder.join()


def _check_sizes(frames: Sequence[Image.Image]) -> None:
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise WriterError(f"Frames of several sizes ({shown}) cannot be interpolated")


def _padded_size(size: tuple[int, int]) -> tuple[int, int]:
    return max(size[0], _SMALLEST), max(size[1], _SMALLEST)


def _padded_bytes(image: Image.Image) -> bytes:
    width, height = _padded_size(image.size)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if rgb.size == (width, height):
        return rgb.tobytes()
    more = ((0, height - rgb.height), (0, width - rgb.width), (0, 0))
    return np.pad(np.asarray(rgb), more, mode="edge").tobytes()
