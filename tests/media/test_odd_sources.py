"""Files that are none, that are too large, or damaged in some way: each is read, or refused in words, in no time."""

import io
import os
import random
import socket
import struct
import zlib

import numpy as np
import pytest
from media_clips import numbered_frame
from picture_kinds import KINDS
from PIL import Image
from video_files import SOUND, ffmpeg, film, gif

from motion_module.media import child
from motion_module.media.errors import PictureError, ReaderError
from motion_module.media.reading.folders import pictures_in
from motion_module.media.reading.pixels import is_plain, read_mask, read_rgb
from motion_module.media.reading.reader import extract, sound_in
from motion_module.media.reading.timing import Selection
from tests.effort import effort

READS = (read_rgb, read_mask, is_plain)
LITTLE = 50  # units of effort; a picture of 13000x13000 that is read takes more than 200


def frames_of(path, folder):
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return extract(path, Selection(), folder, most=50)


# Too large


def gif_header(width, height):
    """89 bytes, of one frame and two colours."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00\x3b"
    return head + b"!\xfe\x2b" + bytes([32]) * 43 + b"\0" + frame + bytes(7)


def gif_that_grows(width, height):
    """Its second frame is larger than the first."""
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    large = gif_header(width, height)
    return buffer.getvalue()[:-1] + large[large.index(b"\x2c") :]


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def webp_header(width, height):
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    chunk += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def avi_header(tmp_path, width, height):
    """The header and every frame say so."""
    path = tmp_path / "small.avi"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:d=0.2", *SOUND, "-t", 0.2, "-c:v", "mjpeg", path)
    data = bytearray(path.read_bytes())
    place = data.index(b"strf") + 8
    data[place + 4 : place + 12] = struct.pack("<ii", width, height)
    found = data.find(b"\xff\xc0")
    while found > 0:
        data[found + 5 : found + 9] = struct.pack(">HH", height, width)
        found = data.find(b"\xff\xc0", found + 9)
    return bytes(data)


SIZES = [(13000, 13000), (30000, 30000), (65535, 65535)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("header", [gif_header, gif_that_grows, png_header])
def test_picture_bombs_are_too_large_as_videos(tmp_path, header, size):
    (tmp_path / "bomb").write_bytes(header(*size))
    with effort() as spent, pytest.raises(ReaderError, match="too large"):
        frames_of(tmp_path / "bomb", tmp_path / "out")
    assert spent.units < LITTLE


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_picture_bombs_are_too_large_as_pictures(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    Image.new("RGB", (4, 4)).save(tmp_path / "bomb.bmp")
    data = bytearray((tmp_path / "bomb.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", *size)
    (tmp_path / "bomb.bmp").write_bytes(data)
    with effort() as spent:
        for name in ("bomb.png", "bomb.bmp"):
            for read in READS:
                with pytest.raises(PictureError, match=f"{name} cannot be read .*too large"):
                    read(tmp_path / name)
    assert spent.units < LITTLE


def test_an_89_byte_gif():
    assert len(gif_header(13000, 13000)) == 89


@pytest.mark.parametrize("size", [(13000, 13000), (40000, 40000)], ids=str)
def test_films_of_huge_pictures_are_too_large(tmp_path, size):
    (tmp_path / "huge.avi").write_bytes(avi_header(tmp_path, *size))
    with effort() as spent, pytest.raises(ReaderError, match="too large"):
        frames_of(tmp_path / "huge.avi", tmp_path / "out")
    assert spent.units < LITTLE


def test_pixels_that_are_far_from_square_are_too_large(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "color=red:s=4000x4000:d=0.1", "-vf", "setsar=100", tmp_path / "wide.mp4")
    with pytest.raises(ReaderError, match="400000x4000 are too large"):
        frames_of(tmp_path / "wide.mp4", tmp_path / "out")


def test_a_limit_holds_where_another_extension_has_taken_pillows_off(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.gif").write_bytes(gif_header(30000, 30000))
    with pytest.raises(ReaderError, match="too large"):
        frames_of(tmp_path / "bomb.gif", tmp_path / "out")


# No files


def odd(folder):
    """Names of pictures that are none; where the system has them."""
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.png"))
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    return {"pipe": "a pipe", "socket": "a socket", "circle": "a link that leads nowhere", "nowhere": "leads nowhere"}


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_what_is_no_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    for name, says in odd(tmp_path).items():
        for read in READS:
            with pytest.raises(PictureError, match=f"{name}.png cannot be read .*{says}"):
                read(tmp_path / f"{name}.png")
        folder = tmp_path / name
        folder.mkdir()
        (tmp_path / f"{name}.png").rename(folder / "2.png")
        Image.new("RGB", (4, 4)).save(folder / "1.png")
        with pytest.raises(PictureError, match=r"2\.png cannot be read"):
            pictures_in(folder)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match="it is not a file but a folder"):
        read_rgb(tmp_path / "folder.png")


@pytest.mark.skipif(os.name != "posix" or not os.getuid(), reason="this user can read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / "1.png").chmod(0)
    with pytest.raises(PictureError, match=r"1\.png cannot be read \(Permission denied\)"):
        read_rgb(tmp_path / "1.png")


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode there")
def test_names_that_are_not_utf8(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9")
    folder = next(tmp_path.iterdir())
    Image.new("RGB", (4, 4), "red").save(tmp_path / "1.png")
    for name in (b"\xff2.png", b"\xff10.png"):
        os.rename(tmp_path / "1.png", os.fsencode(folder) + b"/" + name)
        Image.new("RGB", (4, 4), "red").save(tmp_path / "1.png")
    found = pictures_in(folder)
    assert [file.name for file in found] == ["\udcff2.png", "\udcff10.png"]
    assert read_rgb(found[0]).getpixel((0, 0)) == (255, 0, 0)
    found[1].write_bytes(b"no picture")
    with pytest.raises(PictureError) as caught:
        read_rgb(found[1])
    assert r"caf\udce9/\udcff10.png" in str(caught.value).encode().decode()
    video = film(tmp_path / "v.mp4", range(3)).rename(folder / "\udcffv.mp4")
    assert len(frames_of(video, tmp_path / "out").frame_numbers) == 3


# Other files, named by a file


def playlist(path, target):
    texts = {
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "dash": f"<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>{target}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "pictures": "no picture\n",
        "tags": ";FFMETADATA1\ntitle=x\n",
    }
    path.write_text(texts[path.stem])


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".gif"])
@pytest.mark.parametrize("kind", ["concat", "hls", "dash", "sdp", "pictures", "tags"])
def test_a_file_that_names_others_is_no_video(tmp_path, kind, suffix):
    target = film(tmp_path / "secret.ts", range(3))
    path = tmp_path / f"{kind}{suffix}"
    playlist(path, target)
    with pytest.raises(ReaderError, match="not a readable video|no pictures in it"):
        frames_of(path, tmp_path / "out")


def test_every_input_of_ffmpeg_names_what_it_may_open(tmp_path, monkeypatch):
    """Each command that is run, taken apart: before each -i stand both lists."""
    commands = []

    def noted(start):
        def run(command, *args, **kwargs):
            commands.append(list(map(str, command)))
            return start(command, *args, **kwargs)

        return run

    monkeypatch.setattr(child.subprocess, "Popen", noted(child.subprocess.Popen))
    path = film(tmp_path / "v.mp4", range(5), sound=True)
    commands.clear()
    frames_of(path, tmp_path / "out")
    assert sound_in(path, 0, 0.1)
    inputs = [command for command in commands if "-i" in command]
    assert len(inputs) == 4  # looked into twice, decoded, and listened to
    for command in inputs:
        before = command[: command.index("-i")]
        assert before[before.index("-protocol_whitelist") + 1] == "file"
        assert not {"concat", "hls", "dash", "sdp", "image2"} & set(
            before[before.index("-format_whitelist") + 1].split(",")
        )


# Damaged


def damaged(data, rng):
    """A copy with bytes changed, cut off, doubled or swapped."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        place = rng.randrange(min(len(data), rng.choice((40, 400, len(data)))))
        data[place] = rng.choice((0, 255, rng.randrange(256), data[place] ^ (1 << rng.randrange(8))))
    how = rng.randrange(6)
    middle = rng.randrange(len(data))
    if how == 0:
        return bytes(data[:middle])
    if how == 1:
        return bytes(data[:middle] + data[middle // 2 :])
    return bytes(data)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_picture_is_read_or_refused_by_name(tmp_path, name):
    kind, rng = KINDS[name], random.Random(name)
    path = tmp_path / f"whole{kind.suffix}"
    kind.save(path)
    whole, broken = path.read_bytes(), tmp_path / f"broken{kind.suffix}"
    for _ in range(25):
        broken.write_bytes(damaged(whole, rng))
        for read in READS:
            try:
                read(broken)
            except PictureError as error:
                assert broken.name in str(error) and "\n" not in str(error)


def picture_film(path, numbers):
    frames = [numbered_frame(number, (64, 48)) for number in numbers]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


FILMS = {
    "v.gif": (lambda path: gif(path, range(4), 100), 60),
    "v.webp": (lambda path: picture_film(path, range(4)), 60),
    "v.png": (lambda path: picture_film(path, range(4)), 60),
    "v.mp4": (lambda path: film(path, range(4)), 8),
    "v.webm": (lambda path: film(path, range(4)), 4),
    "v.avi": (lambda path: film(path, range(4)), 4),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_damaged_video_is_read_or_refused(tmp_path, name):
    make, times = FILMS[name]
    rng, whole = random.Random(name), make(tmp_path / name).read_bytes()
    broken = tmp_path / f"broken-{name}"
    for _ in range(times):
        broken.write_bytes(damaged(whole, rng))
        try:
            found = frames_of(broken, tmp_path / "out")
        except ReaderError as error:
            assert "\n" not in str(error)
        else:
            assert found.frame_numbers and all(
                np.asarray(Image.open(file)).ndim == 3 for file in (tmp_path / "out").glob("*")
            )
