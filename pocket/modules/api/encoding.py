"""Pictures as base64 text and back."""

import base64
import binascii
import io
from typing import Any

import piexif
import piexif.helper
from fastapi.exceptions import HTTPException
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from modules import images
from modules.shared import opts


def decode_base64_to_image(encoding: str) -> Image.Image:
    """The picture in a base64 text, with or without a `data:image/...;base64,` head.

    Raises:
        HTTPException: 500, as in the WebUI: an address instead of a picture, or not a picture at all.
    """
    if encoding.startswith(("http://", "https://")):
        raise HTTPException(status_code=500, detail="Requests not allowed")
    if encoding.startswith("data:image/"):
        encoding = encoding.partition(";")[2].partition(",")[2]
    try:
        return images.read(io.BytesIO(base64.b64decode(encoding)))
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise HTTPException(status_code=500, detail="Invalid encoded image") from error


def _png(image: Image.Image, buffer: io.BytesIO) -> None:
    texts = {key: value for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str)}
    metadata = PngImagePlugin.PngInfo() if texts else None
    for key, value in texts.items():
        metadata.add_text(key, value)
    image.save(buffer, format="PNG", pnginfo=metadata)


def _with_exif(image: Image.Image, buffer: io.BytesIO, kind: str) -> None:
    if image.mode in ("RGBA", "P"):
        image = image.convert("RGB")
    comment = piexif.helper.UserComment.dump(image.info.get("parameters") or "", encoding="unicode")
    exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})
    image.save(buffer, format=kind, exif=exif, quality=opts.jpeg_quality)


def encode_pil_to_base64(image: Any) -> Any:
    """base64 of a picture in the format of the setting for samples, its infotext inside; a string stays as it is.

    Raises:
        HTTPException: 500, the setting names a format that cannot be sent.
    """
    if isinstance(image, str):
        return image
    kind = opts.samples_format.lower()
    with io.BytesIO() as buffer:
        if kind == "png":
            _png(image, buffer)
        elif kind in ("jpg", "jpeg", "webp"):
            _with_exif(image, buffer, "WEBP" if kind == "webp" else "JPEG")
        else:
            raise HTTPException(status_code=500, detail="Invalid image format")
        return base64.b64encode(buffer.getvalue())
