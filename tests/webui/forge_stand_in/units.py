"""A unit of Forge's ControlNet, and the lists of its preprocessors and models."""

from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any


class InputMode(Enum):
    SIMPLE = "simple"
    BATCH = "batch"
    MERGE = "merge"


class ControlMode(Enum):
    BALANCED = "Balanced"
    PROMPT = "My prompt is more important"
    CONTROL = "ControlNet is more important"


class ResizeMode(Enum):
    RESIZE = "Just Resize"
    INNER_FIT = "Crop and Resize"
    OUTER_FIT = "Resize and Fill"


class HiResFixOption(Enum):
    BOTH = "Both"
    LOW_RES_ONLY = "Low res only"
    HIGH_RES_ONLY = "High res only"


resize_mode_aliases = {
    "Inner Fit (Scale to Fit)": "Crop and Resize",
    "Outer Fit (Shrink to Fit)": "Resize and Fill",
    "Scale to Fit (Inner Fit)": "Crop and Resize",
    "Envelope (Outer Fit)": "Resize and Fill",
}


def resize_mode_from_value(value):
    """A text, or a number as img2img counts them; 3 is for latents there."""
    if isinstance(value, str):
        return ResizeMode(resize_mode_aliases.get(value, value))
    if isinstance(value, int):
        return [*ResizeMode][value if value < len(ResizeMode) else 0]
    return value


@dataclass
class ControlNetUnit:
    """Takes any value for any field."""

    input_mode: InputMode = InputMode.SIMPLE
    use_preview_as_input: bool = False
    batch_image_dir: str = ""
    batch_mask_dir: str = ""
    batch_input_gallery: Any = None
    batch_mask_gallery: Any = None
    mask_image: Any = None
    hr_option: Any = HiResFixOption.BOTH
    enabled: bool = True
    module: str = "None"
    model: str = "None"
    weight: float = 1.0
    image: Any = None
    resize_mode: Any = ResizeMode.INNER_FIT
    processor_res: int = -1
    threshold_a: float = -1
    threshold_b: float = -1
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    pixel_perfect: bool = False
    control_mode: Any = ControlMode.BALANCED
    save_detected_map: bool = True

    @staticmethod
    def from_dict(d):
        """Leaves out names that it does not know."""
        return ControlNetUnit(**{name: value for name, value in d.items() if name in vars(ControlNetUnit)})


MODELS = ("None", "control_v11p_sd15_canny [d14c016b]", "control_v11f1p_sd15_depth [cfd03158]")
PREPROCESSORS = ("None", "canny", "depth_midas", "InsightFace+CLIP-H (IPAdapter)", "reference_only", "inpaint_only")

global_state = SimpleNamespace(
    get_all_preprocessor_names=lambda: list(PREPROCESSORS),
    get_all_controlnet_names=lambda: list(MODELS),
    get_preprocessor=lambda name: SimpleNamespace(do_not_need_model=name == "reference_only"),
)
