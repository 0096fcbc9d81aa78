"""One field of the parameter table: what is allowed in it, and how a value is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from motion_module import number_list, travel_values
from motion_module.errors import ParamError, as_text
from motion_module.paths import typed_path
from motion_module.travel_lines import read_key
from motion_module.wording import either, for_client, mention, number_text, value_text

Kind = Literal[
    "bool", "int", "number", "values", "numbers", "choice", "choices", "text", "path", "image", "video", "held"
]


@dataclass(frozen=True)
class Field:
    """What the table says about one field.

    Attributes:
        kind: how a value is read and which widget shows it.
        label: the name on the panel.
        help: one short sentence for the person, which stands beside the field.
        more: what else is to be known of it, in the tooltip and in what is to be read.
        low, high: the range of a number, inclusive; of each of `values` and `numbers`.
        step: by how much the panel's arrows change a number.
        slider: what a slider of the panel goes from and to, with a box where more can be typed; None for a plain box.
        choices: the allowed values of `choice` and `choices`.
        folded: the panel shows the choices only when asked, in a list that folds out.
        off_on: the choices that older clients mean by false and true.
        labels: what older clients and the panel may say instead of `choices`, in the same order.
        pattern: what a `text` must match.
        pattern_help: the pattern in words.
        group: the title of the part of the panel the field stands in; "" for what everybody needs.
        line: which line of its part; fields of one line stand beside each other, in the table's order.
        tabs: where the field has a meaning.
        needs: the fields one of which has to be set for this one to have an effect.
        recorded: the field is written to the infotext where it is not as in a new panel, and read back.
        always: it is written there in any case: it decides the pictures, or people look for it there.
        off_beside: fields next to which a switch that is on in a new panel is off: where a request names one of them
            but not the switch. Who named them before there was a switch gets the same as then.
    """

    kind: Kind
    label: str
    help: str
    more: str = ""
    low: float = -math.inf
    high: float = math.inf
    step: float = 1
    slider: tuple[float, float] | None = None
    choices: tuple[Any, ...] = ()
    folded: bool = False
    off_on: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    pattern: str = ""
    pattern_help: str = ""
    group: str = ""
    line: int = 0
    tabs: tuple[str, ...] = ("txt2img", "img2img")
    needs: tuple[str, ...] = ()
    recorded: bool = True
    always: bool = False
    off_beside: tuple[str, ...] = ()

    @property
    def whole_help(self) -> str:
        """All that is to be known of the field."""
        return f"{self.help} {self.more}".rstrip()


def read_value(name: str, field: Field, value: Any) -> Any:
    """One value as its field wants it.

    Raises:
        ParamError: one sentence with the field, the value and what is allowed.
    """
    return read_titled(mention(name), field, value)


def read_titled(title: str, field: Field, value: Any) -> Any:
    """The same for what is no field of a request: the sentence calls it by this title."""
    return _READERS[field.kind](title, field, value)


def _refuse(title: str, value: Any, allowed: str) -> ParamError:
    return ParamError(f"{title} is {value_text(value)}; allowed is {allowed}")


def range_text(field: Field) -> str:
    """The range of a number in words."""
    return f"{number_text(field.low)} to {number_text(field.high)}"


def values_text(field: Field) -> str:
    """What is allowed in a field of `values`, in words."""
    example = f"0: {number_text(field.low)}, 8: {number_text(min(field.high, field.low + 1))}"
    return f"frames with a number from {range_text(field)} each, as in {example}"


def _texts_text(field: Field) -> str:
    """What is allowed where a text is read, in words."""
    if field.kind == "numbers":
        return f"numbers from {range_text(field)}, as in {number_list.EXAMPLE}"
    return values_text(field) if field.kind == "values" else "a text"


def _choices_text(field: Field) -> str:
    """The choices as clients send them, and as the panel calls them."""
    names = ", ".join(str(choice) or either("''", "nothing") for choice in field.choices)
    return either(names, ", ".join(field.labels)) if field.labels else names


def _read_bool(title: str, field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(title, value, either("true or false", "on or off"))
    return value


def _read_number(title: str, field: Field, value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and field.low <= value <= field.high
    if not good:  # NaN fails the comparison, too
        raise _refuse(title, value, f"a number from {range_text(field)}")
    return value


def _read_int(title: str, field: Field, value: Any) -> int:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and field.low <= value <= field.high
    if not good or value != int(value):
        raise _refuse(title, value, f"a whole number from {range_text(field)}")
    return int(value)


def _read_values(title: str, field: Field, value: Any) -> str:
    """A number that travels from frame to frame, in the one way to write it; "" where it does not."""
    if not isinstance(value, (list, tuple)):
        value = _read_text(title, field, value)
    try:
        travel = travel_values.read(value, for_client(title))
    except ParamError as error:
        raise ParamError(f"{title} is {value_text(value)}; {error.sentence}") from None
    for frame, number in travel.keys.items() if travel else ():
        if not field.low <= number <= field.high:
            allowed = f"a number from {range_text(field)}"
            raise ParamError(f"{title} is {value_text(value)}; allowed at frame {frame} is {allowed}")
    return str(travel or "")


def _read_numbers(title: str, field: Field, value: Any) -> str:
    """Several numbers, in the one way to write them; "" for none."""
    if not isinstance(value, (list, tuple)):
        value = _read_text(title, field, value)
    try:
        numbers = number_list.read(value)
    except ParamError as error:
        raise ParamError(f"{title} is {value_text(value)}; {error.sentence}") from None
    if not all(field.low <= number <= field.high for number in numbers):
        raise _refuse(title, value, _texts_text(field))
    return number_list.written(numbers)


def _read_text(title: str, field: Field, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refuse(title, value, _texts_text(field))
    if as_text(value) != value:  # no answer could hold it, and the host repeats it
        raise _refuse(
            title, value, "a text in Unicode without lone surrogates; rename files whose names are in another encoding"
        )
    if "\0" in value or (field.pattern and not re.fullmatch(field.pattern, value)):
        raise _refuse(title, value, field.pattern_help or "a text without zero bytes")
    return value


def _read_choice(title: str, field: Field, value: Any) -> Any:
    if field.off_on and isinstance(value, bool):
        return field.off_on[value]
    picked = _pick(field, value)
    if picked is None:
        raise _refuse(title, value, f"one of {_choices_text(field)}")
    return picked


def _read_choices(title: str, field: Field, value: Any) -> list[Any]:
    allowed = f"a list of {_choices_text(field)}"
    items = [value] if isinstance(value, (str, int)) and not isinstance(value, bool) else value
    if not isinstance(items, Sequence) or isinstance(items, (bytes, str)):
        raise _refuse(title, value, allowed)
    picked = [_pick(field, item) for item in items]
    if None in picked:
        raise _refuse(title, value, allowed)
    return [choice for choice in field.choices if choice in picked]


def _pick(field: Field, value: Any) -> Any:
    """The choice that a value means, by its own name or its label in any case; None if there is none."""
    for index, choice in enumerate(field.choices):
        alike = isinstance(value, str) if isinstance(choice, str) else type(value) is type(choice)
        if alike and str(value).lower() == str(choice).lower():
            return choice
        if isinstance(value, str) and value.lower() in [label.lower() for label in field.labels[index : index + 1]]:
            return choice
    return None


def _read_file(title: str, field: Field, value: Any) -> str | None:
    if hasattr(value, "read"):  # what is uploaded on the panel
        value = value.name
    return _read_path(title, field, value) or None


def _read_path(title: str, field: Field, value: Any) -> str:
    return typed_path(_read_text(title, field, value))


def _read_image(title: str, field: Field, value: Any) -> Any:
    if value is None or value == "" or isinstance(value, str) or hasattr(value, "getbands"):
        return value or None
    raise _refuse(title, value, either("a picture, as base64 text", "a picture"))


def _read_held(title: str, field: Field, value: Any) -> tuple[tuple[int, Any], ...]:
    """Frames with their pictures, in order: of `[[8, picture]]`, or of a text `8: path` with one frame a line."""
    allowed = either('a list of [frame, "path or base64"]', "a line such as 8: /path/to/picture.png for each frame")
    held: dict[int, Any] = {}
    for frame, picture in _held_items(title, value, allowed):
        whole = isinstance(frame, int) and not isinstance(frame, bool) and frame >= 0
        if not whole or not (hasattr(picture, "getbands") or (isinstance(picture, str) and picture.strip())):
            raise _refuse(title, [frame, picture], allowed)
        if frame in held:
            raise ParamError(f"{title} is set twice for frame {frame}; allowed is one picture for each frame")
        held[frame] = typed_path(_read_text(title, field, picture)) if isinstance(picture, str) else picture
    return tuple(sorted(held.items(), key=lambda item: item[0]))


def _held_items(title: str, value: Any, allowed: str) -> list[Any]:
    if value is None or value == "":
        return []
    items: Any = value
    if isinstance(value, str):
        items = [_held_line(title, line.strip(), allowed) for line in re.split(r"[\n;]", value) if line.strip()]
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, (list, tuple)) for item in items):
        raise _refuse(title, value, allowed)
    if any(len(item) != 2 for item in items):
        raise _refuse(title, value, allowed)
    return list(items)


def _held_line(title: str, line: str, allowed: str) -> Sequence[Any]:
    found = read_key(line)
    if found is None:
        raise _refuse(title, line, allowed)
    return found


_READERS: dict[str, Callable[[str, Field, Any], Any]] = {
    "bool": _read_bool,
    "int": _read_int,
    "number": _read_number,
    "values": _read_values,
    "numbers": _read_numbers,
    "choice": _read_choice,
    "choices": _read_choices,
    "text": _read_text,
    "path": _read_path,
    "image": _read_image,
    "video": _read_file,
    "held": _read_held,
}
