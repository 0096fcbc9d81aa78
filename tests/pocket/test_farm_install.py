"""Installing what the farm needs: on top, again when the environment is made anew, and for nobody else."""

import hashlib
import itertools
import json
from pathlib import Path

import interpreter
import pytest

import bootstrap
import cli
from commands import install


def constraints(call):
    return [Path(name).name for option, name in itertools.pairwise(call) if option == "-c"]


def test_farm_comes_on_top_and_stays_recorded(sandbox):
    sandbox.make()
    before = bootstrap.read_stamp(sandbox.layout)["run"]
    sandbox.make("farm")
    assert sandbox.installed[2:] == ["requirements-farm.txt"]
    assert constraints(sandbox.calls[-1]) == ["requirements.txt", "requirements-nodeps.txt"]
    assert set(bootstrap.read_stamp(sandbox.layout)) == {"run", "farm"}
    assert bootstrap.read_stamp(sandbox.layout)["run"] == before
    sandbox.make("test")
    assert set(bootstrap.read_stamp(sandbox.layout)) == {"run", "farm", "test"}
    calls = sandbox.calls
    sandbox.make("farm")
    assert sandbox.calls == calls


def test_who_never_uses_the_farm_installs_nothing_for_it(sandbox):
    """Not at first, and not when its list changes: the environment of before is as ready as it was."""
    sandbox.make()
    assert "requirements-farm.txt" not in sandbox.installed
    (sandbox.layout.lists / "requirements-farm.txt").write_text("another==1\n")
    assert bootstrap.is_ready(sandbox.layout)
    assert json.loads(sandbox.layout.stamp.read_text()) == {"run": bootstrap.lists_hash(sandbox.layout, "run")}


def test_the_run_hash_is_of_two_lists_only(sandbox):
    """So an environment that was made before there was a farm stays."""
    lists = [(sandbox.layout.lists / name).read_bytes() for name in ("requirements.txt", "requirements-nodeps.txt")]
    expected = hashlib.sha256(repr(interpreter.REQUIRED).encode() + b"\0".join(lists)).hexdigest()
    assert bootstrap.lists_hash(sandbox.layout, "run") == expected


def test_farm_comes_back_when_the_environment_is_made_anew(sandbox):
    sandbox.make("farm")
    (sandbox.layout.lists / "requirements.txt").write_text("another==1\n")
    sandbox.make()
    assert sandbox.installed[3:] == ["requirements.txt", "requirements-nodeps.txt", "requirements-farm.txt"]
    assert bootstrap.is_ready(sandbox.layout, ["farm"])


@pytest.mark.parametrize("interrupted_at", [1, 2, 3, 4])
def test_farm_comes_back_after_an_interruption(sandbox, monkeypatch, interrupted_at):
    sandbox.make("farm")
    (sandbox.layout.lists / "requirements.txt").write_text("another==1\n")
    count, run = iter(range(1, 100)), bootstrap._run_logged

    def interrupted(*args):
        run(*args)
        if next(count) == interrupted_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bootstrap, "_run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sandbox.make()
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout, ["farm"])


def test_farm_takes_up_its_changed_list_only_where_it_is_installed(sandbox, monkeypatch):
    monkeypatch.setattr(bootstrap, "inside", lambda layout: True)
    monkeypatch.delenv("POCKET_PYTHON", raising=False)
    bootstrap.enter_environment(["farm"], kept=["farm"], layout=sandbox.layout)
    assert "requirements-farm.txt" not in sandbox.installed
    bootstrap.enter_environment(["install", "farm"], wanted=["farm"], layout=sandbox.layout)
    assert sandbox.installed[2:] == ["requirements-farm.txt"]
    (sandbox.layout.lists / "requirements-farm.txt").write_text("another==1\n")
    bootstrap.enter_environment(["farm"], kept=["farm"], layout=sandbox.layout)
    assert sandbox.installed[3:] == ["requirements-farm.txt"]


def test_install_puts_it_into_the_current_python(sandbox, monkeypatch, capsys):
    """Without constraints: the packages of that Python stay as they are."""
    monkeypatch.setenv("POCKET_PYTHON", "current")
    monkeypatch.setattr(bootstrap.sys, "executable", str(sandbox.python))
    monkeypatch.setattr(install, "install_here", lambda part: bootstrap.install_here(part, sandbox.layout))
    assert cli.main(["install", "farm"]) == 0
    assert sandbox.installed == ["requirements-farm.txt"]
    assert constraints(sandbox.calls[-1]) == []
    assert capsys.readouterr().out == "pocket: farm is installed\n"


@pytest.mark.parametrize(
    ("argv", "needs"),
    [
        (["install", "farm"], {"wanted": ["farm"]}),
        (["test"], {"wanted": ["test"], "kept": []}),
        (["farm", "a.jsonl", "--out", "b"], {"wanted": [], "kept": ["farm"]}),
        (["demo"], {"wanted": [], "kept": []}),
    ],
)
def test_what_a_command_needs_of_the_environment(argv, needs):
    assert cli._needs(cli.parse(argv)) == needs
