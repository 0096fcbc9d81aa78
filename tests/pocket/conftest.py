"""What several files of these tests use."""

import pytest

import bootstrap
from tests.pocket.bootstrap_sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A place for the pocket's environment, and the fake interpreter that makes it."""
    made = Sandbox(tmp_path)
    monkeypatch.setattr(bootstrap, "find_python", lambda: str(made.python))
    return made
