"""Whether this extension stands aside: beside another AnimateDiff extension, and in a WebUI that it does not serve.

Two of them would answer to the same title, have the same settings, and load the same `scripts.animatediff_*`, of which
Python keeps the first. This file lies outside of the package and imports nothing of it, because the other extension may
have its own module under the package's name.
"""

from __future__ import annotations

import functools
import html
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr

from modules import extensions, scripts

_SCRIPTS = ("animatediff", "animatediff_mm", "animatediff_utils", "animatediff_i2ibatch")
_PACKAGE = "motion_module"
_MARK = Path(__file__).name  # who has this file is a copy of this extension
_OLD_FORGE = (
    "ldm_patched"  # the package that Forge had before August 2024, and that has lived on in Classic and reForge
)
_NOT_SERVED = (
    "AnimateDiff in {own} does nothing, because this WebUI is a kind of Forge that it does not serve (Forge before "
    "August 2024, Forge Classic, reForge); it works in AUTOMATIC1111's WebUI, in Forge and in Forge Neo."
)
_log = logging.getLogger("AnimateDiff")


class StandingAside(scripts.Script):
    """In the place of this extension's panel: the sentence. Its title leaves the API to the other extension."""

    def title(self) -> str:
        """Another one than the other extension's, by which API clients ask for that."""
        return "AnimateDiff (standing aside)"

    def show(self, is_img2img: bool) -> object:
        """On every tab, always."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[gr.components.Component]:
        """The sentence; there is nothing to set."""
        gr.HTML(html.escape(reason(self.filename) or ""), elem_id=self.elem_id("why"))
        return []


def stands_aside(script: str) -> bool:
    """Whether a script of this extension must do nothing; else its modules can be imported after this call.

    The host can load scripts anew when other extensions are enabled than before, and modules of then are still there.

    Args:
        script: its file.
    """
    own = _folder_of(script)
    rivals = list(_rivals(own))
    if not rivals:
        _forget(ours=False, own=own)
    elif not all(map(_is_copy, rivals)):
        _forget(ours=True, own=own)
    return bool(rivals) or not _is_served()


def warn(script: str) -> None:
    """Say in the log why this extension stands aside."""
    _log.warning("%s", reason(script))


def reason(script: str) -> str | None:
    """Why this extension does nothing and what to do, as a sentence; None where it works.

    Args:
        script: a file in its folder `scripts`.
    """
    own = _folder_of(script)
    rivals = list(_rivals(own))
    if not rivals:
        return None if _is_served() else _NOT_SERVED.format(own=own.name)
    if all(map(_is_copy, rivals)):
        return (
            f"AnimateDiff is installed twice, in {rivals[0]} and in {own}, so the one in {own.name} does nothing; "
            f"remove one of the two and restart the WebUI."
        )
    rival = next(path for path in rivals if not _is_copy(path))
    return (
        f"AnimateDiff in {own.name} does nothing, because {rival.name} is enabled, too, and only one of the two can "
        f'work; to use {own.name}, turn {rival.name} off under "Extensions" and restart the WebUI (motion modules in '
        f"its folder are still found)."
    )


def _is_served() -> bool:
    found = importlib.util.find_spec(_OLD_FORGE)
    if found is None or not found.submodule_search_locations:
        return True
    own = Path(scripts.__file__).resolve().parents[1]  # another extension may bring the package along
    return not any(Path(folder).resolve().parent == own for folder in found.submodule_search_locations)


def _folder_of(script: str) -> Path:
    return Path(os.path.abspath(script)).parents[1]


def _rivals(own: Path) -> Iterator[Path]:
    """The folders of enabled extensions before which this one stands aside: others with one of its scripts, and copies
    of it that the host loads earlier."""
    folders = [Path(extension.path) for extension in extensions.active()]
    spelt = [_spelt(folder) for folder in folders]
    place = spelt.index(_spelt(own)) if _spelt(own) in spelt else -1
    for i, folder in enumerate(folders):
        if i != place and _has_our_scripts(folder) and (i < place or not _is_copy(folder)):
            yield folder


def _has_our_scripts(folder: Path) -> bool:
    return any((folder / "scripts" / f"{name}.py").is_file() for name in _SCRIPTS)


def _is_copy(folder: Path) -> bool:
    return (folder / _MARK).is_file()


def _spelt(path: Path) -> str:
    return os.path.normcase(os.path.abspath(path))


def _forget(ours: bool, own: Path) -> None:
    """Take modules out of Python's list, so that an import finds those of the extension that works: our own ones where
    we stand aside, those of others where we do not."""
    parent, lies_in_own = sys.modules.get("scripts"), _lying_in(own)
    for name, module in list(sys.modules.items()):
        package, _, part = name.partition(".")
        is_script = package == "scripts" and part in _SCRIPTS
        if (is_script or package == _PACKAGE) and lies_in_own(module) == ours:
            del sys.modules[name]
            if is_script and getattr(parent, part, None) is module:
                delattr(parent, part)


def _lying_in(own: Path) -> Callable[[object], bool]:
    """Tells of a module whether its file lies in a folder.

    Each script of ours asks that of some 200 modules when the host starts, so links are followed once for each folder.
    """
    real = functools.cache(os.path.realpath)
    inside = Path(real(own))

    def lies_in(module: object) -> bool:
        file = getattr(module, "__file__", None)
        return file is not None and Path(real(os.path.dirname(file))).is_relative_to(inside)

    return lies_in
