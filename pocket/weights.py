"""Makes small checkpoints, motion modules and control models of seeded random weights, for tests and for trying the
host out.

The layout is that of the real files (SD1.x, AnimateDiff v1, v2, v3, ControlNet), only narrower, so that 16 frames of
64x64 pixels take seconds on two cores. Pictures made with them show coloured blobs that depend on the prompt and the
seed.

    python3 pocket/weights.py checkpoint FOLDER/tiny.safetensors --seed 1
    python3 pocket/weights.py motion FOLDER/mm_tiny_v2.safetensors --version v2 --seed 1
    python3 pocket/weights.py controlnet FOLDER/control_tiny.safetensors --seed 1
    python3 pocket/weights.py set FOLDER          a checkpoint and motion modules v1, v2, v3
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from modules import torch_compat  # noqa: F401  (comes before ldm)
from modules.sd_inpainting import make_inpainting

STANDARD_CONFIG = Path(__file__).with_name("configs") / "v1-inference.yaml"
VOCABULARY = 49408  # of CLIP's tokeniser
SCALE_FACTOR = 0.18215  # of SD1.x: latents of a picture times this have standard deviation 1
PICTURE_DEVIATION = 0.45  # of the decoder's output, whose range is -1..1
WORDS = 6.0  # multiplies what cross-attention adds; at 1, as layers are made, prompts would hardly be seen
LATENT_LOG_VARIANCE = -10.0  # of the encoder: what it adds to a picture's latents is hardly seen

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """Widths of a checkpoint. All channels must be multiples of 32 (GroupNorm) and of `heads`.

    Attributes:
        model_channels, channel_mult: of the UNet's four levels.
        heads: of its attention.
        text_width, text_layers: of the text encoder; it has a head for each 64 channels.
        vae_channels: of the VAE, at all levels.
        inpainting: the UNet takes 5 channels more, of the mask and the masked picture.
        words: multiplies what cross-attention adds.
    """

    model_channels: int = 32
    channel_mult: tuple[int, int, int, int] = (1, 2, 2, 2)
    heads: int = 4
    text_width: int = 64
    text_layers: int = 2
    vae_channels: int = 32
    inpainting: bool = False
    words: float = WORDS

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the UNet's levels, which a motion module for it must have."""
        return tuple(self.model_channels * mult for mult in self.channel_mult)


@dataclass(frozen=True)
class MotionVersion:
    """What tells a kind of motion module: number of positions learnt, and whether there is a middle block."""

    frames: int
    has_mid: bool


MOTION_VERSIONS = {"v1": MotionVersion(24, False), "v2": MotionVersion(32, True), "v3": MotionVersion(32, False)}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of a seed; torch's own stream is where it was afterwards."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        yield


def config_of(sizes: Sizes) -> dict[str, Any]:
    """The content of the `.yaml` that goes beside a checkpoint of these sizes."""
    config = OmegaConf.to_container(OmegaConf.load(STANDARD_CONFIG))
    params = config["model"]["params"]
    if sizes.inpainting:
        make_inpainting(config["model"])
    params["unet_config"]["params"].update(
        model_channels=sizes.model_channels,
        channel_mult=list(sizes.channel_mult),
        num_heads=sizes.heads,
        context_dim=sizes.text_width,
    )
    params["first_stage_config"]["params"]["ddconfig"].update(
        ch=sizes.vae_channels, ch_mult=[1, 1, 1, 1], num_res_blocks=1
    )
    return config


def make_unet(config: dict[str, Any], words: float) -> nn.Module:
    """A UNet none of whose layers is zero, as some are when training begins, and in which words have their say."""
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

    unet = UNetModel(**config["model"]["params"]["unet_config"]["params"]).eval()
    for name, layer in unet.named_modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)) and not layer.weight.any():
            layer.reset_parameters()
        if name.endswith("attn2.to_out.0"):
            layer.weight.mul_(words)
    return unet


