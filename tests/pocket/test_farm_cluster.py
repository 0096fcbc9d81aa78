"""Dask's workers for as long as a block runs: what they are given, and that nothing is left of them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
from interpreter import PocketError

import bootstrap
from farm import cluster
from farm.cluster import workers
from tests.pocket.farm_fakes import gone, living, of_clusters

POCKET = Path(bootstrap.__file__).parent


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Where everything of the test's clusters is; it must be as empty as before."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


def about_me():
    import torch

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "environment": [os.environ.get(name) for name in names],
        "threads": torch.get_num_threads(),
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "temporary": tempfile.gettempdir(),
    }


def listening():
    """Addresses of this process and those below it."""
    found = [psutil.Process(), *psutil.Process().children(recursive=True)]
    connections = [one for process in found if living([process]) for one in process.connections("inet")]
    return {(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN}


def test_workers_of_this_machine(monkeypatch, own_temporary_folder):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cluster, "CPU_COUNT", 6)
    environment, ports = dict(os.environ), listening()
    with workers(2) as client:
        assert client.nthreads() == dict.fromkeys(client.nthreads(), 1)
        assert all(address.startswith("tcp://127.0.0.1:") for address in client.nthreads())
        for about in client.run(about_me).values():
            assert about["environment"] == ["3", None]
            assert about["blocked"] == {signal.SIGINT, signal.SIGHUP}
            assert own_temporary_folder in Path(about["temporary"]).parents
        assert len(of_clusters()) == 2
        assert {host for host, port in listening() - ports} == {"127.0.0.1"}
    assert os.environ == environment
    assert of_clusters() == []
    assert listening() == ports


def test_threads_that_the_person_asks_for_are_taken(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with workers(1) as client:
        assert [about["threads"] for about in client.run(about_me).values()] == [2]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(error):
    ports = listening()
    with pytest.raises(error), workers(2) as client:
        client.submit(time.sleep, 3600)
        started = of_clusters()
        raise error
    assert living(started) == []
    assert listening() == ports


def test_a_worker_that_takes_no_notice_is_killed(monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS_TO_UNDO", 0.1)
    with workers(1) as client:
        client.run(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN) and None)
        client.submit(time.sleep, 3600)
        started = of_clusters()
    assert gone(started)


def test_a_worker_that_dies_is_replaced():
    with workers(1) as client:
        (before,) = of_clusters()
        running = client.submit(_slow_first_time, os.path.join(tempfile.gettempdir(), "begun"))
        _until(lambda: os.path.exists(os.path.join(tempfile.gettempdir(), "begun")))
        before.kill()
        assert running.result() != before.pid
        assert len(of_clusters()) == 1
        os.unlink(os.path.join(tempfile.gettempdir(), "begun"))


def _slow_first_time(path):
    if os.path.exists(path):
        return os.getpid()
    Path(path).touch()
    time.sleep(3600)
    return None


def _until(holds):
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)


KILLED = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from farm.cluster import workers
from stopping import SIGNALS
if __name__ == "__main__":
    SIGNALS.listen()
    with SIGNALS.clearing_away(), workers(2) as client:
        client.submit(time.sleep, 3600)
        print("ready", flush=True)
        time.sleep(3600)
"""


def test_workers_end_when_their_farm_is_killed_and_the_next_one_clears_up(tmp_path, own_temporary_folder):
    farm, started = farm_with_workers(tmp_path)
    farm.kill()
    farm.wait(60)
    farm.stdout.close()
    assert gone(started)
    assert len(list(own_temporary_folder.iterdir())) == 1
    with workers(1):
        assert len(list(own_temporary_folder.iterdir())) == 1
    assert list(own_temporary_folder.iterdir()) == []


def test_nothing_is_left_of_a_farm_whose_terminal_is_closed(tmp_path, own_temporary_folder):
    farm, started = farm_with_workers(tmp_path)
    for process in (farm, *started):  # as a terminal does
        process.send_signal(signal.SIGHUP)
    assert farm.wait(60) != 0
    farm.stdout.close()
    assert gone(started)
    assert list(own_temporary_folder.iterdir()) == []


def farm_with_workers(folder):
    (folder / "killed.py").write_text(textwrap.dedent(KILLED))
    farm = subprocess.Popen([sys.executable, folder / "killed.py", POCKET], stdout=subprocess.PIPE, text=True)
    assert farm.stdout.readline() == "ready\n"
    started = of_clusters()
    assert len(started) == 2
    return farm, started


def test_folders_of_the_living_and_of_others_stay(own_temporary_folder, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [
        f"pocket-farm-{os.getpid()}-a",
        f"pocket-farm-{dead.pid}-a",
        f"pocket-farmer-{dead.pid}-a",
        "pocket-farm-x-a",
    ]
    for name in names:
        (own_temporary_folder / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 12345)
        cluster._remove_folders_of_the_dead()
    assert {path.name for path in own_temporary_folder.iterdir()} == set(names)
    cluster._remove_folders_of_the_dead()
    assert {path.name for path in own_temporary_folder.iterdir()} == {*names} - {names[1]}
    for path in own_temporary_folder.iterdir():
        path.rmdir()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "what://127.0.0.1:5"])
def test_a_scheduler_that_does_not_answer_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 0.5)
    with (
        pytest.raises(PocketError, match=f"no Dask scheduler answers at {address}; start it") as caught,
        workers(1, address),
    ):
        pass
    assert "\n" not in str(caught.value)


SILENT = """
import sys
sys.path.insert(0, sys.argv[1])
from interpreter import PocketError
from farm.cluster import workers
for address in ("nonsense", "", "foo://1:2", "tcp://127.0.0.1"):
    try:
        with workers(1, address):
            pass
    except PocketError as error:
        print(error)
"""


def test_a_wrong_address_leaves_no_traceback_at_the_end():
    ended = subprocess.run([sys.executable, "-c", SILENT, POCKET], capture_output=True, text=True)
    assert ended.stdout.count("no Dask scheduler answers at") == 4
    assert ended.stderr == ""


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_listener_that_is_no_scheduler_is_told_soon(says, monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_speak, args=(listener, says), daemon=True).start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(PocketError, match=f"no Dask scheduler answers at {address}"), workers(1, address):
            pass


def _speak(listener, says):
    connection = listener.accept()[0]
    connection.sendall(says)
    with connection:
        while connection.recv(1024):
            pass


def test_a_worker_is_no_scheduler():
    with workers(1) as lent, pytest.raises(PocketError, match="no Dask scheduler"), workers(1, *lent.nthreads()):
        pass


def test_a_scheduler_elsewhere_lends_its_workers():
    with workers(1) as lent, workers(5, lent.scheduler.address) as client:
        assert client.nthreads() == lent.nthreads()
        assert client.submit(sum, [1, 2]).result() == 3
