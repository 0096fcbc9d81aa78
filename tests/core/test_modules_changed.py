"""Reversible changes (tests/test_patching.py) of torch's modules, which keep buffers, parameters and layers apart."""

import copy

import pytest
import torch

from motion_module.patching import inserted, preserved, put_right, replaced, replaced_value


def test_whatever_becomes_of_attributes_that_are_preserved():
    layer = torch.nn.Linear(1, 1)
    layer.kept = kept = object()
    with preserved(layer, "kept", "new", "weight", "gone"):
        layer.kept, layer.new, weight = None, torch.ones(1), layer.weight
        layer.weight = torch.nn.Parameter(torch.zeros(1, 1))
    assert layer.kept is kept and layer.weight is weight and not hasattr(layer, "new")


def test_a_buffer_of_a_module_comes_back():
    module = torch.nn.Module()
    module.register_buffer("alphas", torch.ones(3))
    before = module.alphas
    with replaced(module, "alphas", torch.zeros(3)):
        assert module.alphas.sum() == 0
    assert module.alphas is before
    assert dict(module.named_buffers()).keys() == {"alphas"}


def test_a_function_over_a_modules_method_is_taken_off():
    module = torch.nn.Linear(2, 2)
    with replaced(module, "forward", lambda x: x):
        assert module(torch.ones(1, 2)).tolist() == [[1, 1]]
    assert "forward" not in vars(module)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_inserted_takes_out_that_very_layer(index):
    layers = [torch.nn.Identity(), torch.nn.ReLU()]
    block, ours = torch.nn.Sequential(*layers), torch.nn.Tanh()
    with inserted(block, index, ours):
        assert block[index] is ours
        other = torch.nn.Sigmoid()
        block.append(other)  # somebody else's, put in later, stays
    assert list(block) == [*layers, other]
    assert list(dict(block.named_children())) == ["0", "1", "2"]


def test_inserted_does_not_mind_if_its_layer_is_gone():
    block = torch.nn.Sequential(torch.nn.Identity())
    with inserted(block, 1, torch.nn.Tanh()):
        del block[1]
    assert len(block) == 1


def test_a_value_that_was_kept_is_known_again():
    module = torch.nn.Module()
    module.register_buffer("alphas", torch.ones(3))
    before = module.alphas
    with replaced_value(module, "alphas", torch.zeros(3)):
        kept = module.alphas
        put_right(module, "alphas")
        assert module.alphas is kept  # it is still lent
    module.alphas = kept
    put_right(module, "alphas")
    assert module.alphas is before
    module.alphas = copy.deepcopy(kept)
    with replaced_value(module, "alphas", torch.zeros(3)):
        pass
    assert module.alphas is before
