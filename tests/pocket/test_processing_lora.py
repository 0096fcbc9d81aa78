"""LoRA: matched key by key, put into weights when a layer is called, and taken out again to the last bit."""

import os

import pytest
import torch
from processing_runs import pixels_of, result_of, txt2img
from safetensors.torch import save_file

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


@pytest.fixture
def host(pocket):
    """The host, without networks before and after the test."""
    import networks

    yield pocket
    for path in pocket["lora"].glob("*.safetensors"):
        path.unlink()
    networks.load_networks([])
    networks.list_available_networks()
    result_of(txt2img(steps=1))


def layer(name):
    from modules import shared

    return shared.sd_model.network_layer_mapping[name]


def product(file_name, module, seed=0, alpha=None, rank=2, strength=0.5):
    """A LoRA's weights for one layer, as kohya's scripts name them."""
    generator = torch.Generator().manual_seed(seed)
    out, inside = module.weight.flatten(1).shape
    weights = {
        f"{file_name}.lora_down.weight": torch.randn(rank, inside, generator=generator) * strength,
        f"{file_name}.lora_up.weight": torch.randn(out, rank, generator=generator) * strength,
    }
    return weights | ({} if alpha is None else {f"{file_name}.alpha": torch.tensor(float(alpha))})


def write(host, name, weights, metadata=None):
    save_file(
        {key: value.contiguous() for key, value in weights.items()}, host["lora"] / f"{name}.safetensors", metadata
    )


def weights_of_model():
    from modules import shared

    return {name: value.clone() for name, value in shared.sd_model.state_dict().items()}


def picture(prompt, **changes):
    return pixels_of(result_of(txt2img(prompt=prompt, **changes)).images[0])


def test_a_network_changes_the_picture_and_leaves_no_trace(host):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    text = layer("transformer_text_model_encoder_layers_0_self_attn_q_proj")
    write(host, "both", product(QUERY, query) | product(TEXT, text))
    before, plain = weights_of_model(), picture("a ball")
    with_network = picture("a ball <lora:both:1>")
    assert (with_network != picture("a ball ")).any()
    assert (picture("a ball") == plain).all()
    after = weights_of_model()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("tag", "unet", "text"),
    [
        ("<lora:x>", 1.0, 1.0),
        ("<lora:x:0.5>", 0.5, 0.5),
        ("<lora:x:0.5:0.25>", 0.25, 0.5),
        ("<lora:x:1:unet=0.5:te=2>", 0.5, 2.0),
        ("<lyco:x:0.5>", 0.5, 0.5),
    ],
)
def test_strengths_and_alpha(host, tag, unet, text):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    projection = layer("transformer_text_model_encoder_layers_0_self_attn_q_proj")
    network = product(QUERY, query, alpha=1, rank=4) | product(TEXT, projection, seed=1)
    write(host, "x", network)
    own = query.weight.clone(), projection.weight.clone()
    picture(f"a ball {tag}", steps=1)
    for module, weight, name, strength in ((query, own[0], QUERY, unet * 1 / 4), (projection, own[1], TEXT, text)):
        update = network[f"{name}.lora_up.weight"] @ network[f"{name}.lora_down.weight"] * strength
        assert torch.allclose(module.weight, weight + update, atol=1e-5)


def test_several_networks_add_up_and_the_first_prompt_of_a_batch_counts(host):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    one, two = product(QUERY, query, seed=1), product(QUERY, query, seed=2)
    write(host, "one", one)
    write(host, "two", two)
    own = query.weight.clone()
    picture(["a <lora:one:1><lora:two:1>", "b <lora:one:5>"], negative_prompt="", batch_size=2, steps=1)
    update = sum(net[f"{QUERY}.lora_up.weight"] @ net[f"{QUERY}.lora_down.weight"] for net in (one, two))
    assert torch.allclose(query.weight, own + update, atol=1e-4)


