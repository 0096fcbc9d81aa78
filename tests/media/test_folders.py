"""Folders of frames and masks, and the temporary folders that frames of videos go to."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from video_files import film, folder_of, numbers_of

from motion_module.media import file_lock
from motion_module.media.errors import ReaderError
from motion_module.media.reading.folders import check_picture, frames_and_masks, natural_key, pictures_in
from motion_module.media.reading.frame_store import stored, sweep
from motion_module.media.reading.reader import extract, file_name
from motion_module.media.reading.timing import Selection

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "names",
    [
        ["1", "2", "10", "200"],
        ["a1", "A2", "a10"],
        ["frame_9", "frame_10", "frame_010b"],
        ["007", "8", "009", "10"],
        ["1-2", "1-10", "2-1"],
        ["10", "a", "b"],
        ["x", "²"],  # a digit that is no number
    ],
    ids=str,
)
def test_2_comes_before_10(names):
    assert sorted(set(names), key=natural_key) == names


def test_15_two_hundred_pictures_come_in_their_order(tmp_path):
    folder = folder_of(tmp_path / "frames", range(1, 201))
    assert numbers_of(pictures_in(folder)) == list(range(1, 201))


def test_only_pictures_count(tmp_path):
    folder = folder_of(tmp_path / "f", [3])
    folder_of(folder, [1], suffix=".JPG")
    folder_of(folder, [2], suffix=".webp")
    folder_of(folder / "inside.png", [9])
    for name in (".hidden.png", "Thumbs.db", "notes.txt", "film.mp4", "._3.png"):
        (folder / name).write_bytes(b"x")
    assert [file.name for file in pictures_in(folder)] == ["1.JPG", "2.webp", "3.png"]


def test_image_and_mask_inside(tmp_path):
    folder = folder_of(tmp_path, [0, 1])
    assert [len(files) for files in frames_and_masks(folder)] == [2, 0]
    folder_of(tmp_path / "image", [5, 6, 7])
    assert [numbers_of(files) for files in frames_and_masks(folder)] == [[5, 6, 7], []]
    folder_of(tmp_path / "mask", [8])
    assert [numbers_of(files) for files in frames_and_masks(folder)] == [[5, 6, 7], [8]]


def test_folders_that_will_not_do(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.txt").touch()
    folder_of(tmp_path / "masks only" / "mask", [1])
    folder_of(tmp_path / "no masks" / "image", [1])
    (tmp_path / "no masks" / "mask").mkdir()
    (tmp_path / "file.png").touch()
    says = {
        "nowhere": "there is no folder",
        "file.png": "is a file, not a folder",
        "empty": "has no pictures (bmp, jpeg, jpg, png, tif, tiff, webp)",
        "others": "has no pictures",
        "masks only": "its frames belong in a folder named image",
        "no masks": "mask has no pictures",
    }
    for name, sentence in says.items():
        with pytest.raises(ReaderError) as caught:
            frames_and_masks(tmp_path / name)
        assert sentence in str(caught.value)


def test_broken_pictures_are_named(tmp_path, monkeypatch):
    folder_of(tmp_path, [1], size=(300, 200))
    folder_of(tmp_path, [2], suffix=".jpg", size=(300, 200))
    check_picture(tmp_path / "1.png")
    check_picture(tmp_path / "2.jpg")
    whole = {name: (tmp_path / name).read_bytes() for name in ("1.png", "2.jpg")}
    (tmp_path / "cut.png").write_bytes(whole["1.png"][: len(whole["1.png"]) // 2])
    (tmp_path / "cut.jpg").write_bytes(whole["2.jpg"][: len(whole["2.jpg"]) * 2 // 3])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    says = {"cut.png": "truncated", "cut.jpg": "truncated", "empty.png": "is empty", "text.png": "not a picture"}
    for name, sentence in says.items():
        with pytest.raises(ReaderError, match=sentence) as caught:
            check_picture(tmp_path / name)
        assert name in str(caught.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ReaderError, match="exceeds limit"):
        check_picture(tmp_path / "1.png")


@pytest.fixture
def keep(tmp_path):
    """Frames of one film through the store; returns the arguments, and how often the film was read."""
    path, reads = film(tmp_path / "v.mp4", range(6)), []

    def make(folder):
        reads.append(folder)
        return extract(path, Selection(), folder)

    return (tmp_path / "root", path, "all", make), reads


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_frames_are_kept_for_the_next_run_or_removed(keep):
    (root, *rest), reads = keep
    with stored(root, *rest) as first:
        assert [file.name for file in first.files] == [file_name(number) for number in range(6)]
        assert all(file.is_file() for file in first.files) and first.extract.fps == 25
    with stored(root, *rest) as again:
        assert again == first and len(reads) == 1
    with stored(root, rest[0], "some", rest[2]), stored(root, *rest, remove=True) as last:
        assert last == first and len(reads) == 2
    assert len(names(root)) == 2  # the other wish's folder and lock: somebody was using it
    sweep(root, finished=True)
    assert names(root) == []


@pytest.mark.parametrize("change", ["a frame is gone", "the index is damaged", "the film is another", "another wish"])
def test_frames_that_are_not_those_are_made_anew(keep, change):
    (root, path, wanted, make), reads = keep
    with stored(root, path, wanted, make) as found:
        folder = found.files[0].parent
    if change == "a frame is gone":
        found.files[3].unlink()
    elif change == "the index is damaged":
        (folder / "index.json").write_text(json.dumps({"frame_numbers": 3}))
    elif change == "the film is another":
        film(path, range(9))
    else:
        wanted = "some"
    with stored(root, path, wanted, make) as again:
        assert len(reads) == 2 and all(file.is_file() for file in again.files)


def test_two_runs_at_once_have_a_folder_each(keep):
    args, reads = keep
    with stored(*args) as one, stored(*args, remove=True) as other:
        assert one.files[0].parent != other.files[0].parent and len(reads) == 2
    assert one.files[0].is_file() and not other.files[0].exists()


def test_a_failure_leaves_nothing(keep):
    (root, path, wanted, _), _ = keep

    def full(folder):
        (folder / file_name(0)).touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), stored(root, path, wanted, full):
        pass
    assert names(root) == []


def test_other_peoples_files_are_never_touched(keep):
    (root, *rest), _ = keep
    folder_of(root / "holiday", [1])
    folder_of(root / "v-0123456789abcdef-0", [1])  # named like ours, but without a lock
    (root / "poetry.lock").touch()
    before = names(root)
    with stored(root, *rest, remove=True):
        pass
    sweep(root, finished=True)
    assert names(root) == before and len(names(root / "holiday")) == 1


CRASH = """
import os, sys, time
from pathlib import Path
from motion_module.media.reading.frame_store import stored
from motion_module.media.reading.reader import extract
from motion_module.media.reading.timing import Selection
root, path, when = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def pause(count=None, met=None):
    if count in (None, 3):
        print("here", flush=True)
        time.sleep(3600)
