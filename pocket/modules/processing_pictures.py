"""The end of a batch: decoded tensors become pictures, are laid over originals, saved and collected."""

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from modules import errors, images
from modules.processing_infotext import create_infotext
from modules.processing_overlay import apply_overlay
from modules.script_base import PostprocessImageArgs, PostProcessMaskOverlayArgs
from modules.shared import opts


@dataclass
class Output:
    """What a run has made so far; infotexts belong to single pictures, masks have none."""

    pictures: list[Any] = field(default_factory=list)
    infotexts: list[str] = field(default_factory=list)
    index_of_first_image: int = 0


def infotext_of(p: Any, index: int = 0, use_main_prompt: bool = False) -> str:
    """The infotext of one picture of the running batch, or of the grid."""
    return create_infotext(
        p,
        p.prompts,
        p.seeds,
        p.subseeds,
        use_main_prompt=use_main_prompt,
        index=index,
        all_negative_prompts=p.negative_prompts,
    )


def save_sample(p: Any, picture: Image.Image, index: int, suffix: str = "") -> None:
    """Save one picture of the running batch."""
    images.save_image(
        picture,
        p.outpath_samples,
        "",
        p.seeds[index],
        p.prompts[index],
        opts.samples_format,
        info=infotext_of(p, index),
        p=p,
        suffix=suffix,
    )


def finish_batch(p: Any, samples: list[Any], output: Output) -> None:
    """Finish all pictures of a batch; each sample is a tensor (3, h, w) in 0..1."""
    save = p.save_samples()
    for index, sample in enumerate(samples):
        p.batch_index = index
        finish_picture(p, images.to_picture(sample), index, save, output)


def finish_picture(p: Any, picture: Image.Image, index: int, save: bool, output: Output) -> None:
    """Run the scripts' hooks over one picture, lay the original over it, save it, and add it to the output.

    Raises:
        NotModelledError: a script asks for colour correction.
    """
    if p.scripts is not None:
        args = PostprocessImageArgs(picture)
        p.scripts.postprocess_image(p, args)
        picture = args.image
    mask, overlay = _mask_and_overlay(p, index)
    if p.color_corrections is not None and index < len(p.color_corrections):
        raise errors.NotModelledError("Colour correction is not supported by this host.")
    picture, uncovered = apply_overlay(picture, p.paste_to, overlay)
    if p.scripts is not None:
        args = PostprocessImageArgs(picture)
        p.scripts.postprocess_image_after_composite(p, args)
        picture = args.image
    if save:
        save_sample(p, picture, index)
    text = infotext_of(p, index)
    output.infotexts.append(text)
    if opts.enable_pnginfo:
        picture.info["parameters"] = text
    output.pictures.append(picture)
    if mask is not None:
        _add_masks(p, picture, uncovered, mask, index, save, output)


def _mask_and_overlay(p: Any, index: int) -> tuple[Any, Any]:
    mask = getattr(p, "mask_for_overlay", None)
    overlays = getattr(p, "overlay_images", None) or []
    overlay = overlays[index] if opts.overlay_inpaint and index < len(overlays) else None
    if p.scripts is not None:
        args = PostProcessMaskOverlayArgs(index, mask, overlay)
        p.scripts.postprocess_maskoverlay(p, args)
        mask, overlay = args.mask_for_overlay, args.overlay_image
    return mask, overlay


def _add_masks(
    p: Any, picture: Image.Image, uncovered: Image.Image, mask: Image.Image, index: int, save: bool, output: Output
) -> None:
    """Save and return the mask, and the new picture where the mask is, as the settings ask for."""
    if opts.return_mask or opts.save_mask:
        _keep(p, mask.convert("RGB"), index, save and opts.save_mask, "-mask", opts.return_mask, output)
    if opts.return_mask_composite or opts.save_mask_composite:
        shape = images.resize_image(2, mask, picture.width, picture.height).convert("L")
        nothing = Image.new("RGBa", picture.size)
        part = Image.composite(uncovered.convert("RGBA").convert("RGBa"), nothing, shape).convert("RGBA")
        wanted = opts.return_mask_composite
        _keep(p, part, index, save and opts.save_mask_composite, "-mask-composite", wanted, output)


def _keep(p: Any, picture: Image.Image, index: int, save: bool, suffix: str, wanted: bool, output: Output) -> None:
    if save:
        save_sample(p, picture, index, suffix)
    if wanted:
        output.pictures.append(picture)


def add_grid(p: Any, output: Output) -> None:
    """Make the grid of all pictures, if the settings want one; it goes before the pictures."""
    if p.do_not_save_grid or not (opts.return_grid or opts.grid_save):
        return
    if len(output.pictures) < 2 and (opts.grid_only_if_multiple or not output.pictures):
        return
    grid = images.image_grid(output.pictures, p.batch_size)
    text = infotext_of(p, use_main_prompt=True)
    if opts.return_grid:
        output.infotexts.insert(0, text)
        if opts.enable_pnginfo:
            grid.info["parameters"] = text
        output.pictures.insert(0, grid)
        output.index_of_first_image = 1
    if opts.grid_save:
        images.save_image(
            grid,
            p.outpath_grids,
            "grid",
            p.all_seeds[0],
            p.all_prompts[0],
            opts.grid_format,
            info=text,
            short_filename=not opts.grid_extended_filename,
            p=p,
            grid=True,
        )
