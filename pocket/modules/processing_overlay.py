"""Laying the original picture over an inpainted one."""

from typing import Any

from PIL import Image

from modules import errors, images


def uncrop(image: Image.Image, dest_size: tuple[int, int], paste_loc: tuple[int, int, int, int]) -> Image.Image:
    """The part at its place `(x, y, width, height)` in a transparent picture of the full size."""
    x, y, width, height = paste_loc
    canvas = Image.new("RGBA", dest_size)
    canvas.paste(images.resize_image(1, image, width, height), (x, y))
    return canvas


def apply_overlay(
    image: Image.Image, paste_loc: tuple[int, int, int, int] | None, overlay: Image.Image | None
) -> tuple[Image.Image, Image.Image]:
    """The picture with the overlay on it, and the same without; a cropped part is put at its place first."""
    if overlay is None:
        return image, image.copy()
    if paste_loc is not None:
        image = uncrop(image, (overlay.width, overlay.height), paste_loc)
    covered = image.convert("RGBA")
    covered.alpha_composite(overlay)
    return covered.convert("RGB"), image.copy()


def create_binary_mask(image: Image.Image, round: bool = True) -> Image.Image:
    """A mask as greyscale: the alpha channel (black and white if `round`) if there is one, else the brightness."""
    if image.mode != "RGBA" or image.getextrema()[-1] == (255, 255):
        return image.convert("L")
    alpha = image.getchannel("A")
    return alpha.point(lambda value: 255 if value > 128 else 0) if round else alpha


def setup_color_correction(image: Image.Image) -> Any:
    """Not modelled: needs packages that this host does not have.

    Raises:
        NotModelledError: always.
    """
    raise errors.NotModelledError("Colour correction of img2img is not supported by this host.")


def apply_color_correction(correction: Any, original_image: Image.Image) -> Image.Image:
    """Not modelled, as `setup_color_correction`.

    Raises:
        NotModelledError: always.
    """
    raise errors.NotModelledError("Colour correction of img2img is not supported by this host.")
