"""Paths as people paste them, and which of them lie inside a folder."""

import ntpath
import os
import unicodedata
from types import SimpleNamespace

import pytest

from motion_module import paths
from motion_module.params import VideoParams
from motion_module.paths import Folders, split_folders, typed_path

PATH_FIELDS = [name for name, field in VideoParams.table().items() if field.kind in ("path", "video")]
QUOTED = ['"{}"', "'{}'", "“{}”", "„{}“", "‘{}’", "«{}»", ' "{}" ', "\"'{}'\"", '" {} "', "\u202a{}", '\ufeff"{}"\n']


def is_inside(path, roots, *rules, **more):
    return Folders(roots, *rules, **more).hold(path)


@pytest.mark.parametrize("form", QUOTED)
def test_quotes_and_blanks_round_a_path_are_taken_off_in_every_path_field(form):
    assert set(PATH_FIELDS) >= {"video_source", "video_path", "mask_path"}
    for name in PATH_FIELDS:
        read = VideoParams.from_json({name: form.format("/data/my clips/a b")})
        assert getattr(read, name) == "/data/my clips/a b", name


@pytest.mark.parametrize("text", ["/data/John's", "/data/a'", '/data/"x" y', "'/data/a", "/it's/John's", 'x"'])
def test_quotes_that_belong_to_a_name_stay(text):
    assert typed_path(text) == text


@pytest.mark.parametrize("text", ["", "  ", '""', "''", '" "', "“”"])
def test_nothing_in_quotes_is_nothing(text):
    assert typed_path(text) == ""
    assert VideoParams.from_json({"video_path": text, "video_source": text}).video_source is None


def test_folders_of_a_setting_stand_in_lines_or_between_commas():
    text = "/a, /b c\n\n  \"/d, e\" ,'/f, g'\r\n“/h”,, \n /John's, /Bob's\n\"C:\\x\""
    assert split_folders(text) == ["/a", "/b c", "/d, e", "/f, g", "/h", "/John's", "/Bob's", "C:\\x"]
    assert split_folders("") == split_folders(' , \n ""') == []


def test_a_root_that_can_be_no_name_costs_the_others_nothing(tmp_path):
    assert is_inside(str(tmp_path), ["\0", "\ud800", str(tmp_path)])


def test_inside_and_outside_with_real_folders(tmp_path):
    data, beside = tmp_path / "data", tmp_path / "database"
    for folder in (data / "clips", beside):
        folder.mkdir(parents=True)
    (data / "out").symlink_to(beside)
    (beside / "in").symlink_to(data / "clips")
    (data / "loop").symlink_to(data / "loop")
    (tmp_path / "link").symlink_to(data)
    allowed = [str(data)]
    for path in (
        data,
        data / "clips",
        data / "no such.mp4",
        data / "a" / ".." / "b",
        beside / "in",
        tmp_path / "link/x",
    ):
        assert is_inside(str(path), allowed), path
        assert is_inside(str(path), [str(tmp_path / "link")]), path  # a root that is a link
        assert is_inside(str(path), [f"{data}{os.sep}"]), path
    outside = [
        tmp_path,
        beside,
        data / "out",
        data / "out" / "x",
        data / ".." / "x",
        tmp_path / "DATA",
        tmp_path / "dat",
    ]
    for path in (*outside, f"{data}base", f"{data}/../database", "", "\0", "\ud800", f"{data}/\ud800", "x" * 9000):
        assert not is_inside(str(path), allowed), path
    assert not is_inside(str(data), []) and not is_inside(str(data), ["", "  "])
    assert is_inside("/etc/passwd", ["/"]) and is_inside(f"/{data}", allowed)
    assert is_inside(os.path.relpath(data / "clips"), allowed)


def test_two_forms_of_one_letter_are_two_folders_but_on_a_mac(tmp_path):
    composed, apart = (str(tmp_path / unicodedata.normalize(form, "café")) for form in ("NFC", "NFD"))
    assert composed != apart
    assert not is_inside(apart, [composed]) and not is_inside(composed, [apart])
    assert is_inside(apart, [composed], composed=True) and is_inside(composed, [apart], composed=True)


WINDOWS_ROOTS = [r"C:\Data", r"\\nas\films", r"\\?\E:\long", "D:\\"]


@pytest.mark.parametrize(
    "path",
    [
        r"C:\Data", r"c:\data\clip.mp4", r"C:/DATA/sub/x.png", r"C:\Data\a\..\b", "C:\\Data\\", r"\\NAS\Films\a.mp4",
        "//nas/films/a", r"E:\long\x", r"D:\x", "d:/",
        r"\\nas\films\..\..\x",  # nothing is above a share
    ],
)  # fmt: skip
def test_windows_inside(path):
    assert is_inside(path, WINDOWS_ROOTS, ntpath)


@pytest.mark.parametrize(
    "path",
    [
        r"C:\Database\x", r"C:\Data\..\secret", r"C:\\", r"C:secret", r"C:Data\x", r"D:x", r"C:",  # relative to a drive
        r"\\server\share\x", r"\\nas\films2\x", r"\\nas\other", "//server/share",
        r"\\?\C:\Data\x", r"\\.\C:\Data\x", r"\\?\UNC\nas\films\x", r"\??\C:\Data", r"//?/C:/Data/x", r"\\.\pipe\x",
        "C:\\Data\\x.", "C:\\Data\\x ", "C:\\Data \\x", "C:\\Data.\\x", "C:\\Data\\...\\x", "C:\\Data\\.. \\x",
        r"C:\Data\x.txt:stream", r"C:\Data\x::$DATA", "x:y:z", r"C:\Data:s\x",
        r"C:\Data\CON", r"C:\Data\nul.txt", r"C:\Data\com1", r"C:\Data\aux .png", r"C:\Data\CONIN$", "",
    ],
)  # fmt: skip
def test_windows_outside(path):
    assert not is_inside(path, WINDOWS_ROOTS, ntpath)


def test_windows_never_asks_a_server_that_is_no_root():
    """Looking at such a path would send it the name and the password's hash of whoever runs the WebUI."""
    asked = []

    class Watched:
        def __getattr__(self, name):
            return getattr(ntpath, name)

        def realpath(self, path):
            asked.append(path)
            return ntpath.realpath(path)

    for path in (r"\\evil\share\x", "//evil/share/x", r"\\?\UNC\evil\share", r"\\nas\films\..\..\evil"):
        assert not is_inside(path, [r"C:\Data"], Watched())
    assert not [path for path in asked if "evil" in path]


@pytest.mark.parametrize(("system", "allowed", "limit"), [("posix", 0, None), ("nt", 0, 259), ("nt", 1, None)])
def test_how_long_a_path_may_be(monkeypatch, system, allowed, limit):
    library = SimpleNamespace(RtlAreLongPathsEnabled=lambda: allowed)
    monkeypatch.setattr(paths, "os", SimpleNamespace(name=system))
    monkeypatch.setattr(paths.ctypes, "WinDLL", lambda name: library, raising=False)
    assert paths.limit_of_paths() == limit


def test_a_windows_that_cannot_take_long_paths_is_not_asked_whether_it_does(monkeypatch):
    """Before Windows 10 1607 its library lacks the function."""
    monkeypatch.setattr(paths, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(paths.ctypes, "WinDLL", lambda name: SimpleNamespace(), raising=False)
    assert paths.limit_of_paths() == 259
