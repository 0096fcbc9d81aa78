"""The keys of what travels: which lines are keys, which only look like keys, what is a comment, and in which order."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_log = logging.getLogger(__name__)
_KEY = re.compile(r"""\s*(?P<quote>["']?)(?P<frame>\d+)(?P=quote)\s*[:：]\s*(?P<text>.*)""")
# 16:9, 3:1 ratio, 12:30 pm. After 0:1girl a word goes on, and behind a blank (0: 1girl) a text begins.
_RATIO = re.compile(r"\s*\d+:\d+(?:$|[\s,;)]|\.(?!\d)|[ap]\.?m\b)", re.IGNORECASE)
_LIKE_KEY = re.compile(
    r"[\W_]*(?:(?:frame|keyframe|key|step|second|sec|time|at|f|t)s?[\W_]*)?"
    r"\d(?:\d|[^\w:：])*(?:(?:f|frames?|sec|seconds?)[^\w:：]*)?[:：](?!\d)",
    re.IGNORECASE,
)
_START = 40  # signs of a line in which a key stands
_BRACKETS = re.compile(r"\s*[{}]+,?\s*$")  # around keys that were copied out of a JSON file
_TAG = re.compile(r"<\w+:[^>]+>")  # of an extra network, as the WebUI finds it
_LONGEST = 9  # digits; the number of a frame never has more


class Key(NamedTuple):
    """A line that says from which frame on its text counts."""

    frame: int
    text: str


def without_comments(text: str) -> str:
    """A prompt as the WebUI reads it: `#` and what follows it in its line is a comment."""
    return "\n".join(line.partition("#")[0] for line in text.splitlines())


def without_tags(text: str) -> str:
    """A prompt without `<lora:name:1>` and its like, which the WebUI takes out before it encodes."""
    return _TAG.sub("", text)


def tags_of(text: str) -> list[str]:
    """The `<lora:name:1>` and their like in a prompt."""
    return _TAG.findall(text)


def read_key(line: str) -> Key | None:
    """One line as a key: `8: text`, `8:text`, `"8": "text",` or with a full-width colon; None for any other line.

    A number of more than nine digits is beyond every video, and is cut to them.
    """
    match = _KEY.match(line)
    if match is None:
        return None
    digits = match["frame"].lstrip("0") or "0"
    text = match["text"].strip()
    text = _unquoted(text) if match["quote"] else text
    return Key(int(digits[: _LONGEST + 1]), text)


def key_lines(lines: list[str]) -> dict[int, Key]:
    """The keys among the lines of a prompt: number of the line -> key.

    Where the only such line is a ratio or the time of day (`16:9`, `12:30 pm`), there are none.
    """
    keys = {number: key for number, line in enumerate(lines) if (key := read_key(line)) is not None}
    if len(keys) == 1 and _RATIO.match(lines[next(iter(keys))]):
        return {}
    return keys


def order_faults(lines: Sequence[tuple[str, Key | None]], frames: int | None) -> Iterator[tuple[int, str]]:
    """What is wrong with the order of keys, and what stands between them.

    Args:
        lines: from the first to the last key, each with its key.
        frames: N, frames of the video; None where nobody knows yet.

    Yields:
        The number of a line, and what is wrong with it.
    """
    last = -1
    for number, (line, key) in enumerate(lines):
        if key is None:
            if not is_filling(line):
                yield number, f"{line.strip()!r:.80} stands between two keys; begin it with its frame number"
        elif frames is not None and key.frame >= frames:
            yield number, f"frame {key.frame} is beyond the last frame, {frames - 1}, of {frames} frames"
        elif key.frame < last:
            yield number, f"frame {key.frame} stands after frame {last}; the frame numbers have to ascend"
        else:
            last = key.frame


def counting_texts(keys: Iterable[Key], what: str) -> dict[int, str]:
    """The text of each frame that has a key; of a frame that has two the last one counts, with a warning.

    Args:
        keys: in their order.
        what: that travels, for the log.
    """
    texts: dict[int, str] = {}
    for key in keys:
        if key.frame in texts:
            _log.warning("%s: frame %d appears twice; the last one counts.", what, key.frame)
        texts[key.frame] = key.text
    return texts


def is_filling(line: str) -> bool:
    """Whether a line between two keys says nothing: a blank one, brackets of JSON, or tags, which count everywhere."""
    return not without_tags(line).strip() or is_bracket(line)


def is_bracket(line: str) -> bool:
    """Whether a line holds only brackets, as around keys that were copied out of a JSON file."""
    return _BRACKETS.match(line) is not None


def looks_like_key(line: str) -> bool:
    """Whether a line is no key, but may have been meant as one: `[0]: text`, `frame 0: text`, `0%: text`."""
    if read_key(line) is not None:
        return False
    return _LIKE_KEY.match(line.lstrip()[:_START]) is not None


def _unquoted(text: str) -> str:
    """The text of `"8": "text",`, which comes from a JSON file."""
    text = text.removesuffix(",").rstrip()
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    try:
        return str(json.loads(text)) if text[0] == '"' else text[1:-1]
    except ValueError:
        return text[1:-1]
