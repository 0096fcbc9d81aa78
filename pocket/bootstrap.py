"""Makes the pocket's environment (`.venv` in the repository) and goes on inside it. Standard library only.

An environment is whole when its stamp is there: the stamp is written last and holds a hash of the lists it was made
from. While it is being made a marker lies in it instead, so one that was interrupted is known and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from interpreter import REQUIRED, PocketError, find_python
from telling import say as say

import stopping
from pip_reasons import os_reason, pip_reason

POCKET = Path(__file__).resolve().parent
ROOT = POCKET.parent
SPACE_NEEDED = 3 * 2**30
"""Bytes that must be free before the environment is made: it takes about 2 GB, and pip unpacks beside it."""
LISTS = {
    "run": ("requirements.txt", "requirements-nodeps.txt"),
    "test": ("requirements-test.txt", "requirements-farm.txt"),
    "farm": ("requirements-farm.txt",),
}
"""The package lists of each part of the environment: `run` is always there, the others when somebody wants them."""


@dataclass(frozen=True)
class Layout:
    """Where everything lies; tests put it elsewhere."""

    venv: Path = ROOT / ".venv"
    cache: Path = ROOT / ".pocket"
    lists: Path = POCKET

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """Says that the environment is whole, and from which lists it was made."""
        return self.venv / "pocket-stamp.json"

    @property
    def marker(self) -> Path:
        """Lies in an environment that is not whole yet."""
        return self.venv / "pocket-unfinished"

    @property
    def log(self) -> Path:
        """What pip said."""
        return self.cache / "install.log"


def lists_hash(layout: Layout, part: str) -> str:
    """Hash of the package lists of a part of the environment (`LISTS`)."""
    text = b"\0".join((layout.lists / name).read_bytes() for name in LISTS[part])
    return hashlib.sha256(repr(REQUIRED).encode() + text).hexdigest()


def read_stamp(layout: Layout) -> dict[str, str]:
    """The hash of each part that is installed, empty when there is no whole environment."""
    if layout.marker.exists() or not layout.python.exists():
        return {}
    return _read_hashes(layout.stamp)


def _read_hashes(file: Path) -> dict[str, str]:
    try:
        hashes = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


def is_ready(layout: Layout, wanted: Collection[str] = ()) -> bool:
    """Whether the environment is whole, has the wanted parts, and was made from the lists as they are now."""
    stamp = read_stamp(layout)
    return all(stamp.get(part) == lists_hash(layout, part) for part in ("run", *wanted))


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Keeps a second command from making the same environment; the system frees the lock however this one ends."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with open(layout.cache / "environment.lock", "a+b") as file:
        if not _try_lock(file):
            say("waiting for another command that is making the environment")
            _wait_lock(file)
        yield


def _try_lock(file: IO[bytes]) -> bool:
    if os.name == "nt":
        import msvcrt

        file.seek(0)
        with contextlib.suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return True
        return False
    import fcntl

    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _wait_lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        import time

        while not _try_lock(file):
            time.sleep(0.5)
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)


def make_environment(layout: Layout, wanted: Collection[str] = ()) -> None:
    """Makes or completes the environment; does nothing when it is ready.

    Args:
        wanted: parts (`LISTS`) besides `run`. Of an environment that is made anew, `farm` comes back unasked.

    Raises:
        PocketError: no fitting Python, no room, or pip failed; the sentence says what to do.
    """
    with locked(layout):
        if is_ready(layout, wanted):
            return
        try:
            stamp = read_stamp(layout)
            if stamp.get("run") != lists_hash(layout, "run"):
                wanted = {*wanted, *_comes_back(layout)}
                stamp = {}
                _new_venv(layout, wanted)
            _install(layout, stamp, wanted)
        except OSError as error:
            raise PocketError(f"the environment in {layout.venv} could not be made: {os_reason(error)}") from error


def _comes_back(layout: Layout) -> set[str]:
    """What the person had installed besides: in the stamp, or in the marker of an installation that broke off."""
    return {"farm"} & {*_read_hashes(layout.stamp), *_read_hashes(layout.marker)}


def _mark(layout: Layout, wanted: Collection[str]) -> None:
    """The marker says what was wanted: the stamp, which says so otherwise, goes with the old environment."""
    layout.marker.write_text(json.dumps(dict.fromkeys(sorted(wanted), "")), encoding="utf-8")


def _new_venv(layout: Layout, wanted: Collection[str]) -> None:
    """An empty environment with the marker in it, in place of any that this file made before."""
    if layout.venv.exists():
        if not (layout.marker.exists() or layout.stamp.exists()):
            raise PocketError(f"{layout.venv} was not made by pocket; rename or remove it and run the command again.")
        say("the environment in .venv is out of date or unfinished: making it again")
        # The marker must outlive the rest of the folder, or an interrupted removal would look like someone else's.
        _mark(layout, wanted)
        _empty(layout)
    python = find_python()
    free = shutil.disk_usage(layout.venv.parent).free
    if free < SPACE_NEEDED:
        raise PocketError(f"{free / 2**30:.1f} GB are free on the disk of {layout.venv.parent}; 3 GB are needed.")
    layout.venv.mkdir(exist_ok=True)
    _mark(layout, wanted)
    say(f"making an environment in {layout.venv} with {python}")
    _run_logged([str(python), "-m", "venv", str(layout.venv)], layout, "making the environment")


def _empty(layout: Layout) -> None:
    for entry in layout.venv.iterdir():
        if entry == layout.marker:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _install(layout: Layout, stamp: dict[str, str], wanted: Collection[str]) -> None:
    """Installs the parts that the stamp does not cover, then writes the stamp."""
    _mark(layout, {*wanted, *stamp})
    if "run" not in stamp:
        say("installing the packages of pocket/requirements.txt (a few minutes at most)")
        _pip(layout, "-r", str(layout.lists / "requirements.txt"))
        _pip(layout, "--no-deps", "-r", str(layout.lists / "requirements-nodeps.txt"))
        stamp = {"run": lists_hash(layout, "run")}
    for part in LISTS:
        if part in wanted and stamp.get(part) != lists_hash(layout, part):
            _install_part(layout, part)
            stamp = {**stamp, part: lists_hash(layout, part)}
    unfinished = layout.stamp.with_suffix(".tmp")
    unfinished.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(unfinished, layout.stamp)
    layout.marker.unlink()
    say("the environment is ready")


def _install_part(layout: Layout, part: str) -> None:
    say(f"installing the packages of pocket/{LISTS[part][0]}")
    lists = [word for name in LISTS[part] for word in ("-r", str(layout.lists / name))]
    constraints = [word for name in LISTS["run"] for word in ("-c", str(layout.lists / name))]
    _pip(layout, *lists, *constraints)


def install_here(part: str, layout: Layout | None = None) -> None:
    """Installs a part into the running Python, whose packages stay as they are, as `POCKET_PYTHON=current` says.

    Raises:
        PocketError: pip failed.
    """
    layout = layout or Layout()
    layout.cache.mkdir(parents=True, exist_ok=True)
    lists = [word for name in LISTS[part] for word in ("-r", str(layout.lists / name))]
    _pip(layout, *lists, python=sys.executable)


def _pip(layout: Layout, *arguments: str, python: str = "") -> None:
    # Compiling every module takes longer than compiling the few that are imported, when they are.
    command = [python or str(layout.python), "-m", "pip", "install", "--no-input", "--prefer-binary", "--no-compile"]
    _run_logged([*command, "--disable-pip-version-check", *arguments], layout, "installing packages")


def _run_logged(command: list[str], layout: Layout, doing: str) -> None:
    """Runs a command with its output in the log.

    Raises:
        PocketError: it failed; the sentence gives the reason found in its output.
    """
    with open(layout.log, "w+", encoding="utf-8", errors="replace") as log:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
        if code == 0:
            return
        log.seek(0)
        output = log.read()
    raise PocketError(f"{doing} failed: {pip_reason(output)} (all output: {layout.log})")


def inside(layout: Layout) -> bool:
    """Whether this process runs in the environment."""
    return Path(sys.prefix).resolve() == layout.venv.resolve()


def uses_current() -> bool:
    """Whether the person says that the running Python has all that is needed (`POCKET_PYTHON=current`)."""
    return os.environ.get("POCKET_PYTHON") == "current"


def enter_environment(
    argv: list[str], wanted: Collection[str] = (), kept: Collection[str] = (), layout: Layout | None = None
) -> None:
    """Returns only inside a ready environment; makes it and starts the command again in it otherwise.

    Args:
        wanted: parts of the environment (`LISTS`) that the command cannot do without.
        kept: parts that it uses as the lists are now, where they had been installed.
    """
    layout = layout or Layout()
    # Threads that spin while they wait starve each other where cores are few.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if uses_current():
        return
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Without compiled files every start takes half a minute; kept in the environment they are in nobody's way.
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(layout.venv / "pycache"))
    wanted = {*wanted, *(part for part in kept if part in read_stamp(layout))}
    if not is_ready(layout, wanted):
        make_environment(layout, wanted)
    if not inside(layout):
        _restart(layout, argv)


def _restart(layout: Layout, argv: list[str]) -> NoReturn:
    command = [str(layout.python), str(POCKET), *argv]
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)  # exec does not wait on Windows
    sys.stdout.flush()
    with stopping.blocked():
        os.execv(command[0], command)