def test_convolutions_with_and_without_a_middle(host):
    inside = layer("diffusion_model_input_blocks_1_0_in_layers_2")
    out, channels = inside.weight.shape[:2]
    down, up, mid = torch.randn(2, channels, 1, 1), torch.randn(out, 2, 1, 1), torch.randn(2, 2, 3, 3)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    write(host, "cp", {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.lora_mid.weight": mid})
    own = inside.weight.clone()
    picture("a <lora:cp:1>", steps=1)
    manual = torch.zeros_like(own)
    for r in range(2):
        for s in range(2):
            manual += up[:, r].view(out, 1, 1, 1) * mid[r, s].view(1, 1, 3, 3) * down[s].view(1, channels, 1, 1)
    assert torch.allclose(inside.weight, own + manual, atol=1e-4)
    write(host, "plain", {f"{name}.lora_down.weight": torch.randn(2, channels, 3, 3), f"{name}.lora_up.weight": up})
    assert (picture("a <lora:plain:1>", steps=1) != picture("a ", steps=1)).any()
    assert torch.equal(inside.weight, own)


def test_whole_differences_change_bias_too(host):
    norm = layer("diffusion_model_input_blocks_1_0_in_layers_0")
    own = norm.weight.clone(), norm.bias.clone()
    name = "lora_unet_down_blocks_0_resnets_0_norm1"
    write(host, "norm", {f"{name}.w_norm": torch.ones_like(norm.weight), f"{name}.b_norm": torch.ones_like(norm.bias)})
    picture("a <lora:norm:0.5>", steps=1)
    assert torch.allclose(norm.weight, own[0] + 0.5) and torch.allclose(norm.bias, own[1] + 0.5)
    picture("a", steps=1)
    assert torch.equal(norm.weight, own[0]) and torch.equal(norm.bias, own[1])


def test_a_network_that_is_not_there_is_said_and_left_out(host):
    result = result_of(txt2img(prompt="a <lora:missing:1>"))
    assert result.comments == "Lora not found: missing\n"
    assert result.all_prompts == ["a <lora:missing:1>"]


def test_a_network_for_another_model_is_counted_and_left_out(host):
    write(host, "wide", {f"{QUERY}.lora_down.weight": torch.ones(2, 7), f"{QUERY}.lora_up.weight": torch.ones(9, 2)})
    before = weights_of_model()
    result = result_of(txt2img(prompt="a <lora:wide:1>"))
    assert result.comments == "Networks with errors: wide (1)\n"
    after = weights_of_model()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_kind_of_network_that_is_not_modelled_is_said(host, capsys):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    write(host, "loha", {f"{QUERY}.hada_w1_a": torch.ones(2, 2)})
    write(host, "dora", product(QUERY, query) | {f"{QUERY}.dora_scale": torch.ones(query.weight.shape[0], 1)})
    for name in ("loha", "dora"):
        result_of(txt2img(prompt=f"a <lora:{name}:1>"))
        assert f"{name}.safetensors is a kind of network that this host does not have" in capsys.readouterr().err


def test_networks_are_read_again_only_when_their_file_changes(host, monkeypatch):
    import networks

    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    write(host, "x", product(QUERY, query))
    read = []
    original = networks.load_network
    monkeypatch.setattr(networks, "load_network", lambda *args: read.append(args) or original(*args))
    for _ in range(2):
        picture("a <lora:x:1>", steps=1)
    assert len(read) == 1
    path = host["lora"] / "x.safetensors"
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))
    picture("a <lora:x:1>", steps=1)
    assert len(read) == 2


def test_a_network_is_known_by_its_makers_name_and_its_hash(host):
    import networks

    from modules import script_callbacks, shared

    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    write(host, "file", product(QUERY, query), {"ss_output_name": "maker", "sshs_model_hash": "abcdef0123456789"})
    info = result_of(txt2img(prompt="a <lora:maker:1>")).info
    assert "Lora hashes: maker: abcdef012345" in info.replace('"', "")
    params = {"Prompt": "a <lora:elsewhere:1>", "Lora hashes": "elsewhere: abcdef012345"}
    script_callbacks.infotext_pasted_callback(info, params)
    assert params["Prompt"] == "a <lora:maker:1>"
    shared.opts.lora_add_hashes_to_infotext = False
    assert "Lora hashes" not in result_of(txt2img(prompt="a <lora:maker:1>")).info
    assert networks.available_networks["file"].alias == "maker"


def test_a_network_may_be_on_by_a_setting(host):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    write(host, "x", product(QUERY, query))
    import networks

    networks.list_available_networks()
    by_tag = picture("a<lora:x:1.0>", steps=1)
    by_setting = picture("a", steps=1, override_settings={"sd_lora": "x"})
    assert (by_tag == by_setting).all() and (by_tag != picture("a", steps=1)).any()


def test_layers_that_get_new_weights_forget_their_networks(host):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    own = query.weight.clone()
    write(host, "x", product(QUERY, query))
    picture("a <lora:x:1>", steps=1)
    new = torch.ones_like(own)
    query.load_state_dict({"weight": new})
    picture("a", steps=1)
    assert torch.equal(query.weight, new)
    query.load_state_dict({"weight": own})


