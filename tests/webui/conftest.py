import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "media"))  # its makers of clips


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
