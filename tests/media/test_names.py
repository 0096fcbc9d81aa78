import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from motion_module.media.writing.names import claimed

ROOT = Path(__file__).parents[2]
CLAIM_MANY = """
import sys
from pathlib import Path
from motion_module.media.writing.names import claimed
for _ in range(25):
    with claimed(Path(sys.argv[1]), 7) as claim:
        (claim.work / "x").write_text("")
        (claim.work / "x").rename(claim.folder / f"{claim.stem}.txt")
"""


def finish(claim, suffix=".gif"):
    (claim.folder / f"{claim.stem}{suffix}").write_text("")


def test_numbers_go_up(tmp_path):
    stems = []
    for _ in range(3):
        with claimed(tmp_path / "new" / "folder", 5) as claim:
            finish(claim)
            stems.append(claim.stem)
    assert stems == ["00000-5", "00001-5", "00002-5"]
    assert all(path.suffix == ".gif" for path in (tmp_path / "new" / "folder").iterdir())


@pytest.mark.parametrize("name", ["00041-9.mp4", "00041-9", "00041-1-mark.gif", ".00041.part"])
def test_what_is_there_counts(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "12-notes.txt").write_text("")
    with claimed(tmp_path, 1) as claim:
        assert claim.stem == "00042-1"


def test_claims_held_at_the_same_time_differ(tmp_path):
    with claimed(tmp_path, 1) as first, claimed(tmp_path, 1) as second:
        assert first.stem != second.stem


def test_a_name_finished_in_between_is_not_given_again(tmp_path, monkeypatch):
    """Another process finishes 00000 after we listed the folder and before we claim."""
    listings = iter([set(), {0}, {0}])
    monkeypatch.setattr("motion_module.media.writing.names._numbers", lambda folder, hidden=True: next(listings))
    with claimed(tmp_path, 1) as claim:
        assert claim.stem == "00001-1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("request_id", "stem"),
    [
        ("", "00000-3"),
        ("job_1-b", "00000-3-job_1-b"),
        ("../../etc/x", "00000-3-etcx"),
        ("/", "00000-3"),
        ("a" * 99, "00000-3-" + "a" * 64),
        ("é\0\n.", "00000-3"),
    ],
)
def test_request_ids_never_leave_the_folder(tmp_path, request_id, stem):
    with claimed(tmp_path, 3, request_id) as claim:
        assert claim.stem == stem
        assert (claim.folder / claim.stem).resolve().parent == tmp_path.resolve()


def test_what_is_unfinished_goes_with_the_claim(tmp_path):
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path, 1) as claim:
        (claim.work / "half.mp4").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_threads_never_share_a_name(tmp_path):
    def work(_):
        with claimed(tmp_path, 1) as claim:
            finish(claim)
            return claim.stem

    with ThreadPoolExecutor(8) as pool:
        stems = list(pool.map(work, range(80)))
    assert sorted(stems) == [f"{number:05}-1" for number in range(80)]


def test_processes_never_share_a_name(tmp_path):
    command = [sys.executable, "-c", CLAIM_MANY, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number:05}-7.txt" for number in range(75)]


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OSError, match="out"), claimed(tmp_path / "out", 1):
        pass
