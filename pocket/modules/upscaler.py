"""Making pictures larger. This host has the upscalers that need no model."""

from typing import Any

from PIL import Image

from modules import shared

LANCZOS = Image.Resampling.LANCZOS
NEAREST = Image.Resampling.NEAREST

MULTIPLE = 8
"""An upscaled picture's sides are multiples of this."""


class UpscalerData:
    """An upscaler by the name that people choose it by."""

    def __init__(
        self, name: str, path: str | None, upscaler: "Upscaler | None" = None, scale: int = 4, model: Any = None
    ) -> None:
        self.name = name
        self.data_path = self.local_data_path = path
        self.scaler = upscaler
        self.scale = scale
        self.model = model


class Upscaler:
    """The base class; `do_upscale` makes one step of `self.scale`."""

    name: str | None = None

    def __init__(self, create_dirs: bool = False) -> None:
        self.scale = 1.0
        self.scalers = [UpscalerData(self.name or "", None, self)]

    def do_upscale(self, img: Image.Image, selected_model: str | None) -> Image.Image:
        """One step of upscaling."""
        return img

    def upscale(self, img: Image.Image, scale: float, selected_model: str | None = None) -> Image.Image:
        """The picture `scale` times as large: up to three steps, then resized to what is wanted."""
        self.scale = scale
        target = tuple(int(side * scale) // MULTIPLE * MULTIPLE for side in img.size)
        for step in range(3):
            large_enough = img.width >= target[0] and img.height >= target[1]
            if shared.state.interrupted or (large_enough and (step > 0 or scale != 1)):
                break
            before = img.size
            img = self.do_upscale(img, selected_model)
            if img.size == before:
                break
        return img if img.size == target else img.resize(target, resample=LANCZOS)


class UpscalerNone(Upscaler):
    """Changes nothing."""

    name = "None"


class _Resampling(Upscaler):
    resample = LANCZOS

    def do_upscale(self, img: Image.Image, selected_model: str | None) -> Image.Image:
        """The picture resized by `scale`."""
        return img.resize((int(img.width * self.scale), int(img.height * self.scale)), resample=self.resample)


class UpscalerLanczos(_Resampling):
    """Smooth."""

    name = "Lanczos"


class UpscalerNearest(_Resampling):
    """With hard pixels."""

    name = "Nearest"
    resample = NEAREST


def load_upscalers() -> None:
    """Put the upscalers into `shared.sd_upscalers`."""
    made = (UpscalerNone(), UpscalerLanczos(), UpscalerNearest())
    shared.sd_upscalers[:] = [data for upscaler in made for data in upscaler.scalers]
