"""Motion LoRA that lie in a folder of motion modules, where the host does not look for LoRA."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from motion_module.webui.host import host
from motion_module.webui.request import motion_modules


def known_beside_modules(data: dict[str, Any] | None) -> AbstractContextManager[None]:
    """While the host reads networks it knows the files beside motion modules, too, that a prompt names.

    Those in its own folders come first, as everywhere.

    Args:
        data: the tags of a prompt as the host has parsed them.
    """
    return host.more_lora(_files(host.unknown_lora(data)))


def _files(names: set[str]) -> dict[str, Path]:
    """The files of these names, name -> path."""
    found: dict[str, Path] = {}
    for path in motion_modules.files().values() if names else ():
        if path.stem in names:
            found.setdefault(path.stem, path)
    return found
