"""The motion modules on disk: which there are, the one that is asked for, and the one that is loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from modules import devices, hashes, shared
from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.model import MotionModel, inspect_motion_file, load_motion_model
from motion_module.core.module.placement import unet_widths
from motion_module.errors import CheckpointError, ParamError, as_text
from motion_module.settings import DEFAULT_FOLDER, Settings
from motion_module.webui.host import host
from motion_module.webui.host_types import Checkpoint
from motion_module.webui.settings import usable
from motion_module.wording import mention

_ENDINGS = (".safetensors", ".ckpt", ".pth", ".pt")
_MOST_FOLDERS = 5000  # links between folders may make endless many paths of few folders
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModuleFile:
    """A motion module that may be loaded.

    Attributes:
        name: how requests name it, the path inside its folder.
        path: where it lies.
        spec: its kind and sizes.
    """

    name: str
    path: Path
    spec: ModuleSpec


def folders() -> list[Path]:
    """Where people put motion modules: the folder of the settings, then the extension's own."""
    chosen = usable(Settings.model_path)
    paths = [Path(chosen)] if chosen else []
    return [path for path in dict.fromkeys([*paths, DEFAULT_FOLDER]) if os.path.isdir(path)]


def files() -> dict[str, Path]:
    """Every file of weights in the folders and their sub-folders (links, too), name -> path, folder by folder."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(_weights_in(folder)):
            found.setdefault(as_text(path.relative_to(folder).as_posix()), path)
    return found


def _weights_in(folder: Path) -> Iterator[Path]:
    """Ordinary files with the right ending; a link back to a folder that is being walked leads nowhere."""
    for count, (root, folders, names) in enumerate(os.walk(folder, followlinks=True)):
        if count == _MOST_FOLDERS:
            _log.warning("AnimateDiff: %s has more than %d folders; the others are left out.", folder, _MOST_FOLDERS)
            return
        above = {os.path.realpath(parent) for parent in [Path(root), *Path(root).parents]}
        folders[:] = sorted(
            name
            for name in folders
            if os.path.realpath(os.path.join(root, name)) not in above
            and (shared.opts.list_hidden_files or not name.startswith("."))
        )
        for name in names:
            path = os.path.join(root, name)
            if os.path.splitext(name)[1].lower() in _ENDINGS and os.path.isfile(path):
                yield Path(path)


def names() -> list[str]:
    """The names of the files that are motion modules by their content."""
    return [name for name, path in files().items() if _spec_or_none(path)]


def check_possible(name: str, listing: Mapping[str, Path]) -> None:
    """Refuse a run that names no motion module, before anything is loaded.

    Raises:
        ParamError, CheckpointError: as `named`; or none is named, and there is none.
    """
    if name:
        named(name, listing)
    else:
        check_there_is_one(listing)


def check_there_is_one(listing: Mapping[str, Path]) -> None:
    """Refuse a run without a motion module.

    Raises:
        ParamError: no file is one; the sentence says what is wrong with the first, or where to put one.
    """
    if not any(map(_spec_or_none, listing.values())):
        places = " or ".join(map(str, folders())) or str(DEFAULT_FOLDER)
        raise ParamError(
            f"AnimateDiff: there is no motion module yet; put one into {places}.{_refusals(listing.values())}"
        )


def named(name: str, listing: Mapping[str, Path]) -> ModuleFile:
    """The module that a request names, by its path in its folder, its file's name or that without ending.

    Raises:
        ParamError: there is no such file.
        CheckpointError: the file is no motion module; the sentence says what it seems to be.
    """
    same = (key for key in listing if name in (Path(key).name, Path(key).stem))
    found = name if name in listing else next(same, None)
    if found is None:
        allowed = ", ".join(key for key, path in listing.items() if _spec_or_none(path)) or "none yet"
        raise ParamError(f"AnimateDiff: {mention('model')} is {name!r:.120}; allowed is one of {allowed}.")
    return ModuleFile(found, listing[found], _spec(listing[found]))


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
    check_there_is_one(listing)
    damaged = []
    for file in _made_for(sd_model, listing):
        try:
            model = load(file)
        except CheckpointError as error:  # its header looks well, but its values are damaged
            damaged.append(f"AnimateDiff: {error.sentence}")
            continue
        taken = f"AnimateDiff: {mention('model')} is empty, so {file.name} is used, the first one that can be."
        return Choice(file, model, (*damaged, taken) if damaged else ())
    check_there_is_one(listing)
    usable = next(key for key, path in listing.items() if _spec_or_none(path))
    raise _misfit(named(usable, listing), sd_model, listing)


def _made_for(sd_model: Checkpoint, listing: Mapping[str, Path]) -> Iterator[ModuleFile]:
    """The modules that fit by their headers."""
    family, widths = _looked_at(sd_model)
    for name, path in listing.items():
        try:
            spec = _spec_of_version(*_version(path))
        except CheckpointError:  # it has vanished
            continue
        if not isinstance(spec, str) and (spec.kind.family, spec.widths) == (family, widths):
            yield ModuleFile(name, path, spec)


def fitting(sd_model: Checkpoint, listing: Mapping[str, Path]) -> list[str]:
    """The names of the modules that were made for the model's family and have its widths."""
    family, widths = _looked_at(sd_model)
    specs = {name: _spec_or_none(path) for name, path in listing.items()}
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
        f"AnimateDiff: {module.name} ({spec.kind.name}) is made for {spec.kind.family} with widths "
        f"{_listed(spec.widths)}, but the checkpoint is {family} with widths {_listed(widths)}; motion modules here "
        f"that fit: {', '.join(fitting(sd_model, listing)) or 'none'}."
    )


