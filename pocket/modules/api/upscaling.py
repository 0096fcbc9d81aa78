"""The endpoints of the extras tab: plain upscaling, without the face restorers that the pocket lacks."""

from typing import Any

from PIL import Image

from modules import shared
from modules.api import models
from modules.api.encoding import decode_base64_to_image, encode_pil_to_base64


def _factor(request: models.ExtrasBaseRequest, image: Image.Image) -> float:
    if request.resize_mode == 0:
        return request.upscaling_resize
    wide, high = request.upscaling_resize_w / image.width, request.upscaling_resize_h / image.height
    return max(wide, high) if request.upscaling_crop else min(wide, high)


def _upscale(request: models.ExtrasBaseRequest, text: str) -> Image.Image:
    image = decode_base64_to_image(text).convert("RGB")
    upscalers = {upscaler.name: upscaler for upscaler in shared.sd_upscalers}
    chosen = upscalers.get(request.upscaler_1)
    if chosen is not None and request.upscaler_1 != "None":
        image = chosen.scaler.upscale(image, _factor(request, image), chosen.data_path)
    if request.resize_mode == 1 and request.upscaling_crop:
        width, height = request.upscaling_resize_w, request.upscaling_resize_h
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return image


def single(request: models.ExtrasSingleImageRequest) -> models.ExtrasSingleImageResponse:
    """One picture made larger."""
    return models.ExtrasSingleImageResponse(html_info="", image=encode_pil_to_base64(_upscale(request, request.image)))


def batch(request: models.ExtrasBatchImagesRequest) -> models.ExtrasBatchImagesResponse:
    """Several pictures made larger."""
    images: list[Any] = [encode_pil_to_base64(_upscale(request, file.data)) for file in request.imageList]
    return models.ExtrasBatchImagesResponse(html_info="", images=images)
