"""Frames between frames: how many, where, how good, and what happens when it does not work."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from media_clips import decode_with_ffmpeg, decode_with_pillow
from PIL import Image, ImageFilter

from motion_module.media import child, ffmpeg
from motion_module.media.errors import WriterError
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.interpolation import interpolated_count, motion_compensated, pairwise

TEXTURE = Image.effect_noise((800, 500), 90).filter(ImageFilter.GaussianBlur(3))


def moving(place, size=(96, 64)):
    """A texture that has moved by `place` pixels to the right and by half of it downwards."""
    box = (300 - place, 200 - place / 2, 300 - place + size[0], 200 - place / 2 + size[1])
    return TEXTURE.resize(size, Image.Resampling.BICUBIC, box=box).convert("RGB")


def clip(count, size=(96, 64), speed=4):
    return [moving(speed * place, size) for place in range(count)]


def difference(one, other):
    """Mean difference in the middle, where the texture neither enters nor leaves."""
    one, other = (np.asarray(image, float)[12:-12, 24:-24] for image in (one, other))
    return np.abs(one - other).mean()


def crossfade(first, second, place):
    return Image.blend(first, second, place)


METHODS = {
    "ffmpeg": motion_compensated,
    "pairwise": lambda frames, between, closed: pairwise(frames, between, crossfade, closed),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize(("count", "between"), [(1, 3), (2, 1), (2, 4), (3, 2), (5, 1), (9, 10), (4, 60), (30, 3)])
def test_number_and_place(method, count, between, closed):
    """The originals are the very same pictures, at their places; every other picture is new."""
    frames = clip(count)
    made = list(METHODS[method](frames, between, closed))
    wanted = count * (between + 1) if closed else (count - 1) * (between + 1) + 1
    assert len(made) == interpolated_count(count, between, closed) == (wanted if count > 1 else 1)
    assert [picture for picture in made if any(picture is frame for frame in frames)] == made[:: between + 1]
    assert all(one is other for one, other in zip(made[:: between + 1], frames, strict=True))
    assert {(picture.size, picture.mode) for picture in made} == {((96, 64), "RGB")}


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (63, 41), (33, 70), (200, 8)])
def test_any_size(size):
    made = list(motion_compensated(clip(4, size), 2))
    assert [picture.size for picture in made] == [size] * 10


@pytest.mark.parametrize("between", [1, 3])
def test_motion_is_followed(between):
    """Pictures of the true motion, nearer than a crossfade and than the frame before."""
    frames, step = clip(10), between + 1
    made = list(motion_compensated(frames, between))
    for number in range(2 * step, 8 * step):
        before, beyond = divmod(number, step)
        if beyond:
            truth = moving(4 * number / step)
            faded = Image.blend(frames[before], frames[before + 1], beyond / step)
            assert difference(made[number], truth) < 0.5 * difference(faded, truth), number
            assert difference(made[number], truth) < 0.5 * difference(frames[before], truth), number


def test_the_way_back_of_a_closed_loop():
    """A clip that is in the middle of its motion when it starts over."""
    frames = [moving(8 * np.sin(turn)) for turn in np.arange(12) * np.pi / 6]
    made = list(motion_compensated(frames, 1, closed=True))
    truth = moving(8 * np.sin(11.5 * np.pi / 6))
    assert difference(made[-1], truth) < 0.5 * difference(frames[-1], truth)


def test_no_ghosts_across_a_cut():
    dark, bright = Image.new("RGB", (96, 64), (9, 9, 9)), Image.new("RGB", (96, 64), (240, 240, 240))
    made = list(motion_compensated([dark] * 4 + [bright] * 4, 3))
    assert {np.asarray(picture).mean() < 128 for picture in made} == {True, False}
    assert all(min(abs(np.asarray(picture, int).mean() - level) for level in (9, 240)) < 3 for picture in made)


@pytest.mark.parametrize("between", [1, 2, 3, 10, 60])
def test_places_between_two(between):
    """Every place is asked for with its share of the way between the pictures it is made from."""
    asked = []

    def predict(first, second, place):
        asked.append(place)
        return first + (second - first) * place

    made = list(pairwise([0.0, 10.0, 0.0], between, predict))
    up = np.linspace(0, 10, between + 2)
    assert made == pytest.approx([*up, *up[-2::-1]])
    assert all(0.3 <= place <= 0.5 for place in asked), "near the middle, where such models are good"


def test_only_a_few_frames_are_read_ahead():
    """Frames that lie on disk are asked for when they are needed."""
    asked = []

    class Lazy:
        def __len__(self):
            return 400

        def __getitem__(self, place):
            if place >= len(self):
                raise IndexError(place)
            asked.append(place)
            return moving(place % 7, (256, 256))

    made = motion_compensated(Lazy(), 1)
    next(made)  # the sizes of all have been compared
    asked.clear()
    for _ in range(20):
        next(made)
    assert max(asked, default=0) < 200
    made.close()


def test_stopped_in_the_middle():
    before = set(threading.enumerate())
    made = motion_compensated(clip(60), 3)
    for _ in range(30):
        next(made)
    made.close()
    assert set(threading.enumerate()) <= before


def test_frames_of_several_sizes():
    with pytest.raises(WriterError, match=r"96x48, 96x64"):
        list(motion_compensated([*clip(2), *clip(2, (96, 48))], 1))


def test_frames_that_cannot_be_read():
    class Broken(list):
        def __getitem__(self, place):
            if place == 5 and threading.current_thread() is not threading.main_thread():
                raise OSError("the file is gone")
            return super().__getitem__(place)

    with pytest.raises(OSError, match="the file is gone"):
        list(motion_compensated(Broken(clip(9)), 1))


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    def make(script):
        path = tmp_path / "fake-ffmpeg"
        path.write_text(f'#!/bin/sh\ncase "$*" in *-filters*) echo "... minterpolate V->V x"; exit;; esac\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    ffmpeg._listed.cache_clear()
    yield make
    ffmpeg._listed.cache_clear()


@pytest.mark.parametrize("script", ["exec sleep 99", "head -c 60000; exec sleep 99", "cat > /dev/null; exec sleep 99"])
def test_an_ffmpeg_that_hangs_is_ended(fake_ffmpeg, monkeypatch, script):
    monkeypatch.setattr(child, "PATIENCE_S", 0.5)
    fake_ffmpeg(script)
    with pytest.raises(WriterError, match=r"did nothing for 0\.5 seconds"):
        list(motion_compensated(clip(40), 2))


def test_a_reader_that_takes_its_time_ends_nothing(monkeypatch):
    frames = clip(60, (256, 256))  # more than the pipes hold
    began = time.monotonic()
    assert len(list(motion_compensated(frames, 1))) == 119
    patience = 2 * (time.monotonic() - began)
    monkeypatch.setattr(child, "PATIENCE_S", patience)
    made = motion_compensated(frames, 1)
    next(made)
    time.sleep(1.25 * patience)
    assert len(list(made)) == 118


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('echo "too hot" >&2; exit 3', "failed with exit code 3: too hot"),
        ("kill -9 $$", "ended by signal 9"),
        ("head -c 60000; exit 1", "failed with exit code 1"),
        ("cat > /dev/null; exit 0", "failed with exit code 0"),
    ],
)
def test_ffmpeg_fails(fake_ffmpeg, script, why):
    fake_ffmpeg(script)
    with pytest.raises(WriterError, match=why):
        list(motion_compensated(clip(40), 2))


def test_no_such_filter(fake_ffmpeg, tmp_path):
    fake_ffmpeg("exit 1")
    path = Path(tmp_path / "fake-ffmpeg")
    path.write_text(path.read_text().replace("minterpolate", "other"))
    with pytest.raises(WriterError, match="no filter minterpolate"):
        list(motion_compensated(clip(3), 2))


@pytest.mark.parametrize(("count", "between", "fps"), [(16, 10, 8), (9, 3, 30), (5, 60, 12)])
def test_formats_that_cannot_play_so_fast_keep_the_time(save, count, between, fps):
    frames = list(pairwise(clip(count, (64, 48)), between, crossfade, closed=True))
    rate = fps * (between + 1)
    report = save(Clip(frames, ClipInfo(fps=rate)), ["GIF", "MP4", "WEBP", "APNG"])
    assert report.failures == {}
    for name, limit in (("GIF", 50), ("WEBP", 90), ("APNG", 90)):
        found = decode_with_pillow(report.files[name][0])
        assert found.seconds == pytest.approx(count / fps, rel=0.01, abs=1 / limit), name
    assert len(decode_with_ffmpeg(report.files["MP4"][0]).numbers) == len(frames)
    assert decode_with_ffmpeg(report.files["MP4"][0]).seconds == pytest.approx(count / fps, rel=0.01, abs=0.011)
