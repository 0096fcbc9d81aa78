"""The pictures and files that a run works on, as JSON: by them a run that broke off is told from another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from motion_module.webui.controlnet.control import Control
from motion_module.webui.host_types import Processing
from motion_module.webui.plan.plan import hash_of
from motion_module.webui.request.file_states import part_of, states_of
from motion_module.webui.request.sources import Source
from motion_module.webui.request.unfinished import Unfinished
from motion_module.webui.settings import settings_of

# How the host uses a mask, which not every version has in the infotext.
_OF_MASK = ("inpainting_mask_invert", "inpainting_fill", "inpaint_full_res", "mask_blur_x", "mask_blur_y")


def is_wanted(resumes: Unfinished | None) -> bool:
    """Whether a run may be resumed, or is: nothing is computed for others.

    Args:
        resumes: the run that it goes on with.
    """
    return resumes is not None or bool(settings_of().resume_after)


def given_to(p: Processing, masks: Sequence[Image.Image], control: Control, source: Source | None) -> dict[str, Any]:
    """What is to be the same besides `Plan.asked`; before anybody has changed it.

    Args:
        p: the host's processing object.
        masks: of the single frames; none where one serves all.
        control: the ControlNet units.
        source: the video or the folder that it names.
    """
    of_all = getattr(p, "image_mask", None)
    used = [*([of_all] if of_all is not None else []), *masks]
    how = [str(getattr(p, name, None)) for name in _OF_MASK] if used else []
    return {"masks": [*map(hash_of, used), *how], "control": control.given, "source_file": _state_of(source)}


def _state_of(source: Source | None) -> list[str]:
    """Of the file, or of the pictures of the folder; the masks beside them are compared as pictures."""
    if source is None or source.name == "mask_path":
        return []
    return states_of(source.pictures) if source.pictures else [part_of(source.path)]
