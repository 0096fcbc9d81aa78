"""Whoever reads a video is asked again and again whether to go on: for frames that are left out, too, and while ffmpeg
is silent. Calls are counted here, and no time is taken."""

import subprocess
import sys

import imageio_ffmpeg
import pytest
from video_files import film, gif

from motion_module.media import child
from motion_module.media.reading.frame_store import stored
from motion_module.media.reading.probe import probe
from motion_module.media.reading.reader import extract, sound_in
from motion_module.media.reading.timing import Selection


class EnoughError(RuntimeError):
    """Somebody has pressed Interrupt."""


class Heartbeat:
    """Writes down what it is told, and stops the reading when `until` says so."""

    def __init__(self, until=lambda kept, met: False):
        self.told, self._until = [], until

    def __call__(self, kept=0, met=0):
        self.told.append((kept, met))
        if self._until(kept, met):
            raise EnoughError


def read(path, folder, heartbeat, **selection):
    folder.mkdir()
    return extract(path, Selection(**selection), folder, heartbeat=heartbeat)


@pytest.fixture
def faked(tmp_path, monkeypatch):
    """An ffmpeg that does as told in Python where it should decode, and is the real one elsewhere."""

    def fake(*lines):
        real = imageio_ffmpeg.get_ffmpeg_exe()
        path = tmp_path / "fake-ffmpeg"
        text = [f"#!{sys.executable}", "import os, sys, time", f"real, arguments = {real!r}, sys.argv[1:]"]
        text += ["if 'image2pipe' not in arguments: os.execv(real, [real, *arguments])"]
        text += ["notes = arguments[-1].removeprefix('file:')", *lines]
        path.write_text("\n".join(text))
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return fake


def test_each_frame_is_told(tmp_path):
    heard = Heartbeat()
    read(film(tmp_path / "v.mp4", range(9)), tmp_path / "out", heard)
    kept = [kept for kept, _ in heard.told]
    assert kept == sorted(kept) and set(kept) == set(range(10))
    met = [met for _, met in heard.told]
    assert met == sorted(met) and met[-1] == 9


def test_frames_that_are_dropped_are_told(tmp_path):
    path = film(tmp_path / "v.mp4", [4] * 60)
    heard = Heartbeat()
    assert read(path, tmp_path / "out", heard, drop_duplicates=True).frame_numbers == [0]
    assert sum(kept == 1 for kept, _ in heard.told) >= 60  # one before each of the frames after the first, and the end
    heard = Heartbeat(lambda kept, met: kept == 1 and len(heard.told) > 20)
    with pytest.raises(EnoughError):
        read(path, tmp_path / "stopped", heard, drop_duplicates=True)
    assert len(heard.told) == 21


def test_frames_of_an_animation_before_the_first_that_is_wanted_are_told(tmp_path):
    path = gif(tmp_path / "a.gif", range(12), 100)
    heard = Heartbeat()
    assert read(path, tmp_path / "out", heard, start=9).frame_numbers == [9, 10, 11]
    assert heard.told[:9] == [(0, met) for met in range(1, 10)]
    heard = Heartbeat(lambda kept, met: met == 4)
    with pytest.raises(EnoughError):
        read(path, tmp_path / "stopped", heard, start=9)
    assert len(heard.told) == 4


def test_many_frames_before_the_first_that_is_wanted(tmp_path, monkeypatch):
    """However fast ffmpeg goes through them, it is asked at least once; and the search can be ended then."""
    monkeypatch.setattr(child, "BEAT_S", 0.001)
    path = film(tmp_path / "v.mp4", range(3000), size=(16, 16), options=["-preset", "ultrafast"])
    heard = Heartbeat()
    assert read(path, tmp_path / "out", heard, start=2990).frame_numbers == list(range(2990, 3000))
    searching = [met for kept, met in heard.told if not kept]
    assert searching and searching == sorted(searching)
    heard = Heartbeat(lambda kept, met: not kept and met < 2990)
    with pytest.raises(EnoughError):
        read(path, tmp_path / "stopped", heard, start=2990)
    assert list((tmp_path / "stopped").iterdir()) == []


