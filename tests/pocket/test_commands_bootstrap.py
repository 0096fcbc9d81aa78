"""Making the pocket's environment: once, again after an interruption, and what is said when it cannot be."""

import os
import runpy
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import interpreter
import pytest

import bootstrap
import cli
from bootstrap import PocketError

POCKET = Path(bootstrap.__file__).parent


def test_environment_is_made_once(sandbox, capsys):
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)
    assert not sandbox.layout.marker.exists()
    assert sandbox.installed == ["requirements.txt", "requirements-nodeps.txt"]
    assert "--no-deps" in sandbox.calls[-1]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all(line.startswith("pocket: ") for line in said)

    calls = sandbox.calls
    sandbox.make()
    assert sandbox.calls == calls
    assert capsys.readouterr().out == ""


def test_test_packages_come_on_top(sandbox):
    sandbox.make()
    assert not bootstrap.is_ready(sandbox.layout, ["test"])
    sandbox.make("test")
    assert sandbox.installed[2:] == ["requirements-test.txt", "requirements-farm.txt"]
    assert bootstrap.is_ready(sandbox.layout, ["test"])
    assert bootstrap.is_ready(sandbox.layout)


def test_changed_list_makes_it_again(sandbox):
    sandbox.make()
    left_over = sandbox.layout.venv / "old-package"
    left_over.touch()
    (sandbox.layout.lists / "requirements.txt").write_text("another==1\n")
    assert not bootstrap.is_ready(sandbox.layout)
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)
    assert not left_over.exists()


@pytest.mark.parametrize("interrupted_at", [1, 2, 3])
def test_interrupted_installation_starts_anew(sandbox, monkeypatch, interrupted_at):
    run = bootstrap._run_logged
    count = iter(range(1, 100))

    def interrupted(*args):
        run(*args)
        if next(count) == interrupted_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "_run_logged", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox.make()
    assert not bootstrap.is_ready(sandbox.layout)
    half_done = sandbox.layout.venv / "half-done-package"
    half_done.touch()

    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)
    assert not half_done.exists()


