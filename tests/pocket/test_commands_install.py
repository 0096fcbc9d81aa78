"""install.py as the WebUI runs it, with a `launch` that notes what is asked of it."""

import importlib.metadata
import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pip(monkeypatch):
    """The commands given to `launch.run_pip`, and the constraints they named."""
    noted = types.SimpleNamespace(commands=[], constraints="", error=None)

    def run_pip(command, desc=None, live=False):
        noted.commands.append(command)
        noted.constraints = Path(re.search(r'--constraint "([^"]+)"', command)[1]).read_text()
        if noted.error:
            raise noted.error

    monkeypatch.setitem(sys.modules, "launch", types.SimpleNamespace(run_pip=run_pip))
    return noted


@pytest.fixture
def install(pip):
    spec = importlib.util.spec_from_file_location("animatediff_install", ROOT / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def versions(monkeypatch):
    """Versions that `importlib.metadata` claims for some packages; None: not installed."""
    claimed = {}
    real = importlib.metadata.version

    def version(name):
        if name not in claimed:
            return real(name)
        if claimed[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return claimed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return claimed


def test_nothing_is_done_when_all_is_there(install, pip, versions):
    versions.update({"imageio-ffmpeg": "0.4.9"})
    assert install.main() == 0
    assert pip.commands == []


def test_missing_package_is_installed_and_nothing_else_changes(install, pip, versions):
    versions.update({"imageio-ffmpeg": None})
    assert install.main() == 0
    (command,) = pip.commands
    assert command.startswith('install "imageio-ffmpeg<0.9,>=0.4.9" --constraint')
    pins = pip.constraints.splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in pins
    assert any(pin.startswith("torch==") for pin in pins)
    assert not any(pin.startswith("imageio-ffmpeg==") for pin in pins)
    assert len({pin.split("==")[0].lower() for pin in pins}) == len(pins)


def test_package_out_of_range_is_replaced(install, pip, versions, tmp_path, monkeypatch):
    monkeypatch.setattr(install, "REQUIREMENTS", tmp_path / "requirements.txt")
    install.REQUIREMENTS.write_text("one-package>=2.31,<3\nanother>=0.4\n")
    versions.update({"one-package": "2.9.0", "another": "0.6.0"})
    assert install.main() == 0
    assert '"one-package<3,>=2.31"' in pip.commands[0]
    assert "another" not in pip.commands[0]


def test_a_package_with_a_strange_version_holds_up_nothing(install, pip, versions, monkeypatch):
    """pip refuses a constraints file as a whole for one version that it cannot read."""
    versions.update({"imageio-ffmpeg": None})
    odd = types.SimpleNamespace(metadata={"Name": "odd"}, version="unknown-1")
    good = types.SimpleNamespace(metadata={"Name": "good"}, version="1.0+cu121")
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [odd, good])
    assert install.main() == 0
    assert pip.constraints == "good==1.0+cu121\n"


def test_failure_is_one_sentence(install, pip, versions, capsys):
    versions.update({"imageio-ffmpeg": None})
    pip.error = RuntimeError(
        "Couldn't install it.\nstderr: noise\nERROR: No matching distribution found for imageio-ffmpeg"
    )
    assert install.main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "No matching distribution found for imageio-ffmpeg" in said.err
    assert "-m pip install" in said.err


def test_torch_is_never_asked_for():
    names = {requirement.name.lower() for requirement in _requirements("requirements.txt")}
    assert names == {"imageio-ffmpeg"}


def test_pocket_pins_lie_in_the_ranges():
    pins = {requirement.name: requirement for requirement in _requirements("pocket/requirements.txt")}
    for requirement in _requirements("requirements.txt"):
        (pin,) = pins[requirement.name].specifier
        assert requirement.specifier.contains(pin.version)


def _requirements(name):
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line]