def make_vae(config: dict[str, Any]) -> nn.Module:
    """A VAE as it is made."""
    from ldm.models.autoencoder import AutoencoderKL

    return AutoencoderKL(**config["model"]["params"]["first_stage_config"]["params"]).eval()


def make_text_encoder(sizes: Sizes) -> nn.Module:
    """CLIP's text transformer whose words differ, and whose output has a mean other than 0.

    The WebUI's emphasis divides by that mean, which a fresh final norm makes 0.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    width = sizes.text_width
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=max(width // 64, 1),
        max_position_embeddings=77,
        hidden_act="quick_gelu",
    )
    encoder = CLIPTextModel(config).eval()
    encoder.text_model.embeddings.token_embedding.weight.mul_(10)
    norm = encoder.text_model.final_layer_norm
    norm.weight.add_(0.1 * torch.randn(width))
    norm.bias.add_(0.3 * torch.randn(width) - 0.1)
    return encoder


def scale_output(layer: Any, factor: torch.Tensor) -> None:
    layer.weight.mul_(factor)
    layer.bias.mul_(factor)


def _adjust_ranges(unet: Any, vae: Any, text: Any, context: int) -> None:
    """Scales last layers so that noise, latents and pictures are as large as those of a trained model."""
    words = text(torch.randint(0, VOCABULARY - 2, (2, context))).last_hidden_state
    noise = unet(torch.randn(2, unet.in_channels, 16, 16), torch.tensor([500.0, 100.0]), context=words)
    scale_output(unet.out[-1], 1 / noise.std())
    coarse = torch.rand(2, 3, 8, 8) * 2 - 1
    picture = nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")
    means = vae.encode(picture).mode()
    vae.quant_conv.weight[:4].mul_(1 / SCALE_FACTOR / means.std())
    vae.quant_conv.bias[:4].mul_(1 / SCALE_FACTOR / means.std())
    vae.quant_conv.bias[4:].fill_(LATENT_LOG_VARIANCE)
    decoded = vae.decode(torch.randn(2, 4, 8, 8) / SCALE_FACTOR)
    scale_output(vae.decoder.conv_out, PICTURE_DEVIATION / decoded.std())


def save(tensors: State, path: Path, dtype: torch.dtype) -> Path:
    """Writes floating-point tensors in a type, the others as they are; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: (value.to(dtype) if value.is_floating_point() else value) for key, value in tensors.items()}
    save_file({key: value.contiguous() for key, value in kept.items()}, path, metadata={"format": "pt"})
    return path