def test_new_layers_are_changed_once_they_are_in_the_mapping(host):
    """What an extension does that mounts layers of its own: name them, and the networks find them."""
    from modules import shared

    linear = torch.nn.Linear(3, 3, bias=False)
    own = linear.weight.clone()
    mapping = shared.sd_model.network_layer_mapping
    linear.network_layer_name = "my_own_layer"
    mapping["my_own_layer"] = linear
    try:
        network = product("my_own_layer", linear)
        write(host, "own", network)
        picture("a <lora:own:2>", steps=1)
        with torch.no_grad():
            linear(torch.zeros(1, 3))
        update = network["my_own_layer.lora_up.weight"] @ network["my_own_layer.lora_down.weight"] * 2
        assert torch.allclose(linear.weight, own + update, atol=1e-5)
        picture("a", steps=1)
        with torch.no_grad():
            linear(torch.zeros(1, 3))
        assert torch.equal(linear.weight, own)
    finally:
        del mapping["my_own_layer"]


def test_attention_in_one_piece_takes_three_networks(host):
    from modules import shared

    attention = torch.nn.MultiheadAttention(4, 2)
    own = attention.in_proj_weight.clone(), attention.out_proj.weight.clone()
    mapping = shared.sd_model.network_layer_mapping
    attention.network_layer_name = "whole"
    mapping["whole"] = attention
    try:
        network = {}
        for seed, part in enumerate(("q", "k", "v", "out")):
            network |= product(f"whole_{part}_proj", torch.nn.Linear(4, 4), seed=seed)
        write(host, "mha", network)
        picture("a <lora:mha:1>", steps=1)
        with torch.no_grad():
            attention(*[torch.zeros(1, 1, 4)] * 3)
        updates = [
            network[f"whole_{part}_proj.lora_up.weight"] @ network[f"whole_{part}_proj.lora_down.weight"]
            for part in ("q", "k", "v", "out")
        ]
        assert torch.allclose(attention.in_proj_weight, own[0] + torch.cat(updates[:3]), atol=1e-5)
        assert torch.allclose(attention.out_proj.weight, own[1] + updates[3], atol=1e-5)
        picture("a", steps=1)
        with torch.no_grad():
            attention(*[torch.zeros(1, 1, 4)] * 3)
        assert torch.equal(attention.in_proj_weight, own[0]) and torch.equal(attention.out_proj.weight, own[1])
    finally:
        del mapping["whole"]


def test_the_mapping_is_made_anew_for_every_checkpoint(host):
    from modules import sd_models, shared

    old = shared.sd_model.network_layer_mapping
    sd_models.load_model()
    new = shared.sd_model.network_layer_mapping
    assert new is not old and new.keys() == old.keys()
    name = "diffusion_model_middle_block_1_proj_in"
    assert new[name] is not old[name] and new[name].network_layer_name == name


def test_the_hires_pass_keeps_its_own_networks(host):
    query = layer("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    write(host, "x", product(QUERY, query))
    same = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "steps": 1, "denoising_strength": 0.9}
    plain = picture("a", **same)
    assert (picture("a", hr_prompt="a <lora:x:1>", **same) != plain).any()


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("lora_unet_conv_in", "diffusion_model_input_blocks_0_0"),
        ("lora_unet_conv_out", "diffusion_model_out_2"),
        ("lora_unet_time_embedding_linear_2", "diffusion_model_time_embed_2"),
        ("lora_unet_down_blocks_2_attentions_1_proj_in", "diffusion_model_input_blocks_8_1_proj_in"),
        ("lora_unet_down_blocks_3_resnets_1_conv2", "diffusion_model_input_blocks_11_0_out_layers_3"),
        ("lora_unet_down_blocks_1_downsamplers_0_conv", "diffusion_model_input_blocks_6_0_op"),
        ("lora_unet_mid_block_attentions_0_proj_out", "diffusion_model_middle_block_1_proj_out"),
        ("lora_unet_mid_block_resnets_1_time_emb_proj", "diffusion_model_middle_block_2_emb_layers_1"),
        ("lora_unet_up_blocks_3_attentions_2_proj_in", "diffusion_model_output_blocks_11_1_proj_in"),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", "diffusion_model_output_blocks_2_1_conv"),
        ("lora_unet_up_blocks_1_upsamplers_0_conv", "diffusion_model_output_blocks_5_2_conv"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", "transformer_text_model_encoder_layers_0_mlp_fc1"),
        ("lora_unet_input_blocks_1_1_proj_in", "diffusion_model_input_blocks_1_1_proj_in"),
        ("anything_else", "anything_else"),
    ],
)
def test_every_layers_name_is_found_in_the_model(host, file_name, name):
    from network_names import ldm_names

    from modules import shared

    assert name in ldm_names(file_name)
    assert name in shared.sd_model.network_layer_mapping or name == "anything_else"
