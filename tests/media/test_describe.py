"""What headers tell of videos and folders: no picture is decoded for it."""

import pytest
from PIL import Image, ImageFile
from video_files import film, folder_of, gif, vfr_webm

from motion_module.media.errors import PictureError, ReaderError
from motion_module.media.reading import decode, describe
from motion_module.media.reading.describe import check_amount, describe_folder, describe_video
from motion_module.media.reading.folders import pictures_in
from motion_module.media.reading.reader import extract
from motion_module.media.reading.timing import Selection


@pytest.fixture
def blind(monkeypatch):
    """From a call of this on, whoever decodes a picture or a film fails."""

    def no_more(*args, **kwargs):
        raise AssertionError("something is decoded")

    def shut():
        monkeypatch.setattr(ImageFile.ImageFile, "load", no_more)
        monkeypatch.setattr(decode, "Child", no_more)

    return shut


def apng(path, count, still=False):
    frames = [Image.new("RGB", (16, 12), (number * 9, 0, 0)) for number in range(count)]
    first = Image.new("RGB", (16, 12), "white") if still else frames.pop(0)
    first.save(path, save_all=True, append_images=frames, default_image=still, duration=50)
    return path


def webp(path, count):
    frames = [Image.new("RGB", (16, 12), (number * 9, 0, 0)) for number in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    return path


def test_a_film(tmp_path, blind):
    path = film(tmp_path / "a.mp4", range(30), "30000/1001", sound=True)
    blind()
    found = describe_video(path)
    assert (found.path, found.width, found.height, found.count) == (path, 64, 48, None)
    assert found.about == pytest.approx(30, abs=2) and found.fps == pytest.approx(29.97)
    assert found.probe.sound


def test_a_film_of_which_the_header_tells_less(tmp_path):
    found = describe_video(film(tmp_path / "a.mp4", range(5), sound=False))
    assert not found.probe.sound
    assert describe_video(vfr_webm(tmp_path / "v.webm")[0]).count is None


def test_the_count_of_animated_pictures_is_exact(tmp_path, blind):
    made = {
        gif(tmp_path / "a.gif", range(7), 100): 7,
        gif(tmp_path / "one.gif", range(1), 100): 1,
        apng(tmp_path / "a.png", 5): 5,
        apng(tmp_path / "still.png", 5, still=True): 5,
        webp(tmp_path / "a.webp", 6): 6,
    }
    blind()
    for path, count in made.items():
        found = describe_video(path)
        assert (found.count, found.about, found.fps, found.probe) == (count, count, None, None), path


def test_a_long_gif_is_not_walked_through(tmp_path, monkeypatch):
    path = gif(tmp_path / "a.gif", range(7), 100)
    monkeypatch.setattr(describe, "_LONGEST_WALK", path.stat().st_size - 1)
    found = describe_video(path)
    assert (found.width, found.height, found.count, found.about) == (64, 48, None, None)


def test_a_folder_of_pictures_is_described_by_its_first(tmp_path, blind):
    folder = folder_of(tmp_path / "f", range(4), size=(20, 10))
    Image.new("RGB", (8, 8)).save(folder / "9.png")
    files = pictures_in(folder)
    blind()
    found = describe_folder(folder, files)
    assert (found.path, found.width, found.height, found.count, found.fps) == (folder, 20, 10, 5, None)
    assert describe_folder(folder, files, first=4).width == 8
    (folder / "0.png").write_bytes(b"hello")
    with pytest.raises(PictureError, match="0.png cannot be read .it is not a picture"):
        describe_folder(folder, files)


def test_what_is_no_video_is_refused_as_when_it_is_read(tmp_path):
    for name, content in {"empty.mp4": b"", "noise.mp4": bytes(range(256)) * 9, "text.webm": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(ReaderError) as seen:
            describe_video(tmp_path / name)
        with pytest.raises(ReaderError) as read:
            extract(tmp_path / name, Selection(), tmp_path / "out")
        assert str(seen.value) == str(read.value), name


def test_too_few_and_too_many_are_refused_before_anything_is_decoded(tmp_path, blind):
    animated, long = gif(tmp_path / "a.gif", range(7), 100), film(tmp_path / "v.mp4", range(60))
    blind()
    picture, video = describe_video(animated), describe_video(long)
    with pytest.raises(ReaderError, match="7 frames, so nothing is left from frame 7"):
        check_amount(picture, Selection(start=7), 50)
    with pytest.raises(ReaderError, match="it has 7 frames, 6 are allowed"):
        check_amount(picture, Selection(), 6)
    with pytest.raises(ReaderError, match="about 60 frames, 50 are allowed"):
        check_amount(video, Selection(), 50)
    check_amount(video, Selection(), 58)  # the header may be wrong by so much
    for fits in (Selection(step=2), Selection(limit=50), Selection(end=49), Selection(drop_duplicates=True)):
        check_amount(video, fits, 50)


def test_a_video_that_is_known_is_not_asked_again(tmp_path, monkeypatch):
    path = film(tmp_path / "v.mp4", range(9))
    known = describe_video(path)
    monkeypatch.setattr(describe, "probe", None)
    (tmp_path / "out").mkdir()
    assert len(extract(path, Selection(), tmp_path / "out", known=known).frame_numbers) == 9


@pytest.mark.parametrize(
    ("selection", "frames"),
    [
        (Selection(), 9),
        (Selection(start=2, step=3), 9),
        (Selection(start=8), 9),
        (Selection(start=9), 9),
        (Selection(start=30, step=4), 9),
        (Selection(end=5, step=2), 9),
        (Selection(end=50), 9),
        (Selection(start=1, step=2, limit=3), 9),
        (Selection(limit=20), 9),
        (Selection(), 0),
    ],
)
def test_how_many_are_wanted(selection, frames):
    wanted = [place for place in range(frames) if selection.wants(place)]
    assert selection.count(frames) == len(wanted[: selection.limit])