def make_checkpoint(
    path: str | Path,
    *,
    seed: int = 1,
    model_channels: int = 32,
    channel_mult: Sequence[int] = (1, 2, 2, 2),
    heads: int = 4,
    text_width: int = 64,
    text_layers: int = 2,
    vae_channels: int = 32,
    inpainting: bool = False,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes an SD1.x-layout checkpoint and the `.yaml` beside it; the same arguments give the same bytes.

    Args:
        path: of the `.safetensors` file; folders are made.
        seed: of the weights.
        model_channels, channel_mult, heads, text_width, text_layers, vae_channels, inpainting: see `Sizes`.
        dtype: of the weights in the file.

    Returns:
        the path of the file.
    """
    path = Path(path)
    mult = tuple(channel_mult)
    sizes = Sizes(model_channels, mult, heads, text_width, text_layers, vae_channels, inpainting)  # type: ignore[arg-type]
    config = config_of(sizes)
    with seeded(seed), redirect_stdout(io.StringIO()):  # ldm tells the size of every layer
        unet, vae, text = make_unet(config, sizes.words), make_vae(config), make_text_encoder(sizes)
        _adjust_ranges(unet, vae, text, context=77)
    return save_checkpoint(path, config, unet, vae, text, dtype)


def save_checkpoint(
    path: Path, config: dict[str, Any], unet: nn.Module, vae: nn.Module, text: nn.Module, dtype: torch.dtype
) -> Path:
    """Writes the three parts of a checkpoint in SD1.x's layout, and its configuration beside it."""
    tensors: State = {}
    for prefix, part in (
        ("model.diffusion_model.", unet),
        ("first_stage_model.", vae),
        ("cond_stage_model.transformer.", text),
    ):
        tensors |= {prefix + key: value for key, value in part.state_dict().items()}
    save(tensors, path, dtype)
    OmegaConf.save(OmegaConf.create(config), path.with_suffix(".yaml"))
    return path


def sinusoid(frames: int, width: int) -> torch.Tensor:
    """Positions as AnimateDiff stores them: (1, frames, width), sine and cosine in turn."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(1, frames, width)


def linear(inputs: int, outputs: int, name: str, bias: bool = True, scale: float = 1.0) -> State:
    """Weights of a linear layer as it is made, times `scale`."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    return {f"{name}.{key}": value.detach() * scale for key, value in layer.named_parameters()}


def norm(width: int, name: str) -> State:
    """Weights of a norm, near those of a fresh one."""
    return {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}


def _temporal_transformer(width: int, frames: int, strength: float) -> State:
    """Weights of one motion module; q and k are large, so that frames attend to each other unevenly."""
    tensors = norm(width, "norm") | linear(width, width, "proj_in")
    tensors |= linear(width, width, "proj_out", scale=strength)
    block: State = {}
    for place in (0, 1):
        attention = f"attention_blocks.{place}"
        for name, scale in (("to_q", 2.0), ("to_k", 2.0), ("to_v", 1.0)):
            block |= linear(width, width, f"{attention}.{name}", bias=False, scale=scale)
        block |= linear(width, width, f"{attention}.to_out.0") | norm(width, f"norms.{place}")
        block[f"{attention}.pos_encoder.pe"] = sinusoid(frames, width)
    block |= linear(width, 8 * width, "ff.net.0.proj") | linear(4 * width, width, "ff.net.2")
    block |= norm(width, "ff_norm")
    return tensors | {f"transformer_blocks.0.{key}": value for key, value in block.items()}


def motion_places(widths: Sequence[int], has_mid: bool) -> list[tuple[str, int]]:
    """The names of a motion module's layers in a UNet of four levels, and their channels."""
    places = [(f"down_blocks.{i}.motion_modules.{j}", width) for i, width in enumerate(widths) for j in range(2)]
    places += [(f"up_blocks.{i}.motion_modules.{j}", w) for i, w in enumerate(reversed(widths)) for j in range(3)]
    return places + ([("mid_block.motion_modules.0", widths[-1])] if has_mid else [])


def make_motion_module(
    path: str | Path,
    *,
    version: str = "v2",
    widths: Sequence[int] = Sizes().widths,
    seed: int = 1,
    frames: int | None = None,
    strength: float = 0.5,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes an AnimateDiff motion module whose layers do something; the same arguments give the same bytes.

    Args:
        path: of the `.safetensors` file; folders are made.
        version: "v1", "v2" or "v3".
        widths: channels of the UNet's four levels.
        seed: of the weights.
        frames: positions learnt, instead of the version's own number.
        strength: multiplies `proj_out`, and so what the modules add.
        dtype: of the weights in the file.

    Returns:
        the path of the file.

    Raises:
        ValueError: there is no such version.
    """
    if version not in MOTION_VERSIONS:
        raise ValueError(f"motion module version {version!r}: one of {', '.join(MOTION_VERSIONS)}")
    kind = MOTION_VERSIONS[version]
    tensors: State = {}
    with seeded(seed):
        for place, width in motion_places(widths, kind.has_mid):
            module = _temporal_transformer(width, frames or kind.frames, strength)
            tensors |= {f"{place}.temporal_transformer.{key}": value for key, value in module.items()}
    return save(tensors, Path(path), dtype)


HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)
"""Channels of a ControlNet's layers between picture and latent."""


def make_controlnet(
    path: str | Path,
    *,
    seed: int = 1,
    sizes: Sizes | None = None,
    strength: float = 1.0,
    prefix: str = "control_model.",
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes a ControlNet whose layers do something; the same arguments give the same bytes.

    Args:
        path: of the `.safetensors` file; folders are made.
        seed: of the weights.
        sizes: of the checkpoint that it is for; those of `make_checkpoint` if not given.
        strength: multiplies what it adds to the UNet.
        prefix: before every key; "" in the files of some makers.
        dtype: of the weights in the file.

    Returns:
        the path of the file.
    """
    sizes = sizes or Sizes()
    tensors: State = {}
    with seeded(seed), redirect_stdout(io.StringIO()):
        unet = make_unet(config_of(sizes), sizes.words)
        for name in ("time_embed", "input_blocks", "middle_block"):
            tensors |= {f"{name}.{key}": value for key, value in getattr(unet, name).state_dict().items()}
        zero_convs = [f"zero_convs.{place}.0" for place in range(len(unet.input_blocks))]
        for name, width in zip([*zero_convs, "middle_block_out.0"], _block_widths(sizes), strict=True):
            tensors |= _conv(width, width, 1, name, strength)
        widths = (3, *HINT_WIDTHS, sizes.model_channels)
        for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            tensors |= _conv(inputs, outputs, 3, f"input_hint_block.{2 * place}", 2.0)
    return save({prefix + key: value for key, value in tensors.items()}, Path(path), dtype)


def _block_widths(sizes: Sizes) -> list[int]:
    """Channels after each of a UNet's input blocks and its middle block."""
    levels = [[width] * 3 for width in sizes.widths]  # two blocks and what halves the size
    return [sizes.model_channels, *(width for level in levels for width in level)]


def _conv(inputs: int, outputs: int, size: int, name: str, scale: float) -> State:
    layer = nn.Conv2d(inputs, outputs, size)
    return {f"{name}.{key}": value.detach() * scale for key, value in layer.named_parameters()}


def make_set(folder: str | Path, *, seed: int = 1) -> dict[str, Path]:
    """Writes a checkpoint and motion modules of all versions that fit it: {"checkpoint": path, "v1": path, ...}."""
    folder = Path(folder)
    made = {"checkpoint": make_checkpoint(folder / "tiny.safetensors", seed=seed)}
    for version in MOTION_VERSIONS:
        made[version] = make_motion_module(folder / f"mm_tiny_{version}.safetensors", version=version, seed=seed)
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make small checkpoints and motion modules of random weights.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    checkpoint = kinds.add_parser("checkpoint", help="an SD1.x checkpoint and its .yaml")
    checkpoint.add_argument("--model-channels", type=int, default=32, help="multiple of 32")
    motion = kinds.add_parser("motion", help="a motion module")
    motion.add_argument("--version", choices=list(MOTION_VERSIONS), default="v2")
    motion.add_argument("--widths", default=",".join(map(str, Sizes().widths)), help="of the UNet's levels")
    control = kinds.add_parser("controlnet", help="a control model")
    control.add_argument("--model-channels", type=int, default=32, help="multiple of 32")
    whole = kinds.add_parser("set", help="a checkpoint and motion modules v1, v2, v3")
    for parts in (checkpoint, motion, control, whole):
        parts.add_argument("path", type=Path)
        parts.add_argument("--seed", type=int, default=1)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and prints what was written."""
    args = _parser().parse_args(arguments)
    if args.kind == "checkpoint":
        made = [make_checkpoint(args.path, seed=args.seed, model_channels=args.model_channels)]
    elif args.kind == "motion":
        widths = [int(width) for width in args.widths.split(",")]
        made = [make_motion_module(args.path, version=args.version, widths=widths, seed=args.seed)]
    elif args.kind == "controlnet":
        made = [make_controlnet(args.path, seed=args.seed, sizes=Sizes(args.model_channels))]
    else:
        made = list(make_set(args.path, seed=args.seed).values())
    for path in made:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
