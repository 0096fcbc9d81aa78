"""SDXL: UNet, text encoders and sizes against diffusers and transformers on the same weights; what prompts become."""

import pytest
import torch
from processing_runs import pixels_of, result_of, txt2img
from safetensors.torch import load_file, save_file

import weights_xl
from modules import prompt_parser, sd_models_xl, sd_schedulers, sd_text_encoder_xl, shared
from modules.sd_models_config import UnsupportedCheckpointError
from motion_module.core.module.attention import sinusoid
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import load_motion_model
from motion_module.core.module.placement import mounted
from tests.core import oracle
from tests.core.builders import norms_of

SIZES = weights_xl.SizesXL()
TEXT = SIZES.text_width + SIZES.open_width
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
OF_DIFFUSERS = {
    "block_out_channels": SIZES.widths,
    "cross_attention_dim": TEXT,
    "transformer_layers_per_block": (1, *SIZES.depths[1:]),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": SIZES.open_width + weights_xl.SIZES_WIDTH,
}
"""What diffusers must be told of the UNet."""


@pytest.fixture(scope="module")
def unet(tiny_xl):
    net = sd_models_xl.make_unet(weights_xl.config_of(SIZES)["model"]["params"]["network_config"]["params"])
    prefix = weights_xl.UNET
    state = {key.removeprefix(prefix): value.float() for key, value in load_file(tiny_xl["checkpoint"]).items()}
    net.load_state_dict({key: state[key] for key in net.state_dict()})
    return net.eval().requires_grad_(False)


