"""The header of a safetensors file (github.com/huggingface/safetensors, "Format").

Read here and not by the library, which has no limit below 100 MB and maps what it reads.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, BinaryIO

from motion_module.core.module.stored import (
    DTYPES,
    LARGEST_HEADER,
    MOST_TENSORS,
    Span,
    StoredTensor,
    UnreadableError,
    checked_sizes,
    damaged,
    itemsize,
    name_of,
)

_TEXTS = re.compile(rb'"[^"]*(?:"|\Z)')  # without signs in them that are written with a backslash
_PARTS_OF_A_TENSOR = 3  # brackets: of the tensor, its shape and its offsets


def read_header(file: BinaryIO, size: int) -> dict[str, StoredTensor]:
    """The tensors of an open file, by name.

    Args:
        file: of which nothing else than the header is read.
        size: of the file, in bytes.

    Raises:
        UnreadableError: the header is damaged, too large, or speaks of more than there is.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    start = 8 + length
    if start > size:
        raise damaged()
    if length > LARGEST_HEADER:
        raise UnreadableError(f"has a header of {length >> 20} MB")
    header = _parsed(file.read(length))
    spans = {name: _stored(file, entry, start) for name, entry in header.items() if name != "__metadata__"}
    _check_order([tensor.storage for tensor in spans.values() if isinstance(tensor.storage, Span)], start, size)
    return spans


def _parsed(header: bytes) -> dict[str, Any]:
    # Counted first, so that no small text becomes a million objects.
    structure = _TEXTS.sub(b"", header.replace(rb"\\", b"").replace(rb"\"", b""))
    if sum(map(structure.count, (b"{", b"["))) > _PARTS_OF_A_TENSOR * MOST_TENSORS or structure.count(b",") > (
        10 * MOST_TENSORS
    ):
        raise UnreadableError("has a header of far more tensors than a model has")
    try:
        entries = json.loads(header, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise damaged() from error
    if not isinstance(entries, dict):
        raise damaged()
    return entries


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in members if names.count(name) > 1)
        raise UnreadableError(f"holds {again:.200} twice")
    return members


def _stored(file: BinaryIO, entry: Any, start: int) -> StoredTensor:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise damaged()
    shape, offsets = checked_sizes(entry.get("shape")), checked_sizes(entry.get("data_offsets"))
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise damaged()
    dtype = DTYPES.get(entry["dtype"])
    nbytes = offsets[1] - offsets[0]
    if dtype is not None and math.prod(shape) * itemsize(dtype) != nbytes:
        raise damaged()
    name = entry["dtype"][:20] if dtype is None else name_of(dtype)
    return StoredTensor(dtype, name, shape, Span(file, start + offsets[0], nbytes))


def _check_order(spans: list[Span], start: int, size: int) -> None:
    """The format leaves no holes, and nothing lies upon something else."""
    for span in sorted(spans, key=lambda span: (span.start, span.nbytes)):
        if span.start != start:
            raise damaged()
        start += span.nbytes
    if start != size:
        raise damaged()
