"""Videos in: every frame once, in order, at the rate that keeps their duration."""

import shutil
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
from media_clips import number_in, numbered_clip, numbered_frame
from PIL import Image
from video_files import DUPLICATES, ffmpeg, film, gif, vfr_webm

from motion_module.formats import VIDEOS
from motion_module.media import child
from motion_module.media.errors import ReaderError
from motion_module.media.reading import decode, probe
from motion_module.media.reading.reader import extract, file_name, sound_in
from motion_module.media.reading.timing import Selection, Timeline, constant_rate


@pytest.fixture
def read(tmp_path):
    """Extract a video; returns what was found and the numbers that its frames show."""

    def _read(path, **selection):
        folder = tmp_path / "frames"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        found = extract(path, Selection(**selection), folder)
        files = sorted(file.name for file in folder.iterdir())
        assert files == [file_name(number) for number in range(len(found.frame_numbers))]
        return found, [number_in(np.asarray(Image.open(folder / file))) for file in files]

    return _read


CONSTANT = [
    ("a.mp4", 25, (64, 48), []),
    ("ntsc.mp4", "30000/1001", (64, 48), []),
    ("film.mkv", "24000/1001", (64, 48), []),
    ("b frames.mp4", 30, (64, 48), ["-bf", "3"]),
    ("fast.webm", 60, (64, 48), []),
    ("odd.webm", "12.5", (65, 47), []),
    ("odd.mkv", 10, (63, 49), ["-c:v", "ffv1", "-pix_fmt", "yuv420p"]),
    ("old.avi", 15, (64, 48), []),
    ("slow.mov", 1, (64, 48), []),
    ("portrait.mp4", 8, (48, 64), []),
]


@pytest.mark.parametrize(("name", "fps", "size", "options"), CONSTANT, ids=[case[0] for case in CONSTANT])
def test_every_frame_once_in_order_at_the_exact_rate(tmp_path, read, name, fps, size, options):
    found, numbers = read(film(tmp_path / name, range(37), fps, size, options=options))
    assert numbers == list(range(37))
    assert found.fps == float(Fraction(fps))
    assert (found.frames, found.start, found.complaint) == (37, 0, "")
    assert Image.open(tmp_path / "frames" / file_name(0)).size == size


def test_15_duplicates_and_sound_cost_no_frame(tmp_path, read):
    path = film(tmp_path / "v.mp4", DUPLICATES, sound=True)
    found, numbers = read(path)
    assert numbers == DUPLICATES and found.fps == 25
    dropped, numbers = read(path, drop_duplicates=True)
    assert numbers == list(dict.fromkeys(DUPLICATES))
    assert dropped.frame_numbers == [DUPLICATES.index(number) for number in numbers]
    assert len(numbers) / dropped.fps == pytest.approx(37 / 25, abs=0.002)


def test_15_a_variable_rate_keeps_frames_and_duration(tmp_path, read):
    path, seconds = vfr_webm(tmp_path / "v.webm")
    found, numbers = read(path)
    assert numbers == list(range(24))
    assert 24 / found.fps == pytest.approx(seconds, abs=0.04)
    part, numbers = read(path, start=3, end=14)
    assert numbers == list(range(3, 15))
    assert 12 / part.fps == pytest.approx(0.8, abs=0.002)  # four times 0.12 + 0.04 + 0.04
    assert part.start == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("lengths", "seconds"),
    [
        ([100] * 9, 0.9),
        ([30, 30, 40] * 3, 0.3),
        ([100, 500, 20] * 3, 1.86),
        ([100] * 8 + [2000], 2.8),
        ([0] * 9, 0.9),
        ([10] * 9, 0.9),
    ],
    ids=["even", "30 frames/s", "uneven", "the last one stays", "no time", "too fast for browsers"],
)
def test_a_gif_lasts_as_long_as_browsers_show_it(tmp_path, read, lengths, seconds):
    found, numbers = read(gif(tmp_path / "a.gif", range(9), lengths))
    assert numbers == list(range(9))
    assert 9 / found.fps == pytest.approx(seconds, abs=0.0011)


