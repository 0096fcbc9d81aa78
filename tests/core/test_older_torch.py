"""Older WebUIs have torch 2.0, some of whose functions take less than today's."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.model import load_motion_model
from tests.core.builders import motion_state


def make_torch_older(monkeypatch):
    """Attention without `scale`, and state dicts that are only copied into the weights that are there."""
    attend, load = functional.scaled_dot_product_attention, nn.Module.load_state_dict

    def old_attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False):
        return attend(query, key, value, attn_mask, dropout_p, is_causal)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", old_attend)
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda self, state, strict=True: load(self, state, strict))


def outputs(model, scale):
    """What every layer of a motion module makes of the same numbers."""
    made = []
    for layer in (layer for layer in model.modules() if isinstance(layer, MotionModule)):
        x = torch.randn(
            8, layer.temporal_transformer.norm.num_channels, 3, 3, generator=torch.Generator().manual_seed(3)
        )
        layer.call = CallFrames(motion_scale=scale)
        with layer.call.running(8):
            made.append(layer(x))
    return made


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_torch_2_0_makes_the_same(tmp_path, monkeypatch, scale):
    path = tmp_path / "m.safetensors"
    save_file(motion_state("v2"), path)
    today = outputs(load_motion_model(path, "cpu", torch.float32), scale)
    make_torch_older(monkeypatch)
    older = outputs(load_motion_model(path, "cpu", torch.float32), scale)
    assert len(older) == 21
    for got, want in zip(older, today, strict=True):
        assert torch.equal(got, want)
