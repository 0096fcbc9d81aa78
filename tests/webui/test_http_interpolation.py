"""Frame interpolation of whole runs: through the server, and as the last step alone."""

import datetime
from pathlib import Path

import numpy as np
import pytest
from http_client import mp4_frames, set_folder
from PIL import Image
from read_back import read_infotext

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.request import interpolation, motion_modules


@pytest.mark.parametrize(
    ("fields", "frames"),
    [
        ({}, 7 * 4 + 1),
        ({"interp": "FLOW"}, 7 * 4 + 1),
        ({"closed_loop": "A"}, 14 * 4),
        ({"interp": "FLOW", "closed_loop": "A"}, 14 * 4),
        ({"closed_loop": "A", "batch_size": 4}, 8 * 4),
        ({"reverse": [0, 1, 2]}, 14 * 4),
    ],
)
def test_all_formats_hold_the_frames_between(client, fields, frames):
    plain = client.frames({**fields, "interp": "Off"}, steps=1)
    video = {"format": ["GIF", "MP4", "PNG", "Frame"], "interp": "FFMPEG", "interp_x": 3, "fps": 6, **fields}
    reply = client.run(video, steps=1)
    assert reply.kinds == ["GIF", "MP4"] + ["PNG"] * frames
    assert np.array_equal(reply.pictures[::4], plain), "the generated frames are unchanged"
    (paths,) = reply.paths
    pngs = sorted(Path(paths["PNG"]).iterdir())
    assert np.array_equal(np.stack([np.asarray(Image.open(path)) for path in pngs]), reply.pictures)
    assert mp4_frames(paths["MP4"]) == (frames, 24.0, (64, 64))
    with Image.open(paths["GIF"]) as gif:
        assert gif.n_frames == frames
    assert len(reply.info["infotexts"]) == len(reply.kinds)
    assert f"interp: {video['interp']}, interp_x: 3" in reply.info["infotexts"][0]
    assert {read_infotext(Path(path)) for path in paths.values()} == {reply.info["infotexts"][0]}


def test_generated_frames_keep_their_own_infotext(client):
    reply = client.run({"format": ["PNG"], "interp": "FFMPEG", "interp_x": 1}, steps=1)
    seeds = [
        read_infotext(path).split("Seed: ")[1].split(",")[0] for path in sorted(Path(reply.paths[0]["PNG"]).iterdir())
    ]
    assert seeds == ["5", "5", "6", "5", "7", "5", "8", "5", "9", "5", "10", "5", "11", "5", "12"]


def test_slower_if_that_is_wanted(client):
    client.post("options", {"animatediff_interp_slow": True})
    (paths,) = client.run({"format": ["MP4"], "interp": "FFMPEG", "interp_x": 1, "fps": 6}, steps=1).paths
    assert mp4_frames(paths["MP4"]) == (15, 6.0, (64, 64))


def test_one_frame_has_nothing_between(client):
    reply = client.run({"format": ["MP4", "Frame"], "interp": "FFMPEG", "video_length": 1}, steps=1)
    assert mp4_frames(reply.paths[0]["MP4"]) == (1, 8.0, (64, 64))
    assert len(reply.pictures) == 1


@pytest.mark.parametrize("name", interpolation.FILM_NAMES)
@pytest.mark.parametrize("place", ["models/Deforum/film_interpolation", "models/Deforum", "own"])
def test_where_film_may_lie(film, tmp_path, name, place):
    path = film(tmp_path / place, name)
    assert interpolation.film_path() == path


def test_film(client, film):
    film()
    plain = client.frames(steps=1)
    made = client.frames({"interp": "FILM", "interp_x": 2}, steps=1)
    assert np.array_equal(made[::3], plain)
    assert np.abs(made[1::3] - (2 * plain[:-1] + plain[1:]) / 3).max() <= 1
    assert np.abs(made[2::3] - (plain[:-1] + 2 * plain[1:]) / 3).max() <= 1.5  # made from a picture that was made


def test_films_file_is_read_once_in_a_run(client, film, monkeypatch):
    film()
    loads, load = [], interpolation.load_film
    monkeypatch.setattr(interpolation, "load_film", lambda path: loads.append(path) or load(path))
    client.run({"video_length": 2, "interp": "FILM", "interp_x": 1, "format": ["GIF"]}, n_iter=2)
    assert len(loads) == 1


def test_no_request_names_a_file_to_run(client, film, tmp_path):
    """A TorchScript file is a program; a setting may come with a request, so none says where it lies."""
    film(tmp_path / "elsewhere")
    set_folder("animatediff_model_path", str(tmp_path / "elsewhere"))
    with pytest.raises(ParamError, match="whose file is missing"):
        interpolation.check_possible(VideoParams(interp="FILM"))


def test_a_film_file_beside_the_motion_modules_is_no_motion_module(film, tmp_path, monkeypatch):
    film(tmp_path / "own")
    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", tmp_path / "own")
    assert "film_net_fp16.pt" in motion_modules.files()
    assert "film_net_fp16.pt" not in motion_modules.names()


def test_frames_in_the_hosts_own_place_lie_beside_the_video_then(client):
    """The WebUI saves what it made; it knows nothing of the frames between."""
    client.post("options", {"animatediff_save_to_custom": False})
    reply = client.run({"format": ["GIF", "PNG"], "interp": "FFMPEG", "interp_x": 1}, steps=1, save_images=True)
    folder = Path(reply.paths[0]["PNG"])
    assert folder.parent.name == datetime.date.today().isoformat() and folder.parent.parent.name == "AnimateDiff"
    assert len(list(folder.iterdir())) == 15