@pytest.mark.parametrize("kind", VIDEOS)
def test_what_we_write_we_read(save, read, kind):
    (path,) = save(numbered_clip(11, fps=12), [kind]).files[kind]
    found, numbers = read(path)
    assert numbers == list(range(11))
    assert found.fps == pytest.approx(12, abs=0.2 if kind == "GIF" else 0)


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        ({"start": 30}, range(30, 37)),
        ({"end": 4}, range(5)),
        ({"start": 5, "end": 5}, [5]),
        ({"start": 1, "end": 10, "step": 3}, [1, 4, 7, 10]),
        ({"step": 36}, [0, 36]),
        ({"start": 35, "end": 900}, [35, 36]),
        ({"limit": 6}, range(6)),
        ({"start": 2, "step": 5, "limit": 3}, [2, 7, 12]),
        ({"end": 3, "limit": 30}, range(4)),
        ({"limit": 3, "drop_duplicates": True}, range(3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["v.mp4", "v.gif"])
def test_trim_and_every_nth(tmp_path, read, name, selection, numbers):
    path = tmp_path / name
    film(path, range(37), 20) if name == "v.mp4" else gif(path, range(37), 50)
    found, shown = read(path, **selection)
    assert shown == list(numbers) == found.frame_numbers
    assert found.fps == pytest.approx(20 / selection.get("step", 1))
    assert found.start == pytest.approx(found.frame_numbers[0] / 20, abs=1e-4)


def test_a_rotated_film_stands_upright(tmp_path, read):
    film(tmp_path / "flat.mp4", range(5), size=(64, 48))
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "phone.mp4")
    found, _ = read(tmp_path / "phone.mp4")
    picture = Image.open(tmp_path / "frames" / file_name(3))
    assert (len(found.frame_numbers), picture.size) == (5, (48, 64))
    assert number_in(np.asarray(picture.rotate(-90, expand=True))) == 3


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path, read):
    film(tmp_path / "long.mp4", range(30), options=["-g", "10"])
    ffmpeg("-ss", 0.48, "-i", tmp_path / "long.mp4", "-c", "copy", tmp_path / "cut.mp4")  # frame 12, key frame 10
    found, numbers = read(tmp_path / "cut.mp4")
    assert numbers == list(range(12, 30)) and found.fps == 25


def test_pixels_that_are_not_square_are_shown_as_players_do(tmp_path, read):
    read(film(tmp_path / "wide.mp4", range(3), size=(64, 48), options=["-aspect", "16:9"]))
    assert Image.open(tmp_path / "frames" / file_name(0)).size == (85, 48)


def test_what_is_transparent_shows_white(tmp_path, read):
    frame = numbered_frame(5, (64, 48)).convert("RGBA")
    frame.paste((0, 0, 0, 0), (0, 0, 64, 24))
    frames = [frame, frame.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    ffmpeg("-i", tmp_path / "a.png", "-r", 10, "-c:v", "qtrle", tmp_path / "a.mov")
    for name in ("a.png", "a.mov"):
        read(tmp_path / name)
        picture = Image.open(tmp_path / "frames" / file_name(0))
        assert picture.mode == "RGB" and picture.getpixel((40, 5)) == (255, 255, 255), name
        assert max(picture.getpixel((14, 40))) < 20, name


def test_a_cover_is_not_the_film(tmp_path, read):
    film(tmp_path / "film.mp4", range(7), sound=True)
    numbered_frame(99, (64, 64)).save(tmp_path / "cover.png")
    cover = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", tmp_path / "film.mp4", "-i", tmp_path / "cover.png", *cover, tmp_path / "covered.mp4")
    assert read(tmp_path / "covered.mp4")[1] == list(range(7))


def test_a_film_cut_off_is_read_as_far_as_it_goes_and_said_to_be_damaged(tmp_path, read):
    whole = film(tmp_path / "whole.webm", range(40), options=["-g", "5"]).read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) * 2 // 3])
    found, numbers = read(tmp_path / "cut.webm")
    assert 5 < len(numbers) < 40 and numbers == list(range(len(numbers)))
    assert found.complaint and found.fps == 25


