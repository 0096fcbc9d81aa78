"""Which motion module a run takes: the one that it names, or the first one that can be used with the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.base_model import OTHER_FAMILY, SD1, SDXL
from motion_module.core.module.model import MotionModel
from motion_module.core.module.placement import unet_widths
from motion_module.errors import CheckpointError, ParamError
from motion_module.settings import DEFAULT_FOLDER
from motion_module.webui.host import host
from motion_module.webui.host_types import Checkpoint
from motion_module.webui.request.motion_modules import (
    ModuleFile,
    folders,
    load,
    spec_by_header,
    spec_of,
    spec_or_none,
)
from motion_module.wording import mention


def check_possible(name: str, listing: Mapping[str, Path]) -> None:
    """Refuse a run that names no motion module, before anything is loaded.

    Raises:
        ParamError, CheckpointError: as `named`; or none is named, and there is none.
    """
    if name:
        named(name, listing)
    else:
        check_any_usable(listing)


def check_any_usable(listing: Mapping[str, Path]) -> None:
    """Refuse a run without a motion module.

    Raises:
        ParamError: no file is one; the sentence says what is wrong with the first, or where to put one.
    """
    if not any(map(spec_or_none, listing.values())):
        named_folders = " or ".join(map(str, folders())) or str(DEFAULT_FOLDER)
        raise ParamError(f"there is no motion module yet; put one into {named_folders}{_refusals(listing.values())}")


def named(name: str, listing: Mapping[str, Path]) -> ModuleFile:
    """The module that a request names, by its path in its folder, its file's name or that without ending.

    Where none has exactly that name: as Windows compares names, in any case and with its own separators.

    Raises:
        ParamError: there is no such file.
        CheckpointError: the file is no motion module; the sentence says what it seems to be.
    """
    listed_name = _listed_name(name, listing, str) or _listed_name(name, listing, _as_on_windows)
    if listed_name is None:
        allowed = ", ".join(key for key, path in listing.items() if spec_or_none(path)) or "none yet"
        raise ParamError(f"{mention('model')} is {name!r:.120}; allowed is one of {allowed}")
    return ModuleFile(listed_name, listing[listed_name], spec_of(listing[listed_name]))


def _listed_name(name: str, listing: Iterable[str], spelt: Callable[[str], str]) -> str | None:
    by_path = (key for key in listing if spelt(key) == spelt(name))
    by_file = (key for key in listing if spelt(name) in (spelt(Path(key).name), spelt(Path(key).stem)))
    return next(by_path, None) or next(by_file, None)


def _as_on_windows(name: str) -> str:
    return name.replace("\\", "/").casefold()


@dataclass(frozen=True)
class Base:
    """What a motion module has to fit.

    Attributes:
        family: what people call the models that this one belongs to.
        widths: channels of each level of its UNet, from the outermost to the innermost.
        title: of the checkpoint.
        unread: why neither family nor widths are known, as a sentence; then every module is taken to fit.
        called: how sentences call the checkpoint.
    """

    family: str
    widths: tuple[int, ...]
    title: str = ""
    unread: str = ""
    called: str = "the checkpoint"

    def suits(self, spec: ModuleSpec) -> bool:
        """Whether a motion module was made for this checkpoint, as far as is known."""
        return bool(self.unread) or spec.fits(self.family, self.widths)


def base_of(sd_model: Checkpoint) -> Base:
    """What is loaded.

    Raises:
        CheckpointError: nothing is.
    """
    if not host.is_loaded(sd_model):  # the host could not load it, and said so in its log only; or not yet
        raise CheckpointError("no checkpoint is loaded; choose an SD1.5 or SDXL checkpoint first")
    title = str(getattr(getattr(sd_model, "sd_checkpoint_info", None), "title", ""))
    return Base(family_of(sd_model), unet_widths(host.unet(sd_model)), title)


@dataclass(frozen=True)
class Choice:
    """The module of a run, loaded.

    Attributes:
        file: where it is, and what.
        model: its layers, on the CPU in the precision of the host's UNet.
        messages: why one that comes before it was not taken, as sentences.
    """

    file: ModuleFile
    model: MotionModel = field(repr=False)
    messages: tuple[str, ...] = ()


def choose(name: str, listing: Mapping[str, Path], base: Base) -> Choice:
    """The module that a request means, loaded: the one it names, else the first usable one that fits the checkpoint.

    Raises:
        ParamError: there is no such file.
        CheckpointError: it is damaged, or made for other checkpoints; the sentence names both.
    """
    if name:
        file = _named_and_fitting(name, listing, base)
        return Choice(file, load(file))
    check_any_usable(listing)
    damaged = []
    for file in _made_for(base, listing):
        try:
            model = load(file)
        except CheckpointError as error:  # its header looks well, but its values are damaged
            damaged.append(error.sentence)
            continue
        taken = f"{mention('model')} is empty, so {file.name} is used, the first usable module."
        return Choice(file, model, (*damaged, taken) if damaged else ())
    raise _none_fits(base, listing)


def foreseen(name: str, listing: Mapping[str, Path], base: Base) -> ModuleFile:
    """The module that `choose` would take, as far as headers tell; nothing is loaded.

    Raises:
        ParamError, CheckpointError: as `choose`.
    """
    if name:
        return _named_and_fitting(name, listing, base)
    check_any_usable(listing)
    usable = (file for file in _made_for(base, listing) if spec_or_none(file.path))
    file = next(usable, None)
    if file is None:
        raise _none_fits(base, listing)
    return file


def _named_and_fitting(name: str, listing: Mapping[str, Path], base: Base) -> ModuleFile:
    file = named(name, listing)
    check_fits(file, base, listing)
    return file


def _none_fits(base: Base, listing: Mapping[str, Path]) -> CheckpointError:
    check_any_usable(listing)
    usable = next(key for key, path in listing.items() if spec_or_none(path))
    return _misfit(named(usable, listing), base, listing)


def _made_for(base: Base, listing: Mapping[str, Path]) -> Iterator[ModuleFile]:
    """The modules that fit by their headers."""
    for name, path in listing.items():
        try:
            spec = spec_by_header(path)
        except CheckpointError:  # it has vanished
            continue
        if not isinstance(spec, str) and base.suits(spec):
            yield ModuleFile(name, path, spec)


def fitting(base: Base, listing: Mapping[str, Path]) -> list[str]:
    """The names of the modules that were made for the model's family and have its widths."""
    specs = {name: spec_or_none(path) for name, path in listing.items()}
    return [name for name, spec in specs.items() if spec and base.suits(spec)]


