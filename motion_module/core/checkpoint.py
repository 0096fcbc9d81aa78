"""Reading the files that people download: what they hold, and a sentence where it is not a motion module."""

from __future__ import annotations

import logging
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]
from safetensors.torch import load_file
from torch import Tensor

from motion_module.core.arch import ModuleSpec
from motion_module.core.keys import inspect, normalise_keys
from motion_module.core.recognise import EXPECTED, seems_to_be
from motion_module.errors import CheckpointError

__all__ = ["inspect", "normalise_keys", "read_motion_weights", "read_state_dict"]

_log = logging.getLogger(__name__)
# What an unpickler meets in bytes that are not what they should be.
_DAMAGE = (EOFError, RuntimeError, ValueError, OSError, LookupError, TypeError, AttributeError, struct.error)
_WRAPPERS = ("state_dict", "model", "module")  # what training scripts put the weights under


def read_motion_weights(path: Path | str) -> tuple[ModuleSpec, dict[str, Tensor]]:
    """The shape of the motion module in a file, and its weights under their published names.

    The weights are mapped, not read: looking at a file costs little more than its header.

    Raises:
        CheckpointError: the file is not a motion module; the sentence says what it seems to be.
    """
    path = Path(path)
    state = read_state_dict(path)
    weights = normalise_keys(state)
    spec = inspect(weights)
    if spec is None or seems_to_be(state) is not None:
        raise CheckpointError(f"{path.name} {seems_to_be(state) or _oddity(weights)}, {EXPECTED}.")
    extra = sum(1 for key in state if "motion_modules" not in key and "temporal_attentions" not in key)
    if extra:
        _log.info("%s: %d weights that do not belong to the motion module are left out.", path.name, extra)
    return spec, weights


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a file, by the names in the file; nothing in the file is ever executed.

    The format is told from the content: safetensors, or what `torch.save` writes.

    Raises:
        CheckpointError: no such file, a folder, empty, cut off, no weights, or a pickle with anything but weights.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path.name} is a folder, {EXPECTED}.")
    if not path.is_file():
        raise CheckpointError(f"There is no file {path.name}, {EXPECTED}.")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise CheckpointError(f"{path.name} is empty, {EXPECTED}; please download it again.")
    if head[:2] in (b"PK", b"\x80\x02"):
        found = _tensors(path, _unpickled(path, is_zip=head[:2] == b"PK"))
    elif head[8:9] == b"{":
        found = _read_safetensors(path)
    else:
        raise CheckpointError(f"{path.name} seems to be {_stranger(head)}, {EXPECTED}.")
    if not found:
        raise CheckpointError(f"{path.name} holds no weights, {EXPECTED}.")
    return found


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(str(path))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise _cut_off(path) from error


def _unpickled(path: Path, is_zip: bool) -> Any:
    if is_zip and not zipfile.is_zipfile(path):
        raise _cut_off(path)
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True if is_zip else None)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise _cut_off(path) from error
        raise _not_only_weights(path) from error
    except _DAMAGE as error:
        raise _cut_off(path) from error


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    for _ in _WRAPPERS:
        if isinstance(content, Mapping):
            inner = (content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
            content = next(inner, content)
    if not isinstance(content, Mapping):  # None: the host's own check of pickles refused it and said so in the log
        raise _not_only_weights(path)
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _oddity(weights: Mapping[str, Tensor]) -> str:
    blocks = sorted({".".join(key.split(".")[:2]) for key in weights if key.startswith("down_blocks")})
    return f"holds motion layers in an arrangement of no known kind ({len(blocks)} down blocks)"


def _stranger(head: bytes) -> str:
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "a text file or web page (a download that went wrong?)" if is_text else "no file of weights"


def _cut_off(path: Path) -> CheckpointError:
    return CheckpointError(f"{path.name} is damaged or cut off, {EXPECTED}; please download it again.")


def _not_only_weights(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path.name} holds other Python objects than weights and was not opened, because they could run code, "
        f"{EXPECTED}; please use a .safetensors file."
    )
