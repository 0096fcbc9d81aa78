"""The units of a run, of whichever ControlNet is there: the extension, or the one that is built into Forge."""

from __future__ import annotations

import sys
from typing import Any

from motion_module.webui.controlnet.forge_units import ForgeUnit, read_forge_unit
from motion_module.webui.controlnet.lines import Lines, names_folder, read_lines
from motion_module.webui.controlnet.spelling import folder_of, is_batch, read_unit, says_mode
from motion_module.webui.controlnet.units import Unit, controlnet_of
from motion_module.webui.host_types import Processing
from motion_module.webui.request.read import values_of

# by which others reach it; the last one is Forge's
_EXTERNAL_CODE = ("internal_controlnet.external_code", "scripts.external_code", "lib_controlnet.external_code")


def units_of(p: Processing) -> list[Unit]:
    """The units of a run, as copies; none where ControlNet is not installed.

    Raises:
        ParamError: as `read_unit`; or a unit that is on has a line that is not allowed, or none for it.
    """
    external, script = _external_code(), controlnet_of(p)
    if external is None or script is None:
        return []
    kind, read = (Unit, read_unit) if hasattr(external, "get_all_units_from") else (ForgeUnit, read_forge_unit)
    units = []
    for number, value in enumerate(values_of(p, script)):
        settings = read(external, number, value)
        if settings is not None:
            units.append(kind(number, script.args_from + number, settings, _lines_of(number, settings)))
            units[-1].check_lines()
    return units


def _lines_of(number: int, unit: Any) -> Lines:
    """The lines that count: on its *Batch* tab, or where an API client has chosen no mode and named no folder."""
    text = folder_of(unit)
    if not unit.enabled or not (is_batch(unit) or not (says_mode(unit) or names_folder(text))):
        return Lines()
    return read_lines(number, text)


def _external_code() -> Any:
    return next((sys.modules[name] for name in _EXTERNAL_CODE if name in sys.modules), None)
