"""Reversible changes to objects that belong to somebody else. Each is a context manager that undoes itself.

Undo goes by identity: what is taken back is the very object that was put in, never "the last one", so that two
borrowers that end in any order leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol

_MISSING = object()


class Block(Protocol):
    """What `inserted` needs of a list of layers (`torch.nn.Sequential`, a plain list behind an adapter)."""

    def insert(self, index: int, module: Any) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def __delitem__(self, index: int) -> None: ...


@contextmanager
def replaced(owner: object, name: str, value: Any) -> Iterator[Any]:
    """Set `owner.name` to `value` for the length of the block.

    An attribute that the owner only inherits (a method of its class) or does not have at all is taken off again by
    deleting it, so that no bound method stays on the instance. If somebody has put another value over ours meanwhile,
    theirs stays.

    Args:
        owner: an object, class or module.
        name: the attribute.
        value: what it is to be.

    Yields:
        The value that the attribute had (bound, if it is a method), None if there was none.
    """
    own = _own_value(owner, name)
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield before
    finally:
        if _own_value(owner, name) is value:
            _put_back(owner, name, own)


@contextmanager
def replaced_item(mapping: MutableMapping[Any, Any], key: Hashable, value: Any) -> Iterator[None]:
    """Set `mapping[key]` to `value` for the length of the block; a key that was not there goes again."""
    before = mapping.get(key, _MISSING)
    mapping[key] = value
    try:
        yield
    finally:
        if mapping.get(key, _MISSING) is value:
            if before is _MISSING:
                del mapping[key]
            else:
                mapping[key] = before


@contextmanager
def inserted(block: Block, index: int, layer: Any) -> Iterator[None]:
    """Insert `layer` into `block` at `index` for the length of the block, and take that very layer out again.

    Args:
        block: an `nn.Sequential` or anything with `insert`, `len`, `[i]` and `del [i]`.
        index: as in `list.insert`, 0 <= index <= len(block).
        layer: the object to insert.
    """
    block.insert(index, layer)
    try:
        yield
    finally:
        for place in range(len(block)):
            if block[place] is layer:
                del block[place]
                break


def _own_value(owner: object, name: str) -> Any:
    """The value stored on the owner itself, `_MISSING` where it only inherits one."""
    for store in ("__dict__", "_parameters", "_buffers", "_modules"):  # the last three: torch.nn.Module
        values = getattr(owner, store, None) or {}
        if name in values:
            return values[name]
    return _MISSING


def _put_back(owner: object, name: str, own: Any) -> None:
    if own is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, own)
