"""Ctrl+C and SIGTERM end real commands soon, with one line, whatever they are doing: how soon, their own start tells."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

import bootstrap
import stopping
from modules import call_queue

POCKET = Path(bootstrap.__file__).parent
BOTH = pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "pocket: stopped (Ctrl+C)."), (signal.SIGTERM, 143, "pocket: stopped (SIGTERM).")],
)
LARGE = {"steps": 20, "width": 512, "height": 512, "sampler_name": "Euler"}
IGNORES = """
import signal, sys
sys.path.insert(0, sys.argv[1])
import stopping
signal.signal(signal.SIGHUP, signal.SIG_IGN)
stopping.SIGNALS.listen()
print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
"""
SMALL = {"steps": 1, "width": 64, "height": 64, "sampler_name": "Euler"}


def video(**fields):
    return {"AnimateDiff": {"args": [{"enable": True, "video_length": 16, "format": ["GIF", "MP4"], **fields}]}}


class Command:
    """A command in a process of its own; `said` grows while it speaks."""

    def __init__(self, folder, tiny, *words, program=(POCKET,)):
        self.data = folder / "data"
        options = ["--checkpoint", tiny["checkpoint"], "--motion-modules", tiny["v1"].parent, "--data-dir", self.data]
        (folder / "tmp").mkdir()
        environment = {**os.environ, "POCKET_PYTHON": "current", "TMPDIR": str(folder / "tmp")}
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *program, *words, *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.said = {"out": "", "err": ""}
        self._readers = [
            threading.Thread(target=self._read, args=pipe, daemon=True)
            for pipe in (("out", self.process.stdout), ("err", self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name, pipe):
        while text := os.read(pipe.fileno(), 4096):
            self.said[name] += text.decode()

    def wait_until(self, holds, seconds=600):
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None and time.monotonic() < end, self.said
            time.sleep(0.02)

    def stop(self, number):
        """Sends a signal and returns the exit code and the lines that were said from then on, besides the bars'.

        It has the seconds to clear away, and as long as the command took to come here: a slow machine is slow in both.
        """
        before = len(self.said["err"])
        taken = time.monotonic() - self.begun
        self.process.send_signal(number)
        code = self.process.wait(stopping.SECONDS_TO_CLEAR_AWAY + taken)
        for reader in self._readers:
            reader.join(60)
        return code, [line for line in self.said["err"][before:].splitlines() if line.strip() and "%|" not in line]

    def samples(self):
        return "%|" in self.said["err"]


@pytest.fixture
def command(tiny, tmp_path):
    running = []

    def start(*words, **how):
        running.append(Command(tmp_path, tiny, *words, **how))
        return running[-1]

    yield start
    for begun in running:
        begun.process.kill()
        begun.process.wait()


@pytest.fixture
def generate(command, tmp_path):
    def start(body, **how):
        (tmp_path / "request.json").write_text(json.dumps(body))
        return command("generate", tmp_path / "request.json", "--out", tmp_path / "out", **how)

    return start


def left_unfinished(folder):
    """Everything hidden or unfinished below a folder, besides the lock that programs share."""
    return [path for path in folder.rglob("*") if path.name.startswith(".") or "unfinished" in path.name]


def test_while_loading(command):
    serve = command("serve", "--port", "0")
    serve.wait_until(lambda: "loading" in serve.said["out"])
    assert serve.stop(signal.SIGTERM) == (143, ["pocket: stopped (SIGTERM)."])


def test_in_the_middle_of_a_long_step(generate, tmp_path):
    """By Ctrl+C; SIGTERM comes to `test_demo` there."""
    job = generate({**LARGE, "alwayson_scripts": video()})
    job.wait_until(job.samples)
    assert job.stop(signal.SIGINT) == (130, ["pocket: stopped (Ctrl+C)."])
    assert left_unfinished(tmp_path) == []
    assert not (tmp_path / "out").exists()


PATIENT = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
import stopping
stopping.SECONDS_TO_CLEAR_AWAY = 3600
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_second_signal_ends_at_once(generate):
    """The command would have an hour to clear away after the first one."""
    job = generate({**LARGE, "alwayson_scripts": video()}, program=("-c", PATIENT, POCKET))
    job.wait_until(job.samples)
    job.process.send_signal(signal.SIGINT)
    job.wait_until(lambda: "stopped" in job.said["err"])
    assert job.stop(signal.SIGINT)[0] == 130


def test_while_saving(generate, tmp_path):
    job = generate({**SMALL, "alwayson_scripts": video(interp="FFMPEG", interp_x=60)})
    job.wait_until(lambda: list(job.data.rglob(".*.part/*")))
    assert job.stop(signal.SIGINT) == (130, ["pocket: stopped (Ctrl+C)."])
    assert left_unfinished(tmp_path) == []
    assert list(job.data.rglob("*.mp4")) == []


def test_demo(command):
    demo = command("demo", "--frames", "64")
    demo.wait_until(demo.samples)
    assert demo.stop(signal.SIGTERM) == (143, ["pocket: stopped (SIGTERM)."])


@BOTH
def test_server_while_requests_run_and_wait(command, tmp_path, number, code, line):
    serve = command("serve", "--port", "0")
    serve.wait_until(lambda: "ready at" in serve.said["out"])
    url = serve.said["out"].split("ready at ")[1].split()[0]
    answers = []

    def ask(body):
        try:
            answers.append(requests.post(f"{url}/sdapi/v1/txt2img", json=body, timeout=600).status_code)
        except requests.ConnectionError:
            answers.append(None)  # in the middle of an operation that took too long

    askers = [threading.Thread(target=ask, args=[{**LARGE, "alwayson_scripts": video()}]) for _ in range(2)]
    askers[0].start()
    serve.wait_until(serve.samples)
    askers[1].start()
    time.sleep(0.5)
    assert serve.stop(number) == (code, [line])
    for asker in askers:
        asker.join(60)
    assert set(answers) <= {503, None}
    assert len(answers) == 2
    assert left_unfinished(tmp_path) == []
    assert list(serve.data.rglob("*.gif")) == []


def test_a_running_job_is_undone_and_the_waiting_one_sent_away():
    lock, undone, begun, answers = call_queue.FIFOLock(), [], threading.Event(), []

    def job():
        try:
            with lock:
                try:
                    begun.set()
                    while True:
                        time.sleep(0.01)
                except Exception:
                    answers.append("a script's handler must not catch it")
                finally:
                    undone.append(True)
        except call_queue.ServerStopped as error:
            answers.append(error.status_code)

    threads = [threading.Thread(target=job, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    time.sleep(0.1)
    lock.close()
    for thread in threads:
        thread.join(60)
    assert answers == [503, 503]
    assert undone == [True]
    with pytest.raises(call_queue.ServerStopped):
        lock.acquire()


def test_signals_wait_while_a_program_makes_place_for_the_next():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with stopping.blocked():
        assert {signal.SIGINT, signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_who_wants_a_command_to_outlive_its_terminal_has_it_so():
    """By nohup, which lets programs begin like this."""
    ended = subprocess.run([sys.executable, "-c", IGNORES, POCKET], capture_output=True, text=True)
    assert ended.stdout == "True\n", ended.stderr
