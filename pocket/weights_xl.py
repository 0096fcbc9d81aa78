"""Makes small checkpoints in SDXL's layout of seeded random weights, as weights.py makes SD1.x's.

Every tensor has random numbers of its own, from the seed and its name, so that nothing depends on an order. How large
they are is told by the kind of layer and by `GAINS`.

    python3 pocket/weights_xl.py FOLDER/tiny_xl.safetensors --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from modules import sd_models_config, sd_models_xl, sd_text_encoder, sd_text_encoder_xl
from weights import LATENT_LOG_VARIANCE, PICTURE_DEVIATION, VOCABULARY, State, save, seeded

from ldm.models.autoencoder import AutoencoderKL  # isort: skip  (sd_models_xl has made ldm importable)

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "conditioner.embedders.0.", "conditioner.embedders.1."
SIZES_WIDTH = 3 * 2 * 256  # three pairs of numbers, each as 256 sines and cosines
TOKENS = 77
LOGIT_SCALE = 4.6052  # in every OpenCLIP file; sampling has no use for it

GAINS: Mapping[str, float] = {
    r"\.(attn[12]|attention_blocks\.\d)\.to_[qk]\.": 2.0,  # attention that is not the same everywhere
    r"\.self_attn\.[qk]_proj\.": 2.0,
    r"\.in_proj_": 2.0,
    r"\.attn2\.to_v\.": 4.0,  # or words would hardly be seen
    r"\.emb_layers\.1\.": 2.0,
    r"\.label_emb\.": 2.0,
    r"\.temporal_transformer\.proj_out\.": 0.5,
}
"""What multiplies the bound 1/sqrt(inputs) of a layer, by a pattern that is found in its name."""
POOLED_GAIN = 4.0  # or the vector of the whole text would hardly be seen beside the sizes
NORM, WORD, POSITION, PROJECTION = 0.17, 1.7, 0.3, 1.7
MEAN = 0.4  # of a text encoder's input: emphasis divides by the mean of its output


@dataclass(frozen=True)
class Ranges:
    """What brings outputs to the size of a trained model's.

    Attributes:
        noise: multiplies the UNet's last layer; `latents` the encoder's, `picture` the decoder's.
    """

    noise: float = 1.0
    latents: float = 1.0
    picture: float = 1.0


@dataclass(frozen=True)
class SizesXL:
    """Widths of a checkpoint. All channels must be multiples of 32.

    Attributes:
        channel_mult, depths: of the UNet's three levels, whose first has 32 channels: their widths, and the blocks in
            each of their transformers; the first level has no transformers.
        text_width, text_layers: of CLIP; `open_width`, `open_layers` of OpenCLIP, whose vector is as wide.
        vae_mult, vae_blocks: of the VAE's levels, whose first has 32 channels.
        open_arch: OpenCLIP's name for an encoder of its size, which another WebUI asks for.
    """

    channel_mult: tuple[int, int, int] = (1, 2, 2)
    depths: tuple[int, int, int] = (0, 1, 2)
    text_width: int = 64
    text_layers: int = 2
    open_width: int = 64
    open_layers: int = 2
    vae_mult: tuple[int, ...] = (1, 1, 1, 1)
    vae_blocks: int = 1
    open_arch: str = "ViT-bigG-14"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the UNet's levels, which a motion module for it must have."""
        return tuple(32 * mult for mult in self.channel_mult)


def config_of(sizes: SizesXL) -> dict[str, Any]:
    """The content of the `.yaml` that goes beside a checkpoint of these sizes."""
    config: Any = OmegaConf.to_container(OmegaConf.load(sd_models_config.XL_CONFIG))
    params = config["model"]["params"]
    params["network_config"]["params"].update(
        model_channels=32,
        channel_mult=list(sizes.channel_mult),
        num_head_channels=32,
        transformer_depth=list(sizes.depths),
        context_dim=sizes.text_width + sizes.open_width,
        adm_in_channels=sizes.open_width + SIZES_WIDTH,
    )
    ddconfig = params["first_stage_config"]["params"]["ddconfig"]
    ddconfig.update(ch=32, ch_mult=list(sizes.vae_mult), num_res_blocks=sizes.vae_blocks)
    clip, open_clip = params["conditioner_config"]["params"]["emb_models"][:2]
    clip["params"]["layer_idx"] = sizes.text_layers - 1
    open_clip["params"]["arch"] = sizes.open_arch
    return config


