"""img2img's batch tab: a folder of pictures is one video, and not one run for each picture."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules import images as host_images
from modules import img2img, infotext_utils, processing, script_callbacks, scripts, sd_models, shared
from motion_module.errors import ParamError, UserError, as_text
from motion_module.media.errors import PictureError
from motion_module.media.reading.folders import opened_picture
from motion_module.media.reading.pixels import read_mask, read_rgb
from motion_module.patching import assign, replaced, replaced_all, replaced_call
from motion_module.paths import typed_path
from motion_module.webui.answers import add_message, answered
from motion_module.webui.host_types import Processing
from motion_module.webui.request import listening
from motion_module.webui.request.allowed_paths import permitted
from motion_module.webui.request.batch_folder import Batch
from motion_module.webui.request.mask_matching import masks_by_name
from motion_module.webui.request.masks import fitted
from motion_module.webui.request.picture_files import img2img_background
from motion_module.webui.request.picture_lists import pictures_listed
from motion_module.webui.request.read import params_of
from motion_module.wording import mention

_INPUT = "the input directory"  # of the batch tab, in sentences
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")  # as the host's batch tab
_OF_INFOTEXT = {  # attribute of p -> its name in an infotext, and its type
    "seed": ("Seed", int),
    "cfg_scale": ("CFG scale", float),
    "sampler_name": ("Sampler", str),
    "steps": ("Steps", int),
}


_Content = TypeVar("_Content")
_TAKEN = "animatediff_has_batch_tab"  # attribute of the host's module: an `import scripts.animatediff` asks again


def take_over() -> None:
    """Make the host's batch tab ask here first, until scripts are unloaded. Without our `enable` nothing changes."""
    if hasattr(img2img, _TAKEN):
        return
    stack = ExitStack()
    stack.enter_context(replaced(img2img, _TAKEN, True))
    stack.enter_context(replaced_call(img2img, "process_batch", _ours_first))
    script_callbacks.on_script_unloaded(stack.close)
    atexit.register(stack.close)  # later there would be nothing left to undo it with


def _ours_first(process_batch: Callable[..., Any]) -> Callable[..., Any]:
    @answered
    @functools.wraps(process_batch)
    def ours_or_theirs(p: Processing, *args: Any, **kwargs: Any) -> Any:
        make = animatediff_i2i_batch if params_of(p).enable else process_batch
        return make(p, *args, **kwargs)

    return ours_or_theirs


@answered
def animatediff_i2i_batch(
    p: processing.StableDiffusionProcessingImg2Img,
    input_dir: str | list[Any],
    output_dir: str,
    inpaint_mask_dir: str,
    args: Sequence[Any],
    to_scale: bool = False,
    scale_by: float = 1.0,
    use_png_info: bool = False,
    png_info_props: Sequence[str] | None = None,
    png_info_dir: str | None = None,
) -> Any:
    """One video from a folder of pictures; the host's `process_batch`, by whose name ControlNet calls it too.

    Args:
        p: the host's processing object; as it was afterwards.
        input_dir: folder of the pictures (or one with `image/` and `mask/` inside), or a list of uploads.
        output_dir: where results go; empty for the tab's own folder.
        inpaint_mask_dir: folder with one mask for all pictures or one for each; empty for none.
        args: the scripts' arguments.
        to_scale, scale_by: make the video so many times the first picture's size.
        use_png_info, png_info_props, png_info_dir: take these parameters from the infotext of the first picture, or of
            the file of its name in another folder.

    Returns:
        The host's `Processed`.

    Raises:
        UserError: one sentence with what does not fit.
    """
    asked = _Asked(input_dir, output_dir, inpaint_mask_dir, scale_by if to_scale else None)
    batch, frames, changes = _read(p, asked)
    processing.fix_seed(p)
    if use_png_info:
        changes |= _own_parameters(p, frames[0], png_info_props or [], png_info_dir)
    with batch.on(p), replaced_all(p, changes):
        assign(shared.state, job_count=p.n_iter)
        processed = scripts.scripts_img2img.run(p, *args)
        return processing.process_images(p) if processed is None else processed


@dataclass(frozen=True)
class _Asked:
    """What the tab asks for, as it was typed; `scale_by` is None where the tab's own size counts."""

    input_dir: str | list[Any]
    output_dir: str
    mask_dir: str
    scale_by: float | None


