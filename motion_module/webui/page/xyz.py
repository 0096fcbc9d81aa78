"""Axes of the host's X/Y/Z plot, one for each field of the table that pictures can be compared by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from modules import scripts
from motion_module.errors import ParamError
from motion_module.fields import Field, read_value
from motion_module.params import VideoParams
from motion_module.webui.answers import answering
from motion_module.webui.host_types import Processing
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.read import give_axis, params_of
from motion_module.wording import mention, value_text

FILE = "xyz_grid.py"
"""The host's script; its module has the list `axis_options` and the class `AxisOption`."""

_TYPES: dict[str, type] = {"int": int, "number": float}  # the host reads ranges like 8-16 for these two


class _Numbers:
    """The type of an axis of numbers: to the plot's eyes `int` or `float`, but its refusals are sentences of ours."""

    def __init__(self, name: str, field: Field) -> None:
        self._name, self._field = name, field

    def __eq__(self, other: object) -> bool:
        return other is _TYPES[self._field.kind]  # by which the plot tells that ranges may be written

    def __hash__(self) -> int:
        return hash(_TYPES[self._field.kind])

    def __call__(self, value: Any) -> Any:
        """A value as it is written in the plot.

        Raises:
            ParamError: one sentence with the field, the value and what is allowed.
        """
        with suppress(ValueError):
            value = number if math.isfinite(number := float(value)) else value
        with answering(None):  # the plot reads its axes without a run; they are called by labels
            return read_value(self._name, self._field, value)


def register() -> None:
    """Add the axes to the plot, where it is loaded; the host calls this before it makes its page.

    Nothing takes them out again but the host itself: when it loads its scripts anew, the plot's list is new, too.
    """
    for data in scripts.scripts_data:
        options = getattr(data.module, "axis_options", None)
        if data.path.replace("\\", "/").endswith(f"/{FILE}") and isinstance(options, list):
            known = {option.label for option in options}
            options += [option for option in _options(data.module.AxisOption) if option.label not in known]


def label_of(field: Field) -> str:
    """The axis's name in the plot's lists."""
    return f"[AnimateDiff] {field.label}"


def _options(kind: Any) -> list[Any]:
    return [
        kind(
            label_of(field),
            _Numbers(name, field) if field.kind in _TYPES else partial(_read, name, field),
            partial(_apply, name),
            confirm=partial(_confirm, name, field),
            choices=_choices(name, field),
        )
        for name, field in VideoParams.table().items()
        if _is_compared(name, field)
    ]


def _is_compared(name: str, field: Field) -> bool:
    return field.recorded and (
        name == "model" or field.kind in ("bool", "int", "number", "values", "numbers", "choice")
    )


def _choices(name: str, field: Field) -> Callable[[], list[str]] | None:
    """What the plot offers in a list; a field of numbers or text is written."""
    if name == "model":
        return motion_modules.names
    values = {"bool": ("true", "false"), "choice": field.choices}.get(field.kind)
    return None if values is None else lambda: [str(value) for value in values]


def _read(name: str, field: Field, text: str) -> Any:
    """A value as it is written in the plot."""
    if field.kind == "bool" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    with answering(None):  # the plot reads its axes without a run; they are called by labels
        return read_value(name, field, text.strip())


def _confirm(name: str, field: Field, p: Processing, values: Sequence[Any]) -> None:
    """Refuse a value before the first picture of the plot is made.

    Raises:
        ParamError: one sentence with the field, the value and what is allowed.
    """
    with answering(p):
        if not params_of(p).enable:
            off = f"{mention('enable')} is {value_text(False)}"
            raise ParamError(f"{off}, so the axis {label_of(field)} has no effect; switch it on")
        for value in values:
            read_value(name, field, value)
            if name == "model":
                module_choice.named(value, motion_modules.files())


def _apply(name: str, p: Processing, value: Any, _values: Sequence[Any]) -> None:
    """Give one cell of the plot, a copy of the plot's own `p`, its value of a field."""
    give_axis(p, name, value)
