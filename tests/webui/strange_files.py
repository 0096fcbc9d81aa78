"""Files that people put into the folder of motion modules, and that are none or do not fit."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

import weights
from tests.core.builders import motion_state

BLOCK = "temporal_transformer.transformer_blocks.0.attention_blocks.0"


class Code:
    """Pickles into a shell command that leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def make(folder: Path, tiny: dict[str, Path], marker: Path) -> None:
    """Write all of them. A pickle with code in it would write `marker` if it were run."""
    folder.mkdir()
    shutil.copy(tiny["v1"], folder / "mm_good.safetensors")
    _other_models(folder, tiny)
    _damaged(folder, tiny["v1"])
    _with_code(folder, marker)
    _modules_that_do_not_fit(folder)


def _tensors(path: Path, *names: str) -> None:
    save_file({name: torch.zeros(4, 4) for name in names}, path)


def _other_models(folder: Path, tiny: dict[str, Path]) -> None:
    shutil.copy(tiny["checkpoint"], folder / "sd_checkpoint.safetensors")
    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    _tensors(folder / "lora.safetensors", f"{attention}.lora_down.weight", f"{attention}.lora_up.weight")
    motion = f"down_blocks.0.motion_modules.0.{BLOCK}.processor.to_q_lora"
    _tensors(folder / "motion_lora.safetensors", f"{motion}.down.weight", f"{motion}.up.weight")
    _tensors(
        folder / "controlnet.safetensors",
        "control_model.input_hint_block.0.weight",
        "control_model.zero_convs.0.0.weight",
    )
    _tensors(folder / "vae.safetensors", "first_stage_model.encoder.conv_in.weight")
    _tensors(folder / "embedding.safetensors", "emb_params")
    torch.save({"weight": torch.zeros(3)}, folder / "classifier.pth")


def _damaged(folder: Path, module: Path) -> None:
    data = module.read_bytes()
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "empty.ckpt").write_bytes(b"")
    (folder / "truncated.safetensors").write_bytes(data[: len(data) // 2])
    (folder / "header_only.safetensors").write_bytes(data[:12])
    (folder / "huge_header.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{" + bytes(100))
    (folder / "text.safetensors").write_text("These are not the weights that you are looking for.\n")
    (folder / "web_page.ckpt").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "noise.pt").write_bytes(bytes(range(255, 0, -1)) * 9)
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, folder / "whole.ckpt")
    whole = (folder / "whole.ckpt").read_bytes()
    (folder / "whole.ckpt").unlink()
    (folder / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(folder / "archive.ckpt", "w") as archive:
        archive.writestr("readme.txt", "not weights")


def _with_code(folder: Path, marker: Path) -> None:
    torch.save({"state_dict": Code(marker)}, folder / "code.ckpt")
    (folder / "old_code.pt").write_bytes(pickle.dumps({"state_dict": Code(marker)}, protocol=2))
    torch.save({**motion_state("v1"), "callbacks": Code(marker)}, folder / "module_with_code.ckpt")


def _modules_that_do_not_fit(folder: Path) -> None:
    save_file(motion_state("sdxl"), folder / "mm_sdxl.safetensors")
    save_file(motion_state("hotshot"), folder / "hotshot.safetensors")
    weights.make_motion_module(folder / "mm_wide.safetensors", version="v1", widths=(64, 128, 128, 128), seed=3)
    state = motion_state("v1")
    del state[next(key for key in state if key.endswith("to_q.weight"))]
    save_file(state, folder / "mm_with_a_hole.safetensors")
    two_levels = {key: value for key, value in motion_state("v1").items() if not key.startswith("down_blocks.3")}
    save_file(
        {k: v for k, v in two_levels.items() if not k.startswith("down_blocks.2")}, folder / "two_levels.safetensors"
    )
