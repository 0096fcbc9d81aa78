"""Writes what was trained in the forms that people download: an ldm checkpoint, motion modules, motion LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from motion_module.core.denoising.schedule import alphas_cumprod
from train import lora, motion, stages, text, unet, vae
from train.diffusion import PICTURES, STEPS
from train.latents import SCALE_FACTOR
from train.loop import write_weights

CHECKPOINT = "pocket"
MODULES = {"v2": "pocket_mm_v2", "v1": "pocket_mm_v1"}
LORAS = {"pan_left": "pocket_pan_left", "zoom_in": "pocket_zoom_in"}

_YAML = """\
# Sizes of the pocket model, in the form of Stable Diffusion 1.x's configuration.
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    timesteps: {timesteps}
    linear_start: 0.00085
    linear_end: 0.0120
    image_size: 8
    channels: 4
    scale_factor: {scale_factor}
    conditioning_key: crossattn
    cond_stage_key: txt
    cond_stage_trainable: false
    use_ema: false
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: {unet}
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: {embed_dim}
        ddconfig: {vae}
        lossconfig: {{target: torch.nn.Identity}}
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params: {{heads: {heads}}}
"""


def export(setting: stages.Setting, folder: Path) -> list[Path]:
    """Writes every file of the bundled model below `folder`, in fp16, and says where.

    Raises:
        FileNotFoundError: a stage has not been trained.
    """
    for part in (folder, folder / "motion", folder / "lora"):
        part.mkdir(parents=True, exist_ok=True)
    denoiser = stages.trained_denoiser(setting, "motions")
    files = {folder / f"{CHECKPOINT}.safetensors": checkpoint(denoiser, stages.read(setting, "decoder"))}
    files[folder / "motion" / f"{MODULES['v2']}.safetensors"] = denoiser.motion.state_dict()
    v1 = stages.trained_v1(setting, "v1").motion
    files[folder / "motion" / f"{MODULES['v1']}.safetensors"] = v1.state_dict()
    for name, stem in LORAS.items():
        module = lora.MotionLora(motion.build(motion.V2_SPEC))
        module.load_state_dict(stages.read(setting, name))
        files[folder / "lora" / f"{stem}.safetensors"] = module.published()
    for path, state in files.items():
        write_weights(halved(state), path)
    config = folder / f"{CHECKPOINT}.yaml"
    config.write_text(configuration(), encoding="utf-8")
    return [*files, config]


def checkpoint(denoiser: stages.Denoiser, autoencoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The keys of a Stable Diffusion 1.x checkpoint."""
    parts = {
        "model.diffusion_model.": denoiser.unet.state_dict(),
        "first_stage_model.": autoencoder,
        "cond_stage_model.transformer.": denoiser.text.full_state(),
    }
    state = {prefix + name: value for prefix, part in parts.items() for name, value in part.items()}
    return {**state, "alphas_cumprod": alphas_cumprod(PICTURES, STEPS)}


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fp16 but for the noise schedule, whose last values fp16 would round to a few digits."""
    return {name: value if name == "alphas_cumprod" else value.to(torch.float16) for name, value in state.items()}


def configuration() -> str:
    """The `.yaml` beside the checkpoint."""
    return _YAML.format(
        timesteps=STEPS,
        scale_factor=SCALE_FACTOR,
        unet=_listed(unet.CONFIG),
        embed_dim=vae.EMBED_DIM,
        vae=_listed(vae.CONFIG),
        heads=text.HEADS,
    )


def _listed(table: Mapping[str, object]) -> str:
    shown = {name: str(value).lower() if isinstance(value, bool) else value for name, value in table.items()}
    return "{" + ", ".join(f"{name}: {value}" for name, value in shown.items()) + "}"
