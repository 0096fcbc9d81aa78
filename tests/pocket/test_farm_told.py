"""That nobody reads what a farm says stops no work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import telling

import bootstrap
from tests.pocket.webui_stand_in import MADE

POCKET = Path(bootstrap.__file__).parent


def nobody_reads():
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def full():
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("output", [nobody_reads, full, None], ids=["head", "full", "closed"])
def test_all_videos_are_made_and_nothing_is_complained_of(stand_in, tmp_path, output):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"seed": {seed}}}\n' for seed in range(3)))
    words = ["farm", "a.jsonl", "--out", "out", "--webui", stand_in(MADE, seconds=0).url]
    stream = output() if output else None
    ended = subprocess.run(
        [sys.executable, POCKET, *words],
        cwd=tmp_path,
        env={**os.environ, "POCKET_PYTHON": "current"},
        stdout=stream,
        stderr=subprocess.PIPE,
        preexec_fn=None if output else lambda: os.close(1),
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads((tmp_path / "out" / "index.json").read_text())["totals"]["made"] == 3
    if stream is not None:
        os.close(stream)


def test_what_the_output_has_no_signs_for_is_escaped(capsysbinary):
    telling.tell("half \ud800")
    assert capsysbinary.readouterr().out == b"half \\ud800\n"
