"""Values that travel: a number like `0: 1.0, 8: 0.6`, which changes from frame to frame as prompts do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motion_module.errors import ParamError
from motion_module.travel import mixes_of
from motion_module.travel_lines import Key, counting_texts, is_filling, order_faults, read_key

HOLD = "hold"
"""The last item, where a value counts until the next key."""

EXAMPLE = "0: 1.0, 8: 0.6"
_BETWEEN_ITEMS = re.compile(
    r"[,;\uff0c\uff1b]"
)  # the latter two as wide as the colon of Chinese and Japanese keyboards
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTES = "\"'"


@dataclass(frozen=True)
class ValueTravel:
    """A number that changes from frame to frame.

    Attributes:
        keys: frame number -> the value there, ascending, at least one.
        hold: each value counts until the next key, and nothing is interpolated.
    """

    keys: Mapping[int, float]
    hold: bool = False

    def values(self, frames: int, closed: bool) -> list[float]:
        """The value of each frame, linear between the keys; at a key's own frame that is the key's, bit for bit.

        Args:
            frames: N, frames of the video.
            closed: after the last key the way leads back to the first, over the end of the video; else it stays.
        """
        mixes = mixes_of(list(self.keys), frames, closed, self.hold)
        ends = ((self.keys[mix.left], self.keys[mix.right], mix.share) for mix in mixes)
        return [left + (right - left) * share for left, right, share in ends]

    def fault(self, frames: int) -> str:
        """What is wrong with the keys in a video of so many frames; "" where nothing is."""
        lines = [(str(frame), Key(frame, "")) for frame in self.keys]
        return next((fault for _, fault in order_faults(lines, frames)), "")

    def __str__(self) -> str:
        """The one way to write it, which `read` reads: `0: 1, 8: 0.6`."""
        items = [f"{frame}: {_written(value)}" for frame, value in self.keys.items()]
        return ", ".join([*items, *([HOLD] if self.hold else [])])


def read(value: str | Sequence[Any], what: str = "Values that travel") -> ValueTravel | None:
    """Read the keys of a value that travels.

    Tolerant as prompt travel is: quotes around keys and values, a full-width colon, blanks, braces, any kind of line
    end do no harm; a key given twice counts as the last, with a warning.

    Args:
        value: a text with keys, between which stand commas, semicolons or line ends; or JSON, `[[0, 1.0], [8, 0.6]]`,
            as a text or read already. Where the last item is `hold`, each value counts until the next key.
        what: travels, for the log.

    Returns:
        None where there is nothing.

    Raises:
        ParamError: what is wrong, in a sentence to be put behind the name of the field: what is no key, keys that
            descend, a value that is no number.
    """
    items = _items_of_text(value) if isinstance(value, str) else _items_of_json(value)
    if not items:
        return None
    hold = _is_hold(items[-1])
    lines = [(item, read_key(item)) for item in (items[:-1] if hold else items)]
    for fault in _faults(lines):
        raise ParamError(fault)
    texts = counting_texts((key for _, key in lines if key is not None), what)
    return ValueTravel({frame: float(_bare(text)) for frame, text in texts.items()}, hold)


def _faults(lines: Sequence[tuple[str, Key | None]]) -> Iterator[str]:
    keyed = [number for number, (_, key) in enumerate(lines) if key is not None]
    if not lines:
        yield f"{HOLD} stands alone; write keys before it, as in {EXAMPLE}, {HOLD}"
        return
    first, last = (keyed[0], keyed[-1]) if keyed else (len(lines), len(lines))
    for number, (item, key) in enumerate(lines):
        if key is None and _is_hold(item):
            yield f"{HOLD} is not the last item; put it behind the last key"
        elif key is None and (not first < number < last or is_filling(item)):
            yield f"{item!r:.80} is no key; a key is written as the frame, a colon, the value, as in {EXAMPLE}"
    for _, fault in order_faults(lines, None):
        yield fault
    for key in (key for _, key in lines if key is not None):
        if not key.text:
            yield f"frame {key.frame} has no value; write a number after the colon"
        elif not _NUMBER.fullmatch(_bare(key.text)):
            yield f"frame {key.frame} has {_bare(key.text)!r:.80}, which is no number; write one as in {EXAMPLE}"


def _items_of_text(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("["):
        try:
            return _items_of_json(json.loads(text))
        except (ValueError, RecursionError):
            pass  # the sentence about what stands there says more
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES and text.count(text[0]) == 2:
        text = text[1:-1]
    parts = [part.strip().strip("{}").strip() for line in text.splitlines() for part in _BETWEEN_ITEMS.split(line)]
    return [part for part in parts if part]


def _items_of_json(items: Sequence[Any]) -> list[str]:
    return [_item_of_json(item) for item in items]


def _item_of_json(item: Any) -> str:
    if item == HOLD:
        return HOLD
    if isinstance(item, (list, tuple)) and len(item) == 2:
        frame, value = item
        if _is_number(frame) and _is_number(value) and frame >= 0 and float(frame).is_integer():
            return f"{int(frame)}: {json.dumps(value)}"
    shown = json.dumps(item, ensure_ascii=False, default=str)
    raise ParamError(f"{shown:.80} is no pair of a frame's number and its value, as in [[0, 1.0], [8, 0.6]]")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300  # also no NaN


def _is_hold(item: str) -> bool:
    return _bare(item).lower() == HOLD


def _bare(text: str) -> str:
    return text.strip().strip(_QUOTES).strip()


def _written(value: float) -> str:
    return repr(value).removesuffix(".0")
