"""A unit: one control model, the picture it looks at, and how much it has to say."""

from __future__ import annotations

import logging
import os
from enum import Enum
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field, root_validator, validator

from internal_controlnet.pictures import HWC3
from internal_controlnet.preprocessors import Preprocessor
from modules.api import api
from scripts.enums import ControlMode, HiResFixOption, InputMode, ResizeMode

logger = logging.getLogger("ControlNet")

RESIZE_MODE_ALIASES = {
    "Inner Fit (Scale to Fit)": "Crop and Resize",
    "Scale to Fit (Inner Fit)": "Crop and Resize",
    "Outer Fit (Shrink to Fit)": "Resize and Fill",
    "Envelope (Outer Fit)": "Resize and Fill",
}
FIELD_ALIASES = {"guidance": "guidance_end", "lowvram": "low_vram", "input_image": "image"}
INFOTEXT_FIELDS = (
    "module",
    "model",
    "weight",
    "resize_mode",
    "processor_res",
    "threshold_a",
    "threshold_b",
    "guidance_start",
    "guidance_end",
    "pixel_perfect",
    "control_mode",
)
SLIDERS = {"processor_res": "slider_resolution", "threshold_a": "slider_1", "threshold_b": "slider_2"}


def decode_picture(text: str) -> np.ndarray:
    """The picture in a base64 text: (h, w, c) uint8."""
    return np.array(api.decode_base64_to_image(text)).astype("uint8")


class ControlNetUnit(BaseModel):
    """The fields of a unit; those it does not know are ignored.

    Raises:
        pydantic.ValidationError: an unknown module, resize or control mode, a number out of its range,
            or guidance that ends before it starts.
    """

    class Config:
        arbitrary_types_allowed = True
        extra = "ignore"

    is_ui: bool = False
    input_mode: InputMode = InputMode.SIMPLE
    batch_images: Any | None = None
    output_dir: str = ""
    loopback: bool = False

    enabled: bool = False
    module: str = "none"
    model: str = "None"
    weight: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    image: Any | None = None
    resize_mode: ResizeMode = ResizeMode.INNER_FIT
    low_vram: bool = False
    processor_res: int = -1
    threshold_a: float = -1
    threshold_b: float = -1
    guidance_start: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    guidance_end: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    pixel_perfect: bool = False
    control_mode: ControlMode = ControlMode.BALANCED
    inpaint_crop_input_image: bool = True
    hr_option: HiResFixOption = HiResFixOption.BOTH
    save_detected_map: bool = True
    advanced_weighting: list[float] | None = None
    effective_region_mask: np.ndarray | None = None
    ipadapter_input: list[Any] | None = None
    mask: Any | None = None

    batch_mask_dir: str | None = None
    animatediff_batch: bool = False
    batch_modifiers: list[Any] = Field(default_factory=list)
    batch_image_files: list[Any] = Field(default_factory=list)
    batch_keyframe_idx: Any | None = None

    @validator("module", always=True, pre=True)
    def _known_module(cls, value: str) -> str:  # noqa: N805  (pydantic's way)
        if Preprocessor.get_preprocessor(value) is None:
            raise ValueError(f"module({value}) not found in supported modules.")
        return value

    @validator("resize_mode", always=True, pre=True)
    def _resize_mode_of_any_age(cls, value: Any) -> Any:  # noqa: N805
        if isinstance(value, str):
            return ResizeMode(RESIZE_MODE_ALIASES.get(value, value))
        if not isinstance(value, ResizeMode):
            raise ValueError(f"resize_mode({value}) is not the name of one.")
        return value

    @validator("effective_region_mask", pre=True)
    def _decoded_mask(cls, value: Any) -> Any:  # noqa: N805
        return decode_picture(value) if isinstance(value, str) else value

    @root_validator(skip_on_failure=True)
    def _module_settings_in_range(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        if not values["enabled"]:
            return values
        preprocessor = Preprocessor.get_preprocessor(values["module"])
        for field, slider in SLIDERS.items():
            limits = getattr(preprocessor, slider)
            if not limits.minimum <= values[field] <= limits.maximum:
                if values[field] != -1:
                    logger.info("%s: %s is out of range, %s is taken", field, values[field], limits.value)
                values[field] = limits.value
        return values

    @root_validator(skip_on_failure=True)
    def _guidance_in_order(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        start, end = values["guidance_start"], values["guidance_end"]
        if start > end:
            raise ValueError(f"guidance_start({start}) > guidance_end({end})")
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ControlNetUnit:
        """The unit that an API request describes; older names of fields are known."""
        values = dict(values)
        for old, new in FIELD_ALIASES.items():
            if old in values:
                if new in values:
                    raise ValueError(f"Conflict of field '{old}' and '{new}'")
                values[new] = values[old]
        if values.get("mask_image") is not None:
            if values.get("mask") is not None:
                raise ValueError("Cannot specify both 'mask' and 'mask_image'!")
            values["mask"] = values["mask_image"]
        return cls(**values)

    @property
    def is_animate_diff_batch(self) -> bool:
        """Whether it has a picture for each frame of a video."""
        return self.animatediff_batch

    @property
    def accepts_multiple_inputs(self) -> bool:
        """Whether the module takes several pictures at once; none of this host's does."""
        return False

    def get_input_images_rgba(self) -> list[np.ndarray] | None:
        """The unit's pictures, (h, w, 4) each, the mask being the fourth channel; None if it has no picture.

        `image` may be a picture, `{"image": ..., "mask": ...}`, a list of those, or a pair of picture and mask;
        a picture is an array, a path or base64.
        """
        image = self.image
        if image is None:
            if self.mask is not None:
                raise AssertionError  # as ControlNet says it: without a word
            return None
        if isinstance(image, dict):
            image = [image]
        elif isinstance(image, (list, tuple)) and image and not isinstance(image[0], dict):
            picture, mask = image
            image = [{"image": picture, "mask": mask}]
        elif isinstance(image, (str, np.ndarray)):
            image = [{"image": image, "mask": self.mask}]
        if not isinstance(image, (list, tuple)) or not image:
            raise ValueError(f"{image} is not a valid 'image' field value")
        return [_with_mask(one["image"], one.get("mask")) for one in image]

    def serialize(self) -> str:
        """The unit in an infotext."""
        values = {field: getattr(self, field) for field in INFOTEXT_FIELDS}
        return ", ".join(
            f"{field.replace('_', ' ').title()}: {value.value if isinstance(value, Enum) else value}"
            for field, value in values.items()
        )

    def __copy__(self) -> ControlNetUnit:
        return self.copy()


def read_picture(image: Any) -> np.ndarray:
    """An array, or the picture at a path or in a base64 text: (h, w, 3) uint8, what is transparent becomes white."""
    if isinstance(image, str):
        image = np.array(Image.open(image)).astype("uint8") if os.path.exists(image) else decode_picture(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"Unrecognized image format {image}.")
    return HWC3(image)


def _with_mask(image: Any, mask: Any) -> np.ndarray:
    picture = read_picture(image)
    alpha = np.zeros_like(picture) if mask is None else read_picture(mask)
    if alpha.shape != picture.shape:
        raise ValueError(f"image shape ({picture.shape[:2]}) not aligned with mask shape ({alpha.shape[:2]})")
    return np.concatenate([picture, alpha[:, :, :1]], axis=2)
