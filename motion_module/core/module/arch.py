"""The kinds of motion modules, and the shape of one file of a kind."""

from __future__ import annotations

from dataclasses import dataclass

from motion_module.settings import KEEP

HEADS = 8


@dataclass(frozen=True)
class MotionKind:
    """What is the same for every motion module of a kind.

    Attributes:
        name: as people know it.
        family: the base models it was made for, "SD1.5" or "SDXL".
        groupnorm_over_frames: the UNet's own GroupNorms take their statistics over all frames of a copy.
        schedule: name of the noise schedule it was trained with, see `schedule.SCHEDULES`; `KEEP` is the checkpoint's.
        trained_on: how many frames at once it saw in its training, where that is another number than people expect.
    """

    name: str
    family: str
    groupnorm_over_frames: bool
    schedule: str
    trained_on: int | None = None


V1 = MotionKind("AnimateDiff v1", "SD1.5", True, "linear")
V2 = MotionKind("AnimateDiff v2", "SD1.5", False, "linear")
V3 = MotionKind("AnimateDiff v3", "SD1.5", False, "linear")
LCM = MotionKind("AnimateLCM", "SD1.5", False, "linear")
LONG_V1 = MotionKind("LongAnimateDiff (v1)", "SD1.5", True, "linear")
LONG_V2 = MotionKind("LongAnimateDiff (v2)", "SD1.5", False, "linear")
SDXL = MotionKind("AnimateDiff-SDXL", "SDXL", False, "sqrt-linear 0.020")
HOTSHOT = MotionKind("HotShot-XL", "SDXL", True, KEEP, trained_on=8)
SPARSE_CTRL = MotionKind("SparseCtrl", "SD1.5", False, "linear")

LCM_FRAMES = 64

# More than any UNet has; a file that asks for more is no motion module.
LARGEST_WIDTH = 4096  # channels; SDXL's refiner has 1536
MOST_FRAMES = 4096  # learnt positions; LongAnimateDiff has 64
MOST_BLOCKS = 4  # transformer blocks in a row; motion modules have one
MOST_ATTENTIONS = 4  # in a block; motion modules have two


@dataclass(frozen=True)
class ModuleSpec:
    """Everything that is needed to build the layers of one motion module.

    Attributes:
        kind: see `MotionKind`.
        widths: channels of each level of the UNet, from the outermost to the innermost.
        frames: how many positions it has learnt, the longest context window.
        has_mid: one more module sits in the UNet's middle.
        has_up: there are modules in the UNet's second half (SparseCtrl has none).
        attentions: temporal attentions in a transformer block.
        depth: transformer blocks in a module.
        heads: attention heads.
    """

    kind: MotionKind
    widths: tuple[int, ...]
    frames: int
    has_mid: bool = False
    has_up: bool = True
    attentions: int = 2
    depth: int = 1
    heads: int = HEADS

    def fits(self, family: str, widths: tuple[int, ...]) -> bool:
        """Whether it was made for base models of this family whose UNet has these widths."""
        return (self.kind.family, self.widths) == (family, widths)


SPARSE_CTRL_SPEC = ModuleSpec(SPARSE_CTRL, (320, 640, 1280, 1280), 32, has_up=False, attentions=1)


def kind_of(levels: int, has_mid: bool, learnt: int | None) -> MotionKind | None:
    """The kind of a file by its shape; None where no kind looks like this.

    Args:
        levels: down blocks in the file.
        has_mid: whether there is a module for the UNet's middle.
        learnt: length of the stored positions; None if the file holds none.
    """
    if learnt is None:
        return LCM if has_mid and levels == 4 else None
    if levels == 3 and not has_mid:
        return HOTSHOT if learnt == 24 else SDXL
    if levels != 4:
        return None
    if learnt >= 64:
        return LONG_V2 if has_mid else LONG_V1
    if has_mid:
        return V2
    return V3 if learnt == 32 else V1
