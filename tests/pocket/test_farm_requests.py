"""A farm's file of requests, the folders of its results, its index and its bar: without any host."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from interpreter import PocketError

import bootstrap
import cli
from farm.index import FAILED, MADE, REFUSED, THERE, WAITING, Entry, Index
from farm.progress import Progress
from farm.request_file import RequestFile, WrongLineError, frames_of
from farm.result_folders import clear_unfinished, files_in, held, keep, renumber

POCKET = Path(bootstrap.__file__).parent
RESPONSE = {"images": ["R0lGODlh"], "parameters": {}, "info": "{}"}


@pytest.fixture
def read(tmp_path):
    def read(*lines, identity="model"):
        text = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        (tmp_path / "requests.jsonl").write_bytes(text)
        return RequestFile(tmp_path / "requests.jsonl", identity)

    return read


def test_each_line_is_a_request_and_blank_ones_are_none(read):
    file = read({"seed": 1}, b"", b"  \r", {"mode": "img2img", "seed": 2})
    assert [(one.number, one.line, one.mode) for one in file.requests] == [(1, 1, "txt2img"), (2, 4, "img2img")]
    assert [file.body(one) for one in file.requests] == [{"seed": 1}, {"seed": 2}]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{'seed': 1}", "line 2 is not JSON: Expecting property name enclosed in double quotes (at character 2)."),
        (b'{"prompt": "\xff"}', "line 2 is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "line 2 is not JSON: "),
        (b"[1]", "line 2 must hold one JSON object"),
        ({"mode": "video"}, 'line 2: mode is "video"; allowed are "txt2img" and "img2img".'),
        ({"mode": ["txt2img"]}, 'line 2: mode is ["txt2img"]; allowed'),
    ],
)
def test_a_wrong_line_is_told_and_costs_the_others_nothing(read, line, sentence):
    before, wrong, after = read({"seed": 1}, line, {"seed": 2}).requests
    assert wrong.wrong.startswith(sentence)
    assert not before.wrong and not after.wrong
    assert after.number == 3


def test_the_hash_is_of_what_is_asked_and_of_the_model(read):
    def hashes(*lines, **how):
        return [one.hash for one in read(*lines, **how).requests]

    first = hashes(b'{"a": 1, "b": 2}')
    assert first == hashes(b'{ "b":2, "a":1 }\r') == hashes({"mode": "txt2img", "a": 1, "b": 2})
    assert first != hashes({"a": 1, "b": 3})
    assert first != hashes({"mode": "img2img", "a": 1, "b": 2})
    assert first != hashes(b'{"a": 1, "b": 2}', identity="another")


def test_a_file_that_is_changed_meanwhile_is_not_taken_for_what_it_was(read, tmp_path):
    file = read({"seed": 1})
    (tmp_path / "requests.jsonl").write_text('{"seed": 2}')
    with pytest.raises(WrongLineError, match="line 1 has been changed since the start"):
        file.body(file.requests[0])


@pytest.mark.parametrize(("text", "sentence"), [(None, "cannot be read: No such file"), ("\n \n", "holds no request")])
def test_a_file_without_requests_is_one_sentence(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(PocketError, match=sentence):
        RequestFile(tmp_path / "a.jsonl", None)


@pytest.mark.parametrize(
    ("video", "frames"),
    [
        ({"enable": True, "video_length": 24}, 24),
        ({"enable": True}, 16),
        ({"enable": True, "video_length": 0}, 16),
        ({"enable": True, "video_length": "8"}, 16),
        ({"enable": False, "video_length": 24}, 1),
        ("nothing", 1),
    ],
)
def test_frames_as_asked(video, frames):
    assert frames_of({"alwayson_scripts": {"animatediff": {"args": [video]}}}) == frames
    assert frames_of({"alwayson_scripts": {"AnimateDiff": {"args": video}}}) == frames
    assert frames_of({"alwayson_scripts": []}) == 1


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
        (out / request.name).mkdir()
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


def run(folder, *options, hidden=()):
    code = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({list(hidden)!r}))\n"
        f"sys.path.insert(0, {str(POCKET)!r})\n"
        f"sys.argv = {[str(POCKET), *map(str, options)]!r}\n"
        f"runpy.run_path({str(POCKET)!r}, run_name='__main__')\n"
    )
    environment = {**os.environ, "POCKET_PYTHON": "current"}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


def test_without_dask_one_sentence_says_what_to_do(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}")
    ended = run(tmp_path, "farm", "a.jsonl", "--out", "out", hidden=["dask", "distributed"])
    assert ended.stderr == (
        'pocket: farm needs Dask, which is not installed; run "python3 pocket install farm" and this command again.\n'
    )
    assert ended.returncode == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--workers", "2"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_nor_are_windows_made_elsewhere_without_it(tmp_path, option):
    (tmp_path / "a.json").write_text("{}")
    ended = run(tmp_path, "generate", "a.json", "--out", "out", *option, hidden=["dask", "distributed"])
    assert ended.stderr == (
        f'pocket: {option[0]} needs Dask, which is not installed; run "python3 pocket install farm" and this command '
        "again.\n"
    )
    assert ended.returncode == 1 and not (tmp_path / "out").exists()


def test_webuis_need_no_dask(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}")
    words = ["farm", "a.jsonl", "--out", "out", "--webui", "http://127.0.0.1:1"]
    ended = run(tmp_path, *words, hidden=["dask", "distributed"])
    assert ended.stderr == "pocket: --webui http://127.0.0.1:1: no WebUI answers there (Connection refused).\n"


def test_other_commands_know_nothing_of_dask():
    who_asks = {"farm.py", "spread.py"}  # commands of a farm, and windows over workers where somebody wants those
    others = [path for path in POCKET.rglob("*.py") if path.parent.name != "farm" and path.name not in who_asks]
    assert POCKET / "commands" / "generate.py" in others
    for path in others:
        assert not {"dask", "distributed", "farm"} & set(imported(ast.parse(path.read_text("utf8")))), path


def imported(tree):
    """The packages that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_the_farms_own_process_loads_no_host():
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(POCKET)!r})\n"
        "import commands.farm, farm.run, farm.cluster, farm.worker_hosts, farm.webui_hosts\n"
        "print(sorted({'torch', 'gradio', 'modules', 'commands.host'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--checkpoint", "missing.safetensors"], "--checkpoint missing.safetensors: there is no such file."),
        (["--lora-dir", "missing"], "--lora-dir missing: there is no such folder."),
        (["--webui", "ftp://a"], "--webui ftp://a: must be an address such as http://127.0.0.1:7860."),
        (["--webui", "http://127.0.0.1:x"], "must be an address such as"),
        (["--webui", "http://127.0.0.1:1", "--data-dir", "."], "--data-dir has no effect with --webui"),
        (["--webui", "http://127.0.0.1:1"], "--webui http://127.0.0.1:1: no WebUI answers there (Connection refused)."),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POCKET_PYTHON", "current")
    Path("a.jsonl").write_text("{}")
    assert cli.main(["farm", "a.jsonl", "--out", "out", *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("pocket: ") and sentence in said and said.count("\n") == 1


def test_out_that_is_a_file_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POCKET_PYTHON", "current")
    Path("a.jsonl").write_text("{}")
    assert cli.main(["farm", "a.jsonl", "--out", "a.jsonl"]) == 1
    assert capsys.readouterr().err == "pocket: --out a.jsonl cannot be a folder: File exists.\n"


@pytest.mark.parametrize(
    "two", [["--workers", "2", "--webui", "http://a"], ["--scheduler", "tcp://a:1", "--workers", "1"]]
)
def test_hosts_are_of_one_kind(two, capsys):
    with pytest.raises(SystemExit):
        cli.parse(["farm", "a.jsonl", "--out", "out", *two])
    assert "not allowed with argument" in capsys.readouterr().err