def bad_files(folder):
    """Name of a bad file -> what is said about it."""
    mp4 = film(folder / "good.mp4", range(30)).read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "cut.mp4").write_bytes(mp4[: len(mp4) // 2])
    (folder / "text.webm").write_text("not a video")
    (folder / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{folder}/good.mp4\n#EXT-X-ENDLIST\n")
    (folder / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{folder}/good.mp4'\n")
    Image.new("RGB", (8, 8)).save(folder / "still.jpg")
    gif(folder / "whole.gif", range(9), 100)
    (folder / "cut.gif").write_bytes((folder / "whole.gif").read_bytes()[:20])
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", folder / "sound.mp3")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", folder / "sound.mp4")
    said = dict.fromkeys(["noise.mp4", "cut.mp4", "text.webm", "list.m3u8", "list.mp4", "still.jpg", "cut.gif"], "it ")
    return {**said, "empty.mp4": "it is empty", "sound.mp4": "only sound", "sound.mp3": "it "}


def test_bad_files_are_refused_in_a_sentence(tmp_path):
    for name, says in bad_files(tmp_path).items():
        out = tmp_path / "out"
        out.mkdir()
        with pytest.raises(ReaderError) as caught:
            extract(tmp_path / name, Selection(), out)
        assert says in str(caught.value) and "\n" not in str(caught.value), name
        assert "0x" not in str(caught.value) and not list(out.iterdir()), (name, str(caught.value))
        out.rmdir()


def test_too_much_is_refused(tmp_path, monkeypatch):
    path, out = film(tmp_path / "v.mp4", range(60)), tmp_path / "out"
    out.mkdir()
    with pytest.raises(ReaderError, match="about 60 frames, 50 are allowed"):
        extract(path, Selection(), out, most=50)
    with pytest.raises(ReaderError, match="more than 58 frames"):  # found out only while reading
        extract(path, Selection(), out, most=58)
    assert len(extract(path, Selection(limit=50), out, most=50).frame_numbers) == 50
    with pytest.raises(ReaderError, match="60 frames, so nothing is left from frame 60"):
        extract(path, Selection(start=60), out)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.raises(ReaderError, match="64x48 are too large"):
        extract(path, Selection(), out)


def test_reading_stops_when_it_is_told_to(tmp_path):
    def stop(kept, met):
        if kept == 3:
            raise RuntimeError("enough")

    path, out = film(tmp_path / "v.mp4", range(60)), tmp_path / "out"
    out.mkdir()
    with pytest.raises(RuntimeError, match="enough"):
        extract(path, Selection(), out, heartbeat=stop)
    assert len(list(out.iterdir())) == 3


def test_16_only_the_bundled_ffmpeg_is_used(tmp_path, read, monkeypatch):
    path = film(tmp_path / "v.mp4", range(5))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read(path)[1] == list(range(5))
    monkeypatch.setattr("motion_module.media.ffmpeg.ffmpeg_path", lambda: str(tmp_path / "gone"))
    monkeypatch.setattr(probe, "ffmpeg_path", lambda: str(tmp_path / "gone"))
    with pytest.raises(ReaderError, match="ffmpeg does not start"):
        read(path)


def test_an_ffmpeg_of_before_5_1_is_told_in_its_own_words(tmp_path):
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho '-vsync  video sync method'\n")
    old.chmod(0o755)
    assert decode._passthrough(str(old)) == ("-vsync", "0")


def test_a_file_with_a_strange_name(tmp_path, read):
    path = film(tmp_path / "plain.mp4", range(4))
    for name in ("-i.mp4", "concat:a|b.mp4", "50%d é 猫 'x' \"y\".mp4", "http:x.mp4"):
        assert read(path.rename(tmp_path / name))[1] == list(range(4))
        path = tmp_path / name


@pytest.mark.parametrize(("start", "seconds", "heard"), [(0, 1, True), (0.5, 0.2, True), (5, 1, False)])
def test_whether_there_is_sound_in_a_part(tmp_path, start, seconds, heard):
    assert sound_in(film(tmp_path / "v.mp4", range(25), sound=True), start, seconds) is heard
    assert not sound_in(film(tmp_path / "silent.mp4", range(25)), start, seconds)
    assert not sound_in(gif(tmp_path / "v.gif", range(3), 100), start, seconds)


@pytest.mark.parametrize(
    ("starts_ms", "declared", "rate"),
    [
        ([0, 33, 67, 100, 133, 167, 200], "29.97", Fraction(30000, 1001)),
        ([0, 33, 67, 100, 133, 167, 200], "30", Fraction(30)),
        ([0, 33, 67, 100, 133, 167, 200], None, Fraction(30)),
        ([0, 333, 667, 1000], None, Fraction(3)),
        ([0, 40, 160, 200], "25", None),
        ([0], "25", None),
        ([0, 0, 0], "25", None),
    ],
)
def test_a_rate_is_constant_as_far_as_the_unit_of_time_allows(starts_ms, declared, rate):
    starts = [Fraction(start, 1000) for start in starts_ms]
    timeline = Timeline(starts, declared=Fraction(declared) if declared else None)
    assert constant_rate(timeline) == rate


@pytest.mark.parametrize("first", ["", 'printf "P7\\nWIDTH 64\\n"; '], ids=["at once", "in a frame"])
def test_an_ffmpeg_that_hangs_is_ended(tmp_path, monkeypatch, read, first):
    path = film(tmp_path / "v.mp4", range(5))
    fake = tmp_path / "fake-ffmpeg"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *image2pipe*) {first}exec sleep 99;; esac\nexec "{imageio_ffmpeg.get_ffmpeg_exe()}" "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    monkeypatch.setattr(child, "PATIENCE_S", 0.5)
    with pytest.raises(ReaderError, match=r"ffmpeg did nothing for 0\.5 seconds and was ended"):
        read(path)
