"""The folders of a farm's results, its index and its bar: without any host."""

import json
import os
from pathlib import Path

import pytest
from interpreter import PocketError

from farm.index import FAILED, MADE, REFUSED, THERE, WAITING, Entry, Index
from farm.progress import Progress
from farm.request_file import RequestFile
from farm.result_folders import clear_unfinished, files_in, held, keep, renumber

RESPONSE = {"images": ["R0lGODlh"], "parameters": {}, "info": "{}"}


@pytest.fixture
def read(tmp_path):
    def read(*lines):
        (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return RequestFile(tmp_path / "requests.jsonl", "model")

    return read


def test_a_result_is_there_whole_or_not_at_all(read, tmp_path, monkeypatch):
    (request,) = read({"seed": 1}).requests
    folder = keep(tmp_path, request, RESPONSE)
    assert folder.name == f"00001-{request.hash[:12]}"
    assert files_in(folder) == ["00000.gif", "response.json"]
    (other,) = read({"seed": 2}).requests

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("farm.result_folders.write_response", full)
    with pytest.raises(PocketError, match="cannot be written: No space left on device"):
        keep(tmp_path, other, RESPONSE)
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == [folder]


def test_what_a_killed_farm_left_is_removed(tmp_path):
    (tmp_path / ".unfinished-00001-abc").mkdir()
    (tmp_path / ".unfinished-00001-abc" / "00000.gif").touch()
    (tmp_path / "mine").mkdir()
    clear_unfinished(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def made(out, requests):
    for request in requests:
        keep(out, request, RESPONSE)
        (out / request.name / "seed").write_text(str(request.number))


def test_folders_follow_their_requests(read, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    made(out, read({"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 3}).requests)
    file = read({"seed": 9}, {"seed": 1}, {"seed": 3}, {"seed": 1}, {"seed": 1})
    assert renumber(out, file.requests) == {2, 3, 4}
    kept = {file.requests[number - 1].name: told for number, told in ((2, "2"), (3, "4"), (4, "1"))}
    for name, told in kept.items():
        assert (out / name / "seed").read_text() == told
    assert len(list(out.iterdir())) == 4  # the one of seed 2 stays, too: nobody said that it may go
    assert renumber(out, file.requests) == {2, 3, 4}


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "response.json").write_bytes(b""),
        lambda folder: (folder / "response.json").write_text('{"images": []}'),
        lambda folder: (folder / "response.json").unlink(),
        lambda folder: (folder / "00000.gif").write_bytes(b""),
        lambda folder: (folder / "00000.gif").unlink(),
    ],
)
def test_what_is_not_whole_any_more_is_set_aside_and_made_anew(read, tmp_path, harm):
    requests = read({"seed": 1}, {"seed": 2}).requests
    for _ in range(2):
        for request in requests:
            if not (tmp_path / request.name).exists():
                keep(tmp_path, request, RESPONSE)
        harm(tmp_path / requests[0].name)
        assert renumber(tmp_path, requests) == {2}
    name = requests[0].name
    names = sorted(entry.name for entry in tmp_path.iterdir() if entry.is_dir())
    assert names == [f"{name}.incomplete", f"{name}.incomplete1", requests[1].name]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(read, tmp_path, monkeypatch):
    synced = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")) or sync(file))
    keep(tmp_path, read({"seed": 1}).requests[0], RESPONSE)
    assert [Path(path).name for path in synced] == [".00000.gif.unfinished", ".response.json.unfinished"]


def test_a_folder_that_cannot_be_renamed_or_locked_is_one_sentence(read, tmp_path, monkeypatch):
    made(tmp_path, read({"seed": 1}, {"seed": 2}).requests)
    requests = read({"seed": 2}, {"seed": 1}).requests

    def fails(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(PocketError, match="cannot be sorted: Read-only file system"):
        renumber(tmp_path, requests)
    monkeypatch.setattr("fcntl.flock", fails)
    with pytest.raises(PocketError, match="cannot be locked: Read-only file system"), held(tmp_path):
        pass


def test_an_error_of_the_block_is_not_taken_for_a_second_farm(tmp_path):
    with pytest.raises(BlockingIOError), held(tmp_path):
        raise BlockingIOError


def test_a_folder_is_filled_by_one_farm(tmp_path):
    another = pytest.raises(PocketError, match="another farm is filling")
    with held(tmp_path / "out"), another, held(tmp_path / "out"):
        pass
    with held(tmp_path / "out"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(PocketError, match="--out .*file cannot be a folder"), held(tmp_path / "file"):
        pass


def entries():
    states = (MADE, THERE, REFUSED, FAILED, WAITING)
    made_ones = [
        Entry(n, n, "ab", "txt2img", state, frames=16, seconds=1.5 * n) for n, state in enumerate(states, start=1)
    ]
    made_ones[0].folder, made_ones[2].sentence = "00001-ab", "steps: wrong"
    return made_ones


def test_the_index_says_what_became_of_each(tmp_path):
    index = Index(tmp_path / "index.json", entries())
    index.write()
    said = json.loads((tmp_path / "index.json").read_text())
    assert said["totals"]["requests"] == 5
    assert [said["totals"][state] for state in ("made", "there", "refused", "failed", "waiting")] == [1] * 5
    assert said["totals"]["frames"] == 32
    assert [entry["number"] for entry in said["requests"]] == [1, 2, 3, 4, 5]
    assert said["requests"][2]["sentence"] == "steps: wrong"
    assert not index.complete
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.json"]


def test_the_table_has_a_row_for_each_but_of_many_only_what_has_no_result():
    index = Index(Path("index.json"), entries())
    rows = index.table().splitlines()
    assert len(rows) == 6
    assert rows[1].split() == ["1", "made", "16", "1.5", "00001-ab"]
    assert rows[3].split() == ["3", "refused", "steps:", "wrong"]
    many = Index(Path("index.json"), entries() * 20)
    assert len(many.table().splitlines()) == 61
    assert many.line() == "100 requests: 20 made, 20 there, 20 refused, 20 failed, 20 waiting"


def test_nobody_watches_a_bar_that_is_no_terminal(capsys):
    progress = Progress(2, 32, watched=False)
    for entry in (entries()[0], entries()[2]):
        progress.done(entry)
    progress.close()
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == "pocket: 1 made: 16 frames in 1.5 s, 00001-ab\npocket: 3 refused: steps: wrong\n"


def test_the_bar_counts_videos_and_frames_and_tells_what_went_wrong(capsys):
    progress = Progress(3, 48, watched=True)
    for entry in entries()[:3:2]:
        progress.done(entry)
    progress.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert "pocket: 3 refused: steps: wrong\n" in said.err
    last = said.err.rpartition("\r")[2]
    assert last.startswith("2/3 videos |") and "| 16/32 frames, " in last and last.rstrip().endswith(" left")
