"""SDXL: a UNet that is also told the picture's sizes, two text encoders, and the WebUI's names for all of it.

The layers are those of ldm, which a file in sgm's layout fits: the UNets differ in how deep each level's transformers
are, and in `label_emb`, which takes the vector of sizes and pooled text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from modules import devices, sd_text_encoder, sd_text_encoder_xl, shared
from modules.sd_models_config import UnsupportedCheckpointError

from ldm.models.autoencoder import AutoencoderKL  # isort: skip  (sd_text_encoder_xl has made ldm importable)
from ldm.modules.attention import SpatialTransformer  # isort: skip
from ldm.modules.diffusionmodules.openaimodel import UNetModel  # isort: skip

EMBEDDER_PREFIX = "conditioner.embedders.{}."
UNET_PARAMS = (
    *("in_channels", "out_channels", "model_channels", "channel_mult", "num_res_blocks", "attention_resolutions"),
    *("num_heads", "num_head_channels", "use_spatial_transformer", "use_linear_in_transformer", "legacy"),
)
"""What ldm's UNet takes as sgm's does."""

STEPS, FIRST_BETA, LAST_BETA = 1000, 0.00085, 0.012
USUAL_SIZE = 1024  # of a picture whose size nobody says


class DeepTransformer(SpatialTransformer):
    """A spatial transformer of any depth, all of whose blocks see the same text; ldm's wants one for each."""

    def __init__(self, like: Any, depth: int, context_dim: int, use_linear: bool) -> None:
        heads, channels = like.transformer_blocks[0].attn1.heads, like.in_channels
        super().__init__(
            channels,
            heads,
            channels // heads,
            depth=depth,
            context_dim=[context_dim] * depth,
            use_linear=use_linear,
            use_checkpoint=False,
        )

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(x, [context] * len(self.transformer_blocks))


def make_unet(params: Mapping[str, Any]) -> Any:
    """A UNet from the parameters of sgm's, with names of layers as there."""
    context_dim = _of_all_levels(params["context_dim"])
    used = {name: value for name, value in params.items() if name in UNET_PARAMS}
    unet = UNetModel(image_size=32, context_dim=context_dim, use_checkpoint=False, **used)
    if params.get("num_classes") == "sequential":
        width = 4 * params["model_channels"]
        layers = torch.nn.Linear(params["adm_in_channels"], width), torch.nn.SiLU(), torch.nn.Linear(width, width)
        unet.num_classes = "sequential"  # ldm only asks whether there is any
        unet.label_emb = torch.nn.Sequential(torch.nn.Sequential(*layers))
    _deepen(unet, params, context_dim)
    return unet


def _of_all_levels(value: Any) -> Any:
    """A parameter that sgm may be given for each level, which are all alike."""
    return value[0] if isinstance(value, Sequence) else value


