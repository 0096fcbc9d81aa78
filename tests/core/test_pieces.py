"""Layers that work in small pieces make what they make at once, and are their own again afterwards."""

import pytest
import torch
from torch import nn

from motion_module.core.module import pieces
from motion_module.core.module.arch import V2, ModuleSpec
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.norm import layers_named
from motion_module.core.module.pieces import in_pieces, most_values, small_pieces
from tests.core.builders import fill, unet, unet_inputs


class Noting(nn.Conv2d):
    """A layer that notes how many rows it is called with."""

    def __init__(self):
        super().__init__(3, 5, 1)
        self.rows = []

    def forward(self, x, added=None):
        self.rows.append(len(x))
        return super().forward(x if added is None else x + added)


@pytest.fixture
def small(monkeypatch):
    """Pieces are of so many values that two rows of `(3, 2, 2)` are one."""
    monkeypatch.setattr(pieces, "_SMALL", 2 * 12 + 1)


@pytest.mark.parametrize(("rows", "called"), [(1, [1]), (2, [2]), (5, [2, 2, 1]), (6, [2, 2, 2])])
def test_rows_are_cut_evenly_and_in_order(small, rows, called):
    layer, x = fill(Noting()), torch.randn(rows, 3, 2, 2)
    expected = layer(x, x)
    layer.rows.clear()
    with in_pieces([layer]):
        found = layer(x, x)
    torch.testing.assert_close(found, expected)
    assert layer.rows == called


def test_a_row_that_is_larger_than_a_piece_is_one(small):
    layer, x = fill(Noting()), torch.randn(3, 3, 8, 8)
    with in_pieces([layer]):
        layer(x)
    assert layer.rows == [1, 1, 1]


@pytest.mark.parametrize("last", [False, True])
def test_the_order_of_memory_and_the_dtype_stay(small, last):
    layer, x = fill(Noting()).double(), torch.randn(4, 3, 2, 2).double()
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    with in_pieces([layer]):
        found = layer(x)
    assert found.dtype == torch.float64
    assert found.is_contiguous(memory_format=torch.channels_last) == last and found.is_contiguous() != last


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_afterwards_the_layers_are_their_own(small, error):
    layers = [fill(Noting()), fill(Noting())]
    try:
        with small_pieces(), in_pieces(layers):
            assert most_values() == pieces._SMALL and all("forward" in vars(layer) for layer in layers)
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert most_values() == pieces._LARGE and not any("forward" in vars(layer) for layer in layers)
    layers[0](torch.randn(5, 3, 2, 2))
    assert layers[0].rows == [5]


def test_a_unet_makes_the_same(monkeypatch):
    monkeypatch.setattr(pieces, "_SMALL", 1)  # row by row
    net, (x, t, text) = unet(), unet_inputs(4)
    by_row = [*layers_named(net, "FeedForward"), *layers_named(net, "ResBlock")]
    assert len(by_row) > 20
    with torch.no_grad():
        expected = net(x, t, context=text)
        with in_pieces(by_row):
            found = net(x, t, context=text)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_motion_layer_asks_how_large_its_pieces_are(monkeypatch):
    """On an accelerator; on the CPU its blocks are those that suit the caches."""
    from motion_module.core.module import layers

    layer, pixels = MotionModule(32, ModuleSpec(V2, (32,), 8)).to("meta"), []
    layer.call = CallFrames()
    of_pixels = layer.temporal_transformer._of_pixels
    monkeypatch.setattr(
        layer.temporal_transformer, "_of_pixels", lambda x, scale: pixels.append(x.shape[1]) or of_pixels(x, scale)
    )
    monkeypatch.setattr(pieces, "_SMALL", 64 * 4 * 32)
    x = torch.empty(4, 32, 16, 16, device="meta")
    with torch.no_grad(), layer.call.running(4):
        layer(x)
        with small_pieces():
            layer(x)
    assert pixels == [256, 64, 64, 64, 64]
    assert layers.most_values is most_values
