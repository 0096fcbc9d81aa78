"""The files that `generate` writes."""

import base64
import io
import json

import pytest
from PIL import Image

from commands import results


def _picture(kind, **options):
    with io.BytesIO() as buffer:
        Image.new("RGB", (8, 8), "red").save(buffer, format=kind, **options)
        return buffer.getvalue()


ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "blue")]}


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (_picture("PNG"), "png"),
        (_picture("PNG", **ANIMATED), "png"),
        (_picture("GIF", **ANIMATED), "gif"),
        (_picture("JPEG"), "jpg"),
        (_picture("WEBP"), "webp"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "mp4"),
        (b"\0\0\0\x1cftypavif", "avif"),
        (b"\0\0\0\x1cftypavis", "avif"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\x1aE\xdf\xa3\x9f\x42\x82\x84webm", "webm"),
        (b"\x1aE\xdf\xa3\xa3\x42\x82\x88matroska", "mkv"),
        (b"words", "bin"),
        (b"", "bin"),
    ],
)
def test_ending_follows_the_content(data, ending):
    assert results.extension_of(data) == ending


def test_every_image_is_written_in_order(tmp_path):
    gif, png = _picture("GIF", **ANIMATED), _picture("PNG")
    texts = [base64.b64encode(gif).decode(), "data:image/png;base64," + base64.b64encode(png).decode()]
    paths = results.write_images({"images": texts, "info": "no json"}, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["00000.gif", "00001.png"]
    assert [path.read_bytes() for path in paths] == [gif, png]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["00000.gif", "00001.png"]


GIF, MP4, PNG, APNG = (
    _picture("GIF", **ANIMATED),
    b"\0\0\0\x20ftypisom\0\0\2\0",
    _picture("PNG"),
    _picture("PNG", **ANIMATED),
)


@pytest.mark.parametrize(
    ("videos", "images", "names"),
    [
        ([{"GIF": "a.gif", "MP4": "a.mp4", "PNG": "a"}], [GIF, MP4], ["00000.gif", "00000.mp4"]),
        (
            [{"GIF": "a.gif", "MP4": "a.mp4"}, {"MP4": "b.mp4", "TXT": "b.txt"}, {"GIF": "c.gif", "MP4": "c.mp4"}],
            [GIF, MP4, MP4, GIF, MP4],
            ["00000.gif", "00000.mp4", "00001.mp4", "00002.gif", "00002.mp4"],
        ),
        (
            [{"GIF": "a.gif", "APNG": "a.apng"}],
            [GIF, APNG, PNG, PNG],
            ["00000.gif", "00000.png", "00001.png", "00002.png"],
        ),
        (
            [{"MP4": "/x.y/a.mp4", "H265": "/x.y/a.h265.mp4", "AV1": "/x.y/a.av1.mp4"}, {"H265": "b.h265.mp4"}],
            [MP4, MP4, MP4, MP4],
            ["00000.mp4", "00000.h265.mp4", "00000.av1.mp4", "00001.h265.mp4"],
        ),
        ([{"GIF": f"a.{'x' * 300}.gif"}, {"GIF": f"{'a.' * 200}gif"}], [GIF, GIF], ["00000.gif", "00001.a.gif"]),
        ([{"PNG": "a"}, {"PNG": "b"}], [PNG, PNG], ["00000.png", "00001.png"]),
        ([], [PNG, PNG], ["00000.png", "00001.png"]),
    ],
)
def test_files_of_one_video_have_one_number(tmp_path, videos, images, names):
    info = json.dumps({"extra_generation_params": {"AnimateDiff files": videos} if videos else {}})
    texts = [base64.b64encode(image).decode() for image in images]
    assert [path.name for path in results.write_images({"images": texts, "info": info}, tmp_path)] == names
    assert len(list(tmp_path.iterdir())) == len(images)


def test_response_has_no_pictures_in_it(tmp_path):
    picture = base64.b64encode(bytes(6000)).decode()
    prompt = "a very long prompt, " * 400
    response = {
        "images": [picture],
        "parameters": {
            "prompt": prompt,
            "init_images": None,
            "alwayson_scripts": {"ControlNet": {"args": [{"image": picture, "weight": 0.5}]}},
        },
        "info": json.dumps({"seed": 1, "infotexts": ["x"]}),
    }
    path = results.write_response(response, [tmp_path / "00000.gif"], tmp_path)
    written = json.loads(path.read_text())
    assert written["images"] == ["00000.gif"]
    assert written["info"] == {"seed": 1, "infotexts": ["x"]}
    assert written["parameters"]["prompt"] == prompt
    unit = written["parameters"]["alwayson_scripts"]["ControlNet"]["args"][0]
    assert unit == {"image": f"({len(picture)} characters)", "weight": 0.5}


def test_unfinished_file_never_has_the_final_name(tmp_path, monkeypatch):
    def fails(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.os, "replace", fails)
    with pytest.raises(KeyboardInterrupt):
        results.write_whole(tmp_path / "00000.gif", b"GIF8")
    assert list(tmp_path.iterdir()) == []
