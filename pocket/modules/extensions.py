"""The extensions: folders with `scripts/*.py` and perhaps a `metadata.ini`.

WebUI looks for them in one folder; here they are listed one by one (`directories`), after the built-in ones,
because the extension under test is the repository that this host is a part of.
"""

import configparser
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from modules import errors, paths_internal, shared

REPOSITORY = os.path.dirname(paths_internal.script_path)
REPOSITORY_NAME = "animatediff"
"""The repository's folder may have any name; as an extension it always has this one."""

CALLBACKS = "callbacks/"

BUNDLED = os.path.join(paths_internal.script_path, "extensions")
"""Extensions that come with this host and are not built in: they load in alphabetical order with all others."""

CONTROLNET = os.path.join(BUNDLED, "sd-webui-controlnet")
"""Loaded when there is a folder of control models."""

directories: list[str] = []
extensions: list["Extension"] = []
extension_paths: dict[str, "Extension"] = {}
loaded_extensions: dict[str, "Extension"] = {}


class ScriptFile(NamedTuple):
    """A script: the folder that goes on `sys.path` while it loads, its name and its path."""

    basedir: str
    filename: str
    path: str


class CallbackOrderInfo(NamedTuple):
    """A callback, and the callbacks it wants to run before and after."""

    name: str
    before: list[str]
    after: list[str]


def words(text: str) -> list[str]:
    """The words of a metadata field, separated by blanks or commas."""
    return [word for word in re.split(r"[,\s]+", text) if word]


class ExtensionMetadata:
    """What an extension's `metadata.ini` says about its name and the order of scripts and callbacks."""

    filename = "metadata.ini"

    def __init__(self, path: str, canonical_name: str) -> None:
        self.config = configparser.ConfigParser()
        with errors.swallowed(f"Error reading {self.filename} for extension {canonical_name}."):
            self.config.read(os.path.join(path, self.filename))
        self.canonical_name = self.config.get("Extension", "Name", fallback=canonical_name).lower().strip()

    def get_script_requirements(self, field: str, section: str, extra_section: str | None = None) -> list[str]:
        """The names in `field` ("Requires", "Before", "After") of one or two sections; of `a|b`, the one there is."""
        sections = [section] if extra_section is None else [section, extra_section]
        found = words(" ".join(self.config.get(name, field, fallback="").lower() for name in sections))
        return [next((name for name in word.split("|") if name in loaded_extensions), word) for word in found]

    def list_callback_order_instructions(self) -> Iterator[CallbackOrderInfo]:
        """The wishes about the order of this extension's own callbacks."""
        for section in self.config.sections():
            name = section.removeprefix(CALLBACKS)
            if name != section and name.startswith(self.canonical_name):
                before, after = (words(self.config.get(section, key, fallback="")) for key in ("Before", "After"))
                yield CallbackOrderInfo(name, before, after)


@dataclass
class Extension:
    """One extension's folder."""

    name: str
    path: str
    enabled: bool = True
    is_builtin: bool = False
    version: str = ""
    branch: str | None = None
    remote: str | None = None
    commit_hash: str = ""
    commit_date: int | None = None
    metadata: ExtensionMetadata = field(init=False)

    def __post_init__(self) -> None:
        self.metadata = ExtensionMetadata(self.path, self.name)
        self.canonical_name = self.metadata.canonical_name

    def read_info_from_repo(self) -> None:
        """This host asks git nothing; version and remote stay empty."""

    def list_files(self, subdir: str, extension: str) -> list[ScriptFile]:
        """The files of a sub-folder with this file extension (".py"), in alphabetical order."""
        folder = os.path.join(self.path, subdir)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        files = [ScriptFile(self.path, name, os.path.join(folder, name)) for name in names]
        return [file for file in files if file.path.lower().endswith(extension) and os.path.isfile(file.path)]


def active() -> list[Extension]:
    """The extensions that are on."""
    if shared.cmd_opts.disable_all_extensions or shared.opts.disable_all_extensions == "all":
        return []
    only_builtin = shared.cmd_opts.disable_extra_extensions or shared.opts.disable_all_extensions == "extra"
    return [extension for extension in extensions if extension.enabled and (extension.is_builtin or not only_builtin)]


def _builtin_directories() -> list[str]:
    base = paths_internal.extensions_builtin_dir
    found = [os.path.join(base, name) for name in sorted(os.listdir(base))] if os.path.isdir(base) else []
    return [path for path in found if os.path.isdir(path)]


def _name_of(path: str) -> str:
    same = os.path.realpath(path) == os.path.realpath(REPOSITORY)
    return REPOSITORY_NAME if same else os.path.basename(os.path.normpath(path))


def list_extensions() -> None:
    """Look at the folders again and fill `extensions`; of two with one name the first counts."""
    extensions.clear()
    extension_paths.clear()
    loaded_extensions.clear()
    builtin = _builtin_directories()
    for path in [*builtin, *sorted(directories, key=_name_of)]:
        name = _name_of(path)
        extension = Extension(name, path, name not in shared.opts.disabled_extensions, path in builtin)
        if extension.canonical_name in loaded_extensions:
            errors.report(f'There are two extensions named "{extension.canonical_name}"; {path} is left out.')
            continue
        extensions.append(extension)
        extension_paths[os.path.realpath(path)] = extension
        loaded_extensions[extension.canonical_name] = extension


def find_extension(filename: str) -> Extension | None:
    """The extension that a file belongs to; the host's own files belong to none."""
    path = os.path.realpath(filename)
    own = (paths_internal.extensions_builtin_dir + os.sep, BUNDLED + os.sep)
    if path.startswith(paths_internal.script_path + os.sep) and not path.startswith(own):
        return None
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        if path in extension_paths:
            return extension_paths[path]
    return None
