"""A host that answers at once, or ends its worker's process when it is told to; commands, and who is left of a cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

import bootstrap
from farm.cluster import MARK
from farm.host_worker import BROKEN, Host
from farm.index import MADE, REFUSED

POCKET = Path(bootstrap.__file__).parent


class FakeHost(Host):
    """Its requests say what happens: `die` always, `die_once` if the file is not there yet, `refuse`, `raise`, `sleep`."""

    def make(self, body, img2img):
        time.sleep(body.get("sleep", 0.05))
        if body.get("break"):
            return BROKEN, "the checkpoint is none.", 0.0
        if body.get("raise"):
            raise MemoryError("no\nroom")
        if body.get("refuse"):
            return REFUSED, "the steps are wrong", 0.1
        if body.get("die") or (body.get("die_once") and _first(body["die_once"])):
            os.kill(os.getpid(), signal.SIGKILL)
        return MADE, {"images": [], "info": "{}", "body": body, "img2img": img2img, "pid": os.getpid()}, 0.5


def _first(path):
    first = not Path(path).exists()
    Path(path).touch()
    return first


def of_clusters():
    """Living processes of any local cluster that a process at or below this one has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if MARK in process.environ() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def living(processes):
    """Those that are still there; one that nobody has asked how it ended counts as gone."""
    left = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
        except psutil.NoSuchProcess:
            continue
    return left


def gone(processes, seconds=30):
    """Whether all of them end soon."""
    end = time.monotonic() + seconds
    while living(processes) and time.monotonic() < end:
        time.sleep(0.05)
    return not living(processes)


def video(seed, frames=4, **fields):
    args = [{"enable": True, "video_length": frames, "format": ["GIF", "MP4"], "model": "mm_tiny_v1.safetensors"}]
    small = {"prompt": "a red circle", "steps": 2, "width": 64, "height": 64, "sampler_name": "Euler"}
    return {**small, "seed": seed, "alwayson_scripts": {"AnimateDiff": {"args": args}}, **fields}


class Running:
    """A command in a process of its own."""

    def __init__(self, folder, *words):
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "POCKET_PYTHON": "current", "TMPDIR": str(self.temporary)}
        command = [sys.executable, POCKET, *words]
        self.errors = (folder / "errors").open("wb")
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=self.errors
        )

    def below(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def until(self, holds):
        end = time.monotonic() + 600
        while not holds():
            assert self.process.poll() is None and time.monotonic() < end, self.said()
            time.sleep(0.05)

    def said(self):
        return (self.folder / "errors").read_text()


def host_options(tiny, folder):
    return ["--checkpoint", tiny["checkpoint"], "--motion-modules", tiny["v1"].parent, "--data-dir", folder / "data"]


def listening(processes):
    return [one.laddr.port for process in processes for one in process.connections("inet") if one.status == "LISTEN"]
