"""Normal random numbers as an NVIDIA GPU makes them, on the CPU: Philox 4x32-10 and Box-Muller.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), which gives the round function and its
constants. Each number takes one counter; a draw of n numbers takes the counters 0..n-1 with the draw's index beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF
_TO_UNIT = np.float32(2.0**-32)
_TO_TURN = np.float32(2.0**-32 * 2.0 * np.pi)


def _high_low(value: NDArray[np.uint32], multiplier: np.uint64) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    product = value.astype(np.uint64) * multiplier
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """The ten rounds of Philox 4x32 on four columns of counter words, with one two-word key for all."""
    a, b, c, d = counter
    first, second = key
    for _ in range(_ROUNDS):
        high_a, low_a = _high_low(a, _MULTIPLIERS[0])
        high_c, low_c = _high_low(c, _MULTIPLIERS[1])
        a, b, c, d = high_c ^ b ^ np.uint32(first), low_c, high_a ^ d ^ np.uint32(second), low_a
        first, second = (first + _KEY_STEPS[0]) & _MASK, (second + _KEY_STEPS[1]) & _MASK
    return a, b, c, d


class Generator:
    """Stream of normal numbers for one seed; each call of `randn` is the next draw of the stream."""

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)
        self.offset = 0

    def randn(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """The next draw: float32 array of `shape`."""
        count = int(np.prod(shape))
        zeros = np.zeros(count, dtype=np.uint32)
        counter = (np.full(count, self.offset, dtype=np.uint32), zeros, np.arange(count, dtype=np.uint32), zeros)
        self.offset += 1
        first, second, _, _ = philox(counter, (self.seed & _MASK, (self.seed >> 32) & _MASK))
        radius = np.sqrt(-2.0 * np.log(first.astype(np.float32) * _TO_UNIT + _TO_UNIT / 2))
        angle = second.astype(np.float32) * _TO_TURN + _TO_TURN / 2
        return (radius * np.sin(angle)).astype(np.float32).reshape(tuple(shape))
