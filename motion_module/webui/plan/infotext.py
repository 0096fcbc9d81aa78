"""The extension's entry in the generation parameters: written, and read back when an infotext is pasted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from motion_module.errors import ParamError
from motion_module.fields import read_value
from motion_module.params import VideoParams

LABEL = "AnimateDiff"

_ITEM = re.compile(r'\s*([a-z_]+)\s*:\s*("(?:\\.|[^"\\])*"|\[[^\]]*\]|[^,]*)\s*(?:,|$)')
_BARE = re.compile(r"[A-Za-z0-9_.+/ -]+")


def write(params: VideoParams, **extra: Any) -> str:
    """The entry's text: `enable: true, model: mm.safetensors, video_length: 16, ...`.

    Fields that are as in a new panel are left out, but for those that are always there: whoever reads the entry takes
    the table's defaults for what it does not name, never a person's own.

    Args:
        params: what was asked for.
        extra: what else to record: the module's hash, the version.
    """
    table, default = params.table(), VideoParams()
    fields = {
        name: value
        for name, value in params.recorded().items()
        if table[name].always or value != getattr(default, name)
    }
    return ", ".join(f"{name}: {_write_value(value)}" for name, value in {**fields, **extra}.items())


def read(text: str) -> dict[str, Any]:
    """The fields of an entry, as far as they are fields of ours and hold what is allowed there.

    An infotext may come from another version or another extension: what cannot be read is left out.
    """
    return _parsed(text)[0]


def left_out(text: str) -> dict[str, str]:
    """Field of an entry -> why its value cannot be read, as a sentence with mentions and without a full stop."""
    return _parsed(text)[1]


def _parsed(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    table = VideoParams.table()
    fields: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, raw in _ITEM.findall(text):
        if name in table and table[name].recorded:
            try:
                fields[name] = read_value(name, table[name], _read_value(raw.strip()))
            except ParamError as error:
                faults[name] = error.sentence
    return fields, faults


def field_of(name: str, generation: Mapping[str, Any]) -> Any:
    """One field's value in parsed generation parameters, None where there is none."""
    return read(str(generation.get(LABEL, ""))).get(name)


def _write_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # so that a request and its pasted infotext read the same
    if isinstance(value, str) and _BARE.fullmatch(value) and value == value.strip() and _read_value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _read_value(raw: str) -> Any:
    if raw.lower() in ("true", "false"):  # older infotexts spell them True and False
        return raw.lower() == "true"
    try:
        return json.loads(raw)
    except ValueError:
        return raw
