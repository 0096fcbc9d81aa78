"""What Windows does otherwise, as far as it can be shown elsewhere: its refusals are raised by the functions of `os`."""

import ast
import errno
import importlib
import ntpath
import os
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from media_clips import numbered_clip

from motion_module.errors import ParamError
from motion_module.formats import WRITTEN
from motion_module.media import file_lock, placing
from motion_module.media.errors import describe
from motion_module.media.reading import frame_store
from motion_module.media.reading.reader import Extract
from motion_module.media.writing.names import claimed, longest_path
from motion_module.media.writing.saving import write_clip
from motion_module.params import VideoParams
from motion_module.paths import Folders

RESERVED = ["CON", "nul", "PRN", "Aux", "COM1", "LPT9", "CONIN$"]


def refusal(number=32):
    """What Python raises there, where the system's own number is `winerror`."""
    error = PermissionError(errno.EACCES, "The process cannot access the file because it is being used")
    error.winerror = number
    return error


@pytest.fixture
def held(monkeypatch):
    """Have a file or folder be held by another program, by its name, for so many attempts to rename it or over it."""
    real, waited, left = os.replace, [], {}

    def replace(source, target):
        for path in map(Path, (source, target)):
            if left.get(path.name, 0) > 0 and path.exists():
                left[path.name] -= 1
                raise refusal()
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(placing.time, "sleep", waited.append)

    def hold(name, attempts=999):
        left[name] = attempts
        return waited

    return hold


def made(path, text):
    path.write_text(text)
    return path


def test_a_scanner_that_lets_go_soon_is_waited_for(tmp_path, held):
    part, final = made(tmp_path / "a.part", "new"), made(tmp_path / "a.gif", "old")
    waited = held("a.gif", attempts=3)
    assert placing.place(part, final) == final and final.read_text() == "new"
    assert waited == [0.05, 0.1, 0.2] and os.listdir(tmp_path) == ["a.gif"]


def test_what_a_viewer_holds_stays_and_the_new_file_gets_a_name_beside_it(tmp_path, held):
    held("a.gif")
    for text, name in (("new", "a-2.gif"), ("newer", "a-3.gif")):
        part, final = made(tmp_path / "a.part", text), made(tmp_path / "a.gif", "old")
        assert placing.place(part, final) == tmp_path / name and (tmp_path / name).read_text() == text
        assert final.read_text() == "old" and not part.exists()


def test_a_finished_file_that_is_held_itself_is_copied(tmp_path, held):
    held("a.part")
    final = placing.place(made(tmp_path / "a.part", "new"), tmp_path / "a.gif")
    assert final == tmp_path / "a.gif" and final.read_text() == "new"
    held("frames.part")
    (tmp_path / "frames.part").mkdir()
    made(tmp_path / "frames.part" / "00000.png", "x")
    assert os.listdir(placing.place(tmp_path / "frames.part", tmp_path / "frames")) == ["00000.png"]


def test_a_copy_that_fails_leaves_nothing(tmp_path, held, monkeypatch):
    held("a.part")

    def broken(source, target):
        made(Path(target), "half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(placing.shutil, "copyfile", broken)
    with pytest.raises(OSError, match="space"):
        placing.place(made(tmp_path / "a.part", "new"), tmp_path / "a.gif")
    assert os.listdir(tmp_path) == ["a.part"]


def test_every_format_is_saved_while_a_scanner_looks_at_it(tmp_path, held):
    for name in ("00000-42.gif", "00000-42.mp4", "00000-42", "00000-42.txt"):
        held(name, attempts=2)
    with claimed(tmp_path, 42) as claim:
        report = write_clip(numbered_clip(3), WRITTEN, claim)
    assert report.failures == {} and all(path.is_file() for files in report.files.values() for path in files)


def test_a_sentence_says_where_a_file_is_that_could_not_have_its_name(tmp_path, held):
    held("00000-42.gif")
    with claimed(tmp_path, 42) as claim:
        made(tmp_path / "00000-42.gif", "old")
        report = write_clip(numbered_clip(3), ["GIF", "PNG"], claim)
    assert report.files["GIF"] == [tmp_path / "00000-42-2.gif"] and report.files["GIF"][0].stat().st_size > 100
    assert report.notes == {"GIF": "as 00000-42-2.gif, because another program has 00000-42.gif open"}
    assert (tmp_path / "00000-42.gif").read_text() == "old"


def test_what_cannot_be_removed_costs_no_finished_file(tmp_path, monkeypatch):
    """ffmpeg's file of tags, and what is left of a part, may be held as well; they lie in a folder that goes later."""
    real = Path.unlink

    def unlink(path, missing_ok=False):
        if path.suffix != ".lock":
            raise refusal()
        return real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with claimed(tmp_path, 42) as claim:
        report = write_clip(numbered_clip(3), ["MP4", "GIF", "TXT"], claim)
    assert report.failures == {} and set(report.files) == {"MP4", "GIF", "TXT"}


def test_frames_of_a_source_are_named_once_a_scanner_lets_go(tmp_path, held):
    source = made(tmp_path / "clip.mp4", "x")
    waited = held(f"{frame_store._name(source, 'all')}-0.part", attempts=2)
    with frame_store.stored(tmp_path / "root", source, "all", lambda folder: Extract([], 0, 8.0, 0.0)) as found:
        assert found.files == ()
    assert len(waited) == 2


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (32, "another program has the file open"),
        (33, "another program has the file open"),
        (1224, "another program has the file open"),
        (206, "the path is too long for Windows"),
        (123, "Windows takes no such name"),
        (5, "permission is denied"),
    ],
)
def test_windows_own_numbers_are_said_in_words(number, words):
    assert describe(refusal(number)) == words


