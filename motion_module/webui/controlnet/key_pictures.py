"""The key pictures of an IP-Adapter: what each frame has of the two that it lies between."""

from __future__ import annotations

from dataclasses import dataclass

from motion_module.travel import KeyMix, Travel


@dataclass(frozen=True)
class KeyPictures(Travel):
    """The travel from key picture to key picture.

    A picture with a fall-off counts fully in its own frame, in a straight line less in the frames around it, and no
    more `reach` frames away. It reaches its neighbour at most, so that each key's own frame has that key's picture
    alone; from a reach as long as the way to the neighbour on, one picture goes over into the other as without it.

    Attributes:
        reach: the frames of the fall-off; None for none.
    """

    reach: float | None = None

    def mixes(self) -> list[KeyMix]:
        """For every frame the two pictures that it mixes, each by how far it counts there."""
        if self.reach is None:
            return super().mixes()
        counts = [self._counts(frame, mix) for frame, mix in enumerate(super().mixes())]
        shares = [right / (left + right) if right else 0.0 for left, right in counts]
        return [mix._replace(share=share) for mix, share in zip(super().mixes(), shares, strict=True)]

    def influences(self) -> list[float]:
        """For every frame how far its pictures count, all together: 1 to 0."""
        return [min(1.0, sum(self._counts(frame, mix))) for frame, mix in enumerate(super().mixes())]

    def _counts(self, frame: int, mix: KeyMix) -> tuple[float, float]:
        """How far the pictures to the left and to the right count in a frame, each for itself."""
        if self.reach is None:
            return 1.0, 0.0
        if mix.left == mix.right:  # before the first key or after the last one
            apart = abs(frame - mix.left)
            return _remaining(min(apart, self.frames - apart) if self.closed else apart, self.reach), 0.0
        way, gone = (mix.right - mix.left) % self.frames, (frame - mix.left) % self.frames
        reach = min(self.reach, way)
        return _remaining(gone, reach), _remaining(way - gone, reach)


def _remaining(apart: int, reach: float) -> float:
    """What is left of a picture so many frames away."""
    return max(0.0, 1 - apart / reach)