def test_killed_process_leaves_nothing_locked(sandbox):
    sandbox.order.write_text("kill")
    script = f"""
        import sys; sys.path.insert(0, {str(POCKET)!r})
        import bootstrap; from pathlib import Path
        bootstrap.find_python = lambda: {str(sandbox.python)!r}
        folder = Path({str(sandbox.layout.lists)!r})
        bootstrap.make_environment(bootstrap.Layout(folder / ".venv", folder / ".pocket", folder))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert killed.returncode == -9
    assert sandbox.layout.marker.exists()
    assert not bootstrap.is_ready(sandbox.layout)
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)


def test_interrupted_removal_is_known_as_ours(sandbox, monkeypatch):
    sandbox.make()
    (sandbox.layout.lists / "requirements.txt").write_text("another==1\n")

    def fails(layout):
        layout.stamp.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bootstrap, "_empty", fails)
        with pytest.raises(KeyboardInterrupt):
            sandbox.make()
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)


def test_someone_elses_environment_is_left_alone(sandbox):
    sandbox.layout.venv.mkdir()
    own = sandbox.layout.venv / "mine"
    own.touch()
    with pytest.raises(PocketError, match="was not made by pocket"):
        sandbox.make()
    assert own.exists()
    assert sandbox.calls == []


def test_two_commands_make_it_once(sandbox):
    threads = [threading.Thread(target=sandbox.make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bootstrap.is_ready(sandbox.layout)
    assert sandbox.installed == ["requirements.txt", "requirements-nodeps.txt"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for torch==2.13.0",
            "could not be reached; check the network",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: No matching distribution found for torch==99", "No matching distribution found for torch==99"),
        ("Killed", "pip gave no reason"),
    ],
)
def test_pip_failure_is_one_sentence(sandbox, output, sentence):
    sandbox.order.write_text(output)
    with pytest.raises(PocketError) as caught:
        sandbox.make()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert output in sandbox.layout.log.read_text()
    sandbox.make()
    assert bootstrap.is_ready(sandbox.layout)


def test_full_disk_is_said_before_anything_is_made(sandbox, monkeypatch):
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(PocketError, match="3 GB are needed"):
        sandbox.make()
    assert sandbox.calls == []


def test_wrong_python_is_one_sentence(tmp_path, monkeypatch):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3 9\necho whole\n")
    other.chmod(0o755)
    monkeypatch.setattr(interpreter, "candidates", lambda: iter([str(other), str(tmp_path / "missing")]))
    with pytest.raises(PocketError, match=r"needs Python 3\.11"):
        interpreter.find_python()


def test_python_without_venv_is_named(tmp_path, monkeypatch):
    lame = tmp_path / "python3.11"
    lame.write_text("#!/bin/sh\necho 3 11\nexit 1\n")
    lame.chmod(0o755)
    monkeypatch.setattr(interpreter, "candidates", lambda: iter([str(lame)]))
    with pytest.raises(PocketError, match="cannot make environments; install its venv module"):
        interpreter.find_python()


def test_python_on_path_is_used_when_another_runs(tmp_path, monkeypatch):
    fitting = tmp_path / "python3.11"
    fitting.write_text("#!/bin/sh\necho 3 11\necho whole\n")
    fitting.chmod(0o755)
    monkeypatch.setattr(interpreter.sys, "version_info", (3, 13, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreter.find_python() == str(fitting)


def test_pyenv_is_searched(tmp_path, monkeypatch):
    for version in ("3.10.1", "3.11.2"):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {version[0]} {version[2:4]}\necho whole\n")
        python.chmod(0o755)
    monkeypatch.setattr(interpreter.sys, "version_info", (3, 13, 0))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreter.find_python() == str(tmp_path / "versions" / "3.11.2" / "bin" / "python")


def test_old_python_is_told_at_once(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 6, 9))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11, but this is 3\.6"):
        runpy.run_path(str(POCKET / "__main__.py"), run_name="__main__")


def test_command_goes_on_inside_the_environment(sandbox, monkeypatch):
    sandbox.make()
    started = []

    def execv(path, command):
        started.append((path, command))
        raise SystemExit(0)

    monkeypatch.setattr(bootstrap.os, "execv", execv)
    for name in ("OMP_WAIT_POLICY", "POCKET_PYTHON", "PYTHONPYCACHEPREFIX"):
        monkeypatch.setenv(name, "")  # so that it is put back, also when it was not there
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    with pytest.raises(SystemExit):
        bootstrap.enter_environment(["demo", "--frames", "8"], layout=sandbox.layout)
    assert started == [(str(sandbox.layout.python), [str(sandbox.layout.python), str(POCKET), "demo", "--frames", "8"])]
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ
    assert os.environ["PYTHONPYCACHEPREFIX"] == str(sandbox.layout.venv / "pycache")


@pytest.mark.parametrize(
    "argv", [["demo", "--frames", "0"], ["serve", "--port", "70000"], ["generate", "x.json"], ["install", "torch"], []]
)
def test_wrong_arguments_make_no_environment(argv, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "enter_environment", lambda *args, **kwargs: pytest.fail("asked for it"))
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert "usage: python3 pocket" in capsys.readouterr().err


def test_pytest_arguments_are_handed_on():
    args = cli.parse(["test", "-k", "gif and not mp4", "--help", "-x"])
    assert args.pytest_args == ["-k", "gif and not mp4", "--help", "-x"]


@pytest.mark.parametrize(
    ("asked", "cores", "handed_on"),
    [
        ([], 2, ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]),
        ([], 64, ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]),
        ([], 1, []),
        (["-x"], 2, ["-x"]),
    ],
)
def test_the_whole_suite_runs_on_several_cores(asked, cores, handed_on, monkeypatch):
    from commands import test

    started = []
    monkeypatch.setattr(test.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(
        test.subprocess, "run", lambda command, cwd: started.append(command) or SimpleNamespace(returncode=5)
    )
    assert test.run(cli.parse(["test", *asked])) == 5
    assert started == [[sys.executable, "-m", "pytest", *handed_on]]


def test_failure_is_printed_and_gives_exit_code_1(monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise PocketError("there is no network.")

    monkeypatch.setattr(bootstrap, "enter_environment", fails)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "pocket: there is no network.\n"
