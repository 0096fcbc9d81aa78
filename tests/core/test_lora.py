"""Motion LoRA in every published layout, and what they add."""

from __future__ import annotations

import zipfile

import pytest
import torch

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.lora import (
    check_archive,
    check_fits,
    check_weights,
    host_keys,
    linear_layers,
    motion_low_ranks,
)
from motion_module.errors import CheckpointError
from tests.core.builders import motion_model
from tests.core.lora_layouts import added

BLOCK = "down_blocks.1.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1"
DIFFUSERS = "down_blocks.1.motion_modules.0.transformer_blocks.0.attn2"
FLAT = BLOCK.replace(".", "_")
RANK, WIDTH = 4, 64
LAYERS = ("to_q", "to_k", "to_v", "to_out_0")


def out(layer, dotted):
    return layer.replace("_0", ".0" if dotted else "")


LAYOUTS = {
    "guoyww": lambda layer, half: f"{BLOCK}.processor.{out(layer, False)}_lora.{half}.weight",
    "guoyww, module": lambda layer, half: f"module.{BLOCK}.processor.{out(layer, False)}_lora.{half}.weight",
    "diffusers, PEFT": lambda layer, half: (
        f"unet.{DIFFUSERS}.{out(layer, True)}.lora_{'A' if half == 'down' else 'B'}.weight"
    ),
    "diffusers, processors": lambda layer, half: f"unet.{DIFFUSERS}.processor.{out(layer, False)}_lora.{half}.weight",
    "diffusers, no prefix": lambda layer, half: (
        f"{DIFFUSERS}.{out(layer, True)}.lora.{half}.weight"
        if layer != "to_out_0"
        else f"{DIFFUSERS}.to_out.lora.{half}.weight"
    ),
    "kohya": lambda layer, half: f"lora_unet_{FLAT}_{layer}.lora_{half}.weight",
    "kohya, diffusers' names": lambda layer, half: (
        f"lora_unet_{DIFFUSERS.replace('.', '_')}_{layer}.lora_{half}.weight"
    ),
    "converted, dots": lambda layer, half: f"{BLOCK}.{out(layer, True)}.lora_{half}.weight",
    "converted, processor": lambda layer, half: f"{FLAT}_processor_{layer}.lora_{half}.weight",
}


def lora(layout, alpha=None):
    generator = torch.Generator().manual_seed(4)
    state = {}
    for layer in LAYERS:
        state[layout(layer, "down")] = torch.randn(RANK, WIDTH, generator=generator)
        state[layout(layer, "up")] = torch.randn(WIDTH, RANK, generator=generator)
        if alpha is not None:
            state[layout(layer, "down").replace("lora_down.weight", "alpha")] = torch.tensor(alpha)
    return state


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_means_the_same_layers(layout):
    state = lora(LAYOUTS[layout])
    found = motion_low_ranks(state, "zoom-in")
    assert list(found) == [f"{FLAT}_{layer}" for layer in LAYERS]
    for layer, low_rank in zip(LAYERS, found.values(), strict=True):
        assert low_rank.down is state[LAYOUTS[layout](layer, "down")]
        assert low_rank.up is state[LAYOUTS[layout](layer, "up")]
        assert low_rank.alpha is None
    assert set(found) <= set(linear_layers(motion_model("v2")))
    check_fits(found, motion_model("v2"), "zoom-in")


def test_names_for_the_host():
    assert list(host_keys(lora(LAYOUTS["guoyww"])))[:2] == [
        f"lora_unet_{FLAT}_to_q.lora_down.weight",
        f"lora_unet_{FLAT}_to_q.lora_up.weight",
    ]
    kohya = lora(LAYOUTS["kohya"], alpha=2.0)
    assert host_keys(kohya) == kohya


def test_spatial_layers_and_strangers():
    """The v3 adapter is spatial and in guoyww's layout; text encoder keys and others are left alone."""
    place = "down_blocks.0.attentions.1.transformer_blocks.0.attn1"
    one = torch.ones(1)
    state = {
        f"{place}.processor.to_out_lora.up.weight": one,
        "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": one,
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": one,
        "bundle_emb.x": one,
    }
    assert list(host_keys(state)) == [
        "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight",
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha",
        "bundle_emb.x",
    ]
    assert motion_low_ranks(state, "adapter") == {}


def test_alpha_is_read():
    found = motion_low_ranks(lora(LAYOUTS["kohya"], alpha=2.0), "pan")
    assert {low_rank.alpha for low_rank in found.values()} == {2.0}


def test_adding_and_taking_away_changes_the_motion_and_nothing_after():
    model, x = motion_model("v2"), torch.randn(8, WIDTH, 4, 4, generator=torch.Generator().manual_seed(0))
    module = model.down_blocks[1].motion_modules[0]
    module.call = CallFrames(8)
    before = module(x)
    kept = {name: layer.weight.clone() for name, layer in linear_layers(model).items()}
    for name, low_rank in motion_low_ranks(lora(LAYOUTS["guoyww"]), "pan").items():
        linear_layers(model)[name].weight += added(low_rank, 0.1)
    assert (module(x) - before).abs().max() > 1e-3
    for name, layer in linear_layers(model).items():
        layer.weight.copy_(kept[name])
    assert torch.equal(module(x), before)


