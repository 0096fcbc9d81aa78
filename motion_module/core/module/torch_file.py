"""What `torch.save` writes: a zip of a pickle and the values, or, before torch 1.6, pickles and then the values."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from motion_module.core.module.pickled import PickledStorage, PickledTensor, UnusualTensor, foreign, read_pickle
from motion_module.core.module.stored import (
    LARGEST_HEADER,
    MOST_TENSORS,
    Span,
    Storage,
    StoredTensor,
    UnreadableError,
    checked_sizes,
    damaged,
    itemsize,
    name_of,
)

_WRAPPERS = ("state_dict", "model", "module")  # what training scripts put the weights under
_LARGEST_DIRECTORY = 1 << 20  # bytes; of 10,000 tensors
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old file
_ENCRYPTED = 1


class _Sparing(io.BufferedReader):
    """zipfile reads a zip's directory in one go, however long it claims to be."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most a directory at once."""
        if size is not None and size > _LARGEST_DIRECTORY:
            raise UnreadableError("is an archive of far more files than a model has")
        return super().read(size)


@dataclass(frozen=True)
class _Entry:
    """The values of a tensor in a zip, whose check sum is verified as they are read."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def nbytes(self) -> int:
        """Size of the entry."""
        return self.info.file_size

    def read(self) -> bytearray:
        """All of it.

        Raises:
            zipfile.BadZipFile: damaged.
        """
        data, done = bytearray(self.nbytes), 0
        with self.archive.open(self.info) as entry:
            while block := entry.read(_LARGEST_DIRECTORY):
                data[done : done + len(block)] = block
                done += len(block)
        if done != self.nbytes or len(data) != self.nbytes:
            raise damaged()
        return data


def read_zip(file: BinaryIO, size: int) -> dict[str, StoredTensor]:
    """The tensors of an open zip file, by name.

    Args:
        file: of which the directory and the pickle are read.
        size: of the file, in bytes.

    Raises:
        UnreadableError, zipfile.BadZipFile: damaged, compressed, no weights, or it names other objects than weights.
    """
    archive = open_archive(file)
    entries = {info.filename: info for info in archive.infolist()}
    for info in entries.values():
        _check_entry(info, size)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UnreadableError("is an archive that holds no weights")
    folder = pickles[0].partition("/")[0]
    if entries[pickles[0]].file_size > LARGEST_HEADER:
        raise UnreadableError("holds far more than the weights of a model")
    if f"{folder}/byteorder" in entries and archive.read(f"{folder}/byteorder") != b"little":
        raise UnreadableError("was saved on a machine with another order of bytes")
    content = read_pickle(io.BytesIO(_Entry(archive, entries[pickles[0]]).read()))
    return _tensors(content, lambda storage: _Entry(archive, entries[f"{folder}/data/{storage.key}"]))


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """A zip that is open as long as its file.

    Raises:
        UnreadableError, zipfile.BadZipFile, struct.error: damaged, none, or one of far too many entries.
    """
    return zipfile.ZipFile(_Sparing(file.raw))  # type: ignore[attr-defined]


def _check_entry(info: zipfile.ZipInfo, size: int) -> None:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        raise UnreadableError("is a compressed archive, which torch does not write")
    if info.file_size > size or info.header_offset > size:
        raise damaged()


def read_old(file: BinaryIO, size: int) -> dict[str, StoredTensor]:
    """The tensors of an open file of torch before 1.6: five pickles, then each storage with its length before it.

    Args:
        file: of which the pickles and the lengths are read.
        size: of the file, in bytes.

    Raises:
        UnreadableError: damaged, or it names other objects than weights.
    """
    file.seek(0)
    head = io.BytesIO(file.read(LARGEST_HEADER))
    if read_pickle(head) != _MAGIC:
        raise damaged()
    _version, system, content, keys = (read_pickle(head) for _ in range(4))
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise UnreadableError("was saved on a machine with another order of bytes")
    if not isinstance(keys, list) or len(keys) > MOST_TENSORS:
        raise damaged()
    sizes = {storage.key: storage for storage in _storages(content)}
    spans: dict[str, Span] = {}
    start = head.tell()
    for key in keys:
        if not isinstance(key, str) or key not in sizes:
            raise damaged()
        nbytes = sizes[key].size * _itemsize_of(sizes[key].dtype)
        if not 0 <= nbytes <= size - start - 8:
            raise damaged()
        spans[key] = Span(file, start + 8, nbytes)
        start += 8 + nbytes
    return _tensors(content, lambda storage: spans[storage.key])


def _storages(content: Any) -> list[PickledStorage]:
    """Every storage that is used by tensors anywhere in an old file's content."""
    storages: dict[int, PickledStorage] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, PickledTensor) and isinstance(value.storage, PickledStorage):
            storages[id(value.storage)] = value.storage
        elif isinstance(value, PickledStorage):
            storages[id(value)] = value
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
    return list(storages.values())


def _tensors(content: Any, find: Callable[[PickledStorage], Storage]) -> dict[str, StoredTensor]:
    for _ in _WRAPPERS:
        if isinstance(content, Mapping):
            inner = (content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
            content = next(inner, content)
    if not isinstance(content, Mapping):
        raise foreign()
    return {str(key): _stored(value, find) for key, value in content.items() if _is_tensor(value)}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (PickledTensor, UnusualTensor))


def _stored(value: PickledTensor | UnusualTensor, find: Callable[[PickledStorage], Storage]) -> StoredTensor:
    if isinstance(value, UnusualTensor):
        return StoredTensor(None, value.kind, ())
    if not isinstance(value.storage, PickledStorage):
        raise damaged()
    try:
        storage = find(value.storage)
    except KeyError as error:
        raise damaged() from error
    shape, stride = checked_sizes(value.shape), checked_sizes(value.stride)
    (offset,) = checked_sizes([value.offset])
    if len(shape) != len(stride):
        raise damaged()
    dtype = getattr(torch, value.dtype, None)
    if not isinstance(dtype, torch.dtype):
        return StoredTensor(None, value.dtype, shape)
    available, count = storage.nbytes // itemsize(dtype), math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if count > available or (count and last >= available):  # some are repeated, or lie outside
        return StoredTensor(None, f"{count} values, of which {available} are in the file", shape)
    return StoredTensor(dtype, name_of(dtype), shape, storage, stride, offset)


def _itemsize_of(dtype: str) -> int:
    known = getattr(torch, dtype, None)
    if not isinstance(known, torch.dtype):
        raise damaged()
    return itemsize(known)