def _read(p: Processing, asked: _Asked) -> tuple[Batch, list[str], dict[str, Any]]:
    """The folder as a video, its pictures' files, and what they change of `p`.

    Raises:
        UserError: one sentence with what does not fit.
    """
    frames, mask_files = _files(asked.input_dir, typed_path(asked.mask_dir), params_of(p).video_length)
    background = img2img_background(p)
    pictures = [_readable(file, lambda path: read_rgb(path, background)) for file in frames]
    masks = [fitted(_readable(file, read_mask), picture) for file, picture in zip(mask_files, pictures, strict=False)]
    output_dir = typed_path(asked.output_dir)
    changes: dict[str, Any] = {"init_images": pictures}
    if masks:
        changes["image_mask"] = masks[0]
    if asked.scale_by is not None:
        changes["width"], changes["height"] = (int(side * asked.scale_by) for side in pictures[0].size)
    if output_dir:
        changes["outpath_samples"] = output_dir
    names = [Path(file).stem for file in frames]
    return Batch(names, masks if len(masks) > 1 else [], output_dir), frames, changes


def _files(source: str | list[Any], mask_dir: str, wanted: int) -> tuple[list[str], list[str]]:
    """The pictures' files in natural order, and for each of them its mask, or one mask, or none.

    Raises:
        ParamError: there are none, or not as many as are asked for.
    """
    if isinstance(source, str):
        source = permitted(_INPUT, typed_path(source))
        folder, mask_dir = _of_convention(source, mask_dir)
        files = _listed(_INPUT, folder)
    else:
        folder = "the upload"
        files = sorted((os.path.abspath(file.name) for file in source), key=_natural)
    if not files:
        raise ParamError(f"there are no pictures in {folder}; allowed are {', '.join(PICTURES)}")
    if wanted > len(files):
        raise ParamError(
            f"{mention('video_length')} is {wanted}, but {folder} has {len(files)} pictures; "
            f"allowed is at most {len(files)}, or 0 for all of them"
        )
    frames = files[: wanted or None]
    return frames, _masks_for(frames, len(files), mask_dir) if mask_dir else []


def _of_convention(folder: str, mask_dir: str) -> tuple[str, str]:
    """A folder with `image/` inside has its frames there, and its masks in `mask/` if no other folder is named."""
    inner, masks = os.path.join(folder, "image"), os.path.join(folder, "mask")
    if not folder or not os.path.isdir(inner):
        return folder, mask_dir
    return inner, mask_dir or (masks if os.path.isdir(masks) else "")


def _listed(name: str, folder: str) -> list[str]:
    folder = permitted(name, folder)
    if not os.path.isdir(folder):
        raise ParamError(f"{name} is {folder!r}; allowed is a folder that exists")
    return pictures_listed(name, folder, PICTURES)


def _masks_for(frames: list[str], pictures: int, folder: str) -> list[str]:
    """One mask for all frames, or the masks of the frames' names, or as many masks as pictures, in natural order."""
    masks = _listed("the mask directory", folder)
    if not masks:
        raise ParamError(f"there are no masks in {folder}; allowed are {', '.join(PICTURES)}")
    matched = masks_by_name(masks, frames, pictures)
    if matched is None:
        raise ParamError(
            f"{folder} has {len(masks)} masks for {len(frames)} pictures; allowed is one mask, or one for each picture"
        )
    return matched


def _natural(file: str) -> list[Any]:
    return shared.natural_sort_key(os.path.basename(file))


def _readable(file: str, read: Callable[[Path], _Content]) -> _Content:
    """Raises: UserError: the file is no picture; left out, all later frames would be at the wrong place."""
    listening.check("pictures")
    try:
        return read(Path(file))
    except PictureError as error:
        raise UserError(
            f"{as_text(file)} cannot be read as a picture ({error.why}); take it out of the folder"
        ) from error


def _infotext_of(file: Path) -> str | None:
    with opened_picture(file) as picture:
        picture.load()  # texts may follow the pixels
        return host_images.read_info_from_image(picture)[0]


def _own_parameters(p: Processing, file: str, props: Iterable[str], folder: str | None) -> dict[str, Any]:
    """What the first picture's infotext changes of `p`, as the host's batch tab reads it; a video has one of each."""
    beside = os.path.join(typed_path(folder), os.path.basename(file)) if folder else file
    beside = permitted("the PNG info directory", beside)
    if not os.path.isfile(beside):
        raise ParamError(f"the PNG info directory has no {os.path.basename(file)}")
    text = _readable(beside, _infotext_of)
    wanted = set(props)
    parsed = infotext_utils.parse_generation_parameters(text) if text else {}
    values = {name: value for name, value in parsed.items() if name in wanted}
    if not values:
        add_message(p, f"{os.path.basename(file)} has no infotext that holds the chosen settings.")
    changes: dict[str, Any] = {
        attribute: kind(values[name]) for attribute, (name, kind) in _OF_INFOTEXT.items() if name in values
    }
    for attribute, name in (("prompt", "Prompt"), ("negative_prompt", "Negative prompt")):
        if name in values:
            changes[attribute] = f"{getattr(p, attribute)} {values[name]}".strip()
    model = sd_models.get_closet_checkpoint_match(values["Model hash"]) if "Model hash" in values else None
    if model is not None:
        changes["override_settings"] = {**p.override_settings, "sd_model_checkpoint": model.name}
    return changes
