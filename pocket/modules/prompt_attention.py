"""Reads the weights in a prompt: `(word)`, `(word:1.3)`, `[word]`, `\\(`, and `BREAK`.

`(` multiplies what follows by 1.1 up to its `)`, `[` divides by 1.1; `(...:w)` multiplies by w instead. Brackets left
open reach to the end; brackets without a partner are text.
"""

from __future__ import annotations

import re

ROUND = 1.1
SQUARE = 1 / 1.1

_ESCAPE = r"\\[()\[\]\\]?"  # a backslash alone vanishes
_WEIGHT = r":\s*(?P<weight>[+-]?[.\d]+)\s*\)"
_PLAIN = r"[^\\()\[\]:]+"
_TOKEN = re.compile(rf"(?P<escape>{_ESCAPE})|{_WEIGHT}|(?P<bracket>[()\[\]])|{_PLAIN}|:")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


def parse_prompt_attention(text: str) -> list[list]:
    """Splits a prompt into `[text, weight]` pairs; a `BREAK` is the pair `["BREAK", -1]`.

    Raises:
        ValueError: a weight such as `(a:1.2.3)` is not a number.
    """
    parts: list[list] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def multiply(start: int, factor: float) -> None:
        for part in parts[start:]:
            part[1] *= factor

    for token in _TOKEN.finditer(text):
        word, weight, bracket = token.group(), token["weight"], token["bracket"]
        if token["escape"]:
            parts.append([word[1:], 1.0])
        elif bracket in ("(", "["):
            opened[bracket].append(len(parts))
        elif weight is not None and opened["("]:
            multiply(opened["("].pop(), float(weight))
        elif bracket == ")" and opened["("]:
            multiply(opened["("].pop(), ROUND)
        elif bracket == "]" and opened["["]:
            multiply(opened["["].pop(), SQUARE)
        else:
            parts.extend(_with_breaks(word))
    for bracket, factor in (("(", ROUND), ("[", SQUARE)):
        for start in opened[bracket]:
            multiply(start, factor)
    return _joined(parts) or [["", 1.0]]


def _with_breaks(text: str) -> list[list]:
    pieces: list[list] = []
    for piece in _BREAK.split(text):
        if pieces:
            pieces.append(["BREAK", -1])
        pieces.append([piece, 1.0])
    return pieces


def _joined(parts: list[list]) -> list[list]:
    """Neighbours of equal weight become one."""
    joined: list[list] = []
    for text, weight in parts:
        if joined and joined[-1][1] == weight:
            joined[-1][0] += text
        else:
            joined.append([text, weight])
    return joined
