"""What clients send in the place of a path or a picture, and files with names that no text can hold."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from control_videos import batch, request, unit
from http_client import SMALL, Client, alike, png_base64, set_folder
from PIL import Image
from test_i2i_batch import batch as tab_batch
from video_files import film, folder_of, gif

from motion_module.errors import ParamError, UserError
from motion_module.params import VideoParams
from motion_module.webui.request.given_pictures import read_picture
from motion_module.webui.request.video_source import opened

PLACE = "allowed is the path of a video file on the server"


@pytest.fixture
def client(pocket, tmp_path):
    client = Client(pocket)
    set_folder("animatediff_frame_extract_path", str(tmp_path / "extracted"))
    return client


def refused(client, video, units=(), path="txt2img", **fields):
    reply = client.post(path, request(list(units), {"format": ["PNG"], **video}, **fields))
    assert reply.status == 422, reply.body
    sentence = reply.sentence
    assert "\n" not in sentence and len(sentence) < 700
    sentence.encode()
    return sentence


# Videos

ADDRESSES = [
    "http://example.org/clip.mp4",
    "https://example.org/clip.mp4?x=1",
    "HTTPS://EXAMPLE.ORG/CLIP.MP4",
    "ftp://example.org/clip.mp4",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "rtsp://camera/stream",
    "concat:/etc/passwd|/etc/hosts",
    "concatf:/etc/passwd",
    "pipe:0",
    "subfile,,start,0,end,9,,:/etc/passwd",
    "crypto:/etc/passwd",
    "hls+http://example.org/list.m3u8",
    "cache:http://example.org/clip.mp4",
    "data:video/mp4;base64,AAAA",
    "data:text/plain,hello",
    '"https://example.org/clip.mp4"',
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_url_is_called_one(pocket, address):
    with pytest.raises(ParamError) as caught, opened(VideoParams.from_json({"video_source": address})):
        pass
    sentence = str(caught.value)
    assert (
        sentence.startswith(f"AnimateDiff: video_source is {address.strip(chr(34))[:20]!r}"[:46]) or address[0] == '"'
    )
    assert "it is a URL" in sentence and PLACE in sentence
    assert os.getcwd() not in sentence  # as it was sent


def whole_videos(folder):
    yield film(folder / "v.mp4", range(9)).read_bytes()
    yield film(folder / "v.webm", range(9)).read_bytes()
    yield film(folder / "v.avi", range(9)).read_bytes()
    yield gif(folder / "v.gif", range(3), 100).read_bytes()
    yield bytes(9000)


def test_base64_is_called_so(client, tmp_path):
    for data in whole_videos(tmp_path):
        for text in (base64.b64encode(data).decode(), base64.encodebytes(data).decode()):
            sentence = refused(client, {"video_source": text})
            assert "base64 text" in sentence and PLACE in sentence
            assert text[:60] in sentence and text[:300] not in sentence and os.getcwd() not in sentence


def test_paths_that_look_a_little_like_it_are_paths(pocket, tmp_path):
    from modules import shared

    shared.opts.data["animatediff_frame_extract_path"] = str(tmp_path / "extracted")
    source = film(tmp_path / "v.mp4", range(3)).read_bytes()
    for name in ("http:x.mp4", "data", "AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZj", "concat:a|b.mp4"):
        (tmp_path / name).write_bytes(source)
        with opened(VideoParams.from_json({"video_source": str(tmp_path / name)})) as found:
            assert len(found.files) == 3


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_what_is_no_file_is_said(client, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "circle.mp4").symlink_to(tmp_path / "circle.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "gone.mp4")
    says = {"pipe": "it is not a file but a pipe", "circle": "symbolic links", "nowhere": "there is no such file"}
    for name, words in says.items():
        sentence = refused(client, {"video_source": str(tmp_path / f"{name}.mp4")})
        assert f"{name}.mp4" in sentence and words in sentence
    folder = folder_of(tmp_path / "in", [1, 3])
    os.mkfifo(folder / "2.png")
    places = [({"video_path": str(folder)}, [unit()]), ({}, [batch(folder)]), ({"mask_path": str(folder)}, [])]
    for fields, units in places:
        sentence = refused(client, fields, units, init_images=[png_base64(np.zeros((8, 8, 3)))], path="img2img")
        assert "2.png cannot be read (it is not a file but a pipe)" in sentence
    with pytest.raises(UserError, match=r"2\.png cannot be read"):
        tab_batch(folder)


def test_the_frames_folder_of_somebody_else_is_not_used(client, tmp_path):
    tmp_path.chmod(0o1777)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "extracted").symlink_to(tmp_path / "elsewhere")
    body = request([unit()], {"format": ["PNG"], "video_source": str(film(tmp_path / "v.mp4", range(3)))})
    reply = client.post("txt2img", body)
    assert reply.status == 500 and "extracted is a link" in reply.sentence
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_settings_bound_the_frames_folder(client, tmp_path):
    def names():
        return {path.name.partition("-")[0] for path in (tmp_path / "extracted").iterdir()}

    for name in ("a", "b"):
        body = request([unit()], {"format": ["PNG"], "video_source": str(film(tmp_path / f"{name}.mp4", range(3)))})
        assert client.post("txt2img", body).status == 200
    assert names() == {"a", "b"}
    client.post("options", {"animatediff_frame_extract_gb": 2e-9})
    assert client.post("txt2img", body).status == 200
    assert names() == set()


# Names


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode there")
def test_names_that_are_not_utf8(client, tmp_path):
    """Files in a folder are used; a request cannot name one, for its answer could not hold the name."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/in"))
    folder_of(folder, [1, 2])
    (folder / "2.png").rename(os.fsdecode(os.fsencode(folder) + b"/2\xe9.png"))
    reply = client.post("txt2img", request([unit()], {"format": ["PNG"], "video_path": str(folder)}))
    assert reply.status == 200, reply.body
    reply = client.post("txt2img", request([batch(folder)], {"format": ["PNG"]}))
    assert reply.status == 200, reply.body
    video = film(tmp_path / "v.mp4", range(3)).rename(os.fsdecode(os.fsencode(tmp_path) + b"/v\xe9.mp4"))
    for fields in ({"video_source": str(video)}, {"video_path": str(video)}, {"mask_path": str(video)}):
        sentence = refused(client, fields, [unit()])
        assert next(iter(fields)) in sentence and "Unicode" in sentence and str(tmp_path)[:40] in sentence
        sentence.encode()
    with opened(VideoParams(video_source=str(video))) as found:  # as the page's upload
        assert len(found.files) == 3
        found.title.encode()
    (folder / os.fsdecode(b"3\xe9.png")).write_bytes(b"no picture")
    assert r"3\udce9.png" in refused(client, {"video_path": str(folder)}, [unit()])
    with pytest.raises(UserError) as caught:
        tab_batch(folder)
    str(caught.value).encode()


