"""The modules that turn a picture into a control picture: `none`, `canny` and `invert`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from internal_controlnet.pictures import HWC3, resize_image_with_pad

Code = Callable[[np.ndarray, int, float, float], np.ndarray]


@dataclass(frozen=True)
class PreprocessorParameter:
    """Range and default of one number that a module takes."""

    label: str = "EMPTY_LABEL"
    minimum: float = 0.0
    maximum: float = 1.0
    step: float = 0.01
    value: float = 0.5
    visible: bool = True

    @property
    def api_json(self) -> dict[str, Any]:
        """As `/controlnet/module_list` says it."""
        limits = {"min": self.minimum, "max": self.maximum, "step": self.step}
        return {"name": self.label, "value": self.value, **limits}


HIDDEN = PreprocessorParameter(visible=False)
RESOLUTION = PreprocessorParameter("Resolution", 64, 2048, 8, 512)


@dataclass(frozen=True)
class Preprocessor:
    """One module; `code(picture, resolution, slider_1, slider_2)` does the work on (h, w, 3) uint8."""

    name: str
    code: Code
    label: str = ""
    slider_resolution: PreprocessorParameter = RESOLUTION
    slider_1: PreprocessorParameter = HIDDEN
    slider_2: PreprocessorParameter = HIDDEN

    @staticmethod
    def get_preprocessor(name: str) -> Preprocessor | None:
        """The module of this name or label; None if there is none."""
        return next((one for one in PREPROCESSORS if name in (one.name, one.label)), None)

    @property
    def sliders(self) -> list[PreprocessorParameter]:
        """Those that people see."""
        return [one for one in (self.slider_resolution, self.slider_1, self.slider_2) if one.visible]


def canny(picture: np.ndarray, resolution: int, low: float, high: float) -> np.ndarray:
    """Edges, found where the shorter side has `resolution` pixels; the result keeps that size."""
    padded, without_padding = resize_image_with_pad(picture, resolution)
    return without_padding(cv2.cvtColor(cv2.Canny(padded, int(low), int(high)), cv2.COLOR_GRAY2RGB))


PREPROCESSORS = (
    Preprocessor("none", lambda picture, *_: picture, "none"),
    Preprocessor(
        "canny",
        canny,
        "canny",
        slider_1=PreprocessorParameter("Low Threshold", 1, 255, 1, 100),
        slider_2=PreprocessorParameter("High Threshold", 1, 255, 1, 200),
    ),
    Preprocessor(
        "invert",
        lambda picture, *_: 255 - HWC3(picture),
        "invert (from white bg & black line)",
        slider_resolution=HIDDEN,
    ),
)
