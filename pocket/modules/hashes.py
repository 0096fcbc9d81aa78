"""sha256 of model files, remembered while the process runs."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

from modules import shared

_BLOCK = 1 << 20
_known: dict[tuple[str, int, int], str] = {}


def _identity(filename: str) -> tuple[str, int, int]:
    status = os.stat(filename)
    return os.path.abspath(filename), status.st_mtime_ns, status.st_size


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def calculate_sha256(filename: str) -> str:
    """sha256 of a file, read through now."""
    with open(filename, "rb") as file:
        return _digest(file)


def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """The sha256 if this very file (path, time, size) has been read before; else None."""
    return _known.get(_identity(filename)) if os.path.exists(filename) else None


def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """sha256 of a file; None with `--no-hashing` if it is not known already.

    Args:
        filename: the file.
        title: name under which the WebUI keeps the hash; here the path is enough.
        use_addnet_hash: of a safetensors file without its header, as LoRA files are named by.
    """
    if use_addnet_hash:
        with open(filename, "rb") as file:
            return None if shared.cmd_opts.no_hashing else addnet_hash_safetensors(file)
    known = sha256_from_cache(filename, title)
    if known is None and not shared.cmd_opts.no_hashing:
        known = _known[_identity(filename)] = calculate_sha256(filename)
    return known


def addnet_hash_safetensors(b: BinaryIO) -> str:
    """sha256 of the tensors of an open safetensors file: everything behind the header (kohya-ss's LoRA hash)."""
    b.seek(0)
    b.seek(int.from_bytes(b.read(8), "little") + 8)
    return _digest(b)
