"""What a checkpoint is by its header: the family that the WebUI would take it for, and nothing is unpickled."""

import sys
import types

import numpy as np
import pytest
import torch
from odd_files import saved

from motion_module.core.module.base_model import OTHER_FAMILY, SD1, SDXL, base_model_of
from motion_module.errors import CheckpointError

WIDTHS = (8, 16)
UNET = {
    f"model.diffusion_model.input_blocks.{block}.0.out_layers.3.weight": torch.zeros(width, 1)
    for block, width in zip((1, 4), WIDTHS, strict=True)
}


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("first_stage_model.encoder.conv_in.weight", SD1),  # no text encoder at all
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", SD1),
        ("cond_stage_model.roberta.embeddings.word_embeddings.weight", SD1),
        ("conditioner.embedders.1.model.ln_final.weight", SDXL),
        ("conditioner.embedders.0.model.ln_final.weight", SDXL),
        ("cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", OTHER_FAMILY),
        ("depth_model.model.pretrained.act_postprocess3.0.project.0.bias", OTHER_FAMILY),
        ("embedder.model.ln_final.weight", OTHER_FAMILY),
    ],
)
def test_the_family_is_the_one_that_the_webui_takes_it_for(tmp_path, key, family):
    for name in ("a.safetensors", "a.ckpt"):
        path = saved(tmp_path / name, {**UNET, key: torch.zeros(1, 1)})
        assert base_model_of(path) == (family, WIDTHS)


def test_sd3_is_another_family_without_such_a_unet(tmp_path):
    path = saved(tmp_path / "a.safetensors", {"model.diffusion_model.x_embedder.proj.weight": torch.zeros(1)})
    assert base_model_of(path) == (OTHER_FAMILY, ())


def test_what_has_no_unet_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="holds no UNet"):
        base_model_of(saved(tmp_path / "a.safetensors", {"some.weight": torch.zeros(1)}))


def a_callback(monkeypatch):
    """What Lightning leaves in a checkpoint: the state of a callback, under its class."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    kind = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = kind
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return {"callbacks": {kind: {"best": None}}}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("more", [a_callback, lambda _: {"global_step": np.int64(7)}], ids=["callback", "number"])
def test_what_training_programs_leave_beside_the_weights_is_not_opened(tmp_path, monkeypatch, more, zipped):
    """The host reads these files; here nobody knows what they are, and that is no fault of theirs."""
    with monkeypatch.context() as patched:
        path = saved(tmp_path / "a.ckpt", {"state_dict": UNET, **more(patched)}, zipped)
    assert base_model_of(path) is None


def test_what_is_damaged_is_refused(tmp_path):
    path = saved(tmp_path / "a.ckpt", UNET)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged"):
        base_model_of(path)
