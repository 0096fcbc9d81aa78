"""A table of fields as a JSON schema, for script writers: editors complete by it, programs check by it."""

from __future__ import annotations

import json
import math
from typing import Any

from motion_module import travel_values
from motion_module.field_table import FieldTable
from motion_module.fields import Field

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ABOUT = (
    "The object in the args of the script AnimateDiff, in alwayson_scripts of /sdapi/v1/txt2img and img2img. Names of "
    "choices are understood in any case; here they stand as they are written."
)
_NUMBERS = {"int": "integer", "number": "number"}


def schema_of(table: type[FieldTable]) -> dict[str, Any]:
    """The schema of the object that `table.from_json` reads.

    It takes everything that the table takes, but for the case of letters in choices. What the fields may not be
    together, what is on the server's disk, and what is wrong with the keys in a text, no schema can tell.
    """
    return {
        "$schema": _DIALECT,
        "title": "AnimateDiff",
        "description": _ABOUT,
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(field, table.default_of(name)) for name, field in table.table().items()},
    }


def _property(field: Field, default: Any) -> dict[str, Any]:
    about = {"title": field.label, "description": field.whole_help, "default": json.loads(json.dumps(default))}
    return {**about, **_values(field)}


def _values(field: Field) -> dict[str, Any]:
    """What is allowed in a field."""
    if field.kind == "bool":
        return {"type": "boolean"}
    if field.kind in _NUMBERS:
        return _number(field)
    if field.kind == "values":
        key = {"type": "array", "prefixItems": [{"type": "integer", "minimum": 0}, _number(field)], "items": False}
        keys = {"type": "array", "items": {"anyOf": [{**key, "minItems": 2}, {"const": travel_values.HOLD}]}}
        return {"anyOf": [{"type": ["string", "null"]}, keys]}
    if field.kind == "numbers":
        return {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": _number(field)}]}
    if field.kind == "choice":
        return {"enum": [*_choices(field), *([False, True] if field.off_on else [])]}
    if field.kind == "choices":
        one = {"enum": _choices(field)}
        return {"anyOf": [{"type": "array", "items": one}, one]}
    if field.kind == "held":
        pair = {"type": "array", "prefixItems": [{"type": "integer", "minimum": 0}, {"type": "string"}], "minItems": 2}
        return {"anyOf": [{"type": "array", "items": {**pair, "items": False}}, {"type": ["string", "null"]}]}
    pattern = {"pattern": f"^(?:{field.pattern})$"} if field.pattern else {}
    return {"type": ["string", "null"], **pattern}


def _number(field: Field) -> dict[str, Any]:
    limits = {"minimum": field.low, "maximum": field.high}
    known = {key: limit for key, limit in limits.items() if math.isfinite(limit)}
    return {"type": _NUMBERS.get(field.kind, "number"), **known}


def _choices(field: Field) -> list[Any]:
    """The choices, and what older clients and the panel call them."""
    return [*(json.loads(json.dumps(choice)) for choice in field.choices), *field.labels]