def make(folder):
    return extract(path, Selection(), folder, **({"heartbeat": pause} if when == "reading" else {}))
with stored(root, path, "all", make):
    pause()
"""


@pytest.mark.parametrize("when", ["reading", "using"])
def test_a_crash_leaves_nothing_behind_for_long(keep, when):
    (root, path, wanted, make), reads = keep
    command = [sys.executable, "-c", CRASH, str(root), str(path), when]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert other.stdout.readline() == b"here\n"
        left = names(root)
        sweep(root, finished=True)
        assert names(root) == left  # it lives
        with stored(root, path, wanted, make, remove=True):
            assert len(reads) == 1
        assert names(root) == left
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    expected = [] if when == "reading" else left
    for _ in range(600):  # an ffmpeg that it had started may still be ending
        sweep(root, finished=False)
        if names(root) == expected:
            break
        time.sleep(0.1)
    assert names(root) == expected
    sweep(root, finished=True)
    assert names(root) == []


def test_a_lock_is_held_once(tmp_path):
    with file_lock.held(tmp_path / "x.lock") as mine:
        with file_lock.held(tmp_path / "x.lock") as theirs:
            assert (mine, theirs) == (True, False)
        file_lock.remove(tmp_path / "x.lock")
        with file_lock.held(tmp_path / "x.lock") as new:
            assert new
    with file_lock.held(tmp_path / "x.lock") as free:
        assert free
