"""The ControlNet units of a run, and where the pictures of each come from.

Facts of sd-webui-controlnet 1.1.455: it reads its units from `p.script_args` in its `process`. A unit with
`animatediff_batch` gets a hint for each frame; its files are those of the folder in the first line of `batch_images`,
as `batch_modifiers` change them. Lines `mask:` and `keyframe:` may follow; `lines.py` reads them and ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from motion_module.errors import ParamError
from motion_module.webui.controlnet.lines import Lines
from motion_module.webui.controlnet.row_weights import check_kind, check_preprocessor
from motion_module.webui.controlnet.spelling import folder_of, is_batch, set_mode
from motion_module.webui.host_types import Processing, is_img2img
from motion_module.webui.request.allowed_paths import permitted
from motion_module.webui.request.mask_matching import masks_in_order
from motion_module.webui.request.picture_files import PictureFiles
from motion_module.webui.request.picture_lists import pictures_listed
from motion_module.webui.request.read import script_of

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_OWN = "the batch folder"


@dataclass(frozen=True)
class Files:
    """Pictures for the frames of a video.

    Attributes:
        name: what to call them in a sentence.
        files: one for each frame, or one for each keyframe; one alone counts for all frames. 8-bit RGB, when a unit
            is given them.
        masks: a folder of masks, or "".
        keyframes: the frames the pictures are for; None where there is one for each frame.
        announced: how many pictures there will be, where they are still to be read; None where nobody knows.
    """

    name: str
    files: tuple[Path | Image.Image, ...] = ()
    masks: str = ""
    keyframes: tuple[int, ...] | None = None
    announced: int | None = None

    @property
    def limit(self) -> int | None:
        """How many frames there are pictures for, None where that is no limit, or not known yet."""
        count = len(self.files) or self.announced
        alone = count == 1 and self.name != "video_source"  # what is left of a film is as long as it is
        return None if alone or self.keyframes is not None else count

    def taken(self, frames: int) -> tuple[Path | Image.Image, ...]:
        """Those that a unit takes in a video of so many frames."""
        return self.files[: frames if self.keyframes is None else len(self.keyframes)]


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        number: which unit it is, from 0, as ControlNet counts them.
        arg_index: where it is in `p.script_args`.
        settings: ControlNet's object, a copy for this run.
        lines: what stands in its *Batch* folder, where that counts.
    """

    number: int
    arg_index: int
    settings: Any
    lines: Lines = field(default_factory=Lines)

    hands_out_by_itself: ClassVar[bool] = False
    """Whether ControlNet gives each call of the model what is for its frames."""

    @property
    def is_on(self) -> bool:
        """Whether it is enabled."""
        return bool(self.settings.enabled)

    @property
    def has_picture(self) -> bool:
        """Whether it has a picture of its own, which counts for all frames."""
        if getattr(self.settings, "ipadapter_input", None) is not None:
            return True
        return not is_batch(self.settings) and self.settings.image is not None

    @property
    def has_mask(self) -> bool:
        """Whether it has a mask of its own."""
        return self.settings.mask is not None

    @property
    def has_folder(self) -> bool:
        """Whether it has a folder of its own."""
        return is_batch(self.settings) and bool(self.lines.folder)

    @property
    def has_idle_folder(self) -> bool:
        """Whether it has a folder that does not count, because its input mode is another."""
        return not is_batch(self.settings) and bool(folder_of(self.settings))

    @property
    def takes_several(self) -> bool:
        """Whether it is an IP-Adapter, which takes all pictures at once."""
        return bool(getattr(self.settings, "accepts_multiple_inputs", False))

    @property
    def places_pictures(self) -> bool:
        """Whether it is a SparseCtrl, whose pictures are for single frames: the first, without a `keyframe:` line."""
        return "sparsectrl" in str(self.settings.model).lower()

    def own_files(self) -> Files:
        """The pictures in its own folder.

        Raises:
            ParamError: there is no such folder, no picture in it, or another number of them than of keyframes.
        """
        name = f"{_OWN} of ControlNet unit {self.number}"
        files = listed(self.lines.folder, name)
        masks, keyframes = self.lines.masks, self.lines.keyframes
        if masks:
            listed(masks, f"mask: of ControlNet unit {self.number}")
        if keyframes is not None and len(files) != len(keyframes):
            raise ParamError(
                f"keyframe: of ControlNet unit {self.number} names {len(keyframes)} frames, "
                f"but its folder holds {len(files)} pictures; the two numbers have to match"
            )
        return Files(name, files, masks, (0,) if keyframes is None and self.places_pictures else keyframes)

    def masks_of(self, source: Files, pictures: int) -> list[Path]:
        """The masks that this unit takes with so many pictures: none, one for all, or one for each.

        Raises:
            ParamError: their folder has none.
        """
        if not source.masks or not self.takes_masks(source):
            return []
        return masks_in_order(listed(source.masks, f"mask: of ControlNet unit {self.number}"), pictures)

    def takes_masks(self, source: Files) -> bool:
        """Whether masks of this source are for it."""
        return source.name.startswith(_OWN) or bool(getattr(self.settings, "is_inpaint", False))

    def give(self, source: Files, frames: int, p: Processing, pictures: PictureFiles) -> None:
        """Hand the unit its pictures; `pictures` makes files of those that have to be.

        An IP-Adapter gets them as several pictures of one unit: what ControlNet 1.1.455 does with a batch of them
        ends in a TypeError (`ImageEmbed` is called with one argument too many).
        """
        settings = self.settings
        keyframes = source.keyframes
        files = source.taken(frames)
        if len(files) == 1 and keyframes is not None and not (self.places_pictures or self.takes_several):
            files, keyframes = files * 2, keyframes * 2  # of one alone it forgets that it was for one frame
        given = [_for_controlnet(file) for file in files]
        masks = source.masks if self.takes_masks(source) else ""
        if isinstance(files[0], Image.Image) and is_img2img(p):
            _resize_as_img2img(settings, p.resize_mode)
        if self.takes_several:
            set_mode(settings, batch=False)
            settings.image = [
                {"image": picture, "mask": mask} for picture, mask in zip(given, _masks(masks, len(given)), strict=True)
            ]
            return
        folder = files[0].parent if isinstance(files[0], Path) else Path(__file__).parent  # any folder that is there
        lines = [str(folder)] + [f"mask:{masks}"] * bool(masks)
        lines += [f"keyframe:{','.join(map(str, keyframes))}"] if keyframes is not None else []
        set_mode(settings, batch=True)
        settings.batch_images = "\n".join(lines)
        settings.batch_modifiers = [lambda files, p: given, *settings.batch_modifiers]
        settings.animatediff_batch = True

    def check_lines(self) -> None:
        """See that ControlNet can do what the lines ask for, as far as the unit's preprocessor tells.

        Raises:
            ParamError: it cannot.
        """
        if self.lines.weighing:
            check_preprocessor(self.number, self.lines.weighing, str(self.settings.module))
        if self.lines.falloff is not None and not self.takes_several:
            raise ParamError(
                f"falloff: of ControlNet unit {self.number} is for the key pictures of an IP-Adapter, and its "
                f"preprocessor is {str(self.settings.module)[:80]}; leave the line out, or choose an IP-Adapter"
            )

    def check_taken(self, params: Any, source: Files | None) -> None:
        """See that ControlNet can do that with the model which it has loaded for the unit.

        Args:
            params: its `ControlParams`; None where it has none.
            source: the pictures that change from frame to frame.

        Raises:
            ParamError: it cannot.
        """
        if self.lines.weighing:
            check_kind(self.number, self.lines.weighing, params)

    def leave_to_controlnet(self) -> None:
        """Have ControlNet look for a picture by itself: at img2img's, and not at that of a tab which is not open."""
        settings = self.settings
        if is_batch(settings):
            settings.image = None


