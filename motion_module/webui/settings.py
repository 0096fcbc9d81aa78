"""The person's settings of this extension, as the host has them."""

from __future__ import annotations

import logging
from typing import TypeVar

from modules import shared
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.settings import Setting, Settings
from motion_module.webui.host_types import Processing

Value = TypeVar("Value")

_log = logging.getLogger(__name__)


def settings_of(p: Processing | None = None) -> Settings:
    """The settings as they are now.

    Args:
        p: a run that may not have begun: those of its `override_settings`, which the host takes over between
            `before_process` and `process`, count already. They never name folders.
    """
    asked = getattr(p, "override_settings", None) or {}
    values = {row.key: getattr(shared.opts, row.name, row.default) for row in Settings.rows()}
    changed = {row.key: asked[row.name] for row in Settings.rows() if row.name in asked and not row.names_folders}
    return Settings({**values, **changed})


def check_settings(p: Processing, params: VideoParams) -> None:
    """See, before anything is made, that the settings that a run looks at hold what is allowed.

    Args:
        p: the run; it may not have begun.
        params: what it asks for.

    Raises:
        ParamError: one sentence with the setting, the value and what is allowed.
    """
    settings_of(p).check(params)


def usable(row: Setting[Value]) -> Value:
    """One setting for the page, which has to come up whatever is stored: a wrong one is its default, with a warning."""
    try:
        return row.read(getattr(shared.opts, row.name, row.default))
    except ParamError as error:
        _log.warning("%s", error)
        return row.read(row.default)
