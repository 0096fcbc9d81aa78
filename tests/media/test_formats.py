"""Every format, alone and together, read back by independent decoders."""

import itertools
import math
import re
import struct
import subprocess
import weakref
from collections.abc import Iterator
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import piexif
import piexif.helper
import pytest
from media_clips import INFOTEXT, decode_with_ffmpeg, decode_with_pillow, numbered_clip, numbered_frame
from PIL import Image, ImageSequence
from read_back import parse_ffmetadata, read_exif, read_infotext

from motion_module.formats import NO_PICTURES, VIDEOS, WRITTEN
from motion_module.media.writing import WRITERS
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.isobmff import with_exif
from motion_module.media.writing.metadata import exif_comment, ffmetadata
from motion_module.settings import LOSSLESS, TEN_BIT, Settings

EVEN, ODD = (64, 48), (63, 33)
ALL = WRITTEN
VIDEO = VIDEOS
READERS = {name: [decode_with_ffmpeg] for name in VIDEO} | {
    "GIF": [decode_with_pillow, decode_with_ffmpeg],
    "WEBP": [decode_with_pillow],  # ffmpeg cannot read an animated one
    "APNG": [decode_with_pillow, decode_with_ffmpeg],
}
KEEPS_LOOP = {"GIF", "WEBP", "APNG"}
FASTEST = {"GIF": 50, "WEBP": 90, "AVIF": 90, "APNG": 90}  # frames per second; browsers slow down what is faster
CLOCK = 0.01  # seconds; GIF counts in hundredths, and ffmpeg prints no more


def padded(size, name):
    even, smallest = (getattr(WRITERS[name], what, least) for what, least in (("even", False), ("smallest", 1)))
    return tuple(max(side + side % 2 * even, smallest) for side in size)


def shown(count, fps, name):
    """The frames that a format holds: all, or for each moment of its own clock the first that begins then."""
    fastest = FASTEST.get(name, fps)
    if fps <= fastest:
        return list(range(count))
    rate = Fraction(fps).limit_denominator(1001)
    places = (math.ceil(moment * rate / fastest) for moment in range(count))
    return [place for place in places if place < count]


@pytest.mark.parametrize("size", [EVEN, ODD], ids=["even", "odd"])
@pytest.mark.parametrize(("fps", "loop"), [(8, 0), (12, 3), (29.97, 1), (60, 2)])
@pytest.mark.parametrize("count", [1, 2, 3, 16, 100])
def test_count_order_size_duration_loop(save, count, size, fps, loop):
    report = save(numbered_clip(count, size, fps=fps, loop=loop, infotext=INFOTEXT), ALL)

    assert report.failures == {}
    for name in VIDEO:
        path = report.files[name][0]
        for decode in READERS[name]:
            found = decode(path)
            assert found.numbers == shown(count, fps, name), (name, decode)
            assert found.size == padded(size, name)
            if found.seconds is not None:
                assert found.seconds == pytest.approx(count / fps, rel=0.01, abs=CLOCK), (name, decode)
        if name in KEEPS_LOOP:
            assert decode_with_pillow(path).loop == loop
        assert read_infotext(path) == INFOTEXT
    assert [path.name for path in report.files["PNG"]] == [f"{i:05}.png" for i in range(count)]
    for number, path in enumerate(report.files["PNG"]):
        with Image.open(path) as image:
            assert image.tobytes() == numbered_frame(number, size).tobytes()
            assert image.info["parameters"] == INFOTEXT
    assert report.files["TXT"][0].read_text(encoding="utf-8") == INFOTEXT + "\n"


@pytest.mark.parametrize("name", ALL)
def test_alone_and_together_are_the_same_file(save, tmp_path, name):
    clip = numbered_clip(5, ODD, infotext=INFOTEXT)
    together = save(clip, ALL, folder=tmp_path / "together").files[name]
    alone = save(clip, [name], folder=tmp_path / "alone").files[name]
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in together]
    kept = [path.name for path in (tmp_path / "alone").iterdir()]
    assert len(kept) == 1, kept


@pytest.mark.parametrize("fps", [*range(1, 61), 0.3, 0.5, 7.5, 23.976, 29.97, 33.3, 59.94])
def test_every_format_plays_at_the_right_speed(save, fps):
    report = save(numbered_clip(40, (32, 16), fps=fps), VIDEO)
    assert report.failures == {}
    for name, (path,) in report.files.items():
        found = READERS[name][0](path)
        assert found.numbers == shown(40, fps, name), name
        assert found.seconds == pytest.approx(40 / fps, rel=0.01), name


