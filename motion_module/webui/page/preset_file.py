"""The presets that people save, in one JSON file in the WebUI's data folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules import paths_internal
from motion_module.errors import ParamError, UserError
from motion_module.media.placing import replace
from motion_module.presets import PRESETS, Preset
from motion_module.webui.page import module_preset
from motion_module.wording import system_says

_LONGEST_NAME = 60


def path() -> Path:
    """Where they lie."""
    return Path(paths_internal.data_path) / "animatediff-presets.json"


def names(tab: str) -> list[str]:
    """All presets that are offered on a tab: ours, then people's own; none of theirs where the file cannot be read."""
    own = [*(preset.name for preset in PRESETS if tab in preset.tabs), module_preset.NAME]
    try:
        return [*own, *sorted(name for name in _read() if not _is_ours(name))]
    except UserError:
        return own


def preset_named(name: str, model: str) -> Preset:
    """A preset of ours or of theirs.

    Args:
        name: as the list shows it.
        model: the motion module that is chosen.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if name == module_preset.NAME:
        return module_preset.preset_of_module(model)
    for preset in PRESETS:
        if preset.name == name:
            return preset
    stored = _read()
    if name not in stored:
        raise ParamError(f"there is no preset {name!r:.80}; choose one of the list")
    return Preset.from_json(name, stored[name])


def save(preset: Preset) -> None:
    """Keep a preset under its name, in the place of one that has it.

    Raises:
        UserError: it has no name or one of ours, or the file cannot be read or written.
    """
    name = preset.name.strip()
    if not name:
        raise ParamError("this preset has no name yet; type one into Preset, then save it")
    if len(name) > _LONGEST_NAME:
        raise ParamError(f"the name of a preset is {name!r:.80}; allowed are up to {_LONGEST_NAME} characters")
    if _is_ours(name):
        raise ParamError(f"{name} is a preset that comes with AnimateDiff; choose another name")
    _write({**_read(), name: preset.as_json()})


def delete(name: str) -> None:
    """Forget a preset that was saved.

    Raises:
        UserError: there is none of this name, or the file cannot be read or written.
    """
    if not name:
        raise ParamError("no preset is chosen; choose one of your own, then delete it")
    if _is_ours(name):
        raise ParamError(f"{name} comes with AnimateDiff, and stays; you can delete your own presets")
    stored = dict(_read())
    if name not in stored:
        raise ParamError(f"there is no preset {name!r:.80} to delete")
    del stored[name]
    _write(stored)


def _is_ours(name: str) -> bool:
    return name == module_preset.NAME or any(preset.name == name for preset in PRESETS)


def _read() -> Mapping[str, Any]:
    try:
        stored = json.loads(path().read_text("utf8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"the presets in {path()} cannot be read: {system_says(error)}") from error
    except ValueError as error:  # it was edited, or is no text
        raise UserError(f"the presets in {path()} are no JSON; mend or rename that file") from error
    if not isinstance(stored, dict):
        raise UserError(f"the presets in {path()} are no JSON object; mend or rename that file")
    return stored


def _write(stored: Mapping[str, Any]) -> None:
    part = path().with_name(f"{path().name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(stored, ensure_ascii=False, indent=2), "utf8")
        replace(part, path())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"the presets cannot be written to {path()}: {system_says(error)}") from error
