"""The layouts in which LoRA are published, as functions: a layer's published name and a half -> the key in a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from motion_module.core.module.lora import LowRank

Layout = Callable[[str, str], str]
_GUOYWW = re.compile(r"^(?P<module>.+)\.processor\.(?P<layer>to_[qkv]|to_out)_lora\.(?P<half>down|up)\.weight$")


def diffusers(layer: str) -> str:
    """diffusers' name of a motion layer; other layers are named alike."""
    if "motion_modules" not in layer:
        return layer
    layer = layer.replace(".temporal_transformer", "")
    return re.sub(r"attention_blocks\.([01])", lambda found: f"attn{int(found[1]) + 1}", layer)


def _letter(half: str) -> str:
    return {"down": "A", "up": "B"}[half]


def _split(layer: str) -> tuple[str, str]:
    """The layer's parent and its own name; to_out.0 counts as one name."""
    parent, _, name = layer.removesuffix(".0").rpartition(".")
    return parent, name


def guoyww(layer: str, half: str) -> str:
    parent, name = _split(layer)
    return f"{parent}.processor.{name}_lora.{half}.weight"


def motion_director(layer: str, half: str) -> str:
    """AnimateDiff-MotionDirector: what stands in a list (to_out.0, ff.net.2) keeps its number."""
    parent, _, name = layer.rpartition(".")
    return f"{parent}.processor.{name}_lora.{half}.weight"


def older_diffusers(layer: str, half: str) -> str:
    return f"unet.{diffusers(layer)}.lora.{half}.weight"


def processors(layer: str, half: str) -> str:
    parent, name = _split(diffusers(layer))
    return f"unet.{parent}.processor.{name}_lora.{half}.weight"


def linear_layer(layer: str, half: str) -> str:
    return f"unet.{diffusers(layer)}.lora_linear_layer.{half}.weight"


def peft(layer: str, half: str) -> str:
    return f"unet.{diffusers(layer)}.lora_{_letter(half)}.weight"


def peft_adapter(layer: str, half: str) -> str:
    return f"base_model.model.{diffusers(layer)}.lora_{_letter(half)}.default.weight"


def kohya(layer: str, half: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}.lora_{half}.weight"


def kohya_diffusers(layer: str, half: str) -> str:
    return kohya(diffusers(layer), half)


def converted(layer: str, half: str) -> str:
    return f"{layer}.lora_{half}.weight"


def underscores(layer: str, half: str) -> str:
    parent, name = _split(layer)
    return f"{parent.replace('.', '_')}_processor_{name}.lora_{half}.weight"


def _below(prefix: str, layout: Layout) -> Layout:
    return lambda layer, half: prefix + layout(layer, half)


LAYOUTS: dict[str, Layout] = {
    "guoyww": guoyww,
    "AnimateDiff-MotionDirector": motion_director,
    "diffusers, processors": processors,
    "diffusers, older": older_diffusers,
    "diffusers, linear layers": linear_layer,
    "diffusers, PEFT": peft,
    "diffusers, PEFT with an adapter's name": peft_adapter,
    "kohya": kohya,
    "kohya, diffusers' names": kohya_diffusers,
    "converted, dots": converted,
    "converted, underscores": underscores,
    **{
        f"below {prefix}": _below(prefix, layout)
        for prefix, layout in {
            "module.": guoyww,
            "model.": motion_director,
            "state_dict.": guoyww,
            "base_model.model.": motion_director,
            "diffusion_model.": converted,
            "transformer.": lambda layer, half: f"{diffusers(layer)}.lora_{_letter(half)}.weight",
            "module.base_model.model.": peft,
            "module._orig_mod.model.diffusion_model.": motion_director,
            "base_model_model_": underscores,
        }.items()
    },
}


def seeds(state: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    """A LoRA in guoyww's layout as (layer, half) -> weight, from which every other layout's file is made."""
    found = {}
    for key, value in state.items():
        part = _GUOYWW.match(key)
        if part is None:
            raise ValueError(f"{key} is not in guoyww's layout")
        layer = part["layer"] + (".0" if part["layer"] == "to_out" else "")
        found[f"{part['module']}.{layer}", part["half"]] = value
    return found


def in_layout(parts: Mapping[tuple[str, str], Tensor], layout: Layout) -> dict[str, Tensor]:
    """The same LoRA as a file in another layout."""
    return {layout(layer, half): value for (layer, half), value in parts.items()}


def added(low_rank: LowRank, weight: float) -> Tensor:
    """`weight * (alpha / rank) * up @ down`, (out, in), float32 (LoRA, 2106.09685)."""
    down, up = low_rank.down.float().flatten(1), low_rank.up.float().flatten(1)
    scale = 1.0 if low_rank.alpha is None else low_rank.alpha / len(down)
    return weight * scale * (up @ down)
