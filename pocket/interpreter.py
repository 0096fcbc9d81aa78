"""Finds a Python of the version that the pocket's packages are made for. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REQUIRED = (3, 11)


class PocketError(Exception):
    """Something the person can put right; the message is one sentence that says how."""


def _pyenv_pythons() -> Iterator[str]:
    roots = [os.environ.get("PYENV_ROOT", ""), str(Path.home() / ".pyenv")]
    for root in filter(None, roots):
        versions = Path(root, "versions").glob("{}.{}.*".format(*REQUIRED))
        yield from (str(folder / "bin" / "python") for folder in sorted(versions, reverse=True))


def candidates() -> Iterator[str]:
    """Interpreters to try, best first: the running one, the one on PATH, those of pyenv."""
    name = "python{}.{}".format(*REQUIRED)
    if sys.version_info[:2] == REQUIRED:
        yield sys.executable
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=folder) if folder else None
        if found:
            yield found
    yield from _pyenv_pythons()


def works(python: str) -> bool | None:
    """True: fits. None: the right version, but it cannot make environments. False: no, or no Python at all."""
    check = "import sys; print(*sys.version_info[:2]); import venv, ensurepip; print('whole')"
    try:
        result = subprocess.run([python, "-c", check], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if result.stdout.split()[:2] != [str(number) for number in REQUIRED]:
        return False
    return True if "whole" in result.stdout else None


def find_python() -> str:
    """Path of a Python that can make the environment.

    Raises:
        PocketError: there is none.
    """
    lame = None
    for python in candidates():
        verdict = works(python)
        if verdict:
            return python
        if verdict is None:
            lame = lame or python
    wanted = "{}.{}".format(*REQUIRED)
    if lame:
        raise PocketError(f"{lame} cannot make environments; install its venv module (python{wanted}-venv on Debian).")
    here = "{}.{}".format(*sys.version_info[:2])
    raise PocketError(f"needs Python {wanted}, but this is {here} and no python{wanted} was found; install it.")
