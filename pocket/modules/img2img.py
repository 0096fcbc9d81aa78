"""The img2img tab's Generate button, and its batch over a folder."""

from contextlib import closing
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from modules import images, processing, scripts, shared
from modules.img2img_batch import process_batch
from modules.infotext_utils import create_override_settings_dict
from modules.processing import Processed, StableDiffusionProcessingImg2Img
from modules.shared import opts
from modules.txt2img import shown

IMG2IMG, SKETCH, INPAINT, INPAINT_SKETCH, INPAINT_UPLOAD, BATCH = range(6)
"""The tab's own tabs."""

SCALE_BY = 1

TAKEN_OVER = (
    "prompt",
    "negative_prompt",
    "batch_size",
    "n_iter",
    "cfg_scale",
    "mask_blur",
    "inpainting_fill",
    "resize_mode",
    "denoising_strength",
    "image_cfg_scale",
    "inpaint_full_res",
    "inpaint_full_res_padding",
    "inpainting_mask_invert",
)
"""Fields of the tab that a run has by the same name."""


def _painted(image: Image.Image, original: Image.Image | None, alpha: float, blur: float) -> Any:
    """Inpaint sketch: where someone painted is the mask, and the paint is put in softly."""
    original = image if original is None else original
    changed = np.any(np.array(image) != np.array(original), axis=-1)
    mask = Image.fromarray(changed.astype(np.uint8) * 255, "L")
    mask = ImageEnhance.Brightness(mask).enhance(1 - alpha / 100)
    soft = ImageFilter.GaussianBlur(blur)
    return Image.composite(image.filter(soft), original, mask.filter(soft)), mask


def _picture_and_mask(mode: int, fields: dict[str, Any]) -> tuple[Any, Any]:
    """The picture and the mask of the chosen kind of input; a batch has neither."""
    if mode == INPAINT:
        both = fields["init_img_with_mask"]
        return both["image"], processing.create_binary_mask(both["mask"])
    if mode == INPAINT_SKETCH:
        sketch, original = fields["inpaint_color_sketch"], fields["inpaint_color_sketch_orig"]
        return _painted(sketch, original, fields["mask_alpha"], fields["mask_blur"])
    if mode == INPAINT_UPLOAD:
        return fields["init_img_inpaint"], fields["init_mask_inpaint"]
    return {IMG2IMG: fields["init_img"], SKETCH: fields["sketch"]}.get(mode), None


def img2img(
    id_task: str,
    request: gr.Request,
    mode: int,
    prompt: str,
    negative_prompt: str,
    prompt_styles: list[str],
    init_img: Any,
    sketch: Any,
    init_img_with_mask: Any,
    inpaint_color_sketch: Any,
    inpaint_color_sketch_orig: Any,
    init_img_inpaint: Any,
    init_mask_inpaint: Any,
    mask_blur: int,
    mask_alpha: float,
    inpainting_fill: int,
    n_iter: int,
    batch_size: int,
    cfg_scale: float,
    image_cfg_scale: float,
    denoising_strength: float,
    selected_scale_tab: int,
    height: int,
    width: int,
    scale_by: float,
    resize_mode: int,
    inpaint_full_res: bool,
    inpaint_full_res_padding: int,
    inpainting_mask_invert: int,
    img2img_batch_input_dir: str,
    img2img_batch_output_dir: str,
    img2img_batch_inpaint_mask_dir: str,
    override_settings_texts: list[str],
    img2img_batch_use_png_info: bool,
    img2img_batch_png_info_props: list[str],
    img2img_batch_png_info_dir: str,
    img2img_batch_source_type: str,
    img2img_batch_upload: list[Any],
    *args: Any,
) -> tuple[list[Any], str, str, str]:
    """Make pictures from the tab's fields, by the chosen script or by the host.

    Raises:
        ValueError: there is no picture (which is found out after the scripts' first hooks, as in the WebUI), or the
            denoising strength is not in 0..1.
    """
    fields = dict(locals())
    image, mask = (images.fix_image(picture) for picture in _picture_and_mask(mode, fields))
    if not 0.0 <= denoising_strength <= 1.0:
        raise ValueError(f"Denoising strength is {denoising_strength}; it must be from 0 to 1.")
    if opts.enable_console_prompts:
        print(f"\nimg2img: {prompt}", file=shared.progress_print_out)
    with closing(_create_processing(fields, image, mask)) as p:
        processed = _run_batch(p, fields) if mode == BATCH else scripts.scripts_img2img.run(p, *args)
        if processed is None:
            processed = Processed(p, [], p.seed, "") if mode == BATCH else processing.process_images(p)
    return shown(processed)


def _create_processing(fields: dict[str, Any], image: Any, mask: Any) -> StableDiffusionProcessingImg2Img:
    """The run that the tab's fields describe."""
    size = {"width": fields["width"], "height": fields["height"]}
    if fields["selected_scale_tab"] == SCALE_BY and image is not None:
        size = {name: int(getattr(image, name) * fields["scale_by"]) for name in size}
    p = StableDiffusionProcessingImg2Img(
        outpath_samples=opts.outdir_samples or opts.outdir_img2img_samples,
        outpath_grids=opts.outdir_grids or opts.outdir_img2img_grids,
        styles=fields["prompt_styles"],
        init_images=[image],
        mask=mask,
        override_settings=create_override_settings_dict(fields["override_settings_texts"]),
        **size,
        **{name: fields[name] for name in TAKEN_OVER},
    )
    p.scripts = scripts.scripts_img2img
    p.script_args = fields["args"]
    p.user = getattr(fields["request"], "username", None)
    return p


def _run_batch(p: StableDiffusionProcessingImg2Img, fields: dict[str, Any]) -> Processed | None:
    uploaded = fields["img2img_batch_source_type"] == "upload"
    return process_batch(
        p,
        fields["img2img_batch_upload"] if uploaded else fields["img2img_batch_input_dir"],
        "" if uploaded else fields["img2img_batch_output_dir"],
        "" if uploaded else fields["img2img_batch_inpaint_mask_dir"],
        fields["args"],
        to_scale=fields["selected_scale_tab"] == SCALE_BY,
        scale_by=fields["scale_by"],
        use_png_info=fields["img2img_batch_use_png_info"],
        png_info_props=fields["img2img_batch_png_info_props"],
        png_info_dir=fields["img2img_batch_png_info_dir"],
    )