@pytest.mark.parametrize("name", ["WEBP", "APNG"])
@pytest.mark.parametrize("fps", [1, 7, 23.976, 29.97, 60, 89.9])
def test_finer_clocks_are_nearly_exact(save, name, fps):
    found = decode_with_pillow(save(numbered_clip(40, (14, 8), fps=fps), [name]).files[name][0])
    assert found.seconds == pytest.approx(40 / fps, abs=0.0006)


@pytest.mark.parametrize(
    ("name", "fps"),
    [("GIF", fps) for fps in (51, 60, 88, 90, 120)] + [(name, fps) for name in FASTEST for fps in (91, 100, 120)],
)
@pytest.mark.parametrize("count", [1, 2, 3, 16, 100])
def test_frames_are_left_out_evenly_where_browsers_would_slow_them_down(save, name, fps, count):
    report = save(numbered_clip(count, (14, 8), fps=fps), [name])
    found = READERS[name][0](report.files[name][0])
    assert found.numbers == shown(count, fps, name)
    gaps = {after - before for before, after in itertools.pairwise(found.numbers)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    if found.seconds is not None:  # ffmpeg tells none of an AVIF with one frame
        assert found.seconds == pytest.approx(count / fps, rel=0.01, abs=1 / FASTEST[name] + CLOCK)
    held = f"it holds {len(found.numbers)} of the {count} frames, because browsers slow down more than"
    assert report.notes == ({name: f"{held} {FASTEST[name]} a second"} if len(found.numbers) < count else {})


@pytest.mark.parametrize("name", NO_PICTURES)
def test_videos_hold_every_frame_at_any_speed(save, name):
    report = save(numbered_clip(100, (32, 16), fps=120), [name])
    assert decode_with_ffmpeg(report.files[name][0]).numbers == list(range(100))
    assert report.notes == {}


@pytest.mark.parametrize(("name", "fps"), [("GIF", 60), ("GIF", 50), ("WEBP", 120), ("WEBP", 90), ("APNG", 120)])
def test_no_delay_that_browsers_slow_down(save, name, fps):
    with Image.open(save(numbered_clip(30, (14, 8), fps=fps), [name]).files[name][0]) as image:
        delays = [frame.load() and frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert min(delays) >= (20 if name == "GIF" else 11)


def test_exact_pixels(save):
    clip = Clip([Image.effect_noise(ODD, 80).convert("RGB") for _ in range(3)], ClipInfo())
    report = save(clip, ["APNG", "WEBP"], Settings({"webp_lossless": True}))
    for files in report.files.values():
        with Image.open(files[0]) as image:
            for number, frame in enumerate(clip.frames):
                image.seek(number)
                assert image.convert("RGB").tobytes() == frame.tobytes()


def test_webp_quality_reaches_the_encoder(save):
    clip = Clip([Image.effect_noise(EVEN, 80).convert("RGB")], ClipInfo())
    sizes = [save(clip, ["WEBP"], Settings({"webp_quality": q})).files["WEBP"][0].stat().st_size for q in (95, 20)]
    assert sizes[0] > 2 * sizes[1]


def test_webp_that_is_too_large(save):
    assert "16383 pixels" in save(Clip([Image.new("RGB", (16_384, 1))], ClipInfo()), ["WEBP"]).failures["WEBP"]


@pytest.mark.parametrize("name", VIDEO)
def test_identical_frames_are_not_merged(save, name):
    still = Image.new("RGB", EVEN, (200, 30, 60))
    path = save(Clip([still] * 7, ClipInfo(fps=5)), [name]).files[name][0]
    for decode in READERS[name]:
        found = decode(path)
        assert len(found.numbers) == 7
        assert found.seconds in (None, pytest.approx(1.4, abs=0.01))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK"])
def test_any_mode_is_taken(save, mode):
    frames = [numbered_frame(number, EVEN).convert(mode) for number in range(3)]
    report = save(Clip(frames, ClipInfo()), ALL)
    assert report.failures == {}
    for name in VIDEO:
        assert READERS[name][0](report.files[name][0]).numbers == [0, 1, 2]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1), (15, 17), (1, 40)])
def test_tiny_sizes(save, size):
    report = save(Clip([Image.new("RGB", size, (250, 5, 5))] * 3, ClipInfo()), ALL)
    assert report.failures == {}
    for name in VIDEO:
        found = READERS[name][0](report.files[name][0])
        assert (found.size, len(found.numbers)) == (padded(size, name), 3)


