"""Files as people have them: motion modules of every kind and layout, and everything that is none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from motion_module.core.module import checkpoint
from motion_module.core.module.checkpoint import normalise_keys, read_motion_weights, read_state_dict
from motion_module.core.module.model import load_motion_model
from motion_module.errors import CheckpointError
from motion_module.settings import KEEP
from tests.core import oracle
from tests.core.builders import SPECS, motion_state, unet


def without_positions(state):
    return {key: value for key, value in state.items() if not key.endswith(".pe")}


def in_diffusers_layout(state):
    """As `MotionAdapter.save_pretrained` writes it: one table of positions for both attentions."""
    shared = {
        key.replace(".temporal_transformer", "").replace("attention_blocks.0.pos_encoder.pe", "pos_embed.pe"): value
        for key, value in state.items()
        if key.endswith("attention_blocks.0.pos_encoder.pe")
    }
    return {**oracle.diffusers_keys(state), **shared}


def in_hotshot_layout(state):
    return {
        key.replace("motion_modules", "temporal_attentions")
        .replace(".temporal_transformer", "")
        .replace("pos_encoder.pe", "pos_encoder.positional_encoding"): value
        for key, value in state.items()
    }


def same_weights(model, state):
    found = model.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


def save(path, state, **wrapped):
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, str(path))
    else:
        torch.save(wrapped or state, str(path))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("name", SPECS)
def test_every_kind_is_recognised_by_content(tmp_path, name, suffix):
    state = motion_state(name)
    stored = without_positions(state) if name == "lcm" else state
    model = load_motion_model(save(tmp_path / f"anything{suffix}", stored), "cpu", torch.float32)
    assert model.spec == SPECS[name]
    assert same_weights(model, state)
    assert not any(value.requires_grad for value in model.parameters())


def test_kinds_differ_where_it_matters():
    facts = {
        name: (spec.kind.family, spec.kind.groupnorm_over_frames, spec.kind.schedule) for name, spec in SPECS.items()
    }
    assert facts == {
        "v1": ("SD1.5", True, "linear"),
        "v2": ("SD1.5", False, "linear"),
        "v3": ("SD1.5", False, "linear"),
        "lcm": ("SD1.5", False, "linear"),
        "long v1": ("SD1.5", True, "linear"),
        "long v2": ("SD1.5", False, "linear"),
        "sdxl": ("SDXL", False, "sqrt-linear 0.020"),
        "hotshot": ("SDXL", True, KEEP),
    }
    assert {name: spec.kind.trained_on for name, spec in SPECS.items() if spec.kind.trained_on} == {"hotshot": 8}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_half_precision_files(tmp_path, dtype, suffix):
    state = {key: value.to(dtype) for key, value in motion_state("v3").items()}
    model = load_motion_model(save(tmp_path / f"m{suffix}", state), "cpu", torch.float32)
    assert same_weights(model, {key: value.float() for key, value in state.items()})


def test_the_wanted_dtype(tmp_path):
    model = load_motion_model(save(tmp_path / "m.safetensors", motion_state("v2")), "cpu", torch.float16)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float16}


@pytest.mark.parametrize("prefix", ["module.", "unet.", "model.", "module.unet.", "animatediff.model."])
def test_prefixes(tmp_path, prefix):
    state = motion_state("v1")
    path = save(tmp_path / "m.safetensors", {prefix + key: value for key, value in state.items()})
    assert same_weights(load_motion_model(path, "cpu", torch.float32), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s},
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"epoch": 1, "state_dict": {"module": s}},
    ],
)
def test_wrappers(tmp_path, wrap):
    state = motion_state("v2")
    path = save(tmp_path / "m.ckpt", {}, **wrap(state))
    assert same_weights(load_motion_model(path, "cpu", torch.float32), state)


def test_files_of_old_torch(tmp_path):
    state = motion_state("v3")
    torch.save({"state_dict": state}, str(tmp_path / "old.ckpt"), _use_new_zipfile_serialization=False)
    assert same_weights(load_motion_model(tmp_path / "old.ckpt", "cpu", torch.float32), state)


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "sdxl"])
def test_diffusers_layout(tmp_path, name):
    state = motion_state(name)
    model = load_motion_model(save(tmp_path / "m.safetensors", in_diffusers_layout(state)), "cpu", torch.float32)
    assert model.spec == SPECS[name]
    assert same_weights(model, state)


def test_hotshot_layout(tmp_path):
    state = motion_state("hotshot")
    model = load_motion_model(save(tmp_path / "m.safetensors", in_hotshot_layout(state)), "cpu", torch.float32)
    assert model.spec == SPECS["hotshot"]
    assert same_weights(model, state)


def test_a_training_checkpoint_loses_what_is_not_motion_with_one_line(tmp_path, caplog):
    state = motion_state("v2")
    extra = {f"module.down_blocks.0.resnets.{i}.conv1.weight": torch.ones(2) for i in range(3)}
    path = save(tmp_path / "m.ckpt", {}, state_dict={**{f"module.{k}": v for k, v in state.items()}, **extra})
    with caplog.at_level("INFO"):
        assert same_weights(load_motion_model(path, "cpu", torch.float32), state)
    assert [record.getMessage() for record in caplog.records] == [
        "m.ckpt: 3 weights that do not belong to the motion module are left out."
    ]


def lora_keys(style):
    place = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0"
    return {
        "motion, guoyww": f"{place}.processor.to_q_lora.down.weight",
        "motion, diffusers": "unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "motion, kohya": f"lora_unet_{place.replace('.', '_')}_to_q.lora_down.weight",
        "kohya": "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
        "diffusers": "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
    }[style]


def sparse_ctrl():
    motion = {
        key: value
        for key, value in motion_state("v3").items()
        if key.startswith("down_blocks") and ".attention_blocks.1." not in key
    }
    return {**motion, "controlnet_cond_embedding.conv_in.weight": torch.ones(1)}


STRANGERS = {
    "an SD1.5 checkpoint": (
        lambda: {f"model.diffusion_model.{k}": v for k, v in unet().state_dict().items()},
        "Stable Diffusion checkpoint",
    ),
    "an SDXL checkpoint": (
        lambda: {"model.diffusion_model.x": torch.ones(1), "conditioner.embedders.0.y": torch.ones(1)},
        "SDXL checkpoint",
    ),
    "a spatial LoRA": (lambda: {lora_keys("kohya"): torch.ones(1)}, "a LoRA, which goes into the prompt"),
    "a diffusers LoRA": (lambda: {lora_keys("diffusers"): torch.ones(1)}, "a LoRA, which goes into the prompt"),
    "a motion LoRA": (
        lambda: {lora_keys("motion, guoyww"): torch.ones(1)},
        "a motion LoRA, which goes into the prompt",
    ),
    "a diffusers motion LoRA": (lambda: {lora_keys("motion, diffusers"): torch.ones(1)}, "a motion LoRA"),
    "a kohya motion LoRA": (lambda: {lora_keys("motion, kohya"): torch.ones(1)}, "a motion LoRA"),
    "a ControlNet": (lambda: {"control_model.input_hint_block.0.weight": torch.ones(1)}, "a ControlNet model"),
    "a diffusers ControlNet": (lambda: {"controlnet_down_blocks.0.weight": torch.ones(1)}, "a ControlNet model"),
    "SparseCtrl": (sparse_ctrl, "a SparseCtrl model for ControlNet"),
    "a VAE": (lambda: {"encoder.conv_in.weight": torch.ones(1), "decoder.conv_in.weight": torch.ones(1)}, "a VAE"),
    "a diffusers UNet": (
        lambda: {"conv_in.weight": torch.ones(1), "down_blocks.0.resnets.0.conv1.weight": torch.ones(1)},
        "the UNet of a diffusers model",
    ),
    "an embedding": (lambda: {"emb_params": torch.ones(1)}, "a textual inversion embedding"),
    "an upscaler": (
        lambda: {"body.0.rdb1.conv1.weight": torch.ones(1)},
        r"something else \(it holds 'body.0.rdb1.conv1.weight'\)",
    ),
    "two levels": (
        lambda: {k: v for k, v in motion_state("v3").items() if k[12] in "01" and k[0] == "d"},
        "arrangement of no known kind",
    ),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_are_named(tmp_path, stranger, suffix):
    make, phrase = STRANGERS[stranger]
    path = save(tmp_path / f"mm_sd_v15_v2{suffix}", make())
    with pytest.raises(CheckpointError, match=phrase) as caught:
        load_motion_model(path, "cpu", torch.float32)
    assert_one_sentence(caught.value, path)


def assert_one_sentence(error, path):
    assert path.name in error.detail
    assert "a motion module was expected" in error.detail
    assert "\n" not in error.detail
    assert error.status_code == 422


class _Bomb:
    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def bomb(path):
    _Bomb.target = path.parent / "exploded"
    torch.save({"state_dict": {"x": _Bomb()}}, str(path))


def old_bomb(path):
    _Bomb.target = path.parent / "exploded"
    path.write_bytes(pickle.dumps(_Bomb(), protocol=2))


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


BROKEN = {
    "nothing there": (".ckpt", lambda path: None, "no file"),
    "a folder": (".ckpt", Path.mkdir, "is a folder"),
    "empty": (".ckpt", Path.touch, "is empty"),
    "a web page": (
        ".safetensors",
        lambda path: path.write_text("<!DOCTYPE html>\n<html>sign in"),
        "text file or web page",
    ),
    "a Git LFS pointer": (
        ".ckpt",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "text file or web page",
    ),
    "bytes": (".ckpt", lambda path: path.write_bytes(bytes(range(200, 256)) * 50), "no file of weights"),
    "code": (".ckpt", bomb, "other Python objects"),
    "code in an old file": (".pt", old_bomb, "damaged or cut off|other Python objects"),
    "cut zip": (".ckpt", lambda path: (save(path, motion_state("v3")), cut(path, 20_000)), "damaged or cut off"),
    "cut safetensors": (
        ".safetensors",
        lambda path: (save(path, motion_state("v3")), cut(path, 200_000)),
        "damaged or cut off",
    ),
    "cut header": (".safetensors", lambda path: (save(path, motion_state("v3")), cut(path, 100)), "damaged or cut off"),
    "cut old file": (
        ".ckpt",
        lambda path: (
            torch.save(motion_state("v3"), str(path), _use_new_zipfile_serialization=False),
            cut(path, 30_000),
        ),
        "damaged or cut off",
    ),
    "no weights": (".ckpt", lambda path: torch.save({"state_dict": {}, "epoch": 3}, str(path)), "no weights"),
    "a tensor": (".ckpt", lambda path: torch.save(torch.ones(3), str(path)), "other Python objects"),
    "empty safetensors": (".safetensors", lambda path: save_file({}, str(path)), "no weights"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_named_and_nothing_in_them_runs(tmp_path, kind):
    suffix, make, phrase = BROKEN[kind]
    path = tmp_path / f"mm_sd_v15{suffix}"
    make(path)
    with pytest.raises(CheckpointError, match=phrase) as caught:
        read_state_dict(path)
    assert_one_sentence(caught.value, path)
    assert not (tmp_path / "exploded").exists()


def test_the_hosts_own_reader_of_pickles_is_not_asked(tmp_path, monkeypatch):
    """It answers None instead of an error, and ran code in older versions of torch."""
    path = save(tmp_path / "m.ckpt", motion_state("v3"))
    monkeypatch.setattr(checkpoint.torch, "load", lambda *a, **k: None)
    assert read_state_dict(path).keys() == motion_state("v3").keys()


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (
            lambda s: s.pop("up_blocks.1.motion_modules.2.temporal_transformer.proj_in.weight"),
            r"lacks up_blocks\.1\.motion_modules\.2\..*proj_in\.weight",
        ),
        (
            lambda s: s.update({"down_blocks.0.motion_modules.0.temporal_transformer.camera.weight": torch.ones(2)}),
            "unknown part down_blocks.*camera.weight",
        ),
        (
            lambda s: s.update({"down_blocks.0.motion_modules.0.temporal_transformer.proj_in.bias": torch.ones(2)}),
            "unexpected shape in down_blocks.*proj_in.bias",
        ),
    ],
)
def test_a_motion_module_with_odd_parts(tmp_path, change, phrase):
    state = motion_state("v1")
    change(state)
    with pytest.raises(CheckpointError, match=f"mm.ckpt looks like AnimateDiff v1, but .*{phrase}"):
        load_motion_model(save(tmp_path / "mm.ckpt", state), "cpu", torch.float32)


def test_positions_of_any_shape_come_out_alike():
    state = motion_state("v2")
    flat = {key: value[0] if key.endswith(".pe") else value for key, value in state.items()}
    turned = {key: value.transpose(0, 1) if key.endswith(".pe") else value for key, value in state.items()}
    for changed in (flat, turned):
        assert all(torch.equal(value, state[key]) for key, value in normalise_keys(changed).items())


@pytest.mark.parametrize("odd", [torch.tensor(1.0), torch.zeros(1, 0, 0)], ids=["one number", "nothing"])
def test_parts_of_no_size_are_a_sentence(tmp_path, odd):
    state = motion_state("v2")
    key = next(key for key in state if key.endswith("pos_encoder.pe"))
    path = save(tmp_path / "m.ckpt", {**state, key: odd})
    with pytest.raises(CheckpointError, match="lacks"):
        load_motion_model(path, "cpu", torch.float32)


def test_widths_that_no_unet_has_are_a_sentence(tmp_path):
    state = {key: value[:24] if value.dim() == 1 else value for key, value in motion_state("v3").items()}
    with pytest.raises(CheckpointError, match="arrangement of no known kind"):
        read_motion_weights(save(tmp_path / "m.safetensors", state))
