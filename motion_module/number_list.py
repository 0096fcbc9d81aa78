"""Several numbers in one field, `1, 1, 0.5, 0`, such as one for each level of a UNet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from motion_module.errors import ParamError

EXAMPLE = "1, 1, 0.5, 0"
_BETWEEN = re.compile(r"[\s,;\uff0c\uff1b]+")  # the latter two as Chinese and Japanese keyboards have them
_AROUND = " \t\r\n[](){}\"'"


def read(value: str | Sequence[Any]) -> tuple[float, ...]:
    """The numbers in a text, between which stand commas, semicolons, blanks or line ends, or in a list of JSON.

    Raises:
        ParamError: something is no number, in a sentence to be put behind the name of the field.
    """
    if isinstance(value, str):
        return tuple(_of_text(item) for item in _BETWEEN.split(value.strip(_AROUND)) if item)
    return tuple(_of_json(item) for item in value)


def written(numbers: Sequence[float]) -> str:
    """The one way to write them, which `read` reads."""
    return ", ".join(repr(float(number)).removesuffix(".0") for number in numbers)


def of_levels(numbers: Sequence[float], levels: int) -> tuple[float, ...]:
    """One number for each level of a UNet in its own order: down, the middle, up.

    Args:
        numbers: in that order, or one for each size of the picture inside the UNet, from the largest to the smallest,
            at which the middle is, too.
        levels: how many sizes there are.

    Returns:
        Nothing where there are neither so many nor so many.
    """
    if len(numbers) == levels:
        return (*numbers, numbers[-1], *reversed(numbers))
    return tuple(numbers) if len(numbers) == 2 * levels + 1 else ()


def _of_text(item: str) -> float:
    try:
        number = float(item)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in item:
        raise _no_number(repr(item))
    return number


def _of_json(item: Any) -> float:
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not abs(item) < 1e300:  # also no NaN
        raise _no_number(json.dumps(item, ensure_ascii=False, default=str))
    return float(item)


def _no_number(item: str) -> ParamError:
    return ParamError(f"{item:.80} is no number; numbers are written as in {EXAMPLE}")
