"""Weights as they lie in a file: what its header says of each tensor, and the values once somebody asks for them.

Values are read, not mapped: a mapped file that is cut off later (a download that begins anew) ends the process.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

LARGEST_HEADER = 4 << 20  # bytes; a full SDXL checkpoint has 0.3 MB
MOST_TENSORS = 20_000  # a full SDXL checkpoint with its optimizer has 8,000
_LARGEST_DIM = 1 << 48
_MOST_DIMS = 16

# As safetensors names them; torch of older WebUIs lacks some.
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, dtype)
    for name, dtype in {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2": "float8_e5m2",
        "I64": "int64",
        "I32": "int32",
        "I16": "int16",
        "I8": "int8",
        "U8": "uint8",
        "BOOL": "bool",
        "C64": "complex64",
    }.items()
    if hasattr(torch, dtype)
}

# What the readers of zip files and numbers raise at bytes that are not what they should be.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,  # NotImplementedError of zipfile and RecursionError, too
)


class UnreadableError(Exception):
    """A file that cannot be used; the text goes on where the file's name ends ("is a folder").

    Args:
        phrase: what is wrong.
        advice: what to do about it.
    """

    def __init__(self, phrase: str, advice: str = "") -> None:
        super().__init__(phrase)
        self.phrase = phrase
        self.advice = advice


class ForeignError(UnreadableError):
    """A pickle names other objects than weights: what it holds is not known, and it may be as it should be."""


class MissingError(UnreadableError):
    """There is no such file."""


def damaged() -> UnreadableError:
    """What is wrong with most files that cannot be used."""
    return UnreadableError("is damaged or cut off", "please download it again")


class Storage(Protocol):
    """Bytes in an open file."""

    @property
    def nbytes(self) -> int:
        """How many there are."""

    def read(self) -> bytearray:
        """All of them; raises where the file does not hold them any more."""


@dataclass(frozen=True)
class Span:
    """A part of a file.

    Attributes:
        file: is open as long as somebody reads.
        start, nbytes: where the part lies.
    """

    file: BinaryIO
    start: int
    nbytes: int

    def read(self) -> bytearray:
        """All bytes of the part.

        Raises:
            UnreadableError: the file has become shorter.
        """
        data = bytearray(self.nbytes)
        self.file.seek(self.start)
        if self.file.readinto(data) != self.nbytes:  # type: ignore[attr-defined]
            raise damaged()
        return data


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        dtype: None where torch does not know it.
        kind: the dtype as people call it ("float16") or as the file does, or what is odd about it ("a sparse tensor").
        shape: lengths of its dimensions.
        storage: where its values lie; None where it has no values that could be used.
        stride, offset: how they lie there, in values; no stride means one after the other.
    """

    dtype: torch.dtype | None
    kind: str
    shape: tuple[int, ...]
    storage: Storage | None = None
    stride: tuple[int, ...] | None = None
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """How much memory its values take."""
        return math.prod(self.shape) * (itemsize(self.dtype) if self.dtype is not None else 0)

    def without_values(self) -> Tensor:
        """A tensor of its shape that takes no memory."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def read(self, shared: dict[Storage, bytearray | None] | None = None) -> Tensor:
        """Its values, in memory of its own.

        Args:
            shared: the storages in which several tensors lie, and what has been read of them; None for none.

        Raises:
            UnreadableError, OSError, zipfile.BadZipFile: the file does not hold them any more.
        """
        if self.storage is None or self.dtype is None:
            raise damaged()
        data = (shared or {}).get(self.storage) or self.storage.read()
        if shared is not None and self.storage in shared:
            shared[self.storage] = data
        values = torch.frombuffer(data, dtype=torch.uint8).view(self.dtype)
        return values[: math.prod(self.shape)].view(self.shape) if self.stride is None else self._strided(values)

    def _strided(self, values: Tensor) -> Tensor:
        return values.as_strided(self.shape, self.stride, self.offset).contiguous()  # type: ignore[arg-type]


def shared_storages(tensors: Iterable[StoredTensor]) -> dict[Storage, bytearray | None]:
    """The storages in which several tensors lie, to be read once; for `StoredTensor.read`."""
    uses = Counter(tensor.storage for tensor in tensors if tensor.storage is not None)
    return {storage: None for storage, times in uses.items() if times > 1}


def name_of(dtype: torch.dtype) -> str:
    """`float16`."""
    return str(dtype).removeprefix("torch.")


def itemsize(dtype: torch.dtype) -> int:
    """Bytes of a value; `dtype.itemsize` came with torch 2.1, and some WebUIs have 2.0."""
    return torch.empty((), dtype=dtype).element_size()


def checked_sizes(sizes: object) -> tuple[int, ...]:
    """A shape or a stride as a file gives it.

    Raises:
        UnreadableError: it is none.
    """
    if not isinstance(sizes, (list, tuple)) or len(sizes) > _MOST_DIMS:
        raise damaged()
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _LARGEST_DIM:
            raise damaged()
    return tuple(sizes)


def open_file(path: Path) -> BinaryIO:
    """A file for reading, without waiting for whoever writes into a pipe.

    Raises:
        UnreadableError: there is none, or it is a folder, a pipe, a device, or may not be read.
    """
    try:
        _check_ordinary(os.stat(path))  # before it is opened: to open a device may do something
        return open(path, "rb", opener=_without_waiting)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise MissingError("") from error
        raise UnreadableError(f"cannot be read ({error.strerror})") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_ordinary(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("is not an ordinary file")


def check_total(tensors: Iterable[StoredTensor], size: int) -> None:
    """Tensors may share their values in a file, but not so that it holds far more than its size.

    Raises:
        UnreadableError: it does.
    """
    total = sum(tensor.nbytes for tensor in tensors)
    if total > 2 * size:
        raise UnreadableError(f"says that it holds {total >> 20} MB of weights, but has {size >> 20} MB")
