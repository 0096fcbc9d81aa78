"""The options that say which model a command uses: the files they mean, without loading any of them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from interpreter import PocketError

from bootstrap import ROOT
from commands.model_files import model_of

DATA = ROOT / ".pocket" / "data"
"""Settings and pictures, unless --data-dir or POCKET_DATA_DIR names another folder."""

FOLDERS = ("motion_modules", "lora_dir", "controlnet_dir")
FILES = ("checkpoint", "config")


@dataclass(frozen=True)
class ModelOptions:
    """The files and folders; None where the host has a default of its own."""

    checkpoint: Path | None
    config: Path | None
    motion_modules: Path | None
    lora_dir: Path | None
    controlnet_dir: Path | None
    page_defaults: Path | None = None
    about: str = ""


def model_options(args: argparse.Namespace) -> ModelOptions:
    """What a command's options mean.

    Raises:
        PocketError: a file or folder is not there.
    """
    named = {name: _checked(getattr(args, name), name) for name in (*FILES, *FOLDERS)}
    model = model_of(args.checkpoint)
    if model is None:
        return ModelOptions(**named)
    named["checkpoint"] = model.checkpoint
    named["motion_modules"] = args.motion_modules or model.motion_modules
    named["lora_dir"] = args.lora_dir or model.loras
    return ModelOptions(**named, page_defaults=model.page_defaults, about=model.about)


def data_folder(args: argparse.Namespace) -> Path:
    """Where a command's settings and pictures are."""
    return args.data_dir or Path(os.environ.get("POCKET_DATA_DIR") or DATA)


def _checked(path: Path | None, name: str) -> Path | None:
    folder = name in FOLDERS
    if path is not None and not (path.is_dir() if folder else path.is_file()):
        option = f"--{name.replace('_', '-')}"
        raise PocketError(f"{option} {path}: there is no such {'folder' if folder else 'file'}.")
    return path
