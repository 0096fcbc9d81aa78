"""Installs what requirements.txt lists and this Python lacks.

The WebUI runs this file at every start, in a process of its own, with its `launch` module importable.
Everything that is installed already stays at its version: the WebUI's own packages are held by a constraints file.
"""

import importlib.metadata
import sys
import tempfile
from pathlib import Path

import launch

try:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version
except ImportError:  # a venv without packaging still has pip's copy of it
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
    from pip._vendor.packaging.version import InvalidVersion, Version

REQUIREMENTS = Path(__file__).resolve().with_name("requirements.txt")


def read_requirements(path: Path) -> list[Requirement]:
    """The requirements in a file, without comments and blank lines."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def is_met(requirement: Requirement) -> bool:
    """Whether the package is installed at a version that the requirement admits."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def installed_pins(leave_out: set[str]) -> list[str]:
    """`name==version` of every installed package except those in `leave_out` (lower case)."""
    pins: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and is_valid(distribution.version) and name.lower() not in leave_out:
            # The first one found is the one that is imported, when an update left two behind.
            pins.setdefault(name.lower(), f"{name}=={distribution.version}")
    return sorted(pins.values())


def is_valid(version: str | None) -> bool:
    """Whether pip admits the version in a constraints file; it refuses the whole file for one that it cannot read."""
    try:
        return bool(version and Version(version))
    except InvalidVersion:
        return False


def reason_of(error: Exception) -> str:
    """The line of pip's output that says why, or the first line there is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    return (errors or lines or ["no reason given"])[0]


def install(missing: list[Requirement]) -> None:
    """Installs the packages through the WebUI's pip, changing no other installed package.

    Raises:
        RuntimeError: pip failed.
    """
    names = ", ".join(requirement.name for requirement in missing)
    wanted = " ".join(f'"{requirement}"' for requirement in missing)
    pins = installed_pins({requirement.name.lower() for requirement in missing})
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
        launch.run_pip(f'install {wanted} --constraint "{constraints}"', f"{names} for AnimateDiff")


def main() -> int:
    """Installs what is missing; returns the exit code."""
    try:
        missing = [requirement for requirement in read_requirements(REQUIREMENTS) if not is_met(requirement)]
    except (OSError, InvalidRequirement) as error:
        print(f"AnimateDiff: {REQUIREMENTS} cannot be read ({error}); install the extension again.", file=sys.stderr)
        return 1
    if not missing:
        return 0
    try:
        install(missing)
    except (RuntimeError, OSError) as error:
        wanted = " ".join(f'"{requirement}"' for requirement in missing)
        print(
            f"AnimateDiff: could not install {wanted} ({reason_of(error)}); "
            f"check the network and run: {sys.executable} -m pip install {wanted}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