# The last frame


def png(mode="RGB", colour=(9, 80, 200)):
    buffer = io.BytesIO()
    Image.new(mode, (64, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_last_frame_is_read_as_the_hosts_init_pictures(pocket):
    from modules.api.encoding import decode_base64_to_image

    text = base64.b64encode(png()).decode()
    lines = base64.encodebytes(png()).decode()
    forms = [
        text,
        lines,
        lines.replace("\n", "\r\n"),
        f"data:image/png;base64,{text}",
        f"data:image/png;base64,{lines}",
    ]
    for form in forms:
        theirs = decode_base64_to_image(form)
        assert np.array_equal(np.asarray(read_picture(form)), np.asarray(theirs)), form[:40]
    spaced = " ".join(text[place : place + 9] for place in range(0, len(text), 9))
    for form in (f"  {text}\n", spaced, f"\n{forms[3]}", f"DATA:image/png;charset=utf-8;base64,{text}"):
        assert read_picture(form).getpixel((0, 0)) == (9, 80, 200)


def test_last_frame_in_a_run_with_line_ends(client):
    made = []
    for form in (base64.b64encode(png()).decode(), "data:image/png;base64," + base64.encodebytes(png()).decode()):
        asked = {"video_length": 3, "format": ["Frame"], "last_frame": form}
        body = request([], asked, init_images=[png_base64(np.full((64, 64, 3), 90))])
        made.append(client.post("img2img", body).pictures)
    assert alike(*made)


LAST = [
    ("https://example.org/a.png", "it is a URL, and nothing is downloaded"),
    ("file:///etc/passwd", "it is a URL"),
    ("no picture!", "it is no"),
    ("", None),
    (base64.b64encode(b"hello world, this is no picture").decode(), "it is not a picture"),
    (base64.b64encode(png()[:60]).decode(), "truncated"),
    ("é" * 9, "ASCII"),
    ("data:image/png;base64,", "it is not a picture"),
]


@pytest.mark.parametrize(("value", "says"), LAST, ids=[str(case[0])[:20] for case in LAST])
def test_what_is_no_last_frame_is_said(client, value, says):
    if says is None:
        assert read_picture(VideoParams.from_json({"last_frame": value}).last_frame) is None
        return
    body = {**SMALL, "init_images": [png_base64(np.zeros((64, 64, 3)))]}
    video = {"enable": True, "last_frame": value, "format": ["PNG"]}
    reply = client.post("img2img", {**body, "alwayson_scripts": {"AnimateDiff": {"args": [video]}}})
    assert reply.status == 422
    assert "last_frame" in reply.sentence and says in reply.sentence and "a picture in base64" in reply.sentence
