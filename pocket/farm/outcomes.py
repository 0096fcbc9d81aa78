"""What hosts give back for a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from farm.request_file import Request

BodyOf = Callable[[Request], dict[str, Any]]
"""Reads a request's body; raises WrongLineError."""


@dataclass(frozen=True)
class Outcome:
    """The end of one request: a response, or a sentence.

    Attributes:
        status: `made`, `refused` or `failed`, as in the index.
        tries: how often it was begun.
        seconds: how long the last of them took; 0 where nobody knows.
    """

    request: Request
    status: str
    response: dict[str, Any] | None = None
    sentence: str = ""
    tries: int = 1
    seconds: float = 0.0


def times(count: int) -> str:
    """A number of times, in words where there are short ones."""
    return {1: "once", 2: "twice", 3: "three times"}.get(count, f"{count} times")


def one_line(error: Exception) -> str:
    """What an error says, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """A host's text with what no encoding takes (half of a pair of surrogates) as Python escapes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
