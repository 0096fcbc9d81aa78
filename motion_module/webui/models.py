"""The motion modules on disk: which there are, the one that is asked for, and the one that is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from modules import devices, hashes, shared
from motion_module.core.arch import ModuleSpec
from motion_module.core.checkpoint import read_motion_weights
from motion_module.core.model import MotionModel, load_motion_model
from motion_module.errors import CheckpointError, ParamError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / "model"
_ENDINGS = (".safetensors", ".ckpt", ".pth", ".pt")


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
    chosen = str(getattr(shared.opts, "animatediff_model_path", "") or "")
    paths = [Path(chosen)] if chosen else []
    return [path for path in dict.fromkeys([*paths, DEFAULT_FOLDER]) if path.is_dir()]


def files() -> dict[str, Path]:
    """Every file of weights in the folders and their sub-folders, name -> path, in the order of the folders."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _ENDINGS and path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def names() -> list[str]:
    """The names of the files that are motion modules by their content."""
    return [name for name, path in files().items() if _spec_or_none(path)]


def resolve(name: str) -> ModuleFile:
    """The module that a request means; an empty name is the first one.

    Raises:
        ParamError: there is no such file.
        CheckpointError: the file is no motion module; the sentence says what it seems to be.
    """
    known = files()
    name = name or next(iter(names()), "")
    if not name:
        places = " or ".join(map(str, folders())) or str(DEFAULT_FOLDER)
        raise ParamError(f"AnimateDiff: there is no motion module yet; put one into {places}.")
    path = known.get(name) or next((path for key, path in known.items() if Path(key).stem == name), None)
    if path is None:
        raise ParamError(f"AnimateDiff: model is {name!r:.120}; allowed is one of {', '.join(names()) or 'none yet'}.")
    return ModuleFile(name, path, _spec(path))


def check_family(module: ModuleFile, sd_model: object) -> None:
    """Refuse a module that was made for another family of base models, before the UNet is touched.

    Raises:
        CheckpointError: names both families and the modules that would fit.
    """
    family = (
        "SDXL" if getattr(sd_model, "is_sdxl", False) else "SD1.5" if getattr(sd_model, "is_sd1", True) else "other"
    )
    if module.spec.kind.family == family:
        return
    known = files()
    fitting = [name for name in names() if _spec(known[name]).kind.family == family]
    raise CheckpointError(
        f"AnimateDiff: {module.name} is made for {module.spec.kind.family} ({module.spec.kind.name}), but the checkpoint "
        f"is {family}; motion modules here that fit: {', '.join(fitting) or 'none'}."
    )


def short_hash(module: ModuleFile) -> str | None:
    """The first 8 digits of the file's SHA-256 from the host's cache; None where the host does no hashing."""
    full = hashes.sha256(str(module.path), f"AnimateDiff/{module.name}")
    return full[:8] if full else None


@dataclass
class _Shelf:
    """Keeps the module that was used last, on the CPU, so that the next run with it need not read the file."""

    key: tuple[object, ...] | None = None
    model: MotionModel | None = field(default=None, repr=False)

    def take(self, path: Path, dtype: torch.dtype) -> MotionModel:
        key = (*_version(path), dtype)
        if self.model is None or self.key != key:
            self.key, self.model = None, None  # before the next one is read, so that never two are in memory
            self.model = load_motion_model(path, "cpu", dtype)
            self.key = key
        return self.model


_SHELF = _Shelf()


def load(module: ModuleFile) -> MotionModel:
    """The module's layers, on the CPU in the precision of the host's UNet.

    Raises:
        CheckpointError: the file is damaged.
    """
    return _SHELF.take(module.path, devices.dtype_unet)


def _version(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _spec(path: Path) -> ModuleSpec:
    return _spec_of_version(*_version(path))


@lru_cache(maxsize=512)
def _spec_of_version(path: Path, _mtime: int, _size: int) -> ModuleSpec:
    return read_motion_weights(path)[0]


def _spec_or_none(path: Path) -> ModuleSpec | None:
    try:
        return _spec(path)
    except (CheckpointError, OSError):
        return None