@dataclass
class Drawn:
    """Tensors of a seed, by name.

    Attributes:
        gains: as `GAINS`.
    """

    seed: int
    gains: Mapping[str, float] = field(default_factory=lambda: GAINS)
    tensors: State = field(default_factory=dict)

    def uniform(self, name: str, shape: Sequence[int], bound: float, middle: float = 0.0) -> None:
        """Adds a tensor of numbers between `middle - bound` and `middle + bound`."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        self.tensors[name] = (torch.rand(tuple(shape), generator=generator) * 2 - 1) * bound + middle

    def add(self, part: nn.Module, prefix: str = "") -> None:
        """Adds all parameters of a model; it may be on the device "meta": only names, kinds and shapes are read."""
        for path, layer in part.named_modules():
            for key, value in layer.named_parameters(recurse=False):
                self._of_layer(layer, key, prefix + f"{path}.{key}".lstrip("."), value.shape)

    def _of_layer(self, layer: nn.Module, key: str, name: str, shape: torch.Size) -> None:
        if isinstance(layer, (nn.GroupNorm, nn.LayerNorm)):
            self.uniform(name, shape, NORM, 1.0 if key == "weight" else 0.0)
        elif key == "text_projection":
            self.uniform(name, shape, PROJECTION / math.sqrt(shape[0]))
        elif "position" in name:
            self.uniform(name, shape, POSITION, MEAN)
        elif isinstance(layer, nn.Embedding):
            self.uniform(name, shape, WORD)
        else:
            weight: Any = getattr(layer, "in_proj_weight" if key.startswith("in_proj") else "weight")
            self.uniform(name, shape, self._gain(name) / math.sqrt(weight[0].numel()))

    def _gain(self, name: str) -> float:
        return next((gain for pattern, gain in self.gains.items() if re.search(pattern, name)), 1.0)


def make_tensors(seed: int, sizes: SizesXL, ranges: Ranges) -> State:
    """All weights of a checkpoint, by name."""
    drawn = Drawn(seed, {**GAINS, r"\.out\.2\.": ranges.noise, r"\.decoder\.conv_out\.": ranges.picture})
    for prefix, part in _parts(sizes).items():
        drawn.add(part, prefix)
    tensors = drawn.tensors
    _mend(tensors, sizes)
    for key in ("weight", "bias"):
        tensors[f"{VAE}quant_conv.{key}"][:4] *= ranges.latents
    tensors[VAE + "quant_conv.weight"][4:] *= 0.1
    tensors[VAE + "quant_conv.bias"][4:] = LATENT_LOG_VARIANCE
    return tensors


def _parts(sizes: SizesXL) -> dict[str, Any]:
    """The models that a checkpoint is of, by what comes before the names of their weights; they have no values."""
    config = config_of(sizes)["model"]["params"]
    with torch.device("meta"), redirect_stdout(io.StringIO()):  # ldm tells the size of every layer
        first_stage = config["first_stage_config"]["params"]
        clip, open_clip = _text_encoders(sizes)
        return {
            UNET: sd_models_xl.make_unet(config["network_config"]["params"]).eval(),
            VAE: AutoencoderKL(first_stage["ddconfig"], first_stage["lossconfig"], first_stage["embed_dim"]).eval(),
            CLIP: clip,
            OPEN_CLIP: open_clip,
        }


def _text_encoders(sizes: SizesXL) -> tuple[nn.Module, nn.Module]:
    width = sizes.text_width
    of_clip = {"vocabulary": VOCABULARY, "width": width, "positions": TOKENS, "layers": sizes.text_layers}
    heads = max(width // sd_text_encoder.HEAD_WIDTH, 1)
    open_width = sizes.open_width
    of_open_clip = {"context_length": TOKENS, "vocab_size": VOCABULARY, "width": open_width, "output_dim": open_width}
    open_heads = max(open_width // sd_text_encoder.HEAD_WIDTH, 1)
    return (
        sd_text_encoder.FrozenCLIPEmbedder(**of_clip, inner=4 * width, heads=heads),
        sd_text_encoder_xl.FrozenOpenCLIPEmbedder2({**of_open_clip, "layers": sizes.open_layers, "heads": open_heads}),
    )


def _mend(tensors: State, sizes: SizesXL) -> None:
    """What is not as in every layer of its kind, and what is in files besides parameters."""
    tensors[UNET + "label_emb.0.0.weight"][:, : sizes.open_width] *= POOLED_GAIN
    for name, value in tensors.items():
        if ".in_proj_" in name:
            value[2 * sizes.open_width :] *= 0.5  # v, behind q and k
    tensors[CLIP + "transformer.text_model.embeddings.position_ids"] = torch.arange(TOKENS)[None]
    tensors[OPEN_CLIP + "model.logit_scale"] = torch.tensor(LOGIT_SCALE)


def measured(seed: int, sizes: SizesXL) -> Ranges:
    """The ranges that make noise, latents and pictures of a seed's weights as large as those of a trained model."""
    tensors, parts = make_tensors(seed, sizes, Ranges()), _parts(sizes)
    for prefix in (UNET, VAE):
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        parts[prefix].load_state_dict(own, assign=True)
    unet, vae = parts[UNET], parts[VAE]
    scale = config_of(sizes)["model"]["params"]["scale_factor"]
    with seeded(seed):
        words = torch.randn(2, TOKENS, sizes.text_width + sizes.open_width)
        vector = torch.randn(2, sizes.open_width + SIZES_WIDTH)
        noise = unet(torch.randn(2, 4, 16, 16), torch.tensor([500.0, 100.0]), context=words, y=vector)
        coarse = torch.rand(2, 3, 8, 8) * 2 - 1
        means = vae.encode(nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")).mode()
        decoded = vae.decode(torch.randn(2, 4, 8, 8) / scale)
    return Ranges(
        noise=float(1 / noise.std()),
        latents=float(1 / scale / means.std()),
        picture=float(PICTURE_DEVIATION / decoded.std()),
    )


def make_checkpoint(
    path: str | Path, *, seed: int = 1, sizes: SizesXL | None = None, ranges: Ranges | None = None
) -> Path:
    """Writes an SDXL-layout checkpoint and the `.yaml` beside it; the same arguments give the same bytes.

    Args:
        path: of the `.safetensors` file; folders are made.
        seed: of the weights.
        sizes: small ones if not given.
        ranges: found by running the model if not given.

    Returns:
        the path of the file.
    """
    path, sizes = Path(path), sizes or SizesXL()
    save(make_tensors(seed, sizes, ranges or measured(seed, sizes)), path, torch.float16)
    OmegaConf.save(OmegaConf.create(config_of(sizes)), path.with_suffix(".yaml"))
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and prints what was written."""
    parser = argparse.ArgumentParser(description="Make a small SDXL checkpoint of random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    path = make_checkpoint(args.path, seed=args.seed)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
