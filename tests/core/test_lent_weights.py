"""Weights on another device are copies: the masters are the very tensors of before, whatever has been done to them."""

import pytest
import torch
from torch import nn

from motion_module.core.module.lent_weights import on_device
from tests.core.copying_device import COPYING, Transfers


@pytest.fixture
def model():
    torch.manual_seed(1)
    made = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))).requires_grad_(False)
    made.register_buffer("table", torch.arange(3.0))
    made.register_buffer("nothing", None)
    return made


def tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_masters_come_back_as_they_were(model, error):
    before, bits = tensors(model), {name: value.clone() for name, value in tensors(model).items()}
    try:
        with on_device(model, COPYING):
            lent = tensors(model)
            assert lent.keys() == before.keys() and not any(lent[name] is before[name] for name in before)
            assert all(isinstance(lent[name], type(before[name])) for name in before)
            for value in lent.values():
                value.add_(1)  # as a LoRA is added
            model[0].weight = nn.Parameter(torch.zeros(4, 3))  # and as somebody replaces a weight
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert all(tensors(model)[name] is before[name] for name in before)
    assert all(torch.equal(before[name], bits[name]) for name in before)


def test_each_tensor_goes_up_once_and_nothing_comes_back(model):
    with Transfers() as transfers, on_device(model, COPYING):
        pass
    assert transfers.count == len(tensors(model))


def test_too_little_memory_half_way(model, monkeypatch):
    before, moved = tensors(model), []
    to = torch.Tensor.to

    def failing(self, *args, **kwargs):
        moved.append(self)
        if len(moved) == 3:
            raise torch.OutOfMemoryError
        return to(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(torch.OutOfMemoryError):
        patch.setattr(torch.Tensor, "to", failing)
        with on_device(model, COPYING):
            pass
    assert all(tensors(model)[name] is before[name] for name in before)


def test_the_cpu_itself_changes_nothing(model):
    before = tensors(model)
    with Transfers() as transfers, on_device(model, torch.device("cpu")):
        assert all(tensors(model)[name] is before[name] for name in before)
    assert not transfers.count


def test_a_host_moves_the_model_itself(model):
    before, places = tensors(model), {name: value.data_ptr() for name, value in tensors(model).items()}
    with Transfers() as transfers, on_device(model, None):
        assert not transfers.count, "nothing is copied before the host does"
        model[1].to(COPYING)
        model[1][1].weight.add_(1)
        model[1].to("cpu")
    assert all(tensors(model)[name] is before[name] for name in before)
    assert {name: value.data_ptr() for name, value in before.items()} == places
