"""What editing programs are to find in ProRes, FFV1, H.265 and AV1."""

import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from media_clips import INFOTEXT, decode_with_ffmpeg, numbered_clip
from PIL import Image
from read_back import read_infotext
from video_files import streams

from motion_module.media.writing.clip import Clip, ClipInfo

ODD = (63, 33)
INSIDE = {  # the codec, its kind and the pixels, as ffmpeg tells them
    "PRORES422": r"prores \(HQ\) \(apch .*yuv422p10le\((tv, )?bt709",
    "PRORES4444": r"prores \(4444\) \(ap4h .*yuv444p1[02]le\((tv, )?bt709",
    "FFV1": r"ffv1 .*bgr0\(pc, gbr",
    "H265": r"hevc \(Main 10\) \(hvc1 .*yuv420p10le\(tv, bt709",
    "AV1": r"av1 .*\(Main\) \(av01 .*yuv420p\(tv, bt709",
}


def decoded(path, pixels="rgb24"):
    """All frames as raw pixels."""
    return _decoded(path, "-pix_fmt", pixels)


def exact(path, size):
    """All frames, `f h w 3`, by zimg, which rounds where swscale cuts off."""
    pixels = _decoded(path, "-vf", "zscale=matrix=gbr:range=full,format=gbrp,format=rgb24")
    return np.frombuffer(pixels, np.uint8).reshape(-1, size[1], size[0], 3).astype(float)


def _decoded(path, *how):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), *how, "-f", "rawvideo", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize(("fps", "told"), [(12, "12 fps"), (23.976, "23.98 fps")])
def test_what_is_inside(save, name, fps, told):
    report = save(numbered_clip(9, (64, 48), fps=fps, infotext=INFOTEXT), [name])
    assert report.failures == {}
    (path,) = report.files[name]
    (line,) = [line for line in streams(path) if "Video: " in line]
    assert re.search(INSIDE[name], line) and "64x48" in line and told in line, line
    assert decode_with_ffmpeg(path).numbers == list(range(9))
    assert read_infotext(path) == INFOTEXT


def noise(mode="RGB", count=4, size=ODD):
    """Frames without any order."""
    return [Image.merge(mode, [Image.effect_noise(size, 90) for _ in mode]) for _ in range(count)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_ffv1_keeps_every_pixel(save, mode):
    frames = noise(mode)
    (path,) = save(Clip(frames, ClipInfo(infotext=INFOTEXT)), ["FFV1"]).files["FFV1"]
    assert decoded(path, {"RGB": "rgb24", "RGBA": "rgba"}[mode]) == b"".join(frame.tobytes() for frame in frames)


@pytest.mark.parametrize("name", ["PRORES422", "PRORES4444"])
def test_prores_keeps_brightness(save, name):
    frames = [frame.resize((128, 96), Image.Resampling.BICUBIC).convert("RGB") for frame in noise("L", size=(16, 12))]
    (path,) = save(Clip(frames, ClipInfo()), [name]).files[name]
    assert np.abs(exact(path, (128, 96)) - np.stack(frames)).mean() < 0.1


def test_colours_that_change_with_each_pixel_stay_apart_in_4444(save):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 2] = 220, 220
    clip, off = Clip([Image.fromarray(pixels)] * 2, ClipInfo()), {}
    for name in ("PRORES422", "PRORES4444"):
        (path,) = save(clip, [name]).files[name]
        off[name] = np.abs(exact(path, (64, 48)) - pixels).mean()
    assert off["PRORES4444"] < 0.25 * off["PRORES422"]


def test_prores_4444_has_an_alpha_channel_where_frames_have_one(save):
    (plain,) = save(Clip(noise(), ClipInfo()), ["PRORES4444"]).files["PRORES4444"]
    assert not any("yuva" in line for line in streams(plain))
    frames = noise("RGBA")
    (path,) = save(Clip(frames, ClipInfo()), ["PRORES4444"]).files["PRORES4444"]
    assert any("yuva444p1" in line for line in streams(path))
    found = np.frombuffer(decoded(path, "rgba"), np.uint8).reshape(4, 33, 63, 4)[..., 3].astype(int)
    assert np.abs(found - np.stack(frames)[..., 3]).max() <= 1


@pytest.mark.parametrize("name", ["FFV1", "PRORES4444"])
def test_the_first_frame_says_whether_there_is_transparency(save, name):
    plain, hollow = Image.new("RGB", (32, 16), (9, 99, 9)), Image.new("RGBA", (32, 16), (9, 99, 9, 40))
    for frames, alphas in (([plain, hollow], (255, 255)), ([hollow, plain], (40, 255))):
        (path,) = save(Clip(frames, ClipInfo()), [name]).files[name]
        found = np.frombuffer(decoded(path, "rgba"), np.uint8).reshape(2, 16, 32, 4)
        assert [round(alpha) for alpha in found[..., 3].mean((1, 2))] == list(alphas)


@pytest.mark.parametrize("name", ["PRORES422", "PRORES4444", "H265", "AV1"])
def test_the_index_is_at_the_front(save, name):
    data = save(numbered_clip(4), [name]).files[name][0].read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_each_frame_of_an_editors_format_stands_for_itself(save):
    for name in ("PRORES422", "PRORES4444", "FFV1"):
        (path,) = save(numbered_clip(9), [name]).files[name]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-skip_frame", "nokey", "-i", str(path)]
        kept = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
        assert len(kept.stdout) == 9 * 64 * 48 * 3, name