def inputs(rows, seed=3):
    """x, t, text, pooled and the six numbers of the sizes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, 16, 24, generator=generator)
    text = torch.randn(rows, 77, TEXT, generator=generator)
    pooled = torch.randn(rows, SIZES.open_width, generator=generator)
    numbers = torch.tensor([[96.0, 128.0, 64.0, 32.0, 96.0, 128.0]]).repeat(rows, 1)
    return x, torch.full((rows,), 500), text, pooled, numbers


def vector(pooled, numbers):
    embed = sd_text_encoder_xl.ConcatTimestepEmbedderND(256)
    return torch.cat([pooled, *(embed(pair) for pair in numbers.split(2, dim=1))], dim=1)


def test_the_unet_with_its_depths_and_sizes_as_diffusers(unet):
    diffusers = pytest.importorskip("diffusers")
    attends, plain = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")
    twin = diffusers.UNet2DConditionModel(
        down_block_types=(plain[0], attends[0], attends[0]),
        up_block_types=(attends[1], attends[1], plain[1]),
        attention_head_dim=tuple(width // 32 for width in SIZES.widths),  # diffusers' name for the number of heads
        **OF_DIFFUSERS,
    ).eval()
    twin.load_state_dict(_spatial(unet))
    x, t, text, pooled, numbers = inputs(3)
    with torch.no_grad():
        theirs = twin(x, t, text, added_cond_kwargs={"text_embeds": pooled, "time_ids": numbers}).sample
        ours = unet(x, t, context=text, y=vector(pooled, numbers))
        other = unet(x, t, context=text, y=vector(pooled, numbers.roll(1, dims=1)))
    torch.testing.assert_close(ours, theirs, **TOLERANCE)
    assert (ours - other).abs().mean() > 0.01, "the order of the numbers must show for this to be a test"


def _spatial(unet):
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    state = {f"model.diffusion_model.{key}": value for key, value in unet.state_dict().items()}
    return convert_ldm_unet_checkpoint(
        state, {"layers_per_block": 2, "class_embed_type": None, "addition_embed_type": "text_time"}
    )


@pytest.mark.parametrize(("kind", "learnt"), [("sdxl", 32), ("hotshot", 24), ("hotshot_own", 24)])
def test_the_unet_with_a_motion_module_as_diffusers(unet, tiny_xl, kind, learnt):
    frames, copies = 8, 2
    model = load_motion_model(tiny_xl[kind], "cpu", torch.float32)
    for stored in model.buffers():
        stored.copy_(
            sinusoid(*stored.shape[1:])
        )  # the file's are rounded to half precision, and diffusers makes its own
    twin = oracle.motion_unet(
        unet,
        model.state_dict(),
        SIZES.widths,
        learnt,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion"),
        up_block_types=("CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion", "UpBlockMotion"),
        num_attention_heads=tuple(width // 32 for width in SIZES.widths),
        **OF_DIFFUSERS,
    )
    oracle.norm_per_frame(twin)
    if learnt == 24:
        oracle.norms_over_frames(twin, copies)
    x, t, text, pooled, numbers = inputs(frames * copies)
    pooled, numbers = pooled[:copies], numbers[:copies]  # diffusers has one vector for all frames of a video
    y, call = vector(pooled, numbers).repeat_interleave(frames, dim=0), CallFrames()
    with torch.no_grad():
        still = unet(x, t, context=text, y=y)
        with mounted(unet, model, call, norms_of(unet)), call.running(frames):
            ours = unet(x, t, context=text, y=y)
        video = x.unflatten(0, (copies, frames)).transpose(1, 2)
        sizes = {"text_embeds": pooled, "time_ids": numbers}
        theirs = twin(video, t[0], encoder_hidden_states=text, added_cond_kwargs=sizes).sample
        assert torch.equal(unet(x, t, context=text, y=y), still)
    torch.testing.assert_close(ours, theirs.transpose(1, 2).flatten(0, 1), **TOLERANCE)
    assert (ours - still).abs().mean() > 0.05


@pytest.fixture
def texts(pocket_xl):
    """Both text encoders of the model, as they are in it."""
    return [embedder for embedder in shared.sd_model.conditioner.embedders if hasattr(embedder, "wrapped")]


def test_the_second_text_encoder_as_transformers(texts):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    model = texts[1].wrapped.model
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=SIZES.open_width,
        intermediate_size=4 * SIZES.open_width,
        num_hidden_layers=SIZES.open_layers,
        num_attention_heads=1,
        hidden_act="gelu",
        projection_dim=SIZES.open_width,
    )
    twin = CLIPTextModelWithProjection(config).eval()
    missing, unexpected = twin.load_state_dict(_as_transformers(model.state_dict()), strict=False)
    assert not unexpected and all(key.endswith("position_ids") for key in missing)
    tokens = torch.tensor([[49406, 320, 2368, 49407, *[0] * 73], [49406, *range(300, 375), 49407]])
    with torch.no_grad():
        theirs = twin(tokens, output_hidden_states=True)
        ours = texts[1].encode_with_transformers(tokens)
    torch.testing.assert_close(ours, theirs.hidden_states[-2], **TOLERANCE)
    torch.testing.assert_close(ours.pooled, theirs.text_embeds, **TOLERANCE)


def _as_transformers(state):
    renamed = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_projection.weight": state["text_projection"].T,
    }
    for key, value in state.items():
        if key.startswith("ln_final"):
            renamed[f"text_model.final_layer_norm.{key.rpartition('.')[2]}"] = value
        if not key.startswith("transformer.resblocks."):
            continue
        layer, _, part = key.removeprefix("transformer.resblocks.").partition(".")
        inside = f"text_model.encoder.layers.{layer}."
        if part.startswith("attn.in_proj_"):
            for name, third in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{inside}self_attn.{name}_proj.{part.removeprefix('attn.in_proj_')}"] = third
        else:
            for ours, theirs in (("attn.", "self_attn."), ("ln_", "layer_norm"), ("c_fc", "fc1"), ("c_proj", "fc2")):
                part = part.replace(ours, theirs)
            renamed[inside + part] = value
    return renamed


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({}, 1),
        ({"CLIP_stop_at_last_layers": 3}, 1),
        ({"sdxl_clip_l_skip": True}, 2),
        ({"sdxl_clip_l_skip": True, "CLIP_stop_at_last_layers": 3}, 0),
    ],
    ids=["configured", "without the setting", "the last", "the first"],
)
def test_clip_skip_of_the_first_text_encoder(texts, options, state):
    """Two layers have three states; the configuration says 1, and no state goes through the final norm."""
    shared.opts.data.update(options)
    chunk = texts[0].tokenize_line("a cat")[0][0]
    tokens = torch.tensor([chunk.tokens])
    with torch.no_grad():
        states = texts[0].wrapped.transformer(input_ids=tokens, output_hidden_states=True).hidden_states
        assert torch.equal(texts[0].encode_with_transformers(tokens), states[state])
    assert len(states) == 3


def test_the_second_text_encoder_is_padded_with_zeros(texts, monkeypatch):
    chunk = texts[1].tokenize_line("a cat")[0][0]
    seen, encode = [], texts[1].wrapped.encode_with_transformer
    monkeypatch.setattr(
        texts[1].wrapped, "encode_with_transformer", lambda tokens: seen.append(tokens) or encode(tokens)
    )
    with torch.no_grad():
        texts[1].process_tokens([chunk.tokens], [chunk.multipliers])
    assert seen[0][0].tolist() == [49406, 320, 2368, 49407, *[0] * 73]
    assert texts[0]._padded([chunk.tokens]).tolist() == [chunk.tokens]


def test_what_looks_like_html_is_read_in_each_encoders_own_way(texts):
    """The first leaves entities alone where there is a tag; each has another name for the end."""
    same = ["a cat, walking", "café", "A  Cat", "2 &amp; 3"]
    assert texts[0].tokenize(same) == texts[1].tokenize(same)
    assert texts[0].tokenize(["<b> &amp;", "<|endoftext|>"]) == [[283, 321, 285, 261, 6259, 282], [49407]]
    assert texts[1].tokenize(["<b> &amp;", "<end_of_text>"]) == [[283, 321, 285, 261], [49407]]


def conditioning(*prompts, **more):
    with torch.no_grad():
        return shared.sd_model.get_learned_conditioning(prompt_parser.SdConditioning(prompts, **more))


def sizes_in(cond):
    """The part of the vector behind the pooled text."""
    return cond["vector"][:, SIZES.open_width :]


def test_what_a_prompt_becomes(pocket_xl, texts):
    cond = conditioning("a cat", "a dog", width=128, height=96)
    assert cond["crossattn"].shape == (2, 77, TEXT)
    with torch.no_grad():
        clip, (open_clip, pooled) = texts[0](["a cat"]), texts[1](["a cat"])
    torch.testing.assert_close(cond["crossattn"][:1], torch.cat([clip, open_clip], dim=2), **TOLERANCE)
    shared.opts.data.update(sdxl_crop_top=64, sdxl_crop_left=32)
    cropped = conditioning("a cat", width=128, height=96)
    numbers = torch.tensor([[96.0, 128.0, 64.0, 32.0, 96.0, 128.0]])
    torch.testing.assert_close(cropped["vector"], vector(pooled, numbers), **TOLERANCE)
    usual = torch.tensor([[1024.0, 1024.0, 64.0, 32.0, 1024.0, 1024.0]])
    torch.testing.assert_close(conditioning("a cat")["vector"], vector(pooled, usual), **TOLERANCE)


def test_the_vector_is_of_the_first_chunk_without_weights(pocket_xl):
    plain, weighted = conditioning("a red cat"), conditioning("a (red:1.8) cat")
    assert torch.equal(plain["vector"], weighted["vector"])
    assert not torch.equal(plain["crossattn"], weighted["crossattn"])
    long = "cat " * 75
    one, two = conditioning(long), conditioning(long + "dog")
    assert one["crossattn"].shape[1] == 77 and two["crossattn"].shape[1] == 154
    assert torch.equal(one["vector"], two["vector"])
    assert torch.equal(one["crossattn"], two["crossattn"][:, :77])


@pytest.mark.parametrize(
    ("prompts", "is_negative", "zero"),
    [([""], True, True), (["", ""], True, True), (["", "a"], True, False), ([""], False, False), (["a"], True, False)],
)
def test_empty_negative_prompts_are_zeros_with_sizes(pocket_xl, prompts, is_negative, zero):
    cond = conditioning(*prompts, is_negative_prompt=is_negative, width=64, height=64)
    assert (not cond["crossattn"].any()) == zero
    assert (not cond["vector"][:, : SIZES.open_width].any()) == zero
    assert torch.equal(sizes_in(cond), sizes_in(conditioning(*prompts, width=64, height=64)))


def test_the_empty_prompt_that_others_are_padded_with_is_text(pocket_xl):
    empty = shared.sd_model.cond_stage_model_empty_prompt
    assert empty.shape == (1, 77, TEXT)
    assert torch.equal(empty, conditioning("")["crossattn"])


def test_latents_and_pictures(pocket_xl):
    model, picture = shared.sd_model, torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        torch.manual_seed(0)
        latents = model.get_first_stage_encoding(model.encode_first_stage(picture))
        torch.manual_seed(0)
        assert torch.equal(latents, 0.13025 * model.first_stage_model.encode(picture).sample())
        decoded = model.decode_first_stage(latents)
        assert torch.equal(decoded, model.first_stage_model.decode(latents / 0.13025))
    assert latents.shape == (1, 4, 8, 12) and decoded.shape == picture.shape


def test_the_model_is_what_the_webui_gives(pocket_xl):
    from modules import sd_hijack, sd_models

    model = shared.sd_model
    assert model.is_sdxl and not model.is_sd1 and model.model_type is sd_models.ModelType.SDXL
    assert model.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=1e-5)
    assert (model.parameterization, model.cond_stage_key, model.model.conditioning_key) == ("eps", "txt", "crossattn")
    assert sd_hijack.model_hijack.clip is model.cond_stage_model is model.conditioner
    assert sd_hijack.model_hijack.get_prompt_lengths("a cat") == (2, 75)
    assert len(model.model.diffusion_model.input_blocks) == 9
    depths = {name.count("attn2.to_q") for name in model.state_dict()}
    assert depths == {0, 1}


def test_the_schedule_of_align_your_steps(pocket_xl):
    """Eleven of NVIDIA's own noise levels; SD1.5 has others."""
    sigmas = sd_schedulers.get_align_your_steps_sigmas(11, 0.029, 14.615, "cpu")
    assert sigmas.tolist() == pytest.approx(
        [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029, 0.0]
    )


