"""The layouts in which motion modules are published, turned into one: that of the paper's own files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from motion_module.core.module.arch import (
    LARGEST_WIDTH,
    LCM_FRAMES,
    MOST_ATTENTIONS,
    MOST_BLOCKS,
    MOST_FRAMES,
    ModuleSpec,
    kind_of,
)
from motion_module.errors import CheckpointError

# "module.unet.down_blocks.0.motion_modules.1.<part>"; HotShot-XL says temporal_attentions.
_LAYER = re.compile(
    r"(?:^|\.)(?P<block>down_blocks\.\d+|up_blocks\.\d+|mid_block)\.(?:motion_modules|temporal_attentions)\."
    r"(?P<index>\d+)\.(?:temporal_transformer\.)?(?P<part>.+)$"
)
_RENAMES = (  # diffusers' and HotShot-XL's names of the parts
    (re.compile(r"\battn([12])\."), lambda match: f"attention_blocks.{int(match[1]) - 1}."),
    (re.compile(r"(?<=\d\.)norm([12])\."), lambda match: f"norms.{int(match[1]) - 1}."),
    (re.compile(r"(?<=\d\.)norm3\."), lambda match: "ff_norm."),
    (re.compile(r"pos_encoder\.positional_encoding$"), lambda match: "pos_encoder.pe"),
)
_SHARED_POSITIONS = re.compile(r"^(transformer_blocks\.\d+\.)pos_embed\.pe$")
_FIRST_NORM = re.compile(r"down_blocks\.\d+\.motion_modules\.0\.temporal_transformer\.norm\.weight")
_POSITIONS = "pos_encoder.pe"
_GROUPS = 32  # of the GroupNorm before the temporal transformer


def is_motion_key(key: str) -> bool:
    """Whether a name in a file means a part of a motion module."""
    return _LAYER.search(key) is not None


def normalise_keys(state: Mapping[str, Tensor], name: str = "The file") -> dict[str, Tensor]:
    """The motion layers among `state`, under the names of the paper's own checkpoints; everything else is dropped.

    Understands wrapping prefixes, the `MotionAdapter` layout of diffusers (one table of positions for both
    attentions) and HotShot-XL's names. Positions come out as (1, frames, c).

    Args:
        state: names in the file -> tensors, which need not have values.
        name: of the file, for messages.

    Raises:
        CheckpointError: two names mean the same part.
    """
    renamed: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, value in state.items():
        layer = _LAYER.search(key)
        if layer is None or not value.dim() or not value.numel():  # no part of a motion module is a single number
            continue
        head = f"{layer['block']}.motion_modules.{layer['index']}.temporal_transformer."
        for part in _published_parts(layer["part"]):
            if head + part in origin:
                raise CheckpointError(
                    f"{name} holds {head + part:.200} twice, as {origin[head + part]:.200} and as {key:.200}"
                )
            origin[head + part] = key
            renamed[head + part] = value.reshape(1, -1, value.shape[-1]) if part.endswith(_POSITIONS) else value
    return renamed


def inspect(weights: Mapping[str, Tensor]) -> ModuleSpec | None:
    """The kind and sizes of a motion module, from keys as `normalise_keys` gives them.

    Returns:
        None where these are not the layers of any known kind.
    """
    widths = tuple(weights[key].shape[0] for key in sorted(weights) if _FIRST_NORM.fullmatch(key))
    positions = [value for key, value in weights.items() if key.endswith(_POSITIONS)]
    has_mid = any(key.startswith("mid_block.") for key in weights)
    frames = positions[0].shape[1] if positions else LCM_FRAMES
    kind = kind_of(len(widths), has_mid, frames if positions else None)
    attentions, blocks = _count(weights, "attention_blocks"), _count(weights, "transformer_blocks")
    if (
        kind is None
        or any(width % _GROUPS or width > LARGEST_WIDTH for width in widths)
        or not any(key.startswith("up_blocks.") for key in weights)
        or attentions > MOST_ATTENTIONS
        or blocks > MOST_BLOCKS
        or frames > MOST_FRAMES
    ):
        return None
    return ModuleSpec(
        kind=kind,
        widths=widths,
        frames=frames,
        has_mid=has_mid,
        attentions=attentions,
        depth=blocks,
    )


def _published_parts(part: str) -> list[str]:
    shared = _SHARED_POSITIONS.match(part)
    if shared:
        return [f"{shared[1]}attention_blocks.{i}.{_POSITIONS}" for i in range(2)]
    for pattern, rename in _RENAMES:
        part = pattern.sub(rename, part)
    return [part]


def _count(keys: Iterable[str], list_name: str) -> int:
    """How many there are; that they are numbered from 0 shows when the names are compared with those of the kind."""
    pattern = re.compile(rf"\.{list_name}\.(\d+)\.")
    return len({match[1] for key in keys if (match := pattern.search(key))})
