"""The motion modules on disk: which there are, the one that is asked for, and the one that is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from modules import devices, hashes, shared, util
from motion_module.core.arch import ModuleSpec
from motion_module.core.checkpoint import read_motion_weights
from motion_module.core.model import MotionModel, load_motion_model
from motion_module.core.placement import unet_widths
from motion_module.errors import CheckpointError, ParamError
from motion_module.wording import mention

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
    """Every file of weights in the folders and their sub-folders (links, too), name -> path, folder by folder."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(map(Path, util.walk_files(str(folder), _ENDINGS))):
            if path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def names() -> list[str]:
    """The names of the files that are motion modules by their content."""
    return [name for name, path in files().items() if _spec_or_none(path)]


def resolve(name: str) -> ModuleFile:
    """The module that a request means; an empty name is the first one that fits the loaded checkpoint.

    Raises:
        ParamError: there is no such file.
        CheckpointError: the file is no motion module; the sentence says what it seems to be.
    """
    name = name or next(iter(fitting(shared.sd_model) or names()), "")
    if not name:
        places = " or ".join(map(str, folders())) or str(DEFAULT_FOLDER)
        raise ParamError(f"AnimateDiff: there is no motion module yet; put one into {places}.")
    known = files()
    found = name if name in known else next((key for key in known if name in (Path(key).name, Path(key).stem)), None)
    if found is None:
        raise ParamError(
            f"AnimateDiff: {mention('model')} is {name!r:.120}; allowed is one of {', '.join(names()) or 'none yet'}."
        )
    return ModuleFile(found, known[found], _spec(known[found]))


def fitting(sd_model: Any) -> list[str]:
    """The names of the modules that were made for the model's family and have its widths."""
    family, widths = _looked_at(sd_model)
    specs = {name: _spec_or_none(path) for name, path in files().items()}
    return [name for name, spec in specs.items() if spec and spec.kind.family == family and spec.widths == widths]


def family_of(sd_model: Any) -> str:
    """What people call the models that this one belongs to."""
    if getattr(sd_model, "is_sdxl", False):
        return "SDXL"
    return "SD1.5" if getattr(sd_model, "is_sd1", True) else "another family than SD1.5 and SDXL"


def check_fits(module: ModuleFile, sd_model: Any) -> None:
    """Refuse a module that was made for other base models, before the UNet is touched.

    Raises:
        CheckpointError: names both families and widths, and the modules that would fit.
    """
    family, widths = _looked_at(sd_model)
    spec = module.spec
    if (spec.kind.family, spec.widths) == (family, widths):
        return
    raise CheckpointError(
        f"AnimateDiff: {module.name} ({spec.kind.name}) is made for {spec.kind.family} with widths "
        f"{_listed(spec.widths)}, but the checkpoint is {family} with widths {_listed(widths)}; motion modules here "
        f"that fit: {', '.join(fitting(sd_model)) or 'none'}."
    )


def _looked_at(sd_model: Any) -> tuple[str, tuple[int, ...]]:
    if sd_model is None:  # the host could not load it, and said so in its log only
        raise CheckpointError("AnimateDiff: no checkpoint is loaded; choose an SD1.5 checkpoint first.")
    return family_of(sd_model), unet_widths(sd_model.model.diffusion_model)


def _listed(widths: tuple[int, ...]) -> str:
    return "/".join(map(str, widths))


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
    spec = _spec_of_version(*_version(path))
    if isinstance(spec, str):
        raise CheckpointError(spec)
    return spec


@lru_cache(maxsize=512)
def _spec_of_version(path: Path, _mtime: int, _size: int) -> ModuleSpec | str:
    """What the file is, or the sentence that says why it is none: other files, too, are looked at only once."""
    try:
        return read_motion_weights(path)[0]
    except CheckpointError as error:
        return str(error)


def _spec_or_none(path: Path) -> ModuleSpec | None:
    try:
        return _spec(path)
    except (CheckpointError, OSError):
        return None
