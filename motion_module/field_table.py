"""A dataclass whose attributes are the fields of a request: how its rows are written, read and listed."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from motion_module.errors import ParamError
from motion_module.fields import Field, Kind, read_value
from motion_module.wording import for_page

_MOST_LISTED = 20  # fields in a sentence
Table = TypeVar("Table", bound="FieldTable")


def row(default: Any, kind: Kind, label: str, help: str, **rest: Any) -> Any:
    """One row.

    Args:
        default: of a new panel.
        kind, label, help, rest: see `Field`; `limits` are its `low` and `high`.
    """
    if "limits" in rest:
        rest["low"], rest["high"] = rest.pop("limits")
    metadata = {"field": Field(kind, label, help, **rest)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass
class FieldTable:
    """What every such table can do."""

    @classmethod
    def from_json(cls: type[Table], fields: Mapping[str, Any]) -> Table:
        """Read the JSON object of an API client or of the panel, in any of its generations.

        Args:
            fields: field names and values; what is missing takes its default.

        Raises:
            ParamError: one sentence that names the field, the value and what is allowed.
        """
        table = cls.table()
        for name in fields:
            if name not in table:
                raise ParamError(_unknown_field(str(name), table))
        params = cls(**{name: read_value(name, table[name], value) for name, value in cls.completed(fields).items()})
        params.check()
        return params

    @classmethod
    def table(cls) -> dict[str, Field]:
        """The table: field name -> field, in the panel's order."""
        return {field.name: field.metadata["field"] for field in dataclasses.fields(cls)}

    @classmethod
    def default_of(cls, name: str) -> Any:
        """The default of a field, as a new object where it is a list."""
        return getattr(cls(), name)

    @classmethod
    def left_out(cls, name: str, named: Collection[str]) -> Any:
        """What a field has that somebody leaves out who names others: its default, or off; see `Field.off_beside`."""
        return cls.default_of(name) if set(cls.table()[name].off_beside).isdisjoint(named) else False

    @classmethod
    def completed(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, and the switches left out that are off next to them."""
        off = (name for name, field in cls.table().items() if not fields.keys().isdisjoint(field.off_beside))
        return {**dict.fromkeys(off, False), **fields}

    @classmethod
    def worded_for_page(cls, sentence: str) -> str:
        """A sentence with mentions, as people on the page read it."""
        return for_page(sentence, {name: field.label for name, field in cls.table().items()})

    def check(self) -> None:
        """Refuse what each field allows but all of them together do not.

        Raises:
            ParamError: one sentence that names the field.
        """

    def recorded(self) -> dict[str, Any]:
        """The fields that the infotext keeps, with their values."""
        return {name: getattr(self, name) for name, field in self.table().items() if field.recorded}


def _unknown_field(name: str, table: Mapping[str, Field]) -> str:
    near = difflib.get_close_matches(name, table, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known fields are {_listed(list(table))}"
    return f"there is no field {name[:80]!r}; {hint}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    rest = f" and {more} more, which /animatediff/schema lists" if more > 0 else ""
    return f"{', '.join(names[:_MOST_LISTED])}{rest}"
