"""Values that are known again as ours, wherever somebody has kept them: they carry what they have replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MARK = "_animatediff_mark"


class Mark:
    """Tells that a value is ours, whether its block is over, and what it replaced."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.over = False

    def __deepcopy__(self, memo: Any) -> Mark:
        return self


class _Int(int):
    """A whole number or a truth value that can be told from others of the same value."""

    def __deepcopy__(self, memo: Any) -> _Int:
        return self


class _Str(str):
    """A text that can be told from others of the same letters."""

    def __deepcopy__(self, memo: Any) -> _Str:
        return self


@contextmanager
def marked_as_ours(value: Any, before: Any) -> Iterator[Any]:
    """A value that is ours for the length of the block, and was ours afterwards.

    Args:
        value: a whole number, a text, or an object that takes an attribute.
        before: what it is put in the place of.

    Yields:
        The value, or one that equals it, with its mark.
    """
    mark = Mark(before)
    known = next((kind for base, kind in ((int, _Int), (str, _Str)) if isinstance(value, base)), None)
    marked = known(value) if known is not None else value
    setattr(marked, _MARK, mark)
    try:
        yield marked
    finally:
        mark.over = True


def mark_of(value: Any) -> Mark | None:
    """The mark of a value, None where it is none of ours."""
    mark = getattr(value, _MARK, None)
    return mark if isinstance(mark, Mark) else None
