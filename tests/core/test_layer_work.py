"""What a layer does not do twice: casts under autocast, conversions of the memory's order, small pieces of work."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from motion_module.core.module.arch import V2, ModuleSpec
from motion_module.core.module.attention import TemporalAttention
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule, _blocks, _even
from tests.core.builders import fill

FRAMES, WIDTH = 4, 32


@pytest.fixture
def layer():
    made = fill(MotionModule(WIDTH, ModuleSpec(V2, (WIDTH,), 8)), 5).requires_grad_(False)
    made.call = CallFrames()
    with made.call.running(FRAMES):
        yield made


class Counted(TorchDispatchMode):
    """How often each operation is called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.overloadpacket.__name__, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def casts_to(self, dtype):
        return sum(name == "_to_copy" and kwargs.get("dtype") == dtype for name, kwargs in self.calls)

    def orders(self):
        return sum(name == "clone" and "memory_format" in kwargs for name, kwargs in self.calls)


def test_q_k_and_v_share_one_cast():
    attention, x = fill(TemporalAttention(16, 4, 8), 3), torch.randn(5, 6, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), Counted() as counted:
        attention(x)
        weights = 4 + 1  # of the four linear layers and the last one's bias
    assert counted.casts_to(torch.bfloat16) == weights + 1
    with torch.no_grad(), Counted() as counted:
        attention(x)
    assert not counted.casts_to(torch.bfloat16)


def test_one_cast_gives_what_three_give(monkeypatch):
    from motion_module.core.module import attention as module

    layer, x = fill(TemporalAttention(16, 4, 8), 3), torch.randn(5, 6, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        once = layer(x)
        monkeypatch.setattr(module, "cast_once", lambda x: x)
        assert torch.equal(layer(x), once)


def test_the_order_of_memory_stays(layer):
    x = torch.randn(2 * FRAMES, WIDTH, 8, 8)
    last = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = layer(x)
        with Counted() as counted:
            found = layer(last)
    assert expected.is_contiguous() and found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    with torch.no_grad(), Counted() as plain:
        layer(x)
    assert counted.orders() <= plain.orders() + 1, "at most what the norm gives back is put in order"


def test_gradients_still_flow(layer):
    x = torch.randn(2 * FRAMES, WIDTH, 8, 8, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("pixels", "limit", "size"),
    [
        (4096, 8191, 8191),
        (8192, 8191, 4096),
        (16384, 8191, 5504),
        (9216, 8191, 4608),
        (100, 64, 64),
        (65, 64, 64),
        (12, 5, 4),
    ],
)
def test_pieces_are_even_and_whole_tiles(pixels, limit, size):
    assert _even(pixels, limit) == size <= limit


@pytest.mark.parametrize("shape", [(2, 16384, 16, 8), (2, 4096, 16, 8), (3, 100, 4, 8), (1, 1, 1, 8)])
def test_pieces_cover_everything_once(shape, monkeypatch):
    from motion_module.core.module import layers

    monkeypatch.setattr(layers, "_CPU_BLOCK", 8191)
    seen = torch.zeros(shape[:2])
    x = torch.empty(shape)
    sizes = []
    for block in _blocks(x, 8):
        seen[block] += 1
        sizes.append(seen[block].numel())
    assert (seen == 1).all() and min(sizes) * 2 > max(sizes)
