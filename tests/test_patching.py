import pytest
import torch

from motion_module.patching import inserted, replaced, replaced_item


class Host:
    field = "class"

    def method(self):
        return "host"


def test_a_shadowed_method_leaves_no_attribute_behind():
    host = Host()
    with replaced(host, "method", lambda: "ours") as before:
        assert host.method() == "ours"
        assert before() == "host"
    assert vars(host) == {}
    assert host.method() == "host"


def test_an_instance_attribute_comes_back_as_the_same_object():
    host, value = Host(), object()
    host.field = value
    with replaced(host, "field", None):
        assert host.field is None
    assert host.field is value


def test_an_attribute_that_was_not_there_goes_again():
    host = Host()
    with replaced(host, "new", 1) as before:
        assert before is None and host.new == 1
    assert not hasattr(host, "new")


def test_what_somebody_else_put_over_ours_stays():
    host = Host()
    with replaced(host, "method", lambda: "ours"):
        host.method = theirs = lambda: "theirs"
    assert host.method is theirs


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_undone_after_any_error(error):
    host = Host()
    with pytest.raises(error), replaced(host, "field", 1):
        raise error
    assert vars(host) == {}


def test_nested_replacements_of_one_attribute_undo_in_order():
    host = Host()
    with replaced(host, "field", 1):
        with replaced(host, "field", 2):
            assert host.field == 2
        assert host.field == 1
    assert host.field == "class"


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


@pytest.mark.parametrize("start", [{}, {"a": 0}])
def test_items(start):
    mapping = dict(start)
    with replaced_item(mapping, "a", 1):
        assert mapping["a"] == 1
    assert mapping == start


def test_an_item_changed_meanwhile_stays():
    mapping = {"a": False}
    with replaced_item(mapping, "a", True):
        mapping["a"] = False
    assert mapping == {"a": False}


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
