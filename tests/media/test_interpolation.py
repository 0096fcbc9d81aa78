"""Frames between frames: how many, where, how good, and what happens when it does not work."""

import gc
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from media_clips import decode_with_ffmpeg, decode_with_pillow
from PIL import Image, ImageDraw, ImageFilter

from motion_module.media import child, ffmpeg, writing
from motion_module.media.errors import WriterError
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.interpolation import (
    along_flow,
    check_optical_flow,
    interpolated_count,
    motion_compensated,
    pairwise,
)

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
    "flow": along_flow,
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


FOLLOWING = pytest.mark.parametrize("follow", [motion_compensated, along_flow])


@FOLLOWING
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (63, 41), (33, 70), (200, 8)])
def test_any_size(size, follow):
    made = list(follow(clip(4, size), 2))
    assert [picture.size for picture in made] == [size] * 10


@FOLLOWING
@pytest.mark.parametrize("size", [(96, 64), (97, 63)])
@pytest.mark.parametrize("between", [1, 3])
def test_motion_is_followed(between, size, follow):
    """Pictures of the true motion, nearer than a crossfade and than the frame before."""
    frames, step = clip(10, size), between + 1
    made = list(follow(frames, between))
    for number in range(2 * step, 8 * step):
        before, beyond = divmod(number, step)
        if beyond:
            truth = moving(4 * number / step, size)
            faded = Image.blend(frames[before], frames[before + 1], beyond / step)
            assert difference(made[number], truth) < 0.5 * difference(faded, truth), number
            assert difference(made[number], truth) < 0.5 * difference(frames[before], truth), number


@FOLLOWING
def test_the_way_back_of_a_closed_loop(follow):
    """A clip that is in the middle of its motion when it starts over."""
    frames = [moving(8 * np.sin(turn)) for turn in np.arange(12) * np.pi / 6]
    made = list(follow(frames, 1, closed=True))
    truth = moving(8 * np.sin(11.5 * np.pi / 6))
    assert difference(made[-1], truth) < 0.5 * difference(frames[-1], truth)


@FOLLOWING
def test_no_ghosts_across_a_cut(follow):
    dark, bright = Image.new("RGB", (96, 64), (9, 9, 9)), Image.new("RGB", (96, 64), (240, 240, 240))
    made = list(follow([dark] * 4 + [bright] * 4, 3))
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


def test_the_nearer_picture_stands_on_either_side_of_a_cut():
    """Two pictures that have nothing in common."""
    before, after = (Image.effect_noise((48, 32), 120).resize((192, 128)).convert("RGB") for _ in range(2))
    assert list(along_flow([before, after], 4)) == [before, before, before, after, after, after]


def test_small_changes_are_no_cut_though_nothing_can_be_followed():
    grain = [Image.effect_noise((96, 64), 5).convert("RGB") for _ in range(2)]
    (made,) = list(along_flow(grain, 1))[1:2]
    assert made not in grain


def overtaking(place):
    """A plain disc over a texture that rests."""
    picture = moving(0)
    ImageDraw.Draw(picture).ellipse((place - 14, 18, place + 14, 46), fill=(250, 40, 40))
    return picture


def test_what_comes_to_light_is_there_before_the_thing_that_hid_it_has_gone():
    """Beside the disc, where one frame shows it and the other the texture, there is no mixture of both."""
    frames, truth = [overtaking(36), overtaking(48)], overtaking(42)
    made, faded = list(along_flow(frames, 1))[1], Image.blend(*frames, 0.5)
    off, off_faded = (np.abs(np.asarray(picture, float) - truth).max(axis=-1) for picture in (made, faded))
    assert (off > 25).sum() < 0.25 * (off_faded > 25).sum()


def see_through(place):
    """A texture with a hole that moves with it; behind the hole, colours that nobody sees."""
    picture = moving(place).convert("RGBA")
    alpha = Image.new("L", picture.size, 255)
    ImageDraw.Draw(alpha).ellipse((20 + place, 20 + place / 2, 50 + place, 45 + place / 2), fill=0)
    picture.putalpha(alpha)
    hidden = np.asarray(picture).copy()
    hidden[hidden[..., 3] == 0, :3] = (0, 255, 0)
    return Image.fromarray(hidden)


def test_transparent_frames_stay_transparent():
    made = list(along_flow([see_through(place) for place in (0, 4)], 1))[1]
    truth = np.asarray(see_through(2), float)
    found = np.asarray(made, float)
    assert made.mode == "RGBA"
    assert (np.abs(found[..., 3] - truth[..., 3]) > 60).mean() < 0.01
    seen = (found[..., 3] == 255) & (truth[..., 3] == 255)
    assert np.abs(found - truth)[seen][:, :3].mean() < 3, "the hidden colour is nowhere to be seen"


def test_grey_pictures_become_rgb():
    made = list(along_flow([moving(place).convert("L") for place in (0, 4)], 1))
    assert [picture.mode for picture in made] == ["L", "RGB", "L"]


def test_two_frames_are_held_at_a_time():
    """Frames that lie on disk are asked for when they are needed, and let go."""
    alive = weakref.WeakSet()

    class Frame:
        def __init__(self, place):
            self.picture, self.size = moving(place), (96, 64)

        def __getattr__(self, name):
            return getattr(self.picture, name)

    class Lazy:
        def __len__(self):
            return 30

        def __getitem__(self, place):
            if place >= len(self):
                raise IndexError(place)
            frame = Frame(place)
            alive.add(frame)
            return frame

    most = 0
    gc.collect()
    gc.freeze()  # what other tests have left need not be gone through for each frame
    try:
        for _ in along_flow(Lazy(), 2):
            gc.collect()
            most = max(most, len(alive))
    finally:
        gc.unfreeze()
    assert most <= 3, "the two, and the one that was handed out"


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "motion_module.media.writing.optical_flow", raising=False)
    monkeypatch.delattr(writing, "optical_flow", raising=False)
    for use in (check_optical_flow, lambda: list(along_flow(clip(2), 1))):
        with pytest.raises(WriterError, match=r"^OpenCV \(the package opencv-python\) cannot be used: .*cv2"):
            use()


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


@FOLLOWING
def test_frames_of_several_sizes(follow):
    with pytest.raises(WriterError, match=r"96x48, 96x64"):
        list(follow([*clip(2), *clip(2, (96, 48))], 1))


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