def test_a_lora_for_another_module_is_named():
    found = motion_low_ranks(lora(LAYOUTS["guoyww"]), "zoom-in")
    with pytest.raises(
        CheckpointError, match=r"motion LoRA zoom-in changes .*attention_blocks_1_to_q \(64x64\), but sdxl .*"
    ):
        check_fits(
            {key.replace("down_blocks_1", "down_blocks_3"): value for key, value in found.items()},
            motion_model("sdxl"),
            "zoom-in",
        )
    narrow = {key.replace("down_blocks_1", "down_blocks_0"): value for key, value in found.items()}
    with pytest.raises(CheckpointError, match=r"zoom-in changes down_blocks_0.* one of another size \(32x32\)"):
        check_fits(narrow, motion_model("v2"), "zoom-in")


def test_half_a_layer():
    state = lora(LAYOUTS["guoyww"])
    state.pop(LAYOUTS["guoyww"]("to_k", "up"))
    with pytest.raises(CheckpointError, match=r"zoom-in is not whole: .*to_k has only lora_down"):
        motion_low_ranks(state, "zoom-in")


DOWN, UP = LAYOUTS["guoyww"]("to_q", "down"), LAYOUTS["guoyww"]("to_q", "up")
ALPHA = f"lora_unet_{FLAT}_to_q.alpha"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({DOWN: torch.full((RANK, WIDTH), torch.nan)}, "to_q_lora.down.weight holds numbers that are not finite"),
        ({UP: torch.full((WIDTH, RANK), torch.inf).bfloat16()}, "not finite"),
        ({ALPHA: torch.tensor(-torch.inf)}, "alpha holds numbers that are not finite"),
        ({ALPHA: torch.ones(2)}, "alpha is 2 numbers, not one"),
        ({ALPHA: torch.tensor(1 + 1j)}, "type complex64, not floating-point"),
        ({ALPHA: 4.0}, "is no tensor"),
        ({DOWN: torch.ones(RANK, WIDTH, dtype=torch.int8)}, "type int8, not floating-point"),
        ({DOWN: torch.ones(RANK, WIDTH, dtype=torch.bool)}, "type bool, not floating-point"),
        ({DOWN: torch.ones(RANK, WIDTH, device="meta")}, "a shape but no numbers"),
        ({DOWN: torch.eye(WIDTH)[:RANK].to_sparse()}, "not stored as plain numbers"),
        ({DOWN: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "not stored as plain numbers"),
        ({DOWN: torch.ones(0, WIDTH), UP: torch.ones(WIDTH, 0)}, "is empty"),
        ({DOWN: torch.ones(1).expand(RANK, WIDTH)}, "more numbers than the file holds"),
        ({DOWN: torch.ones(RANK + 1, WIDTH)}, r"two halves \(64x4 and 5x64\) do not belong together"),
        ({DOWN: torch.ones(())}, r"two halves \(64x4 and one number\) do not belong together"),
        ({DOWN: torch.ones(1, 99_999), UP: torch.ones(99_999, 1)}, "which no model's layer is"),
        ({LAYOUTS["kohya"]("to_q", "up"): torch.ones(WIDTH, RANK)}, "has already under another name"),
        ({"lora_te_text_model_x.lora_up.weight": torch.ones(2, 2)}, "not whole: lora_te_text_model_x has only lora_up"),
    ],
)
def test_weights_that_cannot_be_added(changes, sentence):
    whole = lora(LAYOUTS["guoyww"])
    check_weights(whole, "pan")
    with pytest.raises(CheckpointError, match=rf"^AnimateDiff: The LoRA pan (cannot be used: .*|is ){sentence}"):
        check_weights({**whole, **changes}, "pan")


def test_weights_that_are_unusual_and_right():
    state = lora(LAYOUTS["guoyww"])
    check_weights({**state, ALPHA: torch.tensor(4)}, "pan")
    check_weights({**state, LAYOUTS["kohya"]("to_q", "down"): state[DOWN].clone()}, "the same twice")
    check_weights({key: value.to(torch.float8_e4m3fn) for key, value in state.items()}, "small")
    check_weights({key: value[:, :, None, None] for key, value in state.items()}, "1x1 convolutions")
    check_weights({"something.else": torch.full((2,), torch.nan).to(torch.complex64), "epoch": 3}, "strangers")
    convolution = "lora_unet_down_blocks_0_resnets_0_conv1.lora"
    middle = {"down": torch.ones(2, 8, 1, 1), "up": torch.ones(8, 3, 1, 1), "mid": torch.ones(3, 2, 3, 3)}
    check_weights({f"{convolution}_{part}.weight": value for part, value in middle.items()}, "with a middle")


def test_an_archive_that_unpacks_to_more_than_itself(tmp_path):
    torch.save(lora(LAYOUTS["guoyww"]), tmp_path / "whole.ckpt")
    (tmp_path / "no_archive.ckpt").write_bytes(b"PK\x03\x04 and nothing else")
    for harmless in ("whole", "no_archive", "missing"):
        check_archive(tmp_path / f"{harmless}.ckpt", harmless)
    with zipfile.ZipFile(tmp_path / "packed.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("packed/data.pkl", bytes(10_000_000))
    with pytest.raises(
        CheckpointError, match=r"^AnimateDiff: The LoRA packed cannot be used: .* unpacks to 10,000,000, which no"
    ):
        check_archive(tmp_path / "packed.ckpt", "packed")