def test_a_search_is_told_and_ended_while_ffmpeg_is_silent(tmp_path, faked, monkeypatch):
    """It has noted 180,000 frames, and not come to the first one that is wanted."""
    monkeypatch.setattr(child, "BEAT_S", 0.001)
    path = film(tmp_path / "v.mp4", range(5))
    half = "with open(notes, 'a') as file: file.write('#header\\n' + '0, 1, 1, 1, 12, 0x0\\n' * 90000 + '0, 1')"
    faked(half, "time.sleep(0.01)", half.replace("#header\\n", ", 1, 1, 12, 0x0\\n"), "time.sleep(99)")
    heard = Heartbeat(lambda kept, met: met == 180_001)
    with pytest.raises(EnoughError):
        read(path, tmp_path / "out", heard, start=190_000)
    assert {kept for kept, _ in heard.told} == {0}
    assert list((tmp_path / "out").iterdir()) == []


def test_the_end_of_a_film_is_waited_for_with_open_ears(tmp_path, faked):
    """It has handed out all frames, and goes on to note when they are shown."""
    path = film(tmp_path / "v.mp4", range(5))
    picture = "'P7\\nWIDTH 1\\nHEIGHT 1\\nDEPTH 3\\nMAXVAL 255\\nTUPLTYPE RGB\\nENDHDR\\nabc'"
    faked(f"sys.stdout.write({picture})", "sys.stdout.close()", "os.close(1)", "time.sleep(99)")
    heard = Heartbeat(lambda kept, met: heard.told.count((1, 0)) == 9)  # only a silent ffmpeg is asked that often
    with pytest.raises(EnoughError):
        read(path, tmp_path / "out", heard)


def test_an_ffmpeg_that_finds_frames_does_not_hang(tmp_path, faked, monkeypatch):
    """Patience ends when nothing at all has happened for long, not when a search takes long."""
    monkeypatch.setattr(child, "PATIENCE_S", 1.5)
    path = film(tmp_path / "v.mp4", range(5))
    row = "file.write('0, 1, 1, 1, 12, 0x0\\n'); file.flush(); time.sleep(0.1)"
    faked("with open(notes, 'a') as file:", f"  for number in range(25): {row}")
    heard = Heartbeat()
    with pytest.raises(Exception, match="25 frames, so nothing is left from frame 190000"):
        read(path, tmp_path / "out", heard, start=190_000)


def test_sound_is_looked_for_with_open_ears(tmp_path):
    path = film(tmp_path / "v.mp4", range(25), sound=True)
    heard = Heartbeat()
    assert sound_in(path, 0, 1, heard)
    assert len(heard.told) >= 2
    heard = Heartbeat(lambda kept, met: len(heard.told) == 2)
    with pytest.raises(EnoughError):
        sound_in(path, 0, 1, heard)


def test_a_file_is_looked_into_with_open_ears(tmp_path):
    path = film(tmp_path / "v.mp4", range(5))
    with pytest.raises(EnoughError):
        probe(path, Heartbeat(lambda kept, met: True))


def test_frames_of_a_run_before_are_looked_at_with_open_ears(tmp_path):
    path = film(tmp_path / "v.mp4", range(9))
    for told in (0, 9):
        heard = Heartbeat()
        with stored(tmp_path / "root", path, "all", lambda folder: extract(path, Selection(), folder), beat=heard):
            assert len(heard.told) == told
    with (
        pytest.raises(EnoughError),
        stored(tmp_path / "root", path, "all", None, beat=Heartbeat(lambda kept, met: True)),
    ):
        pass


def test_programs_that_take_too_long_are_ended(tmp_path):
    sleeping = [sys.executable, "-c", "import time; time.sleep(99)"]
    with pytest.raises(subprocess.TimeoutExpired):
        child.finished(sleeping, 0.05)
    done = child.finished([sys.executable, "-c", "import sys; print('x' * 200000); sys.exit(3)"], 60)
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 200001, b"")
