"""A farm's file of requests and its options: without any host."""

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from interpreter import PocketError

import bootstrap
import cli
from farm.index import Entry
from farm.progress import Progress
from farm.request_file import RequestFile, WrongLineError, frames_of

POCKET = Path(bootstrap.__file__).parent


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


def nested(levels):
    inner = 1
    for _ in range(levels):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{'seed': 1}", "line 2 is not JSON: Expecting property name enclosed in double quotes (at character 2)."),
        (b'{"prompt": "\xff"}', "line 2 is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "line 2 cannot be read: its brackets are nested too deep; allowed are 100 within each other."),
        ({"x": nested(600)}, "line 2 cannot be read: its brackets are nested too deep; allowed are 100"),
        ({"x": nested(101)}, "line 2 cannot be read: its brackets are nested too deep; allowed are 100"),
        (b'{"sampler_name": "\\ud800"}', "line 2: \\ud800 is half of a pair of surrogates"),
        (b"[1]", "line 2 must hold one JSON object"),
        ({"mode": "video"}, 'line 2: mode is "video"; allowed are "txt2img" and "img2img".'),
        ({"mode": "v" * 3000}, f'line 2: mode is "{"v" * 59}...; allowed'),
        ({"mode": ["txt2img"]}, 'line 2: mode is ["txt2img"]; allowed'),
    ],
)
def test_a_wrong_line_is_told_and_costs_the_others_nothing(read, line, sentence):
    before, wrong, after = read({"seed": 1}, line, {"seed": 2}).requests
    assert wrong.wrong.startswith(sentence)
    assert not before.wrong and not after.wrong
    assert after.number == 3


def test_brackets_may_stand_within_each_other(read):
    assert not read({"x": nested(99)}).requests[0].wrong
    assert pickle.loads(pickle.dumps(read({"x": nested(99)}).body(read({"x": nested(99)}).requests[0])))


def test_the_hash_is_of_what_is_asked_and_of_the_model(read):
    def hashes(*lines, **how):
        return [one.hash for one in read(*lines, **how).requests]

    first = hashes(b'{"a": 1, "b": 2}')
    assert first == hashes(b'{ "b":2, "a":1 }\r') == hashes({"mode": "txt2img", "a": 1, "b": 2})
    assert first != hashes({"a": 1, "b": 3})
    assert first != hashes({"mode": "img2img", "a": 1, "b": 2})
    assert first != hashes(b'{"a": 1, "b": 2}', identity="another")


def test_a_whole_pair_of_surrogates_is_a_character(read):
    assert not read(b'{"prompt": "\\ud83d\\ude00"}').requests[0].wrong


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PocketError, match="pipe is no file that can be read twice"):
        RequestFile(tmp_path / "pipe", None)


@pytest.mark.parametrize("now", ['{"seed": 2}', "", '{"see', "[1]"])
def test_a_file_that_is_changed_meanwhile_is_not_taken_for_what_it_was(read, tmp_path, now):
    file = read({"seed": 1})
    (tmp_path / "requests.jsonl").write_text(now)
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
    on = isinstance(video, dict) and video["enable"]
    many = {"alwayson_scripts": {"animatediff": {"args": [video]}}, "n_iter": 3, "batch_size": 2}
    assert frames_of(many) == 3 * frames * (1 if on else 2)
    assert frames_of({"alwayson_scripts": {"animatediff": {"args": [video]}}}) == frames
    assert frames_of({"alwayson_scripts": {"AnimateDiff": {"args": video}}}) == frames
    assert frames_of({"alwayson_scripts": []}) == 1


@pytest.mark.parametrize("many", [10**400, 10**4000, 1e308, 1e9], ids=["400 digits", "4000 digits", "float", "limit"])
def test_as_many_frames_as_nobody_can_make_are_counted_to_a_limit(many):
    video = {"enable": True, "video_length": many}
    assert frames_of({"n_iter": many, "alwayson_scripts": {"AnimateDiff": {"args": [video]}}}) == 10**9
    assert frames_of({"n_iter": many, "batch_size": many}) == 10**9
    progress = Progress(1, 10**9, watched=True)
    progress.done(Entry(1, 1, "", "txt2img", "refused", sentence="wrong", frames=10**9))
    progress.close()


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
        (["--webui", "http://.x:1"], "--webui http://.x:1: must be an address"),
        (["--webui", "http://u:ge#he@im@127.0.0.1:7860"], "--webui http://127.0.0.1:7860: must be an address such as"),
        (["--webui", "http://u:geheim@127.0.0.1:7860?x=1"], "--webui http://127.0.0.1:7860?x=1: must be an address"),
        (["--webui", "u:geheim@127.0.0.1"], "--webui 127.0.0.1: must be an address"),
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
    ("number", "why"), [("abc", "must be a whole number, but is 'abc'"), ("0", "must be 1 or more")]
)
def test_a_number_of_workers_that_is_none_is_told(number, why, capsys):
    with pytest.raises(SystemExit):
        cli.parse(["farm", "a.jsonl", "--out", "out", "--workers", number])
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "two", [["--workers", "2", "--webui", "http://a"], ["--scheduler", "tcp://a:1", "--workers", "1"]]
)
def test_hosts_are_of_one_kind(two, capsys):
    with pytest.raises(SystemExit):
        cli.parse(["farm", "a.jsonl", "--out", "out", *two])
    assert "not allowed with argument" in capsys.readouterr().err
