"""The PyPI client `webuiapi`, as its users call it."""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import webuiapi
from http_client import SMALL, Client, gradient, mp4_frames
from PIL import Image

MODEL = "mm_tiny_v3.safetensors"
REQUEST = {name: SMALL[name] for name in ("prompt", "seed", "subseed", "steps", "width", "height", "cfg_scale")}


@pytest.fixture
def api(pocket):
    url = urlsplit(pocket["url"])
    return webuiapi.WebUIApi(host=url.hostname, port=url.port, sampler="Euler", scheduler="Automatic")


def frames_of(picture):
    frames = []
    for place in range(picture.n_frames):
        picture.seek(place)
        frames.append(np.asarray(picture.convert("RGB"), dtype=int))
    return np.stack(frames)


def test_it_sees_the_extension(api):
    assert api.has_animatediff


def test_its_default_payload_makes_a_video(api):
    result = api.txt2img(animatediff=webuiapi.AnimateDiff(model=MODEL), **{**REQUEST, "steps": 1})
    video = result.images[0]
    assert (video.format, video.n_frames, video.size) == ("GIF", 16, (64, 64))
    assert len(np.unique(frames_of(video).reshape(16, -1), axis=0)) == 16
    assert len(result.images) == 1
    assert result.info["infotexts"][0].count("AnimateDiff: ") == 1


def test_its_options_reach_the_video(api, pocket):
    asked = webuiapi.AnimateDiff(
        model=MODEL,
        video_length=4,
        fps=4,
        loop_number=2,
        closed_loop="A",
        batch_size=8,
        request_id="mine",
        format=["MP4", "GIF", "Frame"],
    )
    with pytest.raises(Exception, match="cannot identify"):  # it opens every result with PIL, and MP4 is no picture
        api.txt2img(animatediff=asked, **REQUEST)
    asked.format = ["GIF", "Frame"]
    result = api.txt2img(animatediff=asked, **REQUEST)
    video, *frames = result.images
    assert (video.n_frames, video.info["duration"], video.info["loop"]) == (6, 250, 2)
    assert [frame.format for frame in frames] == ["PNG"] * 6
    assert result.info["extra_generation_params"]["AnimateDiff files"][0]["GIF"].endswith("-5-mine.gif")
    same = Client(pocket).frames({"model": MODEL, "video_length": 4, "closed_loop": "A"}, scheduler="Automatic")
    assert np.array_equal(np.stack([np.asarray(frame) for frame in frames]), same)


def test_without_a_video_it_sends_false_and_gets_a_picture(api, pocket):
    result = api.txt2img(**REQUEST)
    assert [picture.format for picture in result.images] == ["PNG"]
    assert np.array_equal(np.asarray(result.image), Client(pocket).plain()[0])
    assert "AnimateDiff" not in result.info["infotexts"][0]


def test_a_picture_into_a_video(api):
    picture = Image.fromarray(gradient().astype(np.uint8))
    asked = webuiapi.AnimateDiff(model=MODEL, video_length=6, batch_size=8, latent_scale=8)
    result = api.img2img(images=[picture], animatediff=asked, denoising_strength=0.3, **{**REQUEST, "steps": 4})
    assert (result.images[0].format, result.images[0].n_frames) == ("GIF", 6)
    away = np.abs(frames_of(result.images[0]) - gradient()).mean(axis=(1, 2, 3))
    assert away[0] < away[-1]
    plain = api.img2img(images=[picture], denoising_strength=0.3, **REQUEST)
    assert [one.format for one in plain.images] == ["PNG"]


def test_it_gets_our_sentence_when_something_is_wrong(api):
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(animatediff=webuiapi.AnimateDiff(), **REQUEST)  # the client's default model is not here
    status, text = caught.value.args
    assert status == 422
    assert "model is 'mm_sd15_v3.safetensors'; allowed is one of mm_tiny_v1" in json.loads(text)["detail"]


class Returned(webuiapi.AnimateDiff):
    """Its class with a field that it does not know yet; without one, what it sends by itself."""

    def __init__(self, returned=None, **fields):
        super().__init__(model=MODEL, video_length=3, batch_size=8, **fields)
        self.returned = returned

    def to_dict(self, is_img2img=False):
        return {**super().to_dict(is_img2img), **({"returned": self.returned} if self.returned else {})}


RETURNED = {
    ("GIF", "MP4", "WEBM"): ["GIF"],
    ("MP4",): ["PNG"],  # the first frame
    ("MP4", "PNG", "TXT"): ["PNG"],
    ("WEBM", "WEBP", "APNG"): ["WEBP", "PNG"],
    ("MP4", "Frame"): ["PNG"] * 3,
    ("PNG",): ["PNG"] * 3,
}


@pytest.mark.parametrize("formats", RETURNED, ids="+".join)
def test_pictures_alone_are_returned_where_it_asks_for_them(api, formats):
    result = api.txt2img(animatediff=Returned("pictures", format=list(formats)), **REQUEST)
    assert [one.format for one in result.images] == RETURNED[formats]
    assert len(result.info["infotexts"]) == len(result.images) and "returned" not in result.info["infotexts"][0]
    assert result.info["infotexts"][0].count("AnimateDiff: ") == 1
    (files,) = result.info["extra_generation_params"]["AnimateDiff files"]
    assert set(files) == set(formats) - {"Frame"} and all(Path(file).exists() for file in files.values())
    if "MP4" in files:
        assert mp4_frames(files["MP4"])[0] == 3


def test_the_first_frame_stands_for_each_video_that_is_no_picture(api):
    asked = Returned("pictures", format=["MP4"])
    shown = np.stack([np.asarray(one) for one in api.txt2img(animatediff=asked, n_iter=2, **REQUEST).images])
    frames = api.txt2img(animatediff=Returned("pictures", format=["Frame"]), n_iter=2, **REQUEST).images
    assert np.array_equal(shown, np.stack([np.asarray(frames[place]) for place in (0, 3)]))


@pytest.mark.parametrize("returned", [None, "all"])
def test_by_default_videos_are_in_the_answer_and_that_client_cannot_open_them(api, returned):
    asked = Returned(returned, format=["MP4"])
    with pytest.raises(Exception, match="cannot identify"):
        api.txt2img(animatediff=asked, **REQUEST)
    body = {**REQUEST, "sampler_name": "Euler", "alwayson_scripts": {"animatediff": {"args": [asked.to_dict()]}}}
    (video,) = api.session.post(f"{api.baseurl}/txt2img", json=body).json()["images"]
    assert base64.b64decode(video)[4:8] == b"ftyp"


def test_what_may_be_returned_is_said(api):
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(animatediff=Returned("frames"), **REQUEST)
    status, text = caught.value.args
    assert (status, json.loads(text)["detail"]) == (
        422,
        "AnimateDiff: returned is 'frames'; allowed is one of all, pictures.",
    )
