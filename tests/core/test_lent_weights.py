"""Weights on another device are copies: the masters are the very tensors of before, whatever has been done to them."""

import pytest
import torch
from torch import nn

from motion_module.core.module.lent_weights import on_device, on_device_in_turn
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


class Layer(nn.Linear):
    """Notes where its weights are when it is called, and may change them then."""

    def __init__(self):
        super().__init__(3, 3)
        self.there, self.added = [], 0.0

    def forward(self, x):
        self.there.append(self.weight.data_ptr())
        if self.added:
            self.weight.add_(self.added)
        return super().forward(x)


@pytest.fixture
def layers():
    torch.manual_seed(2)
    return nn.Sequential(Layer(), Layer()).requires_grad_(False)


def test_in_turn_each_layer_is_there_only_while_it_is_called(layers):
    before, x = tensors(layers), torch.ones(2, 3)
    expected = layers(x)
    with on_device_in_turn(layers, layers, COPYING):
        with Transfers() as transfers:
            found = layers(x)
        assert transfers.count == len(before), "up, and not back, because nobody has changed them"
        here = {name: value.data_ptr() for name, value in tensors(layers).items()}
        assert here == {name: value.data_ptr() for name, value in before.items()}
    assert torch.equal(found, expected)
    assert all(layer.there[1] != layer.there[0] for layer in layers)
    assert all(tensors(layers)[name] is value for name, value in before.items())
    assert not any("forward" in vars(layer) for layer in layers)


def test_in_turn_what_is_changed_there_stays_changed_for_the_next_call_and_no_longer(layers):
    """A LoRA is added once, when a layer is first called."""
    bits = {name: value.clone() for name, value in tensors(layers).items()}
    masters = tensors(layers)
    with on_device_in_turn(layers, layers, COPYING):
        layers[0].added = 1.0
        layers(torch.ones(1, 3))
        layers[0].added = 0.0
        with Transfers() as transfers:
            layers(torch.ones(1, 3))
        assert torch.equal(layers[0].weight, bits["0.weight"] + 1) and transfers.count == len(bits)
    assert all(tensors(layers)[name] is masters[name] for name in masters)
    assert all(torch.equal(masters[name], bits[name]) for name in masters)


@pytest.mark.parametrize("copies", range(4))
def test_in_turn_too_little_memory_half_way(layers, monkeypatch, copies):
    before, to, left = tensors(layers), torch.Tensor.to, [copies]

    def failing(self, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError
        return to(self, *args, **kwargs)

    with pytest.raises(torch.OutOfMemoryError), on_device_in_turn(layers, layers, COPYING):
        monkeypatch.setattr(torch.Tensor, "to", failing)
        layers(torch.ones(1, 3))
    monkeypatch.undo()
    assert all(tensors(layers)[name] is before[name] for name in before)


def test_in_turn_the_cpu_itself_changes_nothing(layers):
    with Transfers() as transfers, on_device_in_turn(layers, layers, torch.device("cpu")):
        layers(torch.ones(1, 3))
    assert not transfers.count
