"""FILM's file, on a tiny network with its inputs and outputs."""

import os
import random
import struct
import zipfile

import pytest
import torch
from torch import nn
from weak_device import DEVICE, Present, Weak

from motion_module.core.film import Film, load_film
from motion_module.errors import CheckpointError


class Mix(nn.Module):
    """x0 and x1 mixed by dt; refuses what FILM cannot take."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x0: torch.Tensor, x1: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        if x0.shape[2] % 64 != 0 or x0.shape[3] % 64 != 0 or dt.shape != (1, 1):
            raise ValueError("sides must be multiples of 64")
        return (x0 * (1 - dt) + x1 * dt) * self.scale


class Smaller(nn.Module):
    def forward(self, x0: torch.Tensor, x1: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        return x0[:, :, ::2]


class OneInput(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def saved(module, folder):
    path = folder / "film_net_fp16.pt"
    torch.jit.script(module).save(str(path))
    return path


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (65, 1)])
def test_a_picture_between_two(tmp_path, size):
    film = load_film(saved(Mix().half(), tmp_path))
    first, second = torch.rand(2, 3, *size)
    made = film(first, second, 0.25)
    assert made.dtype == torch.float32 and made.shape == (3, *size)
    assert torch.allclose(made, first * 0.75 + second * 0.25, atol=1e-6)


def test_values_stay_in_range(tmp_path):
    module = Mix()
    module.scale.data.fill_(3)
    made = load_film(saved(module, tmp_path))(torch.ones(3, 64, 64), torch.ones(3, 64, 64), 0.5)
    assert made.max() == 1


def test_no_gradients_are_kept(tmp_path):
    assert not load_film(saved(Mix(), tmp_path))(*torch.rand(2, 3, 64, 64), 0.5).requires_grad


def test_another_network_s_answer(tmp_path):
    with pytest.raises(CheckpointError, match="something other than one picture"):
        load_film(saved(Smaller(), tmp_path))(*torch.rand(2, 3, 64, 64), 0.5)


def test_another_network(tmp_path):
    with pytest.raises(CheckpointError, match="not FILM: it takes 1 inputs"):
        load_film(saved(OneInput(), tmp_path))


@pytest.mark.parametrize("kind", ["text", "cut", "weights"])
def test_what_is_no_torchscript(tmp_path, kind):
    path = saved(Mix(), tmp_path)
    if kind == "text":
        path.write_text("<html>")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r"film_net_fp16.pt is damaged or not a TorchScript file"):
        load_film(path)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def two_disks(path):
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    path.write_bytes(data[:end] + struct.pack("<4sLQL", b"PK\6\7", 0, end, 3) + data[end:])


def bomb(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film/data.bin", bytes(100_000_000))


@pytest.mark.parametrize(
    ("change", "phrase"), [(fifo, "not an ordinary file"), (two_disks, "damaged"), (bomb, "damaged")]
)
def test_odd_film_files(tmp_path, change, phrase):
    path = saved(Mix(), tmp_path)
    change(path)
    with pytest.raises(CheckpointError, match=f"film_net_fp16.pt is .*{phrase}"):
        load_film(path)


def test_a_missing_film_file(tmp_path):
    with pytest.raises(CheckpointError, match="no file gone.pt"):
        load_film(tmp_path / "gone.pt")


def test_a_damaged_film_file_is_loaded_or_refused(tmp_path):
    """torch's loader trusts the file, so every bit is verified before."""
    path = saved(Mix(), tmp_path)
    data = path.read_bytes()
    generator = random.Random(3)
    refusals = 0
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(generator.choice((1, 1, 30))):
            changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(changed[: generator.choice((len(data), len(data), generator.randrange(len(data))))])
        try:
            load_film(path)
        except CheckpointError as error:
            refusals += 1
            assert path.name in error.detail
    assert refusals > 50


class Border(nn.Module):
    """As FILM's grid_sample with its padding on Apple's MPS."""

    def forward(self, x0, x1, dt):
        if isinstance(x0, Weak):
            raise RuntimeError("MPS: Unsupported Border padding mode")
        return x0 * (1 - dt) + x1 * dt


def test_a_device_that_refuses_it_gives_what_the_cpu_gives(caplog):
    first, second = torch.rand(3, 64, 70), torch.rand(3, 64, 70)
    with Present():
        film = Film(Border(), torch.float16, DEVICE)
        made = [film(first, second, time) for time in (0.25, 0.75)]
    for time, picture in zip((0.25, 0.75), made, strict=True):
        assert type(picture) is torch.Tensor
        torch.testing.assert_close(picture, first * (1 - time) + second * time, atol=2e-3, rtol=0)
    assert [record.message for record in caplog.records] == [
        "FILM is calculated on the CPU, because mps cannot do it (MPS: Unsupported Border padding mode)"
    ]
