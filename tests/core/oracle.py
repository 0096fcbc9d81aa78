"""diffusers as an oracle: the same weights in its UNetMotionModel, with the two changes that AnimateDiff's own code asks for."""

from __future__ import annotations

import re
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from tests.core.builders import of_the_pocket


def diffusers_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> those of diffusers; diffusers makes the positions itself."""
    renamed = {}
    for key, value in state.items():
        if key.endswith("pos_encoder.pe"):
            continue
        key = key.replace(".temporal_transformer", "").replace(".ff_norm.", ".norm3.")
        key = re.sub(r"\.norms\.([01])\.", lambda found: f".norm{int(found[1]) + 1}.", key)
        key = re.sub(r"\.attention_blocks\.([01])\.", lambda found: f".attn{int(found[1]) + 1}.", key)
        renamed[key] = value
    return renamed


def transformer(width: int, frames: int) -> nn.Module:
    """One temporal transformer of diffusers."""
    return (
        _layers()
        .AnimateDiffTransformer3D(
            num_attention_heads=8,
            attention_head_dim=width // 8,
            in_channels=width,
            activation_fn="geglu",
            positional_embeddings="sinusoidal",
            num_positional_embeddings=frames,
        )
        .eval()
    )


def norm_per_frame(module: nn.Module) -> None:
    """The temporal transformer's norm takes its statistics frame by frame in the original."""
    for part in module.modules():
        if isinstance(part, _layers().AnimateDiffTransformer3D):
            norm = part.norm
            norm.forward = _per_frame(norm.forward)


def norms_over_frames(unet: nn.Module, copies: int) -> None:
    """v1: the UNet's own norms take theirs over all frames of a copy."""
    norms = [m for n, m in unet.named_modules() if re.search(r"resnets\.\d+\.norm[12]$|^conv_norm_out$", n)]
    for norm in norms:
        norm.forward = _over_frames(norm.forward, copies)


ALL_ATTEND = {
    "down_block_types": ("CrossAttnDownBlockMotion",) * 3,
    "up_block_types": ("CrossAttnUpBlockMotion",) * 3,
}
"""What diffusers must be told of a UNet of three levels with text in each; its defaults are SD1.5's four."""


def motion_unet(
    unet: nn.Module, motion: dict[str, Tensor], widths: tuple[int, ...], frames: int, **more: Any
) -> nn.Module:
    """The ldm `unet` and the motion layers (published names) as one model of diffusers, which `more` is told, too."""
    sizes = {
        "layers_per_block": 2,
        "block_out_channels": widths,
        "norm_eps": 1e-5,
        "cross_attention_dim": 64,
        "num_attention_heads": 8,
        "use_motion_mid_block": any(key.startswith("mid_block") for key in motion),
        "motion_max_seq_length": frames,
        "motion_num_attention_heads": 8,
        **(ALL_ATTEND if len(widths) == 3 else {}),
        **more,
    }
    twin = of_the_pocket("diffusers").UNetMotionModel(**sizes).eval()
    spatial = of_the_pocket("diffusers.loaders.single_file_utils").convert_ldm_unet_checkpoint(
        {f"model.diffusion_model.{key}": value for key, value in unet.state_dict().items()},
        {"layers_per_block": 2, "class_embed_type": None, "addition_embed_type": more.get("addition_embed_type")},
    )
    missing, unexpected = twin.load_state_dict({**spatial, **diffusers_keys(motion)}, strict=False)
    if unexpected or any(not key.endswith("pos_embed.pe") for key in missing):
        raise ValueError(f"not the same model: {missing} {unexpected}")
    return twin


def _layers():
    return of_the_pocket("diffusers.models.unets.unet_motion_model")


def _per_frame(norm):
    return lambda x: rearrange(norm(rearrange(x, "b c f h w -> (b f) c h w")), "(b f) c h w -> b c f h w", b=x.shape[0])


def _over_frames(norm, copies):
    return lambda x: rearrange(norm(rearrange(x, "(b f) c h w -> b c f h w", b=copies)), "b c f h w -> (b f) c h w")
