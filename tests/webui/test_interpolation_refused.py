"""Frame interpolation that cannot be made is refused before anything is sampled."""

import sys

from http_client import SMALL

from motion_module.media import writing


def refused(client, **video):
    fields = {"enable": True, "video_length": 4, "batch_size": 4, "format": ["PNG"], **video}
    before = client.written()
    reply = client.post("txt2img", {**SMALL, "steps": 1, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert client.written() == before
    assert reply.status == 422
    return reply.sentence


def test_film_without_its_file_is_refused_before_sampling(client, film, tmp_path):
    sentence = refused(client, interp="FILM")
    assert sentence == (
        "AnimateDiff: interp is FILM, whose file is missing; put film_net_fp16.pt into "
        f"{tmp_path / 'own'} or {tmp_path / 'models' / 'Deforum' / 'film_interpolation'}."
    )


def test_a_damaged_film_file_is_refused_before_sampling(client, film):
    path = film()
    path.write_bytes(path.read_bytes()[:-100])
    assert "film_net_fp16.pt is damaged" in refused(client, interp="FILM")


def test_no_ffmpeg_is_refused_before_sampling(client, monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    sentence = refused(client, interp="FFMPEG")
    assert sentence.startswith("AnimateDiff: interp is FFMPEG.") and "does not start" in sentence


def test_no_opencv_is_refused_before_sampling(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "motion_module.media.writing.optical_flow", None)
    monkeypatch.delattr(writing, "optical_flow", raising=False)
    sentence = refused(client, interp="FLOW")
    assert sentence.startswith("AnimateDiff: interp is FLOW. OpenCV (the package opencv-python) cannot be used: ")
