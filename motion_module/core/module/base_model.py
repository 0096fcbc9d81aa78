"""What a checkpoint of Stable Diffusion is by its header, in the layout of ldm and sgm, without loading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from motion_module.core.module.checkpoint import read_shapes
from motion_module.core.module.stored import ForeignError
from motion_module.errors import CheckpointError

SD1, SDXL, OTHER_FAMILY = "SD1.5", "SDXL", "another family than SD1.5 and SDXL"
_UNET = "model.diffusion_model."
# How names begin by which the WebUI takes a checkpoint for one of a family; one without any of them it takes for SD1.5
# (`guess_model_config_from_state_dict` in its modules/sd_models_config.py).
_MARKS = {
    f"{_UNET}x_embedder.": OTHER_FAMILY,  # SD3
    "conditioner.embedders.": SDXL,
    "depth_model.": OTHER_FAMILY,  # SD2, as the next two
    "embedder.model.": OTHER_FAMILY,
    "cond_stage_model.model.": OTHER_FAMILY,
}
_BLOCKS_PER_LEVEL = 3  # of input_blocks: the first conv or a Downsample, then two with layers
_MOST_LEVELS = 8


def base_model_of(path: Path | str) -> tuple[str, tuple[int, ...]] | None:
    """The family of a checkpoint, and the channels of each level of its UNet, from the outermost to the innermost.

    Returns:
        No channels where the family has no such UNet (SD3); None where the file is a pickle that names other objects
        than weights, as training programs leave them: the host may know these, and nothing is unpickled here.

    Raises:
        CheckpointError: it cannot be read, or is no checkpoint.
    """
    try:
        shapes = read_shapes(path)
    except CheckpointError as error:
        if isinstance(error.__cause__, ForeignError):
            return None
        raise
    first_blocks = range(1, _MOST_LEVELS * _BLOCKS_PER_LEVEL, _BLOCKS_PER_LEVEL)
    keys = [f"{_UNET}input_blocks.{block}.0.out_layers.3.weight" for block in first_blocks]
    family, widths = _family(shapes), tuple(shapes[key][0] for key in keys if shapes.get(key))
    if not widths and family != OTHER_FAMILY:
        raise CheckpointError(f"{Path(path).name} holds no UNet of Stable Diffusion")
    return family, widths


def _family(keys: Iterable[str]) -> str:
    found = (family for start, family in _MARKS.items() if any(key.startswith(start) for key in keys))
    return next(found, SD1)