NETWORK = "tiny_xl_lora"


def test_a_lora_changes_all_three_parts_and_leaves_no_trace(pocket_xl):
    import networks

    def picture(prompt):
        return pixels_of(result_of(txt2img(prompt=prompt)).images[0])

    before = {name: value.clone() for name, value in shared.sd_model.state_dict().items()}
    plain = picture("a ball")
    changed = {text: picture(f"a ball <lora:{NETWORK}:{text}>") for text in ("1", "1:0", "0:1")}
    assert len({one.tobytes() for one in (plain, *changed.values())}) == 4
    assert len(networks.loaded_networks[0].modules) == 2 * 6 * 2 + 5 * 12, "every layer of the file was found"
    assert (picture("a ball") == plain).all()
    after = shared.sd_model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_lora_in_the_parts_of_an_attention(pocket_xl):
    """q, k and v of the second text encoder are one weight; scale 1 (alpha 4 of rank 4) and strength 0.5."""
    import networks

    file = load_file(pocket_xl["network"])
    layer = shared.sd_model.conditioner.embedders[1].wrapped.model.transformer.resblocks[1]
    own = layer.attn.in_proj_weight.clone(), layer.mlp.c_fc.weight.clone()
    networks.load_networks([NETWORK], [0.5], [0.0])
    conditioning("a ball")

    def added(part):
        name = f"lora_te2_text_model_encoder_layers_1_{part}"
        return 0.5 * file[f"{name}.lora_up.weight"].float() @ file[f"{name}.lora_down.weight"].float()

    q_k_v = torch.cat([added(f"self_attn_{name}_proj") for name in "qkv"])
    torch.testing.assert_close(layer.attn.in_proj_weight, own[0] + q_k_v, **TOLERANCE)
    torch.testing.assert_close(layer.mlp.c_fc.weight, own[1] + added("mlp_fc1"), **TOLERANCE)
    networks.load_networks([])
    conditioning("a ball")
    assert torch.equal(layer.attn.in_proj_weight, own[0]) and torch.equal(layer.mlp.c_fc.weight, own[1])


