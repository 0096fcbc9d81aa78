"""Attention is the same in every way, and a way that a device or a machine does not have costs nothing but a line."""

import logging
import sys
from types import ModuleType

import pytest
import torch

from motion_module.core.module import attention_ways
from motion_module.core.module.attention import TemporalAttention
from motion_module.core.module.attention_ways import (
    SDP,
    SPLIT,
    WAYS,
    XFORMERS,
    attended,
    attending_by,
    by_parts,
    by_sdp,
)
from motion_module.core.module.devices import refusals_of_run


class Ops(ModuleType):
    """xformers' door, which works in double precision and wants `(pixels, f, heads, c)`."""

    asked = 0

    def memory_efficient_attention(self, q, k, v):
        Ops.asked += 1
        assert q.is_contiguous() and q.shape[:2] == k.shape[:2]
        q, k, v = (tensor.double().transpose(1, 2) for tensor in (q, k, v))
        weights = (torch.einsum("bhic,bhjc->bhij", q, k) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(1, 2).float()


@pytest.fixture
def xformers(monkeypatch):
    """It is installed, and the tensors of these tests are on CUDA as far as anybody asks."""
    monkeypatch.setitem(sys.modules, "xformers", ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", Ops("xformers.ops"))
    monkeypatch.setattr(Ops, "asked", 0)


class OnCuda(torch.Tensor):
    """What is on the CPU, and says that it is not."""

    @property
    def device(self):
        return torch.device("cuda")


@pytest.mark.parametrize("frames", [1, 2, 16, 24])
@pytest.mark.parametrize("width", [40, 80, 160])
def test_all_of_them_agree(xformers, frames, width):
    torch.manual_seed(frames)
    q, k, v = torch.randn(3, 5, 8, frames, width)
    exact = by_parts(q.double(), k.double(), v.double()).float()
    for way in (by_sdp, attention_ways.by_xformers, by_parts):
        torch.testing.assert_close(way(q, k, v), exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_takes_the_chosen_one(xformers, monkeypatch, way):
    called = []
    for name in ("by_sdp", "by_xformers", "by_parts"):
        real = getattr(attention_ways, name)
        monkeypatch.setattr(attention_ways, name, lambda *qkv, n=name, real=real: called.append(n) or real(*qkv))
    layer, x = TemporalAttention(16, 4, 8), torch.randn(3, 6, 16).as_subclass(OnCuda)
    with torch.no_grad(), attending_by(way):
        layer(x)
    assert called == [{SDP: "by_sdp", XFORMERS: "by_xformers", SPLIT: "by_parts"}[way]]
    called.clear()
    with torch.no_grad():
        layer(x)
    assert called == ["by_sdp"], "the choice is over"


def test_xformers_is_for_cuda_alone(xformers):
    with attending_by(XFORMERS):
        attended(*torch.randn(3, 2, 4, 8, 16))
    assert not Ops.asked


def test_where_xformers_is_missing_torch_does_it_with_one_line(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setitem(sys.modules, "xformers", None)
    q, k, v = (tensor.as_subclass(OnCuda) for tensor in torch.randn(3, 2, 4, 8, 16))
    with refusals_of_run(set()), attending_by(XFORMERS):
        for _ in range(3):
            torch.testing.assert_close(attended(q, k, v), by_parts(q, k, v))
    assert [record.getMessage() for record in caplog.records] == [
        "attention between frames by xformers is calculated by torch, because cuda cannot do it (xformers is not installed)"
    ]
