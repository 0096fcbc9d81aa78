"""Pictures: resizing, grids, saving with an infotext, and reading it back."""

import contextlib
import math
import os
import threading
from typing import Any

import numpy as np
import piexif
import piexif.helper
from PIL import Image, ImageColor, ImageOps, PngImagePlugin

from modules import script_callbacks, shared
from modules.images_legends import GridAnnotation, draw_grid_annotations, get_font  # noqa: F401
from modules.images_naming import (  # noqa: F401
    FilenameGenerator,
    get_next_sequence_number,
    sanitize_filename_part,
)
from modules.shared import opts

LANCZOS = Image.Resampling.LANCZOS

JPEG_LIMIT, WEBP_LIMIT = 65535, 16383
"""Most pixels a side that the formats can hold; larger pictures are saved as PNG."""

NOT_INFO = frozenset({"dpi", "exif", "loop", "background", "timestamp", "duration", "progressive", "progression"})
NOT_INFO |= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "icc_profile", "chromaticity", "photoshop"}
"""What PIL's `info` says about the file rather than about the picture's making."""


def _grid_rows(count: int, batch_size: int) -> int:
    if opts.n_rows > 0:
        return int(opts.n_rows)
    if opts.n_rows == 0:
        return batch_size
    rows = math.sqrt(count)
    if not opts.grid_prevent_empty_spots:
        return round(rows)
    return next(candidate for candidate in range(math.floor(rows), 0, -1) if count % candidate == 0)


def image_grid(imgs: list[Image.Image], batch_size: int = 1, rows: int | None = None) -> Image.Image:
    """All pictures in rows and columns of the largest one's size, smaller ones in the middle of their place."""
    rows = min(_grid_rows(len(imgs), batch_size) if rows is None else rows, len(imgs))
    params = script_callbacks.ImageGridLoopParams(imgs, math.ceil(len(imgs) / rows), rows)
    script_callbacks.image_grid_callback(params)
    width, height = (max(image.size[side] for image in imgs) for side in (0, 1))
    background = ImageColor.getcolor(opts.grid_background_color, "RGB")
    grid = Image.new("RGB", (params.cols * width, params.rows * height), background)
    for place, image in enumerate(params.imgs):
        row, column = divmod(place, params.cols)
        left, top = column * width + (width - image.width) // 2, row * height + (height - image.height) // 2
        grid.paste(image, (left, top))
    return grid


def _resized(image: Image.Image, width: int, height: int, upscaler_name: str | None) -> Image.Image:
    """The picture stretched to this size; enlarged by the upscaler first, if one is named."""
    scale = max(width / image.width, height / image.height)
    if upscaler_name not in (None, "None") and image.mode != "L" and scale > 1.0:
        upscaler = next((known for known in shared.sd_upscalers if known.name == upscaler_name), None)
        if upscaler is None:
            upscaler = shared.sd_upscalers[0]
            print(f"there is no upscaler named {upscaler_name!r}; {upscaler.name} is used instead")
        image = upscaler.scaler.upscale(image, scale, upscaler.data_path)
    return image if image.size == (width, height) else image.resize((width, height), resample=LANCZOS)


def _with_edges_drawn_out(canvas: Image.Image, picture: Image.Image, left: int, top: int) -> Image.Image:
    """Fill the canvas beside a picture put at (left, top) with the picture's outermost pixels."""
    width, height = picture.size
    if top > 0:
        strip = (canvas.width, top)
        canvas.paste(picture.resize(strip, box=(0, 0, canvas.width, 0)), (0, 0))
        canvas.paste(picture.resize(strip, box=(0, height, canvas.width, height)), (0, top + height))
    elif left > 0:
        strip = (left, canvas.height)
        canvas.paste(picture.resize(strip, box=(0, 0, 0, canvas.height)), (0, 0))
        canvas.paste(picture.resize(strip, box=(width, 0, width, canvas.height)), (left + width, 0))
    return canvas


def resize_image(
    resize_mode: int, im: Image.Image, width: int, height: int, upscaler_name: str | None = None
) -> Image.Image:
    """The picture in another size.

    Args:
        resize_mode: 0 stretches; 1 keeps the proportions and cuts off what is too much; 2 keeps the
            proportions and fills what is missing with the edges' colours.
        upscaler_name: what enlarges; the settings' upscaler for img2img if not given.
    """
    upscaler_name = upscaler_name or opts.upscaler_for_img2img
    if resize_mode == 0:
        return _resized(im, width, height, upscaler_name)
    ratio, own_ratio = width / height, im.width / im.height
    fit_width = ratio > own_ratio if resize_mode == 1 else ratio < own_ratio
    inner_width = width if fit_width else im.width * height // im.height
    inner_height = im.height * width // im.width if fit_width else height
    picture = _resized(im, inner_width, inner_height, upscaler_name)
    left, top = width // 2 - inner_width // 2, height // 2 - inner_height // 2
    canvas = Image.new("RGB", (width, height))
    canvas.paste(picture, (left, top))
    return canvas if resize_mode == 1 else _with_edges_drawn_out(canvas, picture, left, top)


