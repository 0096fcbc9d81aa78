"""img2img over a folder: one run a picture, all with the same settings."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from modules import errors, images, processing, scripts, sd_models, shared
from modules.infotext_utils import parse_generation_parameters
from modules.processing import Processed, StableDiffusionProcessingImg2Img
from modules.shared import opts, state

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def _pictures(source: Any) -> list[str]:
    """The files of a folder, or those uploaded."""
    if isinstance(source, str):
        return list(shared.walk_files(source, allowed_extensions=PICTURES))
    return [os.path.abspath(file.name) for file in source]


@dataclass
class Masks:
    """The masks of a batch: one for all pictures, or one of each picture's name."""

    files: list[str]

    def of(self, picture: str) -> str | None:
        """The picture's mask; None if it has none and so is left out."""
        if len(self.files) == 1:
            return self.files[0]
        stem = Path(picture).stem
        return next((file for file in self.files if Path(file).stem == stem), None)


@dataclass
class FromPictures:
    """Takes parameters from the pictures' own infotexts; what they lack is as it was asked for."""

    props: list[str]
    folder: str | None
    asked: StableDiffusionProcessingImg2Img

    def __post_init__(self) -> None:
        p = self.asked
        self.prompt, self.negative_prompt = p.prompt, p.negative_prompt
        self.defaults = {
            "seed": ("Seed", int, p.seed),
            "cfg_scale": ("CFG scale", float, p.cfg_scale),
            "sampler_name": ("Sampler", str, p.sampler_name),
            "steps": ("Steps", int, p.steps),
        }
        self.checkpoint = p.override_settings.get("sd_model_checkpoint")

    def _read(self, file: str, picture: Image.Image) -> dict[str, Any]:
        with errors.swallowed(f"Error reading the infotext of {file}"):
            if self.folder:
                picture = images.read(os.path.join(self.folder, os.path.basename(file)))
            text, _ = images.read_info_from_image(picture)
            found = {} if text is None else parse_generation_parameters(text)
            return {name: value for name, value in found.items() if name in self.props}
        return {}

    def apply(self, file: str, picture: Image.Image) -> None:
        """Set the run's parameters for one picture."""
        p, found = self.asked, self._read(file, picture)
        p.prompt = " ".join([self.prompt, *([found["Prompt"]] if "Prompt" in found else [])])
        p.negative_prompt = " ".join(
            [self.negative_prompt, *([found["Negative prompt"]] if "Negative prompt" in found else [])]
        )
        for field, (name, kind, default) in self.defaults.items():
            setattr(p, field, kind(found.get(name, default)))
        model = sd_models.get_closet_checkpoint_match(found.get("Model hash")) if "Model hash" in found else None
        checkpoint = self.checkpoint if model is None else model.name
        p.override_settings.pop("sd_model_checkpoint", None)
        if checkpoint:
            p.override_settings["sd_model_checkpoint"] = checkpoint


def _save_under_own_name(p: StableDiffusionProcessingImg2Img, output_dir: str, file: str) -> None:
    """Results go to one folder, named as the pictures they come from."""
    stem = Path(file).stem
    several = p.n_iter > 1 or p.batch_size > 1
    p.outpath_samples = output_dir
    p.override_settings["save_to_dirs"] = False
    p.override_settings["save_images_replace_action"] = "Add number suffix"
    p.override_settings["samples_filename_pattern"] = f"{stem}-[generation_number]" if several else stem


class Collected:
    """The results of all runs as one, up to the number that the settings want shown."""

    def __init__(self) -> None:
        self.result: Processed | None = None
        self.full = False

    def add(self, processed: Processed) -> None:
        """Add a run's pictures; the first run's result is the one that is returned."""
        if self.full:
            return
        if self.result is None:
            self.result = processed
        else:
            self.result.images.extend(processed.images)
            self.result.infotexts.extend(processed.infotexts)
        limit = int(opts.img2img_batch_show_results_limit)
        if 0 <= limit < len(self.result.images):
            self.full = True
            self.result.images = self.result.images[:limit]
            self.result.infotexts = self.result.infotexts[:limit]


def _open(file: str) -> Image.Image | None:
    try:
        return images.read(file)
    except UnidentifiedImageError as error:
        print(error)
        return None


def process_batch(
    p: StableDiffusionProcessingImg2Img,
    input: Any,
    output_dir: str,
    inpaint_mask_dir: str,
    args: Any,
    to_scale: bool = False,
    scale_by: float = 1.0,
    use_png_info: bool = False,
    png_info_props: list[str] | None = None,
    png_info_dir: str | None = None,
) -> Processed | None:
    """Run every picture of a folder (or of a list of uploads); files that are no pictures are left out.

    Args:
        output_dir: where results go under their pictures' names; empty for the tab's own folder.
        inpaint_mask_dir: folder of masks; empty for none.
        args: the scripts' arguments.
        to_scale, scale_by: make each result so many times its picture's size.
        use_png_info, png_info_props, png_info_dir: take these parameters from the infotext of each picture,
            or of the file of its name in another folder.

    Returns:
        All results as one; None if there is not one.
    """
    output_dir = output_dir.strip()
    processing.fix_seed(p)
    files = _pictures(input)
    mask_files = shared.listfiles(inpaint_mask_dir) if inpaint_mask_dir else []
    masks = Masks(mask_files) if mask_files else None
    own_params = FromPictures(png_info_props or [], png_info_dir, p) if use_png_info else None
    print(f"Will process {len(files)} images, creating {p.n_iter * p.batch_size} new images for each.")
    state.job_count = len(files) * p.n_iter
    collected = Collected()
    for number, file in enumerate(files, 1):
        state.job = f"{number} out of {len(files)}"
        state.skipped = False
        if state.interrupted or state.stopping_generation:
            break
        picture = _open(file)
        if picture is None or not _take_mask(p, masks, file):
            continue
        if to_scale:
            p.width, p.height = int(picture.width * scale_by), int(picture.height * scale_by)
        p.init_images = [picture] * p.batch_size
        if own_params is not None:
            own_params.apply(file, picture)
        if output_dir:
            _save_under_own_name(p, output_dir, file)
        collected.add(_run_one(p, args))
    return collected.result


def _take_mask(p: StableDiffusionProcessingImg2Img, masks: Masks | None, file: str) -> bool:
    """Give the run the picture's mask; False if it should have one and has none."""
    if masks is None:
        return True
    mask = masks.of(file)
    if mask is None:
        print(f"Warning: mask is not found for {file}. Skipping it.")
        return False
    p.image_mask = images.read(mask)
    return True


def _run_one(p: StableDiffusionProcessingImg2Img, args: Any) -> Processed:
    processed = scripts.scripts_img2img.run(p, *args)
    if processed is None:
        p.override_settings.pop("save_images_replace_action", None)
        processed = processing.process_images(p)
    return processed
