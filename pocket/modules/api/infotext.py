"""The request's `infotext` field: generation parameters as text, which fill the fields that the request leaves out."""

from typing import Any

from modules import infotext_utils
from modules.scripts import ScriptRunner


def _value(field: Any, params: dict[str, Any], request: Any) -> Any:
    """The field's value in the infotext, as the type that the request or the page's component has; None: not said."""
    value = field.function(params) if field.function else params.get(field.label)
    if value is None:
        return None
    known = request.__fields__.get(field.api)
    kind = known.type_ if known else type(field.component.value)
    if isinstance(value, dict) and value.get("__type__") == "generic_update":
        value = value.get("value")
    if kind is type(None) or value is None:
        return None
    if kind is Any or not isinstance(kind, type):
        return value
    return value if isinstance(value, kind) else kind(value)


def _fill_request(request: Any, fields: list[Any], params: dict[str, Any]) -> None:
    said = request.dict(exclude_unset=True)
    for field in fields:
        if field.api and field.api not in said:
            value = _value(field, params, request)
            if value is not None:
                setattr(request, field.api, value)


def apply_infotext(request: Any, tabname: str, runner: ScriptRunner) -> dict[int, Any]:
    """Fills the request from its infotext and returns the scripts' arguments found in it, by their place.

    What the request says itself is left alone.
    """
    if not request.infotext:
        return {}
    fields = infotext_utils.paste_fields[tabname]["fields"]
    params = infotext_utils.parse_generation_parameters(request.infotext)
    _fill_request(request, fields, params)
    settings = {name: value for _, name, value in infotext_utils.get_override_settings(params)}
    request.override_settings = {**settings, **(request.override_settings or {})}

    places = {component: index for index, component in enumerate(runner.inputs)}
    mentioned = {
        places[field.component]: _value(field, params, request) for field in fields if field.component in places
    }
    return {index: value for index, value in mentioned.items() if value is not None}
