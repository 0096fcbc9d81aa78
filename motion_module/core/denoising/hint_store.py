"""Pictures of all frames on the CPU, of which each call of the model gets its own on another device.

What goes over is as small as it can be without changing a bit: each frame of a call once, to be repeated there; in a
byte a value where all are 255ths, as ControlNet makes them of 8-bit pictures (`k.float() / 255`, and a Control-LLLite's
`2 * that - 1`); else in float16 where that holds them exactly; else as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from motion_module.core.denoising.frame_rows import picked
from motion_module.core.module.devices import tried
from motion_module.core.module.stored import itemsize, name_of

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a value


class HintStore:
    """The rows of one hint, for the calls of one pass; the smaller copy that it may make goes with it.

    Args:
        whole: `(rows, c, h, w)`, a row for each frame, or as many again for the negative prompt; is never changed.
        frames: N, frames of the video.
        device: that of the calls.
    """

    def __init__(self, whole: Tensor, frames: int, device: torch.device) -> None:
        self._whole, self._frames, self._device = whole, frames, device
        self._copy: _Copy | None = None

    def rows(self, rows: Sequence[int]) -> Tensor:
        """A copy of these rows on the device, with the very bits of the whole.

        Another form of them is made at the first call that has not all frames in it; else one copy is all there is.
        """
        stays = self._whole.device.type != "cpu" or self._whole.device == self._device
        if stays or len({row % self._frames for row in rows}) == self._frames:
            return picked(self._whole, rows, self._device)
        if self._copy is None:
            self._copy = _Copy(self._whole, self._frames, self._device)
        return self._copy.rows(rows)


class _Code(NamedTuple):
    """A way to hold values in fewer bytes.

    Attributes:
        written: makes codes of values on the CPU.
        read: makes values of codes, on the CPU and on the device.
        all_codes: every code that there is, on the CPU.
    """

    written: Callable[[Tensor], Tensor]
    read: Callable[[Tensor], Tensor]
    all_codes: Tensor


class _Copy:
    """What the rows of a store are sent from. Arguments as there."""

    def __init__(self, whole: Tensor, frames: int, device: torch.device) -> None:
        self._device, self._dtype, self._shape = device, whole.dtype, whole.shape[1:]
        branches_alike = all(_same_bits(*pair) for pair in zip(whole[:frames], whole[frames:], strict=False))
        self._distinct = frames if branches_alike else whole.shape[0]
        self._held, self._code = _held(whole[: self._distinct], device)

    def rows(self, rows: Sequence[int]) -> Tensor:
        """As `HintStore.rows`."""
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row % self._distinct, []).append(place)
        sent = _sent(self._held, list(places), self._device)
        made = torch.empty((len(rows), *self._shape), dtype=self._dtype, device=self._device)
        for picture, of_picture in zip(sent, places.values(), strict=True):  # one by one: what is read takes memory
            values = self._code.read(picture) if self._code else picture
            for place in of_picture:
                made[place] = values
        return made


def _held(whole: Tensor, device: torch.device) -> tuple[Tensor, _Code | None]:
    """The codes of all rows, and which they are; the whole itself where none holds it exactly."""
    for code in _codes(whole.dtype, device):
        codes = _written(whole, code) if _reads_alike(code, device) else None
        if codes is not None:
            return codes, code
    return whole, None


def _codes(dtype: torch.dtype, device: torch.device) -> Iterator[_Code]:
    """Ways to hold values of a floating dtype, the smallest first."""
    if not dtype.is_floating_point or itemsize(dtype) < 2:
        return
    parts = torch.arange(256, dtype=torch.float32) / 255.0
    for levels in (parts, parts * 2.0 - 1.0):
        yield _bytes_of(levels.to(dtype), device)
    if itemsize(dtype) > 2:
        halves = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16)
        yield _Code(lambda values: values.half(), lambda codes: codes.to(dtype), halves[~halves.isnan()])


def _bytes_of(levels: Tensor, device: torch.device) -> _Code:
    """Evenly rising `levels: (256,)` by their numbers.

    They are looked up, not calculated: CUDA divides by a number in that it multiplies by its inverse, which makes other
    bits than the CPU's.
    """
    low, high, there = float(levels[0]), float(levels[-1]), levels.to(device)

    def written(values: Tensor) -> Tensor:
        return ((values.float() - low) * (255.0 / (high - low))).round_().clamp_(0, 255).to(torch.uint8)

    def read(codes: Tensor) -> Tensor:
        table = levels if codes.device == levels.device else there
        return table.index_select(0, codes.flatten().int()).view(codes.shape)

    return _Code(written, read, torch.arange(256, dtype=torch.uint8))


def _written(whole: Tensor, code: _Code) -> Tensor | None:
    """The codes of all rows; None where a row does not come back from them. Made row by row, as memory is short."""
    made: Tensor | None = None
    for number, values in enumerate(whole):
        codes = code.written(values)
        read = code.read(codes)
        if not (torch.equal(read, values) and _same_bits(read, values)):  # NaN is no code, and -0 only of halves
            return None
        made = torch.empty((len(whole), *codes.shape), dtype=codes.dtype) if made is None else made
        made[number] = codes
    return made


def _reads_alike(code: _Code, device: torch.device) -> bool:
    """Whether a device reads every code as the CPU does."""

    def there() -> Tensor | None:
        return code.read(code.all_codes.to(device)).cpu()

    kind = f"Unpacking ControlNet's pictures from {name_of(code.all_codes.dtype)}"
    read = tried(kind, device, there, lambda: None)
    return read is not None and _same_bits(read, code.read(code.all_codes))


def _sent(held: Tensor, rows: list[int], device: torch.device) -> Tensor:
    """The rows on the device; without waiting for them on CUDA, which fetches them from memory that cannot move."""
    index = torch.tensor(rows)
    if device.type != "cuda":
        return held.index_select(0, index).to(device)
    try:
        there = torch.empty((len(rows), *held.shape[1:]), dtype=held.dtype, pin_memory=True)
    except RuntimeError:  # systems limit such memory; from other memory the same takes longer
        return held.index_select(0, index).to(device)
    return torch.index_select(held, 0, index, out=there).to(device, non_blocking=True)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    dtype = _BITS[one.element_size()]
    return torch.equal(one.view(dtype), other.view(dtype))