def test_odd_sides_keep_every_pixel_in_mp4(save):
    """The added row and column repeat the picture's own edge."""
    pixels = np.zeros((33, 63, 3), np.uint8)
    pixels[:, -5:] = 255
    pixels[-5:, :] = 255
    path = save(Clip([Image.fromarray(pixels)] * 2, ClipInfo()), ["MP4"], Settings({"mp4_crf": 1})).files["MP4"][0]
    frame = first_frame(path)
    assert frame.shape == (34, 64, 3)
    assert np.abs(frame[:33, :63].astype(int) - pixels).mean() < 4
    assert frame[-1].min() > 230
    assert frame[:, -1].min() > 230


def first_frame(path):
    reader: Iterator = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    frame = np.frombuffer(next(reader), np.uint8).reshape(meta["size"][1], meta["size"][0], 3)
    reader.close()
    return frame


def test_mp4_is_what_browsers_play(save):
    path = save(numbered_clip(4, fps=8), ["MP4"]).files["MP4"][0]
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True)
    assert re.search(r"h264 .*yuv420p\(tv, bt709", done.stderr)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", [name for name in (*NO_PICTURES, "AVIF") if name != "FFV1"])
def test_video_colours_are_right(save, name):
    """A wrong matrix (BT.601 for BT.709) shifts saturated colours by tens of levels."""
    for colour in [(220, 40, 40), (40, 200, 60), (50, 60, 220), (230, 210, 40), (128, 128, 128), (255, 255, 255)]:
        path = save(Clip([Image.new("RGB", EVEN, colour)] * 2, ClipInfo()), [name], Settings({"mp4_crf": 5})).files[
            name
        ]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path[0]), "-frames:v", "1"]
        # zimg, unlike swscale's default, goes by the file's own colour tags
        command += ["-vf", "zscale=matrix=gbr:range=full,format=gbrp,format=rgb24", "-f", "rawvideo", "-"]
        pixels = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
        assert np.abs(pixels.reshape(-1, 3).mean(0) - colour).max() < 3, colour


def test_mp4_options_reach_the_encoder(save):
    clip = Clip([Image.effect_noise(EVEN, 80).convert("RGB") for _ in range(6)], ClipInfo())
    sizes = []
    for chosen in (
        {"mp4_crf": 10},
        {"mp4_crf": 40},
        {"mp4_preset": "ultrafast", "mp4_tune": "film"},
    ):
        sizes.append(save(clip, ["MP4"], Settings(chosen)).files["MP4"][0].stat().st_size)
    good, poor, fast = sizes
    assert good > poor
    assert fast not in (good, poor)


def test_lossless_mp4_keeps_every_pixel(save):
    frames = [Image.effect_noise(ODD, 80).convert("RGB") for _ in range(4)]
    frames[2] = Image.merge("RGB", [frame.getchannel(0) for frame in frames[:3]])
    clip = Clip(frames, ClipInfo(infotext=INFOTEXT))
    (path,) = save(clip, ["MP4"], Settings({"mp4_for_editors": LOSSLESS, "mp4_preset": "fast"})).files["MP4"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo"]
    pixels = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    assert pixels == b"".join(frame.tobytes() for frame in frames)
    assert read_infotext(path) == INFOTEXT


def test_ten_bit_mp4(save):
    """Colours that change from pixel to pixel are half as far off as in 4:2:0."""
    pixels = np.zeros((*EVEN[::-1], 3), np.uint8)
    pixels[::2, :, 0], pixels[1::2, :, 2] = 220, 220
    clip = Clip([Image.fromarray(pixels)] * 3, ClipInfo(infotext=INFOTEXT))
    off = {}
    for kind in ("", TEN_BIT):
        (path,) = save(clip, ["MP4"], Settings({"mp4_crf": 2, "mp4_for_editors": kind})).files["MP4"]
        off[kind] = np.abs(first_frame(path).astype(int) - pixels).mean()
        assert read_infotext(path) == INFOTEXT
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True)
    assert re.search(r"h264 .*yuv422p10le\(tv, bt709", done.stderr)
    assert off[TEN_BIT] < 0.5 * off[""]


def test_frames_keep_their_own_infotext_in_png(save):
    frames = [numbered_frame(number, EVEN) for number in range(2)]
    frames[1].info["parameters"] = "its own"
    files = save(Clip(frames, ClipInfo(infotext="the clip's")), ["PNG"]).files["PNG"]
    assert [read_infotext(path) for path in files] == ["the clip's", "its own"]
    assert read_infotext(files[0].parent) == "the clip's"


