"""What the layers in the UNet must know about the UNet call that is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from motion_module.errors import HostError


@dataclass
class CallFrames:
    """Shared by the motion layers and norms of one borrowed UNet; whoever calls the UNet sets it first.

    Attributes:
        frames: how many frames each copy of the video has in this call; 0 = no call is running.
        motion_scale: multiplies q.k of the temporal attention (more or less motion).
        effect: multiplies what a motion module adds to its input; 0 = still pictures.
    """

    frames: int = 0
    motion_scale: float = 1.0
    effect: float = 1.0

    @contextmanager
    def running(self, frames: int) -> Iterator[None]:
        """A UNet call with so many frames in each copy is running."""
        before, self.frames = self.frames, frames
        try:
            yield
        finally:
            self.frames = before

    def copies(self, rows: int) -> int:
        """How many copies of the video `rows` rows hold.

        Raises:
            HostError: no call is running, or the rows are not whole copies.
        """
        if self.frames < 1:
            raise HostError("A motion layer ran although no frames were announced; the model was called from outside")
        if rows % self.frames:
            raise HostError(f"The UNet was called with {rows} rows, not with whole copies of {self.frames} frames")
        return rows // self.frames