def _looked_at(sd_model: Checkpoint) -> tuple[str, tuple[int, ...]]:
    if sd_model is None:  # the host could not load it, and said so in its log only
        raise CheckpointError("AnimateDiff: no checkpoint is loaded; choose an SD1.5 checkpoint first.")
    return family_of(sd_model), unet_widths(host.unet(sd_model))


def _listed(widths: tuple[int, ...]) -> str:
    return "/".join(map(str, widths))


def short_hash(module: ModuleFile) -> str | None:
    """The first 8 digits of the file's SHA-256 from the host's cache; None where the host has none."""
    try:
        full = hashes.sha256(str(module.path), f"AnimateDiff/{module.name}")
    except (OSError, UnicodeError) as error:  # it has vanished, or the host cannot print its name
        _log.warning("AnimateDiff: no hash of %s: %s", module.name, as_text(str(error)))
        return None
    return full[:8] if full else None


@dataclass
class _Shelf:
    """Keeps the module that was used last, on the CPU, so that the next run with it need not read the file.

    Attributes:
        key: version of the file and precision.
        model: what was read.
        refused: the files whose values turned out to be wrong, and the sentences.
    """

    key: tuple[object, ...] | None = None
    model: MotionModel | None = field(default=None, repr=False)
    refused: dict[tuple[object, ...], str] = field(default_factory=dict)

    def take(self, path: Path, dtype: torch.dtype) -> MotionModel:
        key = (*_version(path), dtype)
        self.check(path, dtype)
        if self.model is None or self.key != key:
            self.key, self.model = None, None  # before the next one is read, so that never two are in memory
            try:
                self.model = load_motion_model(path, "cpu", dtype)
            except CheckpointError as error:
                self.refused[key] = str(error)
                raise
            self.key = key
        return self.model

    def check(self, path: Path, dtype: torch.dtype) -> None:
        """Refuse a file that could not be read before, and has not changed since.

        Raises:
            CheckpointError: as then.
        """
        sentence = self.refused.get((*_version(path), dtype))
        if sentence is not None:
            raise CheckpointError(sentence)


_SHELF = _Shelf()


def load(module: ModuleFile) -> MotionModel:
    """The module's layers, on the CPU in the precision of the host's UNet.

    Raises:
        CheckpointError: the file is damaged; from then on it is none of those that can be used.
    """
    return _SHELF.take(module.path, devices.dtype_unet)


def _version(path: Path) -> tuple[Path, tuple[int, ...]]:
    """What is another one as soon as the file, or who may read it, has changed.

    Raises:
        CheckpointError: the file has vanished.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(f"{as_text(path.name)} cannot be read ({error.strerror}).") from error
    return path, (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _spec(path: Path) -> ModuleSpec:
    _SHELF.check(path, devices.dtype_unet)
    spec = _spec_of_version(*_version(path))
    if isinstance(spec, str):
        raise CheckpointError(spec)
    return spec


@lru_cache(maxsize=512)
def _spec_of_version(path: Path, _version: tuple[int, ...]) -> ModuleSpec | str:
    """What the file is, or the sentence that says why it is none: other files, too, are looked at only once."""
    try:
        return inspect_motion_file(path)
    except CheckpointError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a file does to its reader, the other files can be used
        name = as_text(path.name)
        _log.exception("AnimateDiff: the reader of %s is at fault", name)
        return f"{name} cannot be read ({type(error).__name__}: {str(error)[:200]})."


def _spec_or_none(path: Path) -> ModuleSpec | None:
    try:
        return _spec(path)
    except CheckpointError:
        return None


def _refusals(paths: Iterable[Path]) -> str:
    """What is wrong with the files that are there, as one more sentence; nothing where there are none."""
    for path in paths:
        try:
            _spec(path)
        except CheckpointError as error:
            return f" What is there cannot be used: {error}"
    return ""