def to_picture(sample: Any) -> Image.Image:
    """A tensor (3, h, w) in 0..1 as a picture; fractions of a step are cut off."""
    return Image.fromarray((255.0 * np.moveaxis(sample.cpu().numpy(), 0, 2)).astype(np.uint8))


def to_array(image: Image.Image) -> np.ndarray:
    """A picture as float32 (3, h, w) in 0..1."""
    return np.moveaxis(np.array(image).astype(np.float32) / 255.0, 2, 0)


def _exif(geninfo: str) -> bytes:
    comment = piexif.helper.UserComment.dump(geninfo, encoding="unicode")
    return piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})


def _save_png(image: Image.Image, filename: str, texts: dict[str, Any]) -> None:
    info = None
    if opts.enable_pnginfo:
        info = PngImagePlugin.PngInfo()
        for name, text in texts.items():
            info.add_text(name, str(text))
    image.save(filename, format="PNG", pnginfo=info)


def _save_jpeg_or_webp(image: Image.Image, filename: str, form: str, geninfo: str | None) -> None:
    picture = image.convert("RGB") if image.mode == "RGBA" else image
    picture.save(filename, format=form, quality=opts.jpeg_quality, lossless=opts.webp_lossless)
    if opts.enable_pnginfo and geninfo is not None:
        piexif.insert(_exif(geninfo), filename)


def save_image_with_geninfo(
    image: Image.Image,
    geninfo: str | None,
    filename: str,
    extension: str | None = None,
    existing_pnginfo: dict[str, Any] | None = None,
    pnginfo_section_name: str = "parameters",
) -> None:
    """Save a picture with its infotext: in PNG's text, JPEG's and WEBP's Exif comment, GIF's comment."""
    extension = (extension or os.path.splitext(filename)[1]).lower()
    form = Image.registered_extensions()[extension]
    if form == "PNG":
        _save_png(image, filename, {**(existing_pnginfo or {}), pnginfo_section_name: geninfo})
    elif form in ("JPEG", "WEBP"):
        _save_jpeg_or_webp(image, filename, form, geninfo)
    elif form == "GIF":
        image.save(filename, format=form, comment=geninfo)
    else:
        image.save(filename, format=form, quality=opts.jpeg_quality)


def _fitting_extension(image: Image.Image, extension: str) -> str:
    limit = {"jpg": JPEG_LIMIT, "jpeg": JPEG_LIMIT, "webp": WEBP_LIMIT}.get(extension.lower(), math.inf)
    return "png" if max(image.size) > limit else extension


def _numbered(folder: str, basename: str, decoration: str, extension: str) -> str:
    """The first free name with a number."""
    number = get_next_sequence_number(folder, basename)
    while True:
        start = f"{basename}-{number:04}" if basename else f"{number:05}"
        path = os.path.join(folder, f"{start}{decoration}.{extension}")
        if not os.path.exists(path):
            return path
        number += 1


def _decoration(names: FilenameGenerator, short_filename: bool, suffix: str) -> str:
    default = "[seed]" if opts.save_to_dirs else "[seed]-[prompt_spaces]"
    pattern = "" if short_filename or names.seed is None else opts.samples_filename_pattern or default
    return names.apply(pattern) + suffix


def _unused(stem: str, extension: str) -> str:
    """The name, or with a number behind if it is taken and the settings say not to replace."""
    path, number = stem + extension, 0
    while opts.save_images_replace_action != "Replace" and os.path.exists(path):
        number += 1
        path = f"{stem}-{number}{extension}"
    return path


