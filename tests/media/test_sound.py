"""The sound of a source in the formats that have sound."""

import numpy as np
import pytest
from media_clips import decode_with_ffmpeg, numbered_clip
from read_back import read_infotext
from video_files import ffmpeg, film, seconds_of, sound_of, streams

from motion_module.formats import WITH_SOUND, WRITTEN
from motion_module.media.writing.clip import Sound


@pytest.fixture
def rising(tmp_path):
    """A film of 4 s whose tone has 200 Hz more in each second."""
    film(tmp_path / "silent.mp4", range(100))
    tone = "aevalsrc='sin(2*PI*t*(200+200*floor(t)))':d=4:s=44100"
    ffmpeg("-i", tmp_path / "silent.mp4", "-f", "lavfi", "-i", tone, "-c:v", "copy", tmp_path / "rising.mp4")
    return tmp_path / "rising.mp4"


def pitch(samples):
    """The loudest frequency, in Hz."""
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * 8000 / len(samples)


CODECS = {
    "MP4": "aac",
    "WEBM": "opus",
    "PRORES422": "pcm_s16le",
    "PRORES4444": "pcm_s16le",
    "FFV1": "flac",
    "H265": "aac",
    "AV1": "aac",
}


@pytest.mark.parametrize(("name", "codec"), CODECS.items())
def test_the_sound_of_a_part(save, rising, name, codec):
    clip = numbered_clip(25, fps=12.5, infotext="a cat", sound=Sound(rising, 1.0, 2.0))
    report = save(clip, [name])
    (path,) = report.files[name]
    assert any("Audio: " + codec in line for line in streams(path)), report.failures
    assert decode_with_ffmpeg(path).numbers == list(range(25))
    assert seconds_of(path) == pytest.approx(2.0, abs=0.05)
    heard = sound_of(path)
    assert len(heard) / 8000 == pytest.approx(2.0, abs=0.06)
    assert pitch(heard[1000:7000]) == pytest.approx(400, abs=5)
    assert pitch(heard[9000:15000]) == pytest.approx(600, abs=5)
    assert read_infotext(path) == "a cat"


def test_a_sound_that_ends_early_costs_no_frame(save, rising):
    (path,) = save(numbered_clip(25, fps=12.5, sound=Sound(rising, 3.5, 2.0)), ["MP4"]).files["MP4"]
    assert decode_with_ffmpeg(path).numbers == list(range(25))
    assert len(sound_of(path)) / 8000 == pytest.approx(0.5, abs=0.06)


def test_every_other_format_is_as_it_is_without(save, rising, tmp_path):
    assert tuple(CODECS) == WITH_SOUND
    silent = [name for name in WRITTEN if name not in WITH_SOUND]
    with_sound = save(numbered_clip(3, sound=Sound(rising, 0, 1)), silent, folder=tmp_path / "a")
    without = save(numbered_clip(3), silent, folder=tmp_path / "b")
    assert not with_sound.failures
    for name in silent:
        for one, other in zip(with_sound.files[name], without.files[name], strict=True):
            assert one.read_bytes() == other.read_bytes(), name


def test_without_sound_the_other_formats_are_still_written(save, tmp_path):
    report = save(numbered_clip(3, sound=Sound(tmp_path / "gone.mp4", 0, 1)), ["MP4", "GIF"])
    assert "No such file" in report.failures["MP4"] and report.files["GIF"]
