"""The words of a unit's choices, as the page, the API and infotexts write them."""

from enum import Enum


class ControlModelType(Enum):
    """What kind of control model a file holds. This host runs the first only."""

    ControlNet = "ControlNet, Lvmin Zhang"
    T2I_Adapter = "T2I_Adapter, Chong Mou"
    AttentionInjection = "AttentionInjection, Lvmin Zhang"
    IPAdapter = "IPAdapter, Hu Ye"
    Controlllite = "Controlllite, Kohya"
    SparseCtrl = "SparseCtrl, Yuwei Guo"

    @property
    def is_controlnet(self) -> bool:
        """Whether it adds a value to each of the UNet's skip connections."""
        return self in (ControlModelType.ControlNet, ControlModelType.SparseCtrl)


class InputMode(Enum):
    """Where a unit's pictures come from: one, a folder with one for each run (or frame), or several for one run."""

    SIMPLE = "simple"
    BATCH = "batch"
    MERGE = "merge"


class ControlMode(Enum):
    """Whom the picture should obey."""

    BALANCED = "Balanced"
    PROMPT = "My prompt is more important"
    CONTROL = "ControlNet is more important"


class ResizeMode(Enum):
    """How the control picture gets the size of the result."""

    RESIZE = "Just Resize"
    INNER_FIT = "Crop and Resize"
    OUTER_FIT = "Resize and Fill"

    def int_value(self) -> int:
        """The number that img2img has for it."""
        return list(ResizeMode).index(self)


class HiResFixOption(Enum):
    """The passes of a hires fix in which a unit acts."""

    BOTH = "Both"
    LOW_RES_ONLY = "Low res only"
    HIGH_RES_ONLY = "High res only"


class BatchOption(Enum):
    """Which units act on which pictures of a batch. This host knows the first only."""

    DEFAULT = "All ControlNet units for all images in a batch"
    SEPARATE = "Each ControlNet unit for each image in a batch"
