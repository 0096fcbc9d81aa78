"""Checkpoints in the folders: what is there, and which one a name means."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from typing import Any

from modules import hashes, paths, shared

EXTENSIONS = (".safetensors", ".ckpt")
_CHECKSUM = re.compile(r"\s*\[[^]]+]\s*$")

checkpoints_list: dict[str, CheckpointInfo] = {}
checkpoint_aliases: dict[str, CheckpointInfo] = {}


def model_folder() -> str:
    """The folder of checkpoints inside the models folder in use."""
    return os.path.join(paths.models_path, "Stable-diffusion")


def model_hash(filename: str) -> str:
    """The WebUI's old short hash: of 64 KiB from the second MiB on; "NOFILE" if there is no file."""
    try:
        with open(filename, "rb") as file:
            file.seek(0x100000)
            return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
    except FileNotFoundError:
        return "NOFILE"


def read_metadata_from_safetensors(filename: str) -> dict[str, Any]:
    """The `__metadata__` of a safetensors file; values that are JSON objects are read as such.

    Raises:
        ValueError: the file does not begin like a safetensors file.
    """
    with open(filename, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if 2 < size <= os.path.getsize(filename) else b""
    if not header.startswith(b"{"):
        raise ValueError(f"{filename} is not a safetensors file")
    return {key: _as_object(value) for key, value in json.loads(header).get("__metadata__", {}).items()}


def _as_object(value: str) -> Any:
    try:
        return json.loads(value) if value.startswith("{") else value
    except ValueError:
        return value


class CheckpointInfo:
    """A checkpoint file and the names it goes by.

    Attributes:
        filename: path as found.
        name: path below the checkpoint folder.
        name_for_extra: file name without ending; what the infotext calls the model.
        title: `name [shorthash]`, or `name` while the hash is not known.
        ids: every name that finds it.
    """

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.is_safetensors = filename.lower().endswith(".safetensors")
        self.name = _name_below_folder(filename)
        self.name_for_extra = os.path.splitext(os.path.basename(filename))[0]
        self.model_name = os.path.splitext(self.name.replace("/", "_").replace("\\", "_"))[0]
        self.metadata = self._read_metadata()
        self.hash = model_hash(filename)
        self.sha256 = hashes.sha256_from_cache(filename, f"checkpoint/{self.name}")
        self._name_it()

    def _read_metadata(self) -> dict[str, Any]:
        if not self.is_safetensors:
            return {}
        try:
            return read_metadata_from_safetensors(self.filename)
        except (OSError, ValueError) as error:  # a damaged file is listed, and fails when it is chosen
            print(f"Reading metadata of {self.filename}: {error}", file=sys.stderr)
            return {}

    def _name_it(self) -> None:
        self.shorthash = self.sha256[:10] if self.sha256 else None
        suffix = f" [{self.shorthash}]" if self.shorthash else ""
        self.title = self.name + suffix
        self.short_title = self.name_for_extra + suffix
        names = [self.hash, self.model_name, self.title, self.name, self.name_for_extra, f"{self.name} [{self.hash}]"]
        if self.sha256 and self.shorthash:
            names += [self.shorthash, self.sha256, self.short_title]
        self.ids: list[str] = list(dict.fromkeys(names))

    def register(self) -> None:
        """Makes the checkpoint findable by all its names."""
        checkpoints_list[self.title] = self
        checkpoint_aliases.update(dict.fromkeys(self.ids, self))

    def calculate_shorthash(self) -> str | None:
        """First ten digits of the sha256, which become part of the title; None with `--no-hashing`."""
        self.sha256 = hashes.sha256(self.filename, f"checkpoint/{self.name}")
        if self.sha256 is not None and self.shorthash != self.sha256[:10]:
            former = self.title
            self._name_it()
            entries = [(self.title if key == former else key, info) for key, info in checkpoints_list.items()]
            checkpoints_list.clear()
            checkpoints_list.update(entries)  # keeps its place in the list
            self.register()
        return self.shorthash


def _name_below_folder(filename: str) -> str:
    path = os.path.abspath(filename)
    for folder in (shared.cmd_opts.ckpt_dir, model_folder()):
        if folder and path.startswith(os.path.abspath(folder) + os.sep):
            return os.path.relpath(path, os.path.abspath(folder))
    return os.path.basename(filename)


def _files_in(folder: str | None) -> list[str]:
    """Checkpoint files below a folder, by name without regard to case; separate VAE files are left out."""
    if not folder or not os.path.isdir(folder):
        return []
    found = [os.path.join(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names]
    kept = [path for path in found if path.lower().endswith(EXTENSIONS) and ".vae." not in os.path.basename(path)]
    return sorted(kept, key=lambda path: (path.lower(), path))


def list_models() -> None:
    """Reads the checkpoint folders again; `--ckpt`, if it is there, becomes the chosen checkpoint."""
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    chosen = shared.cmd_opts.ckpt
    if chosen and os.path.exists(chosen):
        info = CheckpointInfo(chosen)
        info.register()
        shared.opts.data["sd_model_checkpoint"] = info.title
    for path in dict.fromkeys([*_files_in(model_folder()), *_files_in(shared.cmd_opts.ckpt_dir)]):
        if not chosen or os.path.abspath(path) != os.path.abspath(chosen):
            CheckpointInfo(path).register()


def checkpoint_tiles(use_short: bool = False) -> list[str]:
    """Titles for the dropdown, short ones without folders."""
    return [info.short_title if use_short else info.title for info in checkpoints_list.values()]


def get_closet_checkpoint_match(search_string: str | None) -> CheckpointInfo | None:
    """The checkpoint a person means: by one of its names, or by a part of its title, with or without hash."""
    if not search_string:
        return None
    if search_string in checkpoint_aliases:
        return checkpoint_aliases[search_string]
    for wanted in (search_string, _CHECKSUM.sub("", search_string)):
        found = [info for info in checkpoints_list.values() if wanted in info.title]
        if found:
            return min(found, key=lambda info: len(info.title))
    return None


def select_checkpoint() -> CheckpointInfo:
    """The checkpoint chosen in the settings; the first one, with a word on stderr, if that is not there.

    Raises:
        FileNotFoundError: there is no checkpoint at all.
    """
    wanted = shared.opts.sd_model_checkpoint
    if wanted in checkpoint_aliases:
        return checkpoint_aliases[wanted]
    if not checkpoints_list:
        places = [place for place in (shared.cmd_opts.ckpt, model_folder(), shared.cmd_opts.ckpt_dir) if place]
        raise FileNotFoundError(f"No checkpoints found. Put a .safetensors file into one of: {', '.join(places)}")
    fallback = next(iter(checkpoints_list.values()))
    if wanted:
        print(f"Checkpoint {wanted} not found; loading {fallback.title} instead", file=sys.stderr)
    return fallback