@pytest.mark.parametrize("request_id", [*RESERVED[:-1], "x" * 64, "a-", "-", "_"])
def test_a_request_id_makes_no_name_that_windows_takes_for_something_else(tmp_path, request_id):
    assert VideoParams.from_json({"enable": True, "request_id": request_id}).request_id == request_id
    allowed = Folders(["C:\\out"], system=ntpath)
    with claimed(tmp_path, 7, request_id) as claim:
        for name in (claim.stem, f"{claim.stem}.gif", f"{claim.work.name}\\{claim.stem}.mp4.txt"):
            assert allowed.hold(f"C:\\out\\{name}"), name
            assert not any(PureWindowsPath(part).is_reserved() for part in name.split("\\"))


@pytest.mark.parametrize("request_id", ["CONIN$", "a.", "a ", "a:b", "nul.txt", "a\\b", "a/b", "x" * 65, "a?", "é"])
def test_a_request_id_with_signs_that_windows_gives_a_meaning_is_refused(request_id):
    with pytest.raises(ParamError, match="request_id"):
        VideoParams.from_json({"enable": True, "request_id": request_id})


def test_the_longest_path_is_that_of_the_longest_name(tmp_path):
    lengths = []
    for request_id in ("", "x" * 64):
        with claimed(tmp_path, 4294967295, request_id) as claim:
            report = write_clip(numbered_clip(2), WRITTEN, claim)
            parts = [claim.work / path.relative_to(claim.folder) for files in report.files.values() for path in files]
            tags = [path.with_name(f"{path.name}.txt") for path in parts]
            longest = max(len(str(path)) for path in [*parts, *tags])
        assert longest <= longest_path(tmp_path, request_id) <= longest + 4
        lengths.append(longest_path(tmp_path, request_id))
    assert lengths[1] - lengths[0] == 65


class Msvcrt(SimpleNamespace):
    """Windows' locks on parts of files: of whoever has opened the file, until unlocked; closing is not enough."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        self.held = {}

    def locking(self, descriptor, mode, count):
        key = os.fstat(descriptor).st_ino
        if mode == self.LK_UNLCK:
            del self.held[key]
        elif key in self.held:
            raise PermissionError(errno.EACCES, "Permission denied")
        else:
            self.held[key] = descriptor


@pytest.fixture
def windows_lock(monkeypatch):
    """`file_lock` as it is on Windows."""
    system = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", system)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        importlib.reload(file_lock)
    yield system
    importlib.reload(file_lock)


def test_locks(windows_lock, tmp_path):
    lock = tmp_path / "x.lock"
    with file_lock.held(lock) as first, file_lock.held(lock) as second:
        assert (first, second) == (True, False)
    assert windows_lock.held == {}
    with pytest.raises(KeyError), file_lock.held(lock) as ours:
        assert ours
        raise KeyError
    assert windows_lock.held == {}


def test_a_lock_file_that_cannot_be_removed_stays_and_can_be_taken_again(windows_lock, tmp_path, monkeypatch):
    lock = tmp_path / "x.lock"
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: (_ for _ in ()).throw(refusal()))
    with file_lock.held(lock) as ours:
        assert ours
        file_lock.remove(lock)
    with file_lock.held(lock) as ours:
        assert ours and lock.exists()


LINKS = {"symlink_to", "symlink", "hardlink_to", "link", "link_to"}


def links_made(source):
    """Which functions that make links a program names: as attributes, or imported by name."""
    nodes = list(ast.walk(ast.parse(source)))
    imported = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module in ("os", "pathlib")]
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return LINKS & (named | {alias.name for node in imported for alias in node.names})


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("os.symlink(a, b)", {"symlink"}),
        ("a.symlink_to(b)", {"symlink_to"}),
        ("make = a.hardlink_to", {"hardlink_to"}),
        ("from os import link as make", {"link"}),
        ("path.is_symlink(); path.unlink(); link = 1  # os.link(a, b)", set()),
    ],
)
def test_what_makes_links_is_found(source, made):
    assert links_made(source) == made


def test_nothing_of_ours_makes_links_which_windows_allows_to_few():
    package = Path(placing.__file__).parents[1]
    files = [*package.rglob("*.py"), *(package.parent / "scripts").glob("*.py"), *package.parent.glob("*.py")]
    assert Path(placing.__file__) in files and len(files) > 100
    for path in files:
        assert not links_made(path.read_text("utf8")), path