def _deepen(unet: Any, params: Mapping[str, Any], context_dim: int) -> None:
    """Gives each level's transformers their number of blocks; ldm has made one in each."""
    levels = len(params["channel_mult"])
    depths = params.get("transformer_depth", 1)
    depths = list(depths) if isinstance(depths, Sequence) else [depths] * levels
    in_a_level = params["num_res_blocks"] + 1
    places = [(block, (i - 1) // in_a_level) for i, block in enumerate(unet.input_blocks) if i]
    places += [(block, levels - 1 - i // in_a_level) for i, block in enumerate(unet.output_blocks)]
    for block, depth in [*((block, depths[level]) for block, level in places), (unet.middle_block, depths[-1])]:
        for i, layer in enumerate(block):
            if isinstance(layer, SpatialTransformer) and depth != 1:
                block[i] = DeepTransformer(layer, depth, context_dim, params.get("use_linear_in_transformer", False))


def _embedder(place: int, config: Any, state_dict: Mapping[str, torch.Tensor]) -> Any:
    """The embedder that a configuration names, of the weights' size.

    Raises:
        UnsupportedCheckpointError: it is a kind that SDXL does not have.
    """
    kind, params = config["target"].rpartition(".")[2], config.get("params", {})
    prefix = EMBEDDER_PREFIX.format(place)
    made: Any
    if kind == "FrozenCLIPEmbedder":
        sizes = sd_text_encoder.sizes_of(state_dict, prefix=prefix + "transformer.text_model.")
        made = sd_text_encoder.FrozenCLIPEmbedder(**sizes)
        made.layer, made.layer_idx = params.get("layer", "last"), params.get("layer_idx")
    elif kind == "FrozenOpenCLIPEmbedder2":
        sizes = sd_text_encoder_xl.open_clip_sizes(state_dict, prefix + "model.")
        made = sd_text_encoder_xl.FrozenOpenCLIPEmbedder2(sizes, params.get("layer", "last"))
    elif kind == "ConcatTimestepEmbedderND":
        made = sd_text_encoder_xl.ConcatTimestepEmbedderND(params["outdim"])
    else:
        raise UnsupportedCheckpointError(f"The configuration of the checkpoint has a {kind}, which SDXL does not have.")
    made.input_key = config["input_key"]
    return made


def _alphas_cumprod() -> torch.Tensor:
    """Stable Diffusion's own noise schedule, (1000,)."""
    betas = np.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, STEPS, dtype=np.float64) ** 2
    return torch.from_numpy(np.cumprod(1.0 - betas)).float()


class DiffusionWrapper(torch.nn.Module):
    """Holds the UNet, as in an SD1.x model, and hands the parts of the conditioning to it."""

    conditioning_key = "crossattn"

    def __init__(self, diffusion_model: Any) -> None:
        super().__init__()
        self.diffusion_model = diffusion_model

    def forward(self, x: torch.Tensor, t: torch.Tensor, c: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.diffusion_model(x, t, context=c["crossattn"], y=c["vector"])


class DiffusionEngine(torch.nn.Module):
    """An SDXL model under the names that the WebUI gives it.

    Args:
        unet, vae, conditioner: its parts.
        scale_factor: latents of a picture times this have standard deviation 1.
        parameterization: what the UNet predicts, "eps" or "v".
    """

    cond_stage_key = "txt"

    def __init__(self, unet: Any, vae: Any, conditioner: Any, scale_factor: float, parameterization: str) -> None:
        super().__init__()
        self.model = DiffusionWrapper(unet)
        self.first_stage_model = vae
        self.conditioner = conditioner
        self.scale_factor = scale_factor
        self.parameterization = parameterization
        self.alphas_cumprod = _alphas_cumprod()

    @property
    def cond_stage_model(self) -> Any:
        """What stands for an SD1.x model's text encoder."""
        return self.conditioner

    @contextlib.contextmanager
    def ema_scope(self, context: Any = None) -> Iterator[None]:
        """Nothing changes: the file has the weights to sample with."""
        yield

    def encode_first_stage(self, x: torch.Tensor) -> torch.Tensor:
        """Latents of pictures (b, 3, 8h, 8w) in -1..1, scaled: (b, 4, h, w)."""
        return self.scale_factor * self.first_stage_model.encode(x).sample()

    def get_first_stage_encoding(self, x: torch.Tensor) -> torch.Tensor:
        """The same latents: `encode_first_stage` has done everything."""
        return x

    def decode_first_stage(self, z: torch.Tensor) -> torch.Tensor:
        """Pictures (b, 3, 8h, 8w) in -1..1 of scaled latents (b, 4, h, w)."""
        return self.first_stage_model.decode(z / self.scale_factor)

    def get_learned_conditioning(self, batch: Sequence[str]) -> dict[str, torch.Tensor]:
        """{"crossattn": (b, tokens, width), "vector": (b, channels)} of prompts, which know the picture's size.

        Negative prompts that are all empty give zeros instead of the empty text; their sizes are as ever.
        """
        height, width = (getattr(batch, name, None) or USUAL_SIZE for name in ("height", "width"))
        is_negative = getattr(batch, "is_negative_prompt", False)
        of_one = {
            "original_size_as_tuple": (height, width),
            "crop_coords_top_left": (shared.opts.sdxl_crop_top, shared.opts.sdxl_crop_left),
            "target_size_as_tuple": (height, width),
        }
        sizes = {
            name: torch.tensor([numbers] * len(batch), device=devices.device, dtype=torch.float32)
            for name, numbers in of_one.items()
        }
        zeroed = ["txt"] if is_negative and all(text == "" for text in batch) else []
        return self.conditioner({"txt": batch, **sizes}, force_zero_embeddings=zeroed)

    def apply_model(self, x: torch.Tensor, t: torch.Tensor, cond: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the UNet predicts of latents (b, 4, h, w) at timesteps (b,)."""
        return self.model(x, t, cond)


def build(path: str, state_dict: Mapping[str, torch.Tensor]) -> DiffusionEngine:
    """A model of a configuration, with text encoders of the weights' size; the weights are not in it yet.

    Raises:
        UnsupportedCheckpointError: the configuration has parts that SDXL does not have, or the weights lack one.
    """
    params: Any = OmegaConf.to_container(OmegaConf.load(path).model, resolve=True)["params"]
    unet = make_unet(params["network_config"]["params"])
    first_stage = params["first_stage_config"]["params"]
    layers = {**first_stage["ddconfig"], "attn_type": "vanilla"}  # of the many ways to calculate the same
    vae = AutoencoderKL(layers, {"target": "torch.nn.Identity"}, first_stage["embed_dim"])
    configs = params["conditioner_config"]["params"]["emb_models"]
    try:
        embedders = [_embedder(place, config, state_dict) for place, config in enumerate(configs)]
    except KeyError as missing:
        raise UnsupportedCheckpointError(f"The checkpoint lacks {missing.args[0]}, a part of SDXL.") from missing
    scaling = params.get("denoiser_config", {}).get("params", {}).get("scaling_config", {}).get("target", "")
    return DiffusionEngine(
        unet,
        vae,
        sd_text_encoder_xl.GeneralConditioner(embedders),
        params["scale_factor"],
        "v" if scaling.endswith("VScaling") else "eps",
    )
