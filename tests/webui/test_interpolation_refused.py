"""Frame interpolation that cannot be made is refused before anything is sampled."""

import pytest
import torch
from http_client import SMALL, Client
from torch import nn

from motion_module.webui import interpolation


class Mix(nn.Module):
    """A network with FILM's inputs."""

    def forward(self, x0: torch.Tensor, x1: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        return x0 * (1 - dt) + x1 * dt


@pytest.fixture
def client(pocket):
    return Client(pocket)


@pytest.fixture
def film(pocket, tmp_path, monkeypatch):
    """Puts a FILM file where Deforum keeps it; nothing lies in the other places."""
    monkeypatch.setattr(interpolation.paths, "models_path", str(tmp_path / "models"))
    monkeypatch.setattr(interpolation, "DEFAULT_FOLDER", tmp_path / "own")

    def put(folder=tmp_path / "models" / "Deforum" / "film_interpolation", name="film_net_fp16.pt"):
        folder.mkdir(parents=True)
        torch.jit.script(Mix()).save(str(folder / name))
        return folder / name

    return put


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
