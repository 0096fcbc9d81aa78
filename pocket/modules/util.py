"""Small helpers that both modules and extensions use."""

import os
import re
from collections.abc import Collection, Iterator, Mapping

from modules import shared
from modules.paths_internal import cwd

DIGITS = re.compile("([0-9]+)")


def natural_sort_key(s: str, regex: re.Pattern[str] = DIGITS) -> list[int | str]:
    """A sort key that puts 2 before 10."""
    return [int(text) if text.isdigit() else text.lower() for text in regex.split(s)]


def listfiles(dirname: str) -> list[str]:
    """Full paths of the files in a folder in natural order, without hidden ones."""
    names = sorted((name for name in os.listdir(dirname) if not name.startswith(".")), key=natural_sort_key)
    return [path for path in (os.path.join(dirname, name) for name in names) if os.path.isfile(path)]


def walk_files(path: str, allowed_extensions: Collection[str] | None = None) -> Iterator[str]:
    """Every file below `path`, folders and files in natural order; extensions are given as ".png".

    Hidden are folders inside of `path`, not those that it lies in (in the WebUI these, too).
    """
    for root, _, files in sorted(os.walk(path, followlinks=True), key=lambda item: natural_sort_key(item[0])):
        if not shared.opts.list_hidden_files and f"{os.sep}." in root[len(path) :]:
            continue
        for name in sorted(files, key=natural_sort_key):
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in allowed_extensions:
                yield os.path.join(root, name)


def ldm_print(*args: object) -> None:
    """Stand-in for ldm's `print`; silent unless the settings ask for it."""
    if not shared.opts.hide_ldm_prints:
        print(*args)


def truncate_path(target_path: str, base_path: str = cwd) -> str:
    """The path relative to `base_path` if it lies below it, else the absolute path."""
    target, base = os.path.abspath(target_path), os.path.abspath(base_path)
    try:
        below = os.path.commonpath([target, base]) == base
    except ValueError:  # on different drives
        below = False
    return os.path.relpath(target, base) if below else target


def topological_sort(dependencies: Mapping[str, Collection[str]]) -> list[str]:
    """Names ordered so that each comes after those it depends on.

    Args:
        dependencies: name -> names that come before it; unknown names and circles are ignored.
    """
    ordered: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        for earlier in dependencies[name]:
            if earlier in dependencies and earlier not in seen:
                visit(earlier)
        ordered.append(name)

    for name in dependencies:
        if name not in seen:
            visit(name)
    return ordered
