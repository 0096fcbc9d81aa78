"""The folder of extracted frames: nobody else's, not for ever, and never with a frame that is not the video's."""

import os
import shutil
import stat
import time

import numpy as np
import pytest
from media_clips import number_in
from PIL import Image
from video_files import film

from motion_module.media import private_folder
from motion_module.media.errors import ForeignFolderError
from motion_module.media.reading.frame_store import Bounds, scratch, stored
from motion_module.media.reading.reader import extract
from motion_module.media.reading.timing import Selection

posix = pytest.mark.skipif(os.name != "posix", reason="there are no such rights")


@pytest.fixture
def frames(tmp_path):
    """Gets frames of a film through the store; `frames.reads` counts how often the film was read."""

    class Frames:
        reads = 0
        root = tmp_path / "root"

        def get(self, name="v", **options):
            path = tmp_path / f"{name}.mp4"
            if not path.exists():
                film(path, range(4))

            def make(folder):
                self.reads += 1
                return extract(path, Selection(), folder)

            return stored(self.root, path, "all", make, **options)

        def names(self):
            return sorted({path.name.partition("-")[0] for path in self.root.iterdir()})

    return Frames()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_nobody_else_can_look_into_it(frames, tmp_path):
    umask = os.umask(0)
    try:
        with frames.get() as found, scratch(frames.root, "x") as folder:
            assert [mode_of(path) for path in (frames.root, found.files[0].parent, folder)] == [0o700] * 3
    finally:
        os.umask(umask)
    frames.root.chmod(0o755)  # as earlier versions made it
    with frames.get():
        assert mode_of(frames.root) == 0o700


@posix
def test_a_folder_with_other_things_in_it_keeps_its_rights(frames):
    frames.root.mkdir()
    frames.root.chmod(0o755)
    (frames.root / "holiday.txt").touch()
    with frames.get() as found:
        assert (mode_of(frames.root), mode_of(found.files[0].parent)) == (0o755, 0o700)


@posix
def test_a_link_in_a_place_of_everybodys_is_not_used(frames, tmp_path):
    frames.root.parent.chmod(0o1777)
    (tmp_path / "elsewhere").mkdir()
    frames.root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ForeignFolderError, match="root is a link"), frames.get():
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@posix
def test_a_link_that_somebody_has_chosen_is_used(frames, tmp_path):
    """As `frames -> /mnt/big`; so is a folder of another user's, as a container sees one of its host's."""
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    frames.root.symlink_to(tmp_path / "elsewhere")
    with frames.get() as found:
        assert found.files[0].resolve().is_relative_to(tmp_path / "elsewhere")
        assert mode_of(found.files[0].parent) == 0o700
    assert mode_of(tmp_path / "elsewhere") == 0o755


@posix
def test_somebody_elses_folder_is_not_used(frames, monkeypatch):
    frames.root.parent.chmod(0o1777)
    frames.root.mkdir()
    monkeypatch.setattr(private_folder.os, "getuid", lambda: frames.root.stat().st_uid + 1)
    with pytest.raises(ForeignFolderError, match="root belongs to another user"), frames.get():
        pass
    assert list(frames.root.iterdir()) == []


def cut(file):
    file.write_bytes(file.read_bytes()[:60])


def replace_it(file):
    Image.new("RGB", (64, 48), "red").save(file)


def gone(file):
    file.unlink()


def link(file):
    target = file.with_name("00000.png").rename(file.with_name("other.png"))
    file.unlink(missing_ok=True)
    file.symlink_to(target)


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def index(file):
    path = file.with_name("index.json")
    path.write_bytes(path.read_bytes().replace(b'"fps": 25.0', b'"fps": 99.0'))


def open_to_others(file):
    file.parent.chmod(0o777)


@pytest.mark.parametrize("damage", [cut, replace_it, gone, link, pipe, index, open_to_others])
def test_what_is_not_as_it_was_written_is_made_anew(frames, damage):
    with frames.get() as first:
        pass
    try:
        damage(first.files[2])
    except (OSError, AttributeError, NotImplementedError):
        pytest.skip("this system has no such files")
    with frames.get() as again:
        assert frames.reads == 2
        shown = [number_in(np.asarray(Image.open(file))) for file in again.files]
        assert (shown, again.extract) == ([0, 1, 2, 3], first.extract)


def test_what_is_as_it_was_is_used_again(frames):
    for _ in range(3):
        with frames.get():
            assert frames.reads == 1


def aged(folder, seconds):
    when = time.time() - seconds
    os.utime(folder / "index.json", (when, when))


def test_frames_go_some_time_after_their_last_use(frames):
    week = Bounds(seconds=7 * 86400)
    with frames.get("old") as old, frames.get("used") as used, frames.get("young"):
        pass
    aged(old.files[0].parent, 8 * 86400)
    aged(used.files[0].parent, 8 * 86400)
    with frames.get("used"):
        assert frames.reads == 3  # not made anew
    with frames.get("new", bounds=week):
        assert frames.names() == ["new", "used", "young"]
    aged(used.files[0].parent, 8 * 86400)
    with frames.get("used", bounds=Bounds()), frames.get("young", bounds=week):
        assert "used" in frames.names()  # in use


def test_all_of_them_together_stay_below_a_size(frames):
    for age, name in ((30, "c"), (50, "a"), (40, "b")):
        with frames.get(name) as found:
            size = sum(file.stat().st_size for file in found.files[0].parent.iterdir())
        aged(found.files[0].parent, age)
    with frames.get("d", bounds=Bounds(size=int(2.5 * size))):
        assert frames.names() == ["b", "c", "d"]
    assert frames.names() == ["c", "d"]
    with frames.get("e", bounds=Bounds(size=1)):
        assert frames.names() == ["e"]
    assert frames.names() == []


def test_a_scratch_folder_goes_even_where_its_owner_has_died(frames):
    with scratch(frames.root, "x") as folder:
        (folder / "a.png").touch()
        with frames.get():
            assert folder.exists()
    assert frames.names() == ["v"]
    (frames.root / "x-0123456789abcdef-0.part").mkdir(parents=True)
    (frames.root / "x-0123456789abcdef-0.lock").touch()
    with frames.get():
        assert frames.names() == ["v"]
    shutil.rmtree(frames.root)