def save_image(
    image: Image.Image,
    path: str,
    basename: str | None,
    seed: Any = None,
    prompt: str | None = None,
    extension: str = "png",
    info: str | None = None,
    short_filename: bool = False,
    no_prompt: bool = False,
    grid: bool = False,
    pnginfo_section_name: str = "parameters",
    p: Any = None,
    existing_info: dict[str, Any] | None = None,
    forced_filename: str | None = None,
    suffix: str = "",
    save_to_dirs: bool | None = None,
) -> tuple[str, str | None]:
    """Save a picture in a folder under a name made by the settings' patterns; it appears whole or not at all.

    Args:
        path: the folder; a sub-folder is used if `save_to_dirs` (or the settings) say so.
        basename: what the name begins with, before the number.
        info: the infotext; `existing_info` are further texts for PNG.
        short_filename: the number alone, without seed and prompt.
        forced_filename: the whole name without extension; no pattern, no number.

    Returns:
        The file's path, and the path of the text file beside it, if the settings ask for one.
    """
    names = FilenameGenerator(p, seed, prompt, image, basename=basename or "")
    extension = _fitting_extension(image, extension)
    if save_to_dirs is None:
        save_to_dirs = opts.grid_save_to_dirs if grid else opts.save_to_dirs and not no_prompt
    if save_to_dirs:
        folder = names.apply(opts.directories_filename_pattern or "[prompt_words]")
        path = os.path.join(path, folder.lstrip(" ").rstrip("\\ /"))
    os.makedirs(path, exist_ok=True)
    decoration = _decoration(names, short_filename, suffix)
    if forced_filename is not None:
        filename = os.path.join(path, f"{forced_filename}.{extension}")
    elif opts.save_images_add_number or not decoration:
        filename = _numbered(path, basename or "", f"-{decoration}" if decoration else "", extension)
    else:
        filename = os.path.join(path, f"{decoration}.{extension}")
    texts = {**(existing_info or {}), **({} if info is None else {pnginfo_section_name: info})}
    return _save(script_callbacks.ImageSaveParams(image, p, filename, texts), pnginfo_section_name)


def _save(params: script_callbacks.ImageSaveParams, section: str) -> tuple[str, str | None]:
    """Let the callbacks change name, picture and texts, write beside the final name, then rename."""
    script_callbacks.before_image_saved_callback(params)
    info = params.pnginfo.get(section)
    stem, extension = os.path.splitext(params.filename)
    folder, name = os.path.split(stem)
    if hasattr(os, "statvfs"):
        name = name[: os.statvfs(folder or ".").f_namemax - max(4, len(extension))]
    stem = os.path.join(folder, name)
    part = os.path.join(folder, f".{os.getpid()}-{threading.get_ident()}.tmp")  # two hosts may save into one folder
    save_image_with_geninfo(params.image, info, part, extension, dict(params.pnginfo), section)
    params.filename = _unused(stem, extension)
    os.replace(part, params.filename)
    params.image.already_saved_as = params.filename
    textfile = None
    if opts.save_txt and info is not None:
        textfile = f"{stem}.txt"
        with open(textfile, "w", encoding="utf8") as file:
            file.write(f"{info}\n")
    script_callbacks.image_saved_callback(params)
    return params.filename, textfile


def _exif_comment(data: bytes) -> str | None:
    try:
        comment = piexif.load(data).get("Exif", {}).get(piexif.ExifIFD.UserComment, b"")
    except OSError:  # not Exif, so piexif took it for the name of a file
        return None
    try:
        return piexif.helper.UserComment.load(comment)
    except ValueError:
        return comment.decode("utf8", errors="ignore")


def read_info_from_image(image: Image.Image) -> tuple[str | None, dict[str, Any]]:
    """The infotext in a picture of any format (None if there is none), and the other texts in it."""
    items = dict(image.info or {})
    geninfo = items.pop("parameters", None)
    if "exif" in items:
        geninfo = _exif_comment(items["exif"]) or geninfo
    elif "comment" in items:
        comment = items["comment"]
        geninfo = comment.decode("utf8", errors="ignore") if isinstance(comment, bytes) else comment
    return geninfo, {name: value for name, value in items.items() if name not in NOT_INFO}


def flatten(img: Image.Image, bgcolor: str) -> Image.Image:
    """The picture in RGB, with this colour ("#ffffff") behind what is transparent."""
    if img.mode != "RGBA":
        return img.convert("RGB")
    background = Image.new("RGBA", img.size, bgcolor)
    background.paste(img, mask=img)
    return background.convert("RGB")


def read(fp: Any, **kwargs: Any) -> Image.Image:
    """Open a picture, turned the way its camera was held."""
    return fix_image(Image.open(fp, **kwargs))


def fix_image(image: Image.Image | None) -> Image.Image | None:
    """The picture turned as its Exif says, and with an alpha channel where a PNG has transparent colours."""
    if image is None:
        return None
    with contextlib.suppress(OSError, ValueError, SyntaxError):  # broken Exif: the picture as it is
        image = ImageOps.exif_transpose(image)
    if image.mode in ("RGB", "P") and isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA")
    return image