@pytest.mark.parametrize("name", ALL)
def test_no_infotext_embeds_nothing(save, name):
    path = save(numbered_clip(2), [name]).files[name][0]
    assert read_infotext(path) is None


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "text",
    [
        "x",
        "\\",
        "a\\\nb",
        "=;#\\=",
        "[a]\n[b]",
        " lead and tail ",
        "ä" * 300,
        "word, " * 10_000,
        "猫" * 30_000,
        "a\n\n\nb",
        ";c\n#d",
        "'\"`$(x)%s\t",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_any_infotext_comes_back(save, name, text):
    assert read_infotext(save(numbered_clip(1, infotext=text), [name]).files[name][0]) == text


def test_half_a_surrogate_pair_costs_no_format(save):
    frames = [numbered_frame(number, EVEN) for number in range(2)]
    frames[1].info["parameters"] = "its own \udc00"
    report = save(Clip(frames, ClipInfo(infotext="a\ud83db")), ALL)
    assert report.failures == {}
    assert {read_infotext(files[0]) for files in report.files.values()} == {"a?b"}
    assert read_infotext(report.files["PNG"][1]) == "its own ?"


def test_the_host_reads_pictures(save):
    """What the WebUI's PNG Info looks at: the chunk `parameters`, a GIF's comment as UTF-8, and EXIF's UserComment."""
    report = save(numbered_clip(2, infotext=INFOTEXT), ["GIF", "PNG", "WEBP", "APNG"])
    with Image.open(report.files["WEBP"][0]) as image:
        comment = piexif.load(image.info["exif"])["Exif"][piexif.ExifIFD.UserComment]
        assert piexif.helper.UserComment.load(comment) == INFOTEXT
    with Image.open(report.files["APNG"][0]) as image:
        assert image.info["parameters"] == INFOTEXT
    with Image.open(report.files["GIF"][0]) as image:
        assert image.info["comment"].decode("utf-8") == INFOTEXT
        assert "transparency" not in image.info
    with Image.open(report.files["PNG"][0]) as image:
        assert image.info["parameters"] == INFOTEXT


@pytest.mark.parametrize(("loop", "plays"), [(0, None), (1, 1), (4, 4)])
def test_avif_loop_number(save, loop, plays):
    """An AVIF track plays until its own duration is over; for ever is too long to count."""
    data = save(numbered_clip(5, fps=10, loop=loop), ["AVIF"]).files["AVIF"][0].read_bytes()
    head = data.index(b"tkhd") + 4
    (track,) = struct.unpack_from(">Q", data, head + 28) if data[head] else struct.unpack_from(">I", data, head + 20)
    flags, _, once = struct.unpack_from(">III", data, data.index(b"elst") + 4)
    assert flags & 1 or loop == 1
    assert track > 2**31 * once if plays is None else track == plays * once


@pytest.mark.parametrize("count", [1, 3])
def test_infotext_of_avif_where_libavif_looks(save, count):
    """In the file's own list of items for a still picture, in the track's for an animation."""
    with_text = save(numbered_clip(count, infotext="hello"), ["AVIF"]).files["AVIF"][0].read_bytes()
    without = save(numbered_clip(count), ["AVIF"]).files["AVIF"][0].read_bytes()
    place = with_text.index(b"Exif")
    assert (place > with_text.index(b"trak")) if count > 1 else (b"trak" not in with_text)
    assert read_exif(with_text) == exif_comment("hello")
    assert read_exif(without) is None
    assert with_exif(without, exif_comment("hello")) == with_text


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08ftyp", b"\xff" * 40, b"\0\0\0\x14meta" + bytes(12)])
def test_what_is_no_avif(data):
    with pytest.raises(ValueError, match="box"):
        read_exif(data)
    with pytest.raises(ValueError, match="box"):
        with_exif(data, b"")


def test_ffmetadata_is_its_own_inverse():
    tags = {"comment": INFOTEXT, "title": "a=b"}
    assert parse_ffmetadata(ffmetadata(tags)) == tags


def test_frames_are_taken_one_by_one(save):
    """A lazy clip is never held as a whole: each writer has a few frames waiting, no more."""
    pictures = []
    most = 0

    def frames():
        nonlocal most
        for number in range(120):
            picture = numbered_frame(number, EVEN)
            pictures.append(weakref.ref(picture))
            most = max(most, sum(reference() is not None for reference in pictures))
            yield picture

    assert len(save(Clip(frames(), ClipInfo()), ALL).files) == len(ALL)
    assert most <= 12