def controlnet_of(p: Processing) -> Any:
    """ControlNet's script object in the tab of `p`, None where it is not installed."""
    return script_of(p, "controlnet")


def listed(folder: str, name: str) -> tuple[Path, ...]:
    """The picture files in a folder in the order of ControlNet, which pairs those of two folders one by one.

    Args:
        folder: as it was typed.
        name: what to call it in a sentence.

    Raises:
        ParamError: it may not be read, there is no such folder, or no picture in it.
    """
    folder = permitted(name, folder)
    if not os.path.isdir(folder):  # which has no errors of its own, for a name that is too long
        raise ParamError(f"{name} is {folder[:200]!r}, and there is no such folder")
    files = tuple(map(Path, pictures_listed(name, folder, _PICTURES)))
    if not files:
        raise ParamError(f"{name} is {folder[:200]!r}, and there is no picture in it")
    return files


def _for_controlnet(file: Path | Image.Image) -> str | np.ndarray:
    """A picture as ControlNet reads it: a path, or an array (h, w, 3) uint8."""
    return str(file) if isinstance(file, Path) else np.asarray(file)


def _masks(folder: str, count: int) -> list[str | None]:
    """The mask of each picture."""
    if not folder:
        return [None] * count
    files: list[str | None] = [str(file) for file in masks_in_order(listed(folder, "mask:"), count)]
    return files if len(files) == count else files * count


def _resize_as_img2img(settings: Any, mode: int) -> None:
    """ControlNet brings img2img's pictures to size as img2img does."""
    enumeration: Any = type(settings.resize_mode)
    modes = list(enumeration)
    settings.resize_mode = modes[mode] if mode < len(modes) else modes[0]  # 3 resizes the latent
