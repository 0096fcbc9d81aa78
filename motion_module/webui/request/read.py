"""From the arguments the host hands to the script to one `VideoParams`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.patching import assign
from motion_module.webui.host_types import Processing
from motion_module.wording import mention, value_text

_AXES = "animatediff_axes"  # attribute of a cell's `p`: field -> value


def script_of(p: Processing, title: str = "animatediff") -> Any:
    """The AlwaysOn script of that title (in small letters) in the tab of `p`; None where it is not there."""
    return script_among(getattr(p, "scripts", None), title)


def script_among(runner: Any, title: str) -> Any:
    """The same among the scripts of a tab, which the host keeps in its runner."""
    scripts = getattr(runner, "alwayson_scripts", None) or []
    return next((script for script in scripts if script.title().lower() == title), None)


def values_of(p: Processing, script: Any) -> Sequence[Any]:
    """The arguments that the host hands to a script."""
    return p.script_args[script.args_from : script.args_to]


def params_of(p: Processing) -> VideoParams:
    """What a run asks for, before its hooks are called; nothing where the script is not in its tab.

    Raises:
        ParamError: as `read_params`.
    """
    script = script_of(p)
    return VideoParams() if script is None else with_axes(p, read_params(values_of(p, script)))


def give_axis(p: Processing, name: str, value: Any) -> None:
    """Let a field of this `p`, a cell of a plot, have another value than the plot's request.

    Cells are shallow copies of one `p`, so the fields are a new object for each of them.
    """
    assign(p, **{_AXES: {**getattr(p, _AXES, {}), name: value}})


def with_axes(p: Processing, params: VideoParams) -> VideoParams:
    """The request, with the values that a plot gives to this cell; each was read when the plot began.

    Raises:
        ParamError: what each field allows, but all of them together do not.
    """
    axes = getattr(p, _AXES, None)
    if not axes:
        return params
    changed = dataclasses.replace(params, **VideoParams.completed(axes))
    changed.check()
    return changed


def read_params(args: Sequence[Any]) -> VideoParams:
    """Read what an API client or the panel sent.

    API clients send one object with fields (or several, which are joined), or `false`, `null`, `[]`, `{}` for "off".
    The panel sends one value for each field that `VideoParams.table` lists, beginning with `enable`.

    Raises:
        ParamError: one sentence with the field, the value and what is allowed.
    """
    first = args[0] if args else None
    if isinstance(first, VideoParams):
        return first
    if isinstance(first, Mapping):
        return VideoParams.from_json(_joined(args))
    if first is None or first is False or first == []:
        return VideoParams()  # what else an unused panel holds, a field left empty, is nobody's concern
    if first is True:
        return VideoParams.from_json(dict(zip(VideoParams.table(), args, strict=False)))
    raise ParamError(f"args[0] is {value_text(first)}; allowed is an object with fields, or false")


def _joined(args: Sequence[Any]) -> dict[str, Any]:
    """The fields of all leading objects: some clients send one object for each field."""
    fields: dict[str, Any] = {}
    for part in args:
        if not isinstance(part, Mapping):
            break
        for name, value in part.items():
            if name in fields:
                raise ParamError(f"{mention(name)} appears twice; send it once")
            fields[name] = value
    return fields