def family_of(sd_model: Checkpoint) -> str:
    """What people call the models that this one belongs to."""
    if getattr(sd_model, "is_sdxl", False):
        return SDXL
    return SD1 if getattr(sd_model, "is_sd1", True) else OTHER_FAMILY


def check_fits(module: ModuleFile, base: Base, listing: Mapping[str, Path]) -> None:
    """Refuse a module that was made for other base models, before the UNet is touched.

    Raises:
        CheckpointError: names both families and widths, and the modules that would fit.
    """
    if not base.suits(module.spec):
        raise _misfit(module, base, listing)


def _misfit(module: ModuleFile, base: Base, listing: Mapping[str, Path]) -> CheckpointError:
    spec = module.spec
    of_widths = f" with widths {_listed(base.widths)}" if base.widths else ""
    return CheckpointError(
        f"{module.name} ({spec.kind.name}) is made for {spec.kind.family} with widths "
        f"{_listed(spec.widths)}, but {base.called} is {base.family}{of_widths}; motion "
        f"modules here that fit: {', '.join(fitting(base, listing)) or 'none'}"
    )


def _listed(widths: tuple[int, ...]) -> str:
    return "/".join(map(str, widths))


def _refusals(paths: Iterable[Path]) -> str:
    """What is wrong with the files that are there, as one more sentence; nothing where there are none."""
    for path in paths:
        try:
            spec_of(path)
        except CheckpointError as error:
            return f". What is there cannot be used: {error.sentence}"
    return ""