def test_names_of_text_encoders_in_loras():
    from network_names import ldm_names

    rest = "text_model_encoder_layers_3_self_attn_q_proj"
    assert ldm_names(f"lora_te_{rest}") == [f"transformer_{rest}"]
    assert ldm_names(f"lora_te1_{rest}") == [f"transformer_{rest}", f"0_transformer_{rest}"]
    assert ldm_names(f"lora_te2_{rest}") == ["1_model_transformer_resblocks_3_attn_q_proj"]
    names = [ldm_names(f"lora_te2_text_model_encoder_layers_0_mlp_{part}")[0] for part in ("fc1", "fc2")]
    assert names == ["1_model_transformer_resblocks_0_mlp_c_fc", "1_model_transformer_resblocks_0_mlp_c_proj"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.update({weights_xl.UNET + "input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}), "9 input"),
        (lambda t: t.pop("conditioner.embedders.1.model.text_projection"), "text_projection"),
        (lambda t: t.pop(weights_xl.UNET + "label_emb.0.0.weight"), "lacks 1 weights.*label_emb"),
        (lambda t: t.update({weights_xl.UNET + "out.2.bias": torch.zeros(5)}), "does not fit"),
    ],
    ids=["inpainting", "no text projection", "no sizes", "another shape"],
)
def test_other_files_are_refused_by_name(pocket_xl, tmp_path, change, told):
    from modules import sd_models

    tensors = load_file(pocket_xl["checkpoint"])
    change(tensors)
    save_file(tensors, tmp_path / "odd.safetensors")
    (tmp_path / "odd.yaml").write_text(pocket_xl["checkpoint"].with_suffix(".yaml").read_text())
    with pytest.raises(UnsupportedCheckpointError, match=told):
        sd_models.load_model(sd_models.CheckpointInfo(str(tmp_path / "odd.safetensors")))


def test_without_a_configuration_beside_it_a_file_has_the_sizes_of_sdxl(pocket_xl, tmp_path):
    from modules import sd_models

    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(pocket_xl["checkpoint"].read_bytes())
    with torch.device("meta"), pytest.raises(UnsupportedCheckpointError, match="does not fit"):
        sd_models.load_model(sd_models.CheckpointInfo(str(bare)))


def test_the_standard_configuration_is_sdxl():
    """Names and sizes of the published base model: 2,567 million weights in the UNet."""
    from omegaconf import OmegaConf

    from modules import sd_models_config

    params = OmegaConf.to_container(OmegaConf.load(sd_models_config.XL_CONFIG).model.params)
    with torch.device("meta"):
        net = sd_models_xl.make_unet(params["network_config"]["params"])
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert sum(value.numel() for value in net.parameters()) == 2_567_463_684
    assert shapes["input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight"] == (640, 2048)
    assert shapes["middle_block.1.transformer_blocks.9.attn1.to_q.weight"] == (1280, 1280)
    assert shapes["output_blocks.5.1.transformer_blocks.1.ff.net.2.weight"] == (640, 2560)
    assert shapes["label_emb.0.0.weight"] == (1280, 2816)
    assert not any(name.startswith("input_blocks.1.1") for name in shapes)


def test_weights_are_the_same_each_time(tmp_path, tiny_xl):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    again = weights_xl.make_checkpoint(tmp_path / "again.safetensors", seed=1)
    assert torch.equal(torch.rand(1), expected)  # torch's own stream is left alone
    assert again.read_bytes() == tiny_xl["checkpoint"].read_bytes()
    weights_xl.main([str(tmp_path / "other.safetensors"), "--seed", "2"])
    assert (tmp_path / "other.safetensors").read_bytes() != again.read_bytes()
