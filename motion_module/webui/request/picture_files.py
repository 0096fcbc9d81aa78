"""Picture files that ControlNet reads as they are meant: plain ones themselves, all others as copies that are plain.

Facts of sd-webui-controlnet 1.1.455: of a path it takes the numbers that Pillow finds, cut to 8 bits; a palette's
numbers count as grey, a 1-bit white is 1, and EXIF turns nothing. Of a mask it takes the first channel. It pairs masks
and pictures by the place of a mask among all files of its folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from PIL import Image, ImageColor

from modules import shared
from motion_module.errors import HostError, ParamError
from motion_module.media.errors import describe
from motion_module.media.reading.folders import PICTURES
from motion_module.media.reading.frame_store import Bounds, scratch
from motion_module.media.reading.pixels import as_rgb, is_plain, read_mask, read_rgb
from motion_module.webui.host_counters import show
from motion_module.webui.host_types import Processing
from motion_module.webui.request import listening
from motion_module.webui.settings import settings_of

_FAST = 1  # of PNG; the files are temporary
_DAY_S, _GB = 24 * 3600, 10**9


class PictureFiles:
    """The copies of one run, which go with it.

    Args:
        stack: closed at the end of the run.
        root: where temporary folders of frames are.
        background: the colour behind what is transparent.
    """

    def __init__(self, stack: ExitStack, root: Path, background: str = "white") -> None:
        self.background = background
        self._stack, self._root = stack, root
        self._folder: Path | None = None
        self._plain: dict[Path, Path] = {}
        self._copies = 0

    def plain(self, file: Path) -> Path:
        """A picture file as ControlNet may read it: itself, or a copy.

        Raises:
            ReaderError: it cannot be read; names the file.
            HostError: the copy cannot be written.
            UserError: the run was interrupted.
        """
        if file not in self._plain:
            listening.check("pictures")
            copied = None if is_plain(file) else self._copy(file, lambda: read_rgb(file, self.background))
            self._plain[file] = copied or file
        return self._plain[file]

    def plain_picture(self, picture: Path | Image.Image) -> Path | Image.Image:
        """The same for a picture that may be in memory already."""
        return self.plain(picture) if isinstance(picture, Path) else as_rgb(picture, self.background)

    def written(self, picture: Path | Image.Image) -> Path:
        """A copy as a PNG file of a picture that is plain, for those who read few kinds of files.

        Raises:
            As `plain`.
        """
        if isinstance(picture, Path):
            return self._copy(picture, lambda: read_rgb(picture, self.background))
        return self._copy(Path(), lambda: picture)

    def plain_masks(self, masks: Sequence[Path]) -> Path:
        """A folder of which ControlNet takes these masks, as it may read them: their own, or one of copies.

        Raises:
            As `plain`.
        """
        own = masks[0].parent
        if _begins_with(own, masks) and all(is_plain(mask, ("L",)) for mask in masks):
            return own
        with _write_errors_named(self._root):
            folder = self._made_folder() / f"masks-{self._copies}"
            folder.mkdir(mode=0o700)
        for mask in masks:
            listening.check("pictures")
            self._copy(mask, partial(read_mask, mask), folder)
        return folder

    def _copy(self, file: Path, read: Callable[[], Image.Image], folder: Path | None = None) -> Path:
        picture = read()
        with _write_errors_named(self._root):
            path = (folder or self._made_folder()) / f"{self._copies:05}.png"
            picture.save(path, compress_level=_FAST)
        self._copies += 1
        show(f"{self._copies} pictures converted to 8-bit RGB")
        return path

    def _made_folder(self) -> Path:
        if self._folder is None:
            self._folder = self._stack.enter_context(scratch(self._root, "pictures", frame_bounds()))
        return self._folder


def img2img_background(p: Processing) -> str:
    """The colour that img2img lays behind what is transparent, in the run of `p`.

    Raises:
        ParamError: the setting is no colour.
    """
    name = "img2img_background_color"
    overridden = getattr(p, "override_settings", None) or {}
    colour = str(overridden.get(name, getattr(shared.opts, name, "#ffffff")))
    try:
        ImageColor.getrgb(colour)
    except ValueError as error:
        raise ParamError(f"the setting {name} is {colour!r:.80}; allowed is a colour such as #ffffff") from error
    return colour


def frame_bounds() -> Bounds:
    """How long frames of earlier videos are kept, and how many bytes of them, as the settings say."""
    settings = settings_of()
    days, size = settings.frame_extract_days, settings.frame_extract_gb
    return Bounds(days * _DAY_S if days else None, int(size * _GB) if size else None)


def _begins_with(folder: Path, masks: Sequence[Path]) -> bool:
    """Whether ControlNet, which takes every file of a folder for a mask, meets these first, and nothing else."""
    files = [Path(file) for file in shared.listfiles(str(folder))]
    return files[: len(masks)] == list(masks) and all(file.suffix.lower() in PICTURES for file in files)


@contextmanager
def _write_errors_named(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"pictures cannot be written to {root}: {describe(error)}") from error
