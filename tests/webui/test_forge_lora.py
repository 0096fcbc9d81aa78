"""LoRA for motion modules on Forge, whose own extension reads the files, over the stand-in for it."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from forge_videos import denoised, plan, video
from safetensors.torch import save_file

from motion_module.errors import CheckpointError
from motion_module.travel_loras import LoraTravel
from tests.core.builders import motion_model, photograph
from tests.core.lora_layouts import guoyww

LAYERS = ("down_blocks.0.motion_modules.1", "up_blocks.3.motion_modules.2")
GUOYWW = "temporal_transformer.transformer_blocks.0.attention_blocks"
SPATIAL = "output_blocks_2_1_conv"
CLOSE = {"atol": 5e-5, "rtol": 1e-5}  # sums in another order; what a LoRA does is a hundred times as much


@pytest.fixture
def lora(forge, tmp_path):
    """The stand-in, with what of ours reads LoRA going by it, and a folder for files."""
    from motion_module.webui.sampling import lora_faults, lora_files, lora_travel, motion_lora

    for module in (motion_lora, lora_travel, lora_files, lora_faults):
        forge.patch.setattr(module, "host", forge.host)
    (tmp_path / "lora").mkdir()
    return SimpleNamespace(**vars(forge), folder=tmp_path / "lora", model=motion_model("v2"), motion_lora=motion_lora)


def halves(out, into, seed, rank=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(out, rank, generator=generator), torch.randn(rank, into, generator=generator)


def motion_file(lora, name="motion", seed=1):
    """Changes eight layers of the motion module; returns layer -> (up, down)."""
    parts = {}
    for block in LAYERS:
        for layer in ("0.to_q", "0.to_out.0", "1.to_v", "1.to_k"):
            path = f"{block}.{GUOYWW}.{layer}"
            parts[path] = halves(32, 32, seed + len(parts))
    state = {
        guoyww(path, half): value for path, of in parts.items() for half, value in zip(("up", "down"), of, strict=True)
    }
    save_file(state, lora.folder / f"{name}.safetensors")
    return parts


def spatial_state(seed=30):
    up, down = halves(64, 64 * 9, seed)
    te_up, te_down = halves(8, 8, seed + 1)
    return {
        f"lora_unet_{SPATIAL}.lora_up.weight": up.view(64, 4, 1, 1),
        f"lora_unet_{SPATIAL}.lora_down.weight": down.view(4, 64, 3, 3),
        f"lora_unet_{SPATIAL}.alpha": torch.tensor(2.0),
        "lora_te_clip_l_fc1.lora_up.weight": te_up,
        "lora_te_clip_l_fc1.lora_down.weight": te_down,
    }


def merged(model, parts, weight):
    """The same motion module with what the LoRA adds in its weights."""
    other = motion_model("v2")
    for path, (up, down) in parts.items():
        other.get_submodule(path).weight.data += weight * up @ down
    return other


def networks_of(lora, **is_p):
    p = SimpleNamespace(is_hr_pass=False, comments={}, scripts=None, **is_p)
    p.comment = lambda text: p.comments.update({text: 1})
    networks = lora.motion_lora.Networks(p)
    networks.change(lora.model)
    return networks, p


def tags(*prompts):
    from modules import extra_networks

    return extra_networks.parse_prompts(["".join(prompts)])[1]


@contextmanager
def run_with(lora, *prompts, travels=None):
    """The prompts of a run have been read, and its video is being sampled."""
    from modules import extra_networks

    networks, p = networks_of(lora)
    networks.expect(travels)
    try:
        extra_networks.activate(p, tags(*prompts))
        with video(lora, lora.model, plan()) as call, networks.sampling(call):
            lora.sd_model.forge_objects = lora.sd_model.forge_objects_after_applying_lora.shallow_copy()
            lora.sd_model.forge_objects.unet.refresh_loras()
            lora.sd_model.forge_objects.clip.patcher.refresh_loras()
            yield
    finally:
        networks.end()


def without(lora, model=None):
    with video(lora, model or lora.model, plan()):
        return denoised(lora)


def test_a_motion_lora_is_added_by_the_layers_themselves(lora):
    """With more than twelve keys that Forge does not know it would leave the whole file out."""
    parts = motion_file(lora)
    expected, plain = without(lora, merged(lora.model, parts, 0.5)), without(lora)
    before, own, handed = photograph(lora.model), lora.networks.load_lora_for_models, []

    def note(model, clip, state, *of):
        handed.append(state)
        return own(model, clip, state, *of)

    lora.patch.setattr(lora.networks, "load_lora_for_models", note)
    with run_with(lora, "a cat <lora:motion:0.5>"):
        made = denoised(lora)
        assert handed == []
        assert lora.sd_model.forge_objects.unet.lora_patches == {}
    torch.testing.assert_close(made, expected, **CLOSE)
    assert (made - plain).abs().max() > 1e-3
    assert photograph(lora.model) == before
    assert torch.equal(without(lora), plain)


def test_one_file_for_both(lora):
    """Motion layers, a layer of the UNet and one of the text encoder, with weights of their own."""
    parts, conv = motion_file(lora), lora.unet.get_submodule(SPATIAL.replace("_2_1_", ".2.1."))
    te, state = lora.sd_model.forge_objects.clip.cond_stage_model.clip_l.fc1, spatial_state()
    both = {**lora.networks.load_file(lora.folder / "motion.safetensors"), **state}
    save_file(both, lora.folder / "both.safetensors")
    own, of_te = conv.weight, te.weight
    up, down = (state[f"lora_unet_{SPATIAL}.lora_{half}.weight"].flatten(1) for half in ("up", "down"))
    added = 0.8 * 2 / 4 * (up @ down).reshape(own.shape)
    with run_with(lora, "<lora:both:0.3:unet=0.8>"):
        torch.testing.assert_close(conv.weight, own + added, **CLOSE)
        torch.testing.assert_close(
            te.weight,
            of_te + 0.3 * state["lora_te_clip_l_fc1.lora_up.weight"] @ state["lora_te_clip_l_fc1.lora_down.weight"],
            **CLOSE,
        )
        made = denoised(lora)
        (net,) = lora.host.lora_in_use()
        assert (net.te_multiplier, net.unet_multiplier) == (0.3, 0.8)
        assert sum(name.startswith("diffusion_model_") for name in net.modules) == len(parts) == len(net.modules) - 2
    lora.sd_model.forge_objects_original.unet.refresh_loras()
    assert conv.weight is own
    with video(lora, merged(lora.model, parts, 0.8), plan()):
        conv.weight.data += added
        expected = denoised(lora)
        conv.weight.data -= added
    torch.testing.assert_close(made, expected, **CLOSE)


def test_a_motion_lora_beside_another(lora):
    parts = motion_file(lora)
    save_file(spatial_state(), lora.folder / "spatial.safetensors")
    with run_with(lora, "<lora:spatial:1>"):
        alone = denoised(lora)
    with run_with(lora, "<lora:spatial:1><lora:motion:1>"):
        made = denoised(lora)
    lora.model = merged(lora.model, parts, 1)
    with run_with(lora, "<lora:spatial:1>"):
        expected = denoised(lora)
    torch.testing.assert_close(made, expected, **CLOSE)
    assert (made - alone).abs().max() > 1e-3


def test_the_weight_may_be_nothing_and_the_tag_gone(lora):
    motion_file(lora)
    plain = without(lora)
    for prompt in ("<lora:motion:0>", "a cat"):
        with run_with(lora, prompt):
            assert torch.equal(denoised(lora), plain)


def test_a_run_leaves_its_files_out_of_date(lora):
    """Forge reads nothing where files and weights are those of the last time: a picture must not go by ours."""
    motion_file(lora)
    lora.networks.load_networks([], [], [])
    with run_with(lora, "<lora:motion:0.5>"):
        first = denoised(lora)
    out_of_date = lora.sd_model.current_lora_hash
    assert not out_of_date.startswith("[")
    assert lora.sd_model.forge_objects.unet.lora_loader.loaded_hash == out_of_date
    with run_with(lora, "<lora:motion:0.5>"):
        assert torch.equal(denoised(lora), first)
    with run_with(lora, "<lora:motion:-1>"):
        assert not torch.equal(denoised(lora), first)
    functions = (lora.networks.load_networks, lora.networks.load_lora_state_dict)
    assert all(function.__module__ == lora.networks.__name__ for function in functions)


def test_a_lora_that_changes_from_frame_to_frame(lora):
    """Its weights come from the keys of a prompt; Forge is told one of them, and adds nothing."""
    parts = motion_file(lora)
    travel = LoraTravel((0.5, 0.5, 0.5, 0.5, 0.5, 0.25), frozenset({0.5, 0.25}))
    with run_with(lora, "<lora:motion:0.5>", travels={"motion": travel}):
        made = denoised(lora)
    with_half = without(lora, merged(lora.model, parts, 0.5))
    assert torch.allclose(made[0], with_half[0], **CLOSE)
    assert not torch.allclose(made[5], with_half[5], **CLOSE)


def state_with(up=None, down=None):
    path = f"{LAYERS[0]}.{GUOYWW}.0.to_q"
    made = {"up": torch.ones(32, 4) if up is None else up, "down": torch.ones(4, 32) if down is None else down}
    return {guoyww(path, half): value for half, value in made.items()}


FAULTS = {
    "another width": (state_with(up=torch.ones(48, 4)), "has one of another size"),
    "another UNet": (
        {
            f"lora_unet_{SPATIAL}.lora_up.weight": torch.ones(64, 2),
            f"lora_unet_{SPATIAL}.lora_down.weight": torch.ones(2, 9),
        },
        "does not fit the layer diffusion_model.output_blocks.2.1.conv.weight of tiny",
    ),
    "not finite": (state_with(up=torch.full((32, 4), torch.nan)), "not finite"),
    "no weights": ({"emb_params": torch.ones(2, 8)}, "has nothing for any layer of tiny"),
    "half": (dict([*state_with().items()][:1]), "is not whole"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_files_faults_are_told(lora, fault):
    """Forge prints what it makes of them, and goes on without the LoRA."""
    state, sentence = FAULTS[fault]
    save_file(state, lora.folder / "odd.safetensors")
    plain = without(lora)
    with pytest.raises(CheckpointError, match=sentence) as told, run_with(lora, "<lora:odd:1>"):
        pass
    assert "odd" in str(told.value)
    assert torch.equal(without(lora), plain)


def test_a_file_that_cannot_be_read_is_told(lora):
    (lora.folder / "torn.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match="the LoRA torn cannot be read"), run_with(lora, "<lora:torn:1>"):
        pass
    assert not lora.sd_model.current_lora_hash.startswith("[[")


def test_names(lora, tmp_path):
    motion_file(lora)
    lora.networks.list_available_networks()
    assert lora.host.lora_exists("motion")
    assert not lora.host.lora_exists("nowhere")
    assert lora.host.unknown_lora(tags("<lora:motion:1><lora:nowhere:1>")) == {"nowhere"}
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes((lora.folder / "motion.safetensors").read_bytes())
    with lora.host.more_lora({"elsewhere": elsewhere}):
        assert lora.host.lora_exists("elsewhere")
        with run_with(lora, "<lora:elsewhere:1>"):
            made = denoised(lora)
    with run_with(lora, "<lora:motion:1>"):
        assert torch.equal(denoised(lora), made)
    assert not lora.host.lora_exists("elsewhere")


@pytest.mark.parametrize("prompt", ["<lora:nowhere:1><lora:motion:1>", "<lora:motion:1><lora:nowhere:1>"])
def test_one_that_is_not_loaded_because_of_an_unknown_one_is_told(lora, prompt):
    """Forge loads none of a prompt then, and says so in its log alone."""
    motion_file(lora)
    plain = without(lora)
    with pytest.raises(CheckpointError, match="motion was not loaded"), run_with(lora, prompt):
        pass
    assert torch.equal(without(lora), plain)


def test_an_unknown_lora_alone_changes_nothing(lora):
    plain = without(lora)
    with run_with(lora, "<lora:nowhere:1>"):
        assert torch.equal(denoised(lora), plain)


def test_a_webui_without_the_lora_extension(lora):
    from modules import extra_networks

    lora.patch.delitem(extra_networks.extra_network_registry, "lora")
    assert lora.host.networks() is None
    assert lora.host.lora_in_use() == []
    with lora.host.lora_files({}, None, None, None) as known:
        assert known == {}
