"""`generate --workers N`: the frames of `generate`, and nothing that is left of the workers, however it ends."""

import json
import os
import re
import signal
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.pocket.farm_fakes import gone, host_options, listening, video

LONG = video(1, frames=26, steps=9)
LONG["alwayson_scripts"]["AnimateDiff"]["args"][0].update(batch_size=8, overlap=2, format=["Frame"])


def begun(running, tiny, folder, *options, body=LONG):
    (folder / "request.json").write_text(json.dumps(body))
    words = ["generate", folder / "request.json", "--out", folder / "out", *options]
    return running(*words, *host_options(tiny, folder))


def frames(folder):
    files = sorted((folder / "out").glob("*.png"))
    return np.stack([np.asarray(Image.open(file).convert("RGB")).astype(int) for file in files])


@pytest.mark.slow
def test_one_worker_is_killed_and_the_frames_are_those_of_one_process(running, tiny, tmp_path):
    alone, many = tmp_path / "alone", tmp_path / "many"
    for folder in (alone, many):
        folder.mkdir()
    job = begun(running, tiny, many, "--workers", 2)
    assert b"the video's windows are shared with 2 workers" in job.process.stdout.readline()
    below = job.below()
    job.until(lambda: " 3/9 " in job.said())
    workers = [process for process in below if "--multiprocessing-fork" in process.cmdline()]
    os.kill(workers[0].pid, signal.SIGKILL)
    assert job.process.wait(600) == 0, job.said()
    made_there, made = map(int, re.search(rb"workers made (\d+) of (\d+) windows", job.process.stdout.read()).groups())
    assert 0 < made_there < made
    assert "made on this machine" not in job.said()
    assert gone(below) and list(job.temporary.iterdir()) == []
    assert begun(running, tiny, alone).process.wait(600) == 0
    assert len(frames(alone)) == 26
    assert np.abs(frames(alone) - frames(many)).max() <= 1


def test_stopped_in_the_middle_nothing_is_left(running, tiny, tmp_path):
    job = begun(running, tiny, tmp_path, "--workers", 1, body={**LONG, "steps": 150})
    job.until(lambda: "%|" in job.said())
    below = job.below()
    ports = listening([psutil.Process(job.process.pid), *below])
    assert below and ports
    time.sleep(1)
    job.process.send_signal(signal.SIGINT)
    assert job.process.wait(60) == 130
    assert gone(below) and list(job.temporary.iterdir()) == []
    assert not set(ports) & {one.laddr.port for one in psutil.net_connections("inet") if one.status == "LISTEN"}
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_does_not_answer_is_told_before_anything_is_loaded(running, tiny, tmp_path):
    job = begun(running, tiny, tmp_path, "--scheduler", "tcp://127.0.0.1:1")
    assert job.process.wait(120) == 1
    assert job.said() == ("pocket: no Dask scheduler answers at tcp://127.0.0.1:1; start it, or correct the address.\n")
