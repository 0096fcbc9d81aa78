"""One LoRA in every layout that trainers and converters write: the same layers, under the host's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file

from motion_module.core.module.lora import host_keys, motion_low_ranks
from motion_module.core.module.lora_names import host_key
from tests.core.lora_layouts import LAYOUTS, added, diffusers, guoyww, in_layout, seeds

BUNDLED = Path(__file__).parents[2] / "pocket" / "model" / "lora" / "pocket_pan_left.safetensors"
BLOCK = "down_blocks.1.motion_modules.0.temporal_transformer"
MOTION = (
    f"{BLOCK}.transformer_blocks.0.attention_blocks.1.to_q",
    f"{BLOCK}.transformer_blocks.0.attention_blocks.0.to_out.0",
    f"{BLOCK}.transformer_blocks.0.ff.net.0.proj",
    f"{BLOCK}.transformer_blocks.0.ff.net.2",
    f"{BLOCK}.proj_in",
    "mid_block.motion_modules.0.temporal_transformer.proj_out",
)
SPATIAL = (
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k",
    "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_out.0",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
    "down_blocks.0.attentions.1.proj_in",
    "down_blocks.0.resnets.1.conv1",
    "down_blocks.2.resnets.0.time_emb_proj",
    "up_blocks.1.upsamplers.0.conv",
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bundled_lora_in_every_layout(layout):
    """Bit for bit the same additions to the same layers, with and without alpha."""
    parts = seeds(load_file(BUNDLED))
    expected = motion_low_ranks(in_layout(parts, guoyww), "pan")
    found = motion_low_ranks(in_layout(parts, LAYOUTS[layout]), "pan")
    assert len(expected) == len(parts) / 2 and found.keys() == expected.keys()
    for layer, low_rank in found.items():
        assert torch.equal(added(low_rank, 0.7), added(expected[layer], 0.7)), layer


def test_every_layer_may_be_in_another_layout():
    parts = seeds(load_file(BUNDLED))
    layouts = list(LAYOUTS.values())
    mixed = {layouts[i % len(layouts)](*place): value for i, (place, value) in enumerate(parts.items())}
    expected = in_layout(parts, LAYOUTS["kohya"])
    assert host_keys(mixed).keys() == host_keys(expected).keys() == expected.keys()
    assert all(value is expected[key] for key, value in host_keys(mixed).items())


@pytest.mark.parametrize("layer", [*MOTION, *SPATIAL])
@pytest.mark.parametrize("half", ["down", "up"])
def test_every_kind_of_layer(layer, half):
    flat = f"lora_unet_{layer.replace('.', '_')}.lora_{half}.weight"
    for name, layout in LAYOUTS.items():
        assert host_key(layout(layer, half)) == flat, name


@pytest.mark.parametrize(
    "ending",
    [
        ".alpha",
        ".lora.alpha",
        ".lora_A.alpha",
        ".lora_linear_layer.alpha",
        "_lora.alpha",
        "_lora.down.weight.alpha",
    ],
)
@pytest.mark.parametrize("layer", MOTION[:1] + SPATIAL[:1])
def test_alpha_beside_the_halves(layer, ending):
    """kohya's, and diffusers' `network_alphas`."""
    expected = f"lora_unet_{layer.replace('.', '_')}.alpha"
    assert host_key(f"unet.{diffusers(layer)}{ending}") == expected
    assert host_key(f"lora_unet_{diffusers(layer).replace('.', '_')}.alpha") == expected


def test_names_that_the_text_encoders_have():
    layer = "text_model.encoder.layers.0.self_attn.q_proj"
    flat = layer.replace(".", "_")
    assert host_key(f"text_encoder.{layer}.lora_linear_layer.down.weight") == f"lora_te1_{flat}.lora_down.weight"
    assert host_key(f"text_encoder_2.{layer}.lora_A.weight") == f"lora_te2_{flat}.lora_down.weight"
    assert host_key(f"lora_te_{flat}.lora_down.weight") == f"lora_te_{flat}.lora_down.weight"


@pytest.mark.parametrize(
    "key",
    [
        "bundle_emb.x.string_to_param.*",
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha",
        "lora_unet_mid_block_attentions_0_proj_in.hada_w1_a",
        "controlnet.down_blocks.0.attentions.0.proj_in.lora_A.weight",
        f"{BLOCK}.transformer_blocks.0.ff_norm.weight",
        f"{BLOCK}.proj_in.lora_A.bias",
        "transformer_blocks.0.attn.to_q.lora_A.weight",
        "",
        ".",
        "lora_unet_",
        "down_blocks.0",
        "module." * 100_000 + "x",
        "_lora" * 100_000 + ".alpha",
    ],
)
def test_strangers_stay_as_they_are(key):
    assert host_key(key) == key


def test_other_kinds_of_networks_get_the_motion_layers_names_too():
    name = "lora_unet_" + diffusers(MOTION[0]).replace(".", "_")
    assert host_key(f"{name}.hada_w1_a") == f"lora_unet_{MOTION[0].replace('.', '_')}.hada_w1_a"


WORDS = st.sampled_from(
    [
        "lora",
        "lora_A",
        "lora_B",
        "lora_down",
        "lora_up",
        "lora_unet",
        "alpha",
        "weight",
        "down",
        "up",
        "processor",
        "_orig_mod",
        "unet",
        "module",
        "model",
        "0",
        "1",
        "2",
        "base_model",
        "transformer",
        "diffusion_model",
        "state_dict",
        "down_blocks",
        "mid_block",
        "motion_modules",
        "temporal_transformer",
        "proj",
        "attentions",
        "transformer_blocks",
        "attn1",
        "attn2",
        "attention_blocks",
        "to_q",
        "to_out",
        "to_q_lora",
        "ff",
        "net",
        "default",
        "conv_in",
        "text_encoder",
        "text_model",
        "lora_linear_layer",
    ]
)
JOINED = st.lists(st.tuples(WORDS, st.sampled_from("._")), max_size=12).map(
    lambda pairs: "".join(word + joint for word, joint in pairs).rstrip("._")
)
ENDINGS = st.sampled_from([".alpha", ".lora_A.weight", "_lora.down.weight"])
TEXTS = st.one_of(
    st.text("ablor_.01\nÄ", max_size=40),
    JOINED,
    st.tuples(JOINED, ENDINGS).map(lambda pair: f"down_blocks.0.motion_modules.0.{pair[0]}{pair[1]}"),
)


@given(TEXTS)
@example("mid_block.motion_modules.0.attn2.attn2.motion_modules.0.to_q.alpha")
def test_a_name_of_the_host_is_its_own(key):
    assert host_key(host_key(key)) == host_key(key)


PATHS = st.builds(
    lambda block, module, block_number, parent, layer: f"{block}.{module}.{block_number}{parent}.{layer}",
    st.sampled_from(["down_blocks.0", "down_blocks.1", "down_blocks.10", "mid_block", "up_blocks.1"]),
    st.sampled_from(["attentions.0", "attentions.1", "motion_modules.0.temporal_transformer"]),
    st.sampled_from(["transformer_blocks.0", "transformer_blocks.1"]),
    st.sampled_from([".attention_blocks.0", ".attention_blocks.1", ".ff.net.0", ".attn3"]),
    st.sampled_from(["to_q", "to_k", "to_v", "to_out.0", "to_out.1", "proj", "lora_q"]),
)
KEYS = st.tuples(PATHS, st.sampled_from(["down", "up"]), st.sampled_from(sorted(LAYOUTS)))


@given(KEYS, KEYS)
def test_two_layers_never_become_one(one, other):
    """Whatever layouts they come in: the same name only for the same half of the same layer."""
    keys = [host_key(LAYOUTS[layout](path, half)) for path, half, layout in (one, other)]
    assert (keys[0] == keys[1]) == (one[:2] == other[:2])
