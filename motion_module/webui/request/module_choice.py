"""Which motion module a run takes: the one that it names, or the first one that can be used with the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

    Raises:
        ParamError: there is no such file.
        CheckpointError: the file is no motion module; the sentence says what it seems to be.
    """
    same = (key for key in listing if name in (Path(key).name, Path(key).stem))
    listed_name = name if name in listing else next(same, None)
    if listed_name is None:
        allowed = ", ".join(key for key, path in listing.items() if spec_or_none(path)) or "none yet"
        raise ParamError(f"{mention('model')} is {name!r:.120}; allowed is one of {allowed}")
    return ModuleFile(listed_name, listing[listed_name], spec_of(listing[listed_name]))


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


def choose(name: str, listing: Mapping[str, Path], sd_model: Checkpoint) -> Choice:
    """The module that a request means, loaded: the one it names, else the first usable one that fits the checkpoint.

    Raises:
        ParamError: there is no such file.
        CheckpointError: it is damaged, or made for other checkpoints; the sentence names both.
    """
    if name:
        file = named(name, listing)
        check_fits(file, sd_model, listing)
        return Choice(file, load(file))
    check_any_usable(listing)
    damaged = []
    for file in _made_for(sd_model, listing):
        try:
            model = load(file)
        except CheckpointError as error:  # its header looks well, but its values are damaged
            damaged.append(error.sentence)
            continue
        taken = f"{mention('model')} is empty, so {file.name} is used, the first usable module."
        return Choice(file, model, (*damaged, taken) if damaged else ())
    check_any_usable(listing)
    usable = next(key for key, path in listing.items() if spec_or_none(path))
    raise _misfit(named(usable, listing), sd_model, listing)


def _made_for(sd_model: Checkpoint, listing: Mapping[str, Path]) -> Iterator[ModuleFile]:
    """The modules that fit by their headers."""
    family, widths = _looked_at(sd_model)
    for name, path in listing.items():
        try:
            spec = spec_by_header(path)
        except CheckpointError:  # it has vanished
            continue
        if not isinstance(spec, str) and (spec.kind.family, spec.widths) == (family, widths):
            yield ModuleFile(name, path, spec)


def fitting(sd_model: Checkpoint, listing: Mapping[str, Path]) -> list[str]:
    """The names of the modules that were made for the model's family and have its widths."""
    family, widths = _looked_at(sd_model)
    specs = {name: spec_or_none(path) for name, path in listing.items()}
    return [name for name, spec in specs.items() if spec and spec.kind.family == family and spec.widths == widths]


def family_of(sd_model: Checkpoint) -> str:
    """What people call the models that this one belongs to."""
    if getattr(sd_model, "is_sdxl", False):
        return "SDXL"
    return "SD1.5" if getattr(sd_model, "is_sd1", True) else "another family than SD1.5 and SDXL"


def check_fits(module: ModuleFile, sd_model: Checkpoint, listing: Mapping[str, Path]) -> None:
    """Refuse a module that was made for other base models, before the UNet is touched.

    Raises:
        CheckpointError: names both families and widths, and the modules that would fit.
    """
    if (module.spec.kind.family, module.spec.widths) != _looked_at(sd_model):
        raise _misfit(module, sd_model, listing)


def _misfit(module: ModuleFile, sd_model: Checkpoint, listing: Mapping[str, Path]) -> CheckpointError:
    family, widths = _looked_at(sd_model)
    spec = module.spec
    return CheckpointError(
        f"{module.name} ({spec.kind.name}) is made for {spec.kind.family} with widths "
        f"{_listed(spec.widths)}, but the checkpoint is {family} with widths {_listed(widths)}; motion modules here "
        f"that fit: {', '.join(fitting(sd_model, listing)) or 'none'}"
    )


def _looked_at(sd_model: Checkpoint) -> tuple[str, tuple[int, ...]]:
    if sd_model is None:  # the host could not load it, and said so in its log only
        raise CheckpointError("no checkpoint is loaded; choose an SD1.5 checkpoint first")
    return family_of(sd_model), unet_widths(host.unet(sd_model))


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
