"""Sentences that two kinds of readers understand: API clients read a field's name, people on the page its label.

Who reads a sentence is known only where it is shown. Until then what the two of them call differently stands in it as a
*mention*: both spellings, between control characters that neither a sentence nor a value written by `value_text` holds.

    >>> sentence = f"{mention('batch_size')} is {value_text(None)}; allowed is a whole number from 1 to 256."
    >>> for_client(sentence)
    'batch_size is null; allowed is a whole number from 1 to 256.'
    >>> for_page(sentence, {"batch_size": "Context batch size"})
    'Context batch size is empty; allowed is a whole number from 1 to 256.'
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BEGIN, _BETWEEN, _END = "\x0e", "\x1f", "\x0f"
_MENTION = re.compile(f"{_BEGIN}([^{_BEGIN}{_END}{_BETWEEN}]*)(?:{_BETWEEN}([^{_BEGIN}{_END}{_BETWEEN}]*))?{_END}")
_LONGEST_VALUE = 80
_MOST_NAMES = 20  # in a sentence
NAME = "AnimateDiff"
_NAMED = (f"{NAME} ", f"{NAME}: ", "Prompt travel: ")  # beginnings that say already who speaks


def with_name(sentence: str) -> str:
    """The sentence as people read it among those of others: it begins with our name. Again is harmless."""
    return sentence if sentence.startswith(_NAMED) else f"{NAME}: {sentence}"


def with_full_stop(sentence: str) -> str:
    """The sentence with its end. Again is harmless."""
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def mention(name: str) -> str:
    """A field of the table, to be put into a sentence; the page's reader will see its label."""
    return f"{_BEGIN}{name}{_END}"


def either(client: str, page: str) -> str:
    """Words to be put into a sentence that clients and people on the page know by different spellings."""
    return f"{_BEGIN}{client}{_BETWEEN}{page}{_END}"


def for_client(sentence: str) -> str:
    """The sentence as API clients read it."""
    return _MENTION.sub(lambda match: match[1], sentence)


def for_page(sentence: str, labels: Mapping[str, str]) -> str:
    """The sentence as people on the page read it.

    Args:
        sentence: with mentions.
        labels: name of a field -> what the page calls it.
    """
    return _MENTION.sub(lambda match: labels.get(match[1], match[1]) if match[2] is None else match[2], sentence)


def value_text(value: Any) -> str:
    """A value as the reader has sent it: JSON for clients; nothing at all and switches in the page's words.

    What is long is cut. Texts stand in single quotes, as everywhere in these sentences.
    """
    if value is None:
        return either("null", "empty")
    if isinstance(value, bool):
        return either("true", "on") if value else either("false", "off")
    shown = repr(value) if isinstance(value, str) else _json(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 3]}..."


def names_text(names: Sequence[str]) -> str:
    """Names of a list that may be long, for a sentence."""
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def number_text(number: float) -> str:
    """A number of a sentence: 10,000,000 and 0.05, never 1e+07."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.6f}".rstrip("0")


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # no value of a request's JSON
        text = repr(value)
    return text.encode("utf-8", "backslashreplace").decode()  # half a character, which JSON can hold, is none


_SYSTEM_SAYS: dict[int, str] = {
    errno.ENOSPC: "there is no space left on the disk",
    errno.EDQUOT: "there is no space left on the disk",
    errno.EFBIG: "there is no space left on the disk",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EISDIR: "a folder is where a file should be",
    errno.EEXIST: "there is a file of that name already",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.EIO: "the disk does not answer as it should",
    errno.ENOEXEC: "it is not a program that runs on this system",
    errno.ENOMEM: "there is not enough memory",
    errno.ETXTBSY: "another program is using the file",
    errno.EBUSY: "another program is using the file",
    errno.ESTALE: "the disk is no longer connected",
    errno.ENODEV: "the disk is no longer connected",
}


_WINDOWS_SAYS: dict[int, str] = {  # its own numbers, of which several have the same `errno`
    32: "another program has the file open",
    33: "another program has the file open",
    123: "Windows takes no such name",
    206: "the path is too long for Windows",
    1224: "another program has the file open",
}


def system_says(error: OSError) -> str:
    """Why the operating system refused something, in words for a person and without numbers."""
    known = _WINDOWS_SAYS.get(getattr(error, "winerror", None) or 0)
    if known is None and error.errno is not None:
        known = _SYSTEM_SAYS.get(error.errno)
    return known or (error.strerror or str(error) or type(error).__name__).rstrip(".")
