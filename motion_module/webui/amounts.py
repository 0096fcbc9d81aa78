"""How much there is to do in a run, in units that every kind of work counts by."""

from __future__ import annotations

from dataclasses import dataclass


def units_of(pixels: float, frames: float = 1) -> float:
    """So many frames of so many pixels in the units of an `Amount`, frames of a million pixels."""
    return frames * pixels / 1_000_000


@dataclass(frozen=True)
class Pass:
    """One sampling pass.

    Attributes:
        kind: `sample` or `hires`.
        calls: how often it calls the denoiser; as many times as it has steps, where nothing else is known.
        units: of a call.
    """

    kind: str
    calls: int
    units: float


@dataclass(frozen=True)
class Amount:
    """How much there is to do in a run; units are frames of a million pixels.

    Attributes:
        videos: how many.
        search: how many frames of a video source lie before the first one that is taken, whatever their size.
        read: units of a video source.
        passes: the sampling passes of one video, in order.
        decode: units of one video.
        save: units of one video times formats.
        steps: of all passes of all videos.
        formats: names of those in which a video is saved.
    """

    videos: int = 1
    search: float = 0.0
    read: float = 0.0
    passes: tuple[Pass, ...] = ()
    decode: float = 0.0
    save: float = 0.0
    steps: int = 0
    formats: tuple[str, ...] = ()

    def before(self, kind: str, number: int) -> float:
        """Units of one kind in those passes of a video that come before one of them."""
        return sum(sampling.calls * sampling.units for sampling in self.passes[:number] if sampling.kind == kind)

    def sampled(self, kind: str) -> float:
        """Units of one kind in all passes of a video."""
        return self.before(kind, len(self.passes))
