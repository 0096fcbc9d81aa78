"""A host that answers at once, or ends its worker's process when it is told to; and who is left of a cluster."""

import os
import signal
import time
from pathlib import Path

import psutil

from farm.cluster import MARK
from farm.host_worker import BROKEN, Host
from farm.index import MADE, REFUSED


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
