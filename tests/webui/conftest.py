import contextlib
import sys
from pathlib import Path

import pytest

from tests.running import webui

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "media"))  # its makers of clips


@pytest.fixture(autouse=True)
def _host_in_reach():
    """A test that looks into a host which runs elsewhere is left out."""
    with webui.host_out_of_reach() if webui.URL else contextlib.nullcontext():
        yield


if webui.URL:

    @pytest.fixture
    def monkeypatch(monkeypatch):
        """Nothing of a host that runs elsewhere can be replaced."""
        return webui.OutOfReach(monkeypatch)

    @pytest.fixture
    def caplog():
        """What a host that runs elsewhere logs is not heard."""
        return webui.OutOfReach()


@pytest.fixture
def client(pocket):
    """Requests to the running host."""
    from http_client import Client

    return Client(pocket)


@pytest.fixture
def film(pocket, tmp_path, monkeypatch):
    """Puts a FILM file where Deforum keeps it, or into a folder that is given; nothing lies in the other places."""
    from film_file import put

    from motion_module.webui.request import interpolation

    monkeypatch.setattr(interpolation.paths, "models_path", str(tmp_path / "models"))
    monkeypatch.setattr(interpolation, "DEFAULT_FOLDER", tmp_path / "own")

    def put_into(folder=tmp_path / "models" / "Deforum" / "film_interpolation", *name):
        return put(folder, *name)

    return put_into


@pytest.fixture
def forge(tmp_path):
    """The Forge host over the stand-in for Forge, with a tiny checkpoint; LoRA lie in `lora` of `tmp_path`."""
    from forge_stand_in.installed import forge_installed

    with forge_installed(tmp_path / "lora") as installed:
        yield installed
