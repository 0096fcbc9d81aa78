"""What several files of these tests use."""

import pytest

import bootstrap
from tests.pocket.bootstrap_sandbox import Sandbox
from tests.pocket.farm_fakes import Running
from tests.pocket.webui_stand_in import StandIn


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A place for the pocket's environment, and the fake interpreter that makes it."""
    made = Sandbox(tmp_path)
    monkeypatch.setattr(bootstrap, "find_python", lambda: str(made.python))
    return made


@pytest.fixture
def running(tmp_path):
    started = []

    def start(*words):
        started.append(Running(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()
        one.errors.close()


@pytest.fixture
def stand_in():
    started = []

    def start(*answers, **how):
        started.append(StandIn(*answers, **how))
        return started[-1]

    yield start
    for one in started:
        one.stop()
