"""FILM's file, on a tiny network with its inputs and outputs."""

import pytest
import torch
from torch import nn

from motion_module.core.film import load_film
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
    with pytest.raises(CheckpointError, match="something else than one picture"):
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
    with pytest.raises(CheckpointError, match=r"film_net_fp16.pt is damaged or no TorchScript file"):
        load_film(path)
