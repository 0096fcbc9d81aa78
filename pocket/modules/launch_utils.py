"""What an extension's install.py reaches through `launch`: running commands, pip, and finding what is installed."""

import importlib.metadata
import importlib.util
import json
import os
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from modules import cmd_args, errors
from modules.paths_internal import extensions_dir, script_path

args, _ = cmd_args.parser.parse_known_args([])
python = sys.executable
git = os.environ.get("GIT", "git")
index_url = os.environ.get("INDEX_URL", "")
dir_repos = "repositories"
default_command_live = os.environ.get("WEBUI_LAUNCH_LIVE_OUTPUT") == "1"


def _git_says(*arguments: str) -> str:
    try:
        command = [git, "-C", script_path, *arguments]
        return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "<none>"


@lru_cache
def commit_hash() -> str:
    """The commit that is checked out, or `<none>`."""
    return _git_says("rev-parse", "HEAD")


@lru_cache
def git_tag() -> str:
    """The version's name by git, or `<none>`."""
    return _git_says("describe", "--tags", "--always")


def run(
    command: str,
    desc: str | None = None,
    errdesc: str | None = None,
    custom_env: dict[str, str] | None = None,
    live: bool = default_command_live,
) -> str:
    """Runs a shell command and returns what it printed (nothing when `live`).

    Raises:
        RuntimeError: it exited with another code than 0; the message holds its output.
    """
    if desc is not None:
        print(desc)
    pipe = None if live else subprocess.PIPE
    result = subprocess.run(
        command, shell=True, env=custom_env, stdout=pipe, stderr=pipe, encoding="utf-8", errors="ignore"
    )
    if result.returncode == 0:
        return result.stdout or ""
    facts = {"Command": command, "Error code": result.returncode, "stdout": result.stdout, "stderr": result.stderr}
    said = [f"{name}: {value}" for name, value in facts.items() if value]
    raise RuntimeError("\n".join([f"{errdesc or 'Error running command'}.", *said]))


def is_installed(package: str) -> bool:
    """Whether a distribution or an importable module of that name is there."""
    try:
        importlib.metadata.distribution(package)
        return True
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name
        return False


def run_pip(command: str, desc: str | None = None, live: bool = default_command_live) -> str | None:
    """Runs `pip COMMAND` with this Python, unless started with --skip-install.

    Raises:
        RuntimeError: pip failed.
    """
    if args.skip_install:
        return None
    index = f" --index-url {index_url}" if index_url else ""
    return run(
        f"{shlex.quote(python)} -m pip {command} --prefer-binary{index}",
        desc=f"Installing {desc}",
        errdesc=f"Couldn't install {desc}",
        live=live,
    )


def check_run_python(code: str) -> bool:
    """Whether this Python runs the code without an error."""
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def list_extensions(settings_file: str | None) -> list[str]:
    """Names of the extension folders that the settings do not switch off."""
    try:
        settings = json.loads(Path(settings_file).read_text(encoding="utf-8")) if settings_file else {}
    except (OSError, ValueError):
        settings = {}
    everything_off = settings.get("disable_all_extensions", "none") != "none" or args.disable_all_extensions
    if everything_off or args.disable_extra_extensions or not os.path.isdir(extensions_dir):
        return []
    disabled = set(settings.get("disabled_extensions", []))
    return [name for name in sorted(os.listdir(extensions_dir)) if name not in disabled]


def run_extension_installer(extension_dir: str) -> None:
    """Runs an extension's install.py in a process of its own, with `launch` importable; a failure is only reported."""
    installer = os.path.join(extension_dir, "install.py")
    if not os.path.isfile(installer):
        return
    paths = [script_path, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        command = f"{shlex.quote(python)} {shlex.quote(installer)}"
        said = run(command, errdesc=f"Error running install.py for extension {extension_dir}", custom_env=environment)
    except RuntimeError as error:
        errors.report(str(error))
        return
    if said.strip():
        print(said.strip())
