"""The motion modules on disk: which there are, what each is, and the one that was loaded last."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from modules import hashes, paths_internal, shared
from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.model import MotionModel, inspect_motion_file, load_motion_model
from motion_module.errors import CheckpointError, as_text
from motion_module.settings import DEFAULT_FOLDER, Settings
from motion_module.webui.host import host
from motion_module.webui.settings import usable

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
    """Where people put motion modules: the folder of the settings, the extension's own, then those of others."""
    chosen = usable(Settings.model_path)
    paths = [*([Path(chosen)] if chosen else []), DEFAULT_FOLDER, *_of_other_extensions()]
    by_place: dict[str, Path] = {}
    for path in filter(os.path.isdir, paths):
        by_place.setdefault(os.path.normcase(os.path.realpath(path)), path)
    return list(by_place.values())


def _of_other_extensions() -> list[Path]:
    """Where AnimateDiff extensions that are installed, enabled or not, keep their motion modules."""
    try:
        names = sorted(os.listdir(paths_internal.extensions_dir))
    except OSError:  # a host without extensions
        return []
    return [Path(paths_internal.extensions_dir, name, "model") for name in names if "animatediff" in name.lower()]


def files() -> dict[str, Path]:
    """Every file of weights in the folders and their sub-folders (links, too), name -> path, folder by folder."""
    files: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(_weights_in(folder)):
            files.setdefault(as_text(path.relative_to(folder).as_posix()), path)
    return files


def _weights_in(folder: Path) -> Iterator[Path]:
    """Ordinary files with the right ending; a link back to a folder that is being walked leads nowhere."""
    for count, (root, folders, names) in enumerate(os.walk(folder, followlinks=True)):
        if count == _MOST_FOLDERS:
            _log.warning("%s has more than %d folders; the others are left out.", folder, _MOST_FOLDERS)
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
    return [name for name, path in files().items() if spec_or_none(path)]


def short_hash(module: ModuleFile) -> str | None:
    """The first 8 digits of the file's SHA-256 from the host's cache; None where the host has none."""
    try:
        full = hashes.sha256(str(module.path), f"AnimateDiff/{module.name}")
    except (OSError, UnicodeError) as error:  # it has vanished, or the host cannot print its name
        _log.warning("no hash of %s: %s", module.name, as_text(str(error)))
        return None
    return full[:8] if full else None


def identity(module: ModuleFile) -> str:
    """What tells a file from another one of its name: its hash, or size and time where the host has none."""
    found = short_hash(module)
    if found is None:
        _, (changed, _, size, *_) = _version(module.path)
        found = f"{size} bytes of {changed}"
    return found


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
            self.let_go()  # before the next one is read, so that never two are in memory
            try:
                self.model = load_motion_model(path, "cpu", dtype)
            except CheckpointError as error:
                self.refused[key] = error.sentence
                raise
            self.key = key
        return self.model

    def let_go(self) -> None:
        """Keep nothing."""
        self.key, self.model = None, None

    def check(self, path: Path, dtype: torch.dtype) -> None:
        """Refuse a file that could not be read before, and has not changed since.

        Raises:
            CheckpointError: as then.
        """
        sentence = self.refused.get((*_version(path), dtype))
        if sentence is not None:
            raise CheckpointError(sentence)


_SHELF = _Shelf()


@dataclass(frozen=True)
class Kept:
    """The module that is kept in memory for the next run.

    Attributes:
        name: of its file.
        size: bytes of its weights.
    """

    name: str
    size: int


def kept() -> Kept | None:
    """What is kept on the CPU; None if nothing is."""
    model, key = _SHELF.model, _SHELF.key
    if model is None or key is None:
        return None
    weights = [*model.parameters(), *model.buffers()]
    return Kept(as_text(Path(str(key[0])).name), sum(weight.numel() * weight.element_size() for weight in weights))


def let_go() -> None:
    """Keep nothing: the next run reads its file again. A run that is on keeps its module until it is over."""
    _SHELF.let_go()


def load(module: ModuleFile) -> MotionModel:
    """The module's layers, on the CPU in the precision of the host's UNet.

    Raises:
        CheckpointError: the file is damaged; from then on it is none of those that can be used.
    """
    return _SHELF.take(module.path, host.weights_dtype())


def _version(path: Path) -> tuple[Path, tuple[int, ...]]:
    """Identifies the file's content; changes when the file, or who may read it, changes.

    Raises:
        CheckpointError: the file has vanished.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(f"{as_text(path.name)} cannot be read ({error.strerror})") from error
    return path, (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def spec_of(path: Path) -> ModuleSpec:
    """What the file is.

    Raises:
        CheckpointError: it is no motion module, or was found to be damaged when it was loaded.
    """
    _SHELF.check(path, host.weights_dtype())
    spec = spec_by_header(path)
    if isinstance(spec, str):
        raise CheckpointError(spec)
    return spec


def spec_by_header(path: Path) -> ModuleSpec | str:
    """What the file is by its header, or the sentence that says why it is no motion module.

    Raises:
        CheckpointError: it has vanished.
    """
    try:
        return _spec_of_version(*_version(path))
    except MemoryError:  # which is not for good
        return f"{as_text(path.name)} cannot be read now, because there is too little memory"


@lru_cache(maxsize=512)
def _spec_of_version(path: Path, _version: tuple[int, ...]) -> ModuleSpec | str:
    """What the file is, or the sentence that says why it is none: other files, too, are looked at only once."""
    try:
        return inspect_motion_file(path)
    except CheckpointError as error:
        return error.sentence
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a file does to its reader, the other files can be used
        name = as_text(path.name)
        _log.exception("reading %s failed unexpectedly", name)
        return f"{name} cannot be read ({type(error).__name__}: {str(error)[:200]})"


def spec_or_none(path: Path) -> ModuleSpec | None:
    """What the file is; None where it cannot be used."""
    try:
        return spec_of(path)
    except CheckpointError:
        return None
