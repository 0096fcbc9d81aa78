"""Loading scripts, and the two tabs' runners.

Every `scripts/*.py` of the host and its extensions is executed by its path, with the extension's folder on
`sys.path` only while its own script loads.
"""

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple

from modules import errors, extensions, paths_internal, script_callbacks, script_loading, timer, util
from modules.extensions import ScriptFile
from modules.script_base import (  # noqa: F401
    AlwaysVisible,
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
    Script,
    ScriptBuiltinUI,
)
from modules.script_runner import ScriptRunner

topological_sort = util.topological_sort


class ScriptClassData(NamedTuple):
    """A loaded script class and where it comes from."""

    script_class: type[Script]
    path: str
    basedir: str
    module: ModuleType


@dataclass
class ScriptWithDependencies:
    """A script file, and the names of those to be loaded before and after it."""

    script_canonical_name: str
    file: ScriptFile
    load_before: list[str] = field(default_factory=list)
    load_after: list[str] = field(default_factory=list)


scripts_data: list[ScriptClassData] = []
postprocessing_scripts_data: list[ScriptClassData] = []
scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()

_loading: list[str] = []


def basedir() -> str:
    """The folder of the extension whose script is being loaded right now; else the host's own."""
    return _loading[-1] if _loading else paths_internal.script_path


def _own_scripts(folder: str) -> list[ScriptWithDependencies]:
    path = os.path.join(paths_internal.script_path, folder)
    names = sorted(os.listdir(path)) if os.path.isdir(path) else []
    files = [ScriptFile(paths_internal.script_path, name, os.path.join(path, name)) for name in names]
    return [ScriptWithDependencies(file.filename, file) for file in files if file.filename.endswith(".py")]


def _extension_scripts(folder: str, suffix: str) -> Iterator[tuple[str, ScriptWithDependencies]]:
    for extension in extensions.active():
        for file in extension.list_files(folder, suffix):
            asks = extension.metadata.get_script_requirements
            section = f"{folder}/{file.filename}"
            name = f"{'builtin/' if extension.is_builtin else ''}{extension.canonical_name}/{file.filename}"
            before, after = asks("Before", section, folder), asks("After", section, folder)
            yield extension.canonical_name, ScriptWithDependencies(name, file, before, after)


def list_scripts(scriptdirname: str, extension: str, *, include_extensions: bool = True) -> list[ScriptFile]:
    """The script files of the host, then of its extensions, reordered where their metadata ask for it."""
    scripts = {script.script_canonical_name: script for script in _own_scripts(scriptdirname)}
    of_extension: dict[str, list[str]] = {}
    for owner, script in _extension_scripts(scriptdirname, extension) if include_extensions else ():
        scripts[script.script_canonical_name] = script
        of_extension.setdefault(owner, []).append(script.script_canonical_name)

    def names(wanted: str) -> list[str]:
        return [wanted] if wanted in scripts else of_extension.get(wanted, [])

    earlier = {name: [one for wanted in script.load_after for one in names(wanted)] for name, script in scripts.items()}
    for name, script in scripts.items():
        for wanted in script.load_before:
            for later in names(wanted):
                earlier[later].append(name)
    return [scripts[name].file for name in topological_sort(earlier)]


@contextlib.contextmanager
def _loading_from(folder: str) -> Iterator[None]:
    """`folder` is what `basedir()` says and, if it is an extension's, first on `sys.path`."""
    path = sys.path
    if folder != paths_internal.script_path:
        sys.path = [folder, *path]
    _loading.append(folder)
    try:
        yield
    finally:
        _loading.pop()
        sys.path = path


def _load(file: ScriptFile) -> None:
    with errors.swallowed(f"Error loading script: {file.filename}"), _loading_from(file.basedir):
        module = script_loading.load_module(file.path)
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, Script):
                scripts_data.append(ScriptClassData(value, file.path, file.basedir, module))
    timer.startup_timer.record(file.filename)


def load_scripts() -> None:
    """Execute all scripts anew, and start both tabs without any."""
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    own = list_scripts("modules/processing_scripts", ".py", include_extensions=False)
    for file in [*list_scripts("scripts", ".py"), *own]:
        _load(file)
    scripts_txt2img.__init__()  # type: ignore[misc]
    scripts_img2img.__init__()  # type: ignore[misc]


def list_files_with_name(filename: str) -> list[str]:
    """The paths of files of this name, in the host's folder and the active extensions'."""
    folders = [paths_internal.script_path, *(extension.path for extension in extensions.active())]
    found = [os.path.join(folder, filename) for folder in folders]
    return [path for path in found if os.path.isfile(path)]


reload_scripts = load_scripts
