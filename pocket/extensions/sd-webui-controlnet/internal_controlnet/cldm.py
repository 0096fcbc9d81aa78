"""The control network: a copy of the UNet's encoder that sees a picture and adds to the UNet's skip connections.

Sizes come from the file, in the layout that control models are published in; only the number of attention heads is
not in it and must be said.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential, UNetModel
from ldm.modules.diffusionmodules.util import timestep_embedding
from safetensors.torch import load_file
from torch import nn

State = dict[str, torch.Tensor]
PREFIX = "control_model."
HINT_STRIDES = {0: 1, 2: 1, 4: 2, 6: 1, 8: 2, 10: 1, 12: 2, 14: 1}
"""Of the convolutions between picture and latent, by their place."""


def _sizes(state: State) -> dict[str, Any]:
    """The arguments of the UNet whose encoder has these weights."""
    width, channels = state["input_blocks.0.0.weight"].shape[:2]
    mult, attention, blocks = [], set(), 0
    level = 0
    for place in range(1, 1 + sum(f"zero_convs.{n}.0.weight" in state for n in range(1, 64))):
        if f"input_blocks.{place}.0.op.weight" in state:
            level += 1
            continue
        out = state[f"input_blocks.{place}.0.out_layers.3.weight"].shape[0]
        mult[level:] = [out // width]
        blocks += level == 0
        if f"input_blocks.{place}.1.proj_in.weight" in state:
            attention.add(2**level)
    context = next(value.shape[1] for key, value in state.items() if key.endswith("attn2.to_k.weight"))
    return {
        "in_channels": channels,
        "model_channels": width,
        "channel_mult": mult,
        "num_res_blocks": blocks,
        "attention_resolutions": sorted(attention),
        "context_dim": context,
    }


def _hint_block(state: State) -> TimestepEmbedSequential:
    layers: list[nn.Module] = []
    for place, stride in HINT_STRIDES.items():
        out, channels = state[f"input_hint_block.{place}.weight"].shape[:2]
        layers += [nn.Conv2d(channels, out, 3, padding=1, stride=stride), nn.SiLU()]
    return TimestepEmbedSequential(*layers[:-1])


class ControlNet(nn.Module):
    """`forward(x, hint, timesteps, context)` -> one value for each of the UNet's skip connections, then its middle.

    x: (b, c, h, w); hint: (b or 1, 3, 8 h, 8 w) in 0..1; timesteps: (b,); context: (b, tokens, width).
    """

    global_average_pooling = False

    def __init__(self, state: State, heads: int) -> None:
        super().__init__()
        sizes = _sizes(state)
        fixed = {"image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "transformer_depth": 1}
        with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):  # ldm tells the size of every layer
            unet = UNetModel(**sizes, **fixed, num_heads=heads, use_checkpoint=False, legacy=False)
            self.model_channels = sizes["model_channels"]
            self.time_embed, self.input_blocks, self.middle_block = (
                unet.time_embed,
                unet.input_blocks,
                unet.middle_block,
            )
            self.input_hint_block = _hint_block(state)
            widths = [state[f"zero_convs.{place}.0.weight"].shape[0] for place in range(len(unet.input_blocks))]
            self.zero_convs = nn.ModuleList(TimestepEmbedSequential(nn.Conv2d(w, w, 1)) for w in widths)
            self.middle_block_out = TimestepEmbedSequential(nn.Conv2d(widths[-1], widths[-1], 1))
        expected = self.state_dict()
        state = {key: value.reshape(expected[key].shape).float() for key, value in state.items() if key in expected}
        self.load_state_dict(state, strict=True, assign=True)

    def forward(
        self, x: torch.Tensor, hint: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor
    ) -> list[torch.Tensor]:
        emb = self.time_embed(timestep_embedding(timesteps, self.model_channels, repeat_only=False))
        guided = self.input_hint_block(hint.to(x), emb, context)
        outs: list[torch.Tensor] = []
        h = x
        for place, (block, zero_conv) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = block(h, emb, context)
            if place == 0:
                h += guided  # in place: a hint of more rows than x is an error, not a larger batch
            outs.append(zero_conv(h, emb, context))
        h = self.middle_block(h, emb, context)
        return [*outs, self.middle_block_out(h, emb, context)]


class PlugableControlModel(nn.Module):
    """A control network as units hold it."""

    def __init__(self, control_model: ControlNet) -> None:
        super().__init__()
        self.control_model = control_model

    def reset(self) -> None:
        """Nothing of a run is kept in the network."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.control_model(*args, **kwargs)


def load_control_model(path: str, heads: int) -> PlugableControlModel:
    """The network in a file, in float32.

    Raises:
        ValueError: the file is no ControlNet.
    """
    state = {key.replace(PREFIX, ""): value for key, value in load_file(path).items()}
    try:
        return PlugableControlModel(ControlNet(state, heads).eval().requires_grad_(False))
    except (KeyError, RuntimeError, StopIteration) as error:
        raise ValueError(f"{path}: Cannot recognize the ControlModel! ({error})") from error
