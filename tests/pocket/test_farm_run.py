"""The farm with real hosts: what `generate` makes, whoever dies meanwhile, and only what is missing."""

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time

import psutil
import pytest
import requests

import cli
import farm.run
from commands import farm as farm_command
from commands import generate
from farm.outcomes import Outcome
from farm.worker_hosts import WorkerHosts
from tests.pocket.farm_fakes import gone, host_options, listening, of_clusters, video

LONG = 3
"""Number of the request whose worker is killed: it takes long enough to be in the middle of it."""

BODIES = [
    video(1),
    video(2, frames=5),
    video(3, steps=40, frames=8),
    {"steps": "many"},
    *(video(seed) for seed in (4, 5, 6, 6, 7, 8)),
    video(9, sampler_name="DDIM"),
]
LINES = [*map(json.dumps, BODIES), '{"prompt": "a red circle"']
RIGHT = [number for number, body in enumerate(BODIES, start=1) if body.get("steps") != "many"]


@pytest.fixture(scope="module")
def farm_args(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    (folder / "requests.jsonl").write_text("\n".join(LINES))
    options = ["--checkpoint", tiny["checkpoint"], "--motion-modules", tiny["v1"].parent, "--data-dir", folder / "data"]
    words = ["farm", folder / "requests.jsonl", "--out", folder / "out", "--workers", 2, *options]
    return cli.parse([str(word) for word in words])


class Killer:
    """Kills the worker that is in the middle of one request, the first time that it is begun."""

    def __init__(self, number, monkeypatch):
        self.number, self.killed = number, []
        self._client = None
        begun = WorkerHosts._note_begin

        def note(hosts, event):
            begun(hosts, event)
            if event[1] == self.number and not self.killed:
                self._client = hosts._client
                threading.Thread(target=self._kill).start()

        monkeypatch.setattr(WorkerHosts, "_note_begin", note)

    def _kill(self):
        time.sleep(0.3)
        pids = self._client.run(os.getpid)
        for address, keys in self._client.processing().items():
            if any(key.startswith(f"request-{self.number}-") for key in keys):
                self.killed.append(pids[address])
                os.kill(pids[address], signal.SIGKILL)


@pytest.fixture(scope="module")
def first(farm_args, tmp_path_factory):
    """The farm's first run, and what it printed."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as printed:
        temporary = tmp_path_factory.mktemp("tmp")
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(sys, "stdout", printed)
        killer = Killer(LONG, patch)
        code = farm_command.run(farm_args)
        return {"code": code, "killer": killer, "said": printed.getvalue(), "left": list(temporary.iterdir())}


def index_of(args):
    return json.loads((args.out / "index.json").read_text())


def files(folder):
    """The content of a result's files; paths in the response are of the host's own folder of videos."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "response.json"}


def test_ten_videos_are_made_though_a_worker_dies_and_two_requests_are_wrong(first, farm_args):
    index = index_of(farm_args)
    assert len(first["killer"].killed) == 1
    assert first["code"] == 1
    assert index["totals"]["made"] == 10 and index["totals"]["refused"] == 2 and index["totals"]["requests"] == 12
    entries = index["requests"]
    assert [entry["number"] for entry in entries if entry["status"] == "made"] == RIGHT
    assert entries[LONG - 1]["tries"] == 2
    assert sum(entry["tries"] for entry in entries if entry["status"] == "made") >= 11
    assert entries[3]["sentence"] == "steps: value is not a valid integer"
    assert entries[11]["sentence"].startswith("line 12 is not JSON: ")
    assert [entries[number]["files"] for number in (0, 2)] == [["00000.gif", "00000.mp4", "response.json"]] * 2
    assert "pocket: 12 requests: 10 made, 2 refused" in first["said"]


def test_nothing_is_left_but_results(first, farm_args):
    names = sorted(entry.name for entry in farm_args.out.iterdir())
    assert names == sorted(["index.json", "hosts.log", *(entry["folder"] for entry in made(farm_args))])
    assert first["left"] == []
    assert of_clusters() == []


def made(args):
    return [entry for entry in index_of(args)["requests"] if entry["status"] in ("made", "there")]


def test_they_are_what_generate_makes(first, farm_args, pocket, tmp_path, monkeypatch):
    """Every file, byte for byte; this process and the workers have one thread each."""
    monkeypatch.setattr(generate, "start_host", lambda args: None)
    for number in RIGHT:
        (tmp_path / "request.json").write_text(json.dumps(BODIES[number - 1]))
        out = tmp_path / str(number)
        generate.run(cli.parse(["generate", str(tmp_path / "request.json"), "--out", str(out)]))
        assert files(farm_args.out / made(farm_args)[RIGHT.index(number)]["folder"]) == files(out), number


class Stub:
    """Hosts that make everything at once, and note what they were asked for."""

    def __init__(self, monkeypatch):
        self.asked = []
        monkeypatch.setattr(farm.run, "_hosts", lambda *args: contextlib.nullcontext(self))

    def outcomes(self, requests, body_of):
        for request in requests:
            self.asked.append(body_of(request)["seed"])
            yield Outcome(request, "made", {"images": ["R0lGODlh"], "info": "{}", "parameters": {}}, seconds=1.0)


def whole(args):
    """Every file of every result, with when it was written; without the numbers of the folders."""
    folders = [args.out / entry["folder"] for entry in made(args)]
    return sorted(
        (folder.name[6:], path.name, path.stat().st_mtime_ns) for folder in folders for path in folder.iterdir()
    )


def test_run_again_it_makes_nothing_anew_and_a_changed_line_alone(first, farm_args, monkeypatch):
    before, lines = whole(farm_args), [line for line in LINES if "many" not in line]
    stub = Stub(monkeypatch)
    farm_args.requests.write_text("\n".join(lines))
    assert farm_command.run(farm_args) == 1  # one line is still wrong
    assert stub.asked == []
    assert index_of(farm_args)["totals"]["there"] == 10
    assert whole(farm_args) == before
    assert [entry["folder"][:5] for entry in made(farm_args)] == [f"{number:05}" for number in range(1, 11)]
    lines[1] = json.dumps(video(22))
    farm_args.requests.write_text("\n".join(lines[:-1]))
    assert farm_command.run(farm_args) == 0
    assert stub.asked == [22]
    statuses = [entry["status"] for entry in index_of(farm_args)["requests"]]
    assert statuses == ["there", "made", *["there"] * 8]


def test_a_refused_request_is_asked_for_again(first, farm_args, monkeypatch):
    stub = Stub(monkeypatch)
    farm_args.requests.write_text(json.dumps({"steps": "many", "seed": 77}))
    assert farm_command.run(farm_args) == 0
    assert farm_command.run(farm_args) == 0
    assert stub.asked == [77]


def test_stopped_in_the_middle_it_leaves_whole_videos_and_nothing_else(running, tiny, tmp_path):
    lines = [json.dumps(video(seed, steps=2 if seed == 1 else 400, frames=8)) for seed in (1, 2, 3, 4)]
    (tmp_path / "requests.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    job = running("farm", tmp_path / "requests.jsonl", "--out", out, "--workers", 1, *host_options(tiny, tmp_path))
    job.until(lambda: (out / "index.json").exists() and index_at(out)["totals"]["made"] == 1)
    time.sleep(0.5)
    below = job.below()
    ports = listening([psutil.Process(job.process.pid), *below])
    assert below and ports
    job.process.send_signal(signal.SIGINT)
    assert job.process.wait(60) == 130
    assert gone(below)
    assert not set(ports) & {one.laddr.port for one in psutil.net_connections("inet") if one.status == "LISTEN"}
    assert list(job.temporary.iterdir()) == []
    index = index_at(out)
    assert index["totals"]["made"] == 1 and index["totals"]["waiting"] == 3
    (entry,) = [entry for entry in index["requests"] if entry["status"] == "made"]
    assert sorted(path.name for path in out.iterdir()) == sorted([entry["folder"], "hosts.log", "index.json"])
    assert sorted(path.name for path in (out / entry["folder"]).iterdir()) == sorted(entry["files"])
    assert list((tmp_path / "data").rglob(".*")) == []
    assert (tmp_path / "errors").read_text().strip() == "pocket: stopped (Ctrl+C)."


def index_at(out):
    return json.loads((out / "index.json").read_text())


def test_webuis_are_hosts_and_one_that_is_killed_costs_nothing(running, pocket, tiny, tmp_path, capsys):
    """One is this process's own server, the other one is killed in the middle of its first request."""
    serve = running("serve", "--port", 0, *host_options(tiny, tmp_path))
    ready = next(line for line in io.TextIOWrapper(serve.process.stdout, write_through=True) if "ready at" in line)
    url = ready.split("ready at ")[1].split()[0]
    lines = [json.dumps(video(seed, steps=8)) for seed in range(1, 7)]
    (tmp_path / "requests.jsonl").write_text("\n".join([*lines, '{"steps": "many"}']))
    threading.Thread(target=kill_when_busy, args=(serve.process.pid, tmp_path / "errors"), daemon=True).start()
    words = ["farm", tmp_path / "requests.jsonl", "--out", tmp_path / "out", "--webui", pocket["url"], url]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("farm.webui_hosts.PATIENCE", 0.5)
        assert farm_command.run(cli.parse([str(word) for word in words])) == 1
    index = index_at(tmp_path / "out")
    assert index["totals"]["made"] == 6 and index["totals"]["refused"] == 1
    assert sorted(entry["tries"] for entry in index["requests"]) == [1] * 6 + [2]
    assert index["requests"][6]["sentence"] == "steps: value is not a valid integer"
    assert serve.process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(("stop", "batches"), [("interrupt", 1), ("skip", 2)])
def test_a_video_that_somebody_stops_is_left_to_the_next_run(pocket, tmp_path, monkeypatch, stop, batches):
    """Of two videos the first is skipped: what the answer says of the last is that it is whole."""
    (tmp_path / "a.jsonl").write_text(json.dumps(video(1, frames=2, steps=30, n_iter=batches)))
    words = ["farm", tmp_path / "a.jsonl", "--out", tmp_path / "out", "--webui", pocket["url"]]
    args = cli.parse([str(word) for word in words])
    threading.Thread(target=stop_when_busy, args=(pocket["url"], stop), daemon=True).start()
    assert farm_command.run(args) == 1
    (entry,) = index_of(args)["requests"]
    assert entry["status"] == "failed"
    assert entry["sentence"].startswith("somebody stopped it at the host (")
    assert [path.name for path in args.out.iterdir()] == ["index.json"]
    stub = Stub(monkeypatch)
    assert farm_command.run(args) == 0
    assert stub.asked == [1]


def stop_when_busy(url, stop):
    while not requests.get(f"{url}/sdapi/v1/progress").json()["state"]["sampling_step"]:
        time.sleep(0.02)
    requests.post(f"{url}/sdapi/v1/{stop}")


def kill_when_busy(pid, errors):
    while "%|" not in errors.read_text():
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
