"""Names in LoRA files: whoever wrote a key, it becomes the layer's path and the part of the LoRA that it holds.

Trainers and converters differ in what they put before the path (`base_model.model.`, `lora_unet_`), between path and
part (`.processor.to_q_lora.`, `.lora_linear_layer.`), in what they call the parts (down and up, A and B), in dots or
underscores, and in whether an attention is `attention_blocks.0` or `attn1`. The path in between is the same.
"""

from __future__ import annotations

import re

UNET = "lora_unet_"
IN_HOST = "diffusion_model_"  # what the host makes of it
MOTION = "_motion_modules_"
_LONGEST = 512  # no layer's name is as long; a longer key is not looked at
_BETWEEN = re.compile(r"[._](?:processor|_orig_mod)(?=[._])")  # objects that carry a layer or a block
_LORA = r"[._]lora(?:_linear_layer|_layer)?"
# An adapter's name may stand before ".weight": diffusers' ".lora_A.default.weight".
_HALF = re.compile(rf"(?P<path>.+){_LORA}[._](?P<part>down|up|mid|A|B)(?:(?:\.(?!lora_)[\w-]+)?\.weight)?", re.DOTALL)
_HALF_AT_END = re.compile(rf"{_LORA}(?:[._](?:down|up|mid|A|B)(?:\.weight)?)?\Z")
_PARTS = {"A": "down", "B": "up"}
_WRAPPERS = re.compile(r"(?:(?:base_model|diffusion_model|model|module|state_dict|transformer|unet|lora|_orig_mod)_)*")
_TEXT_ENCODER = re.compile(r"text_encoder_(?P<second>2_)?")
_TEXT_PATH = "text_model_"
_UNET_PATH = re.compile(
    r"(?:down_blocks|up_blocks|mid_block|input_blocks|middle_block|output_blocks"
    r"|conv_in|conv_out|time_embed|time_embedding|add_embedding|label_emb)(?=_|\Z)"
)
_PUBLISHED = (  # other names inside a motion module -> those of the paper's own files
    (re.compile(r"_temporal_attentions_(?=\d)"), MOTION),
    (re.compile(rf"({MOTION}\d+)(?=_(?!temporal_transformer(?:_|\Z)))"), r"\1_temporal_transformer"),
    (re.compile(r"_attn1(?=_)"), "_attention_blocks_0"),
    (re.compile(r"_attn2(?=_)"), "_attention_blocks_1"),
)
_OUT = re.compile(r"_to_out\Z")


def host_key(key: str) -> str:
    """The key under kohya's names, which the host's loader knows; a key that names no layer stays as it is.

    `lora_unet_<path with underscores>.{lora_down.weight,lora_up.weight,lora_mid.weight,alpha}`; layers of the text
    encoders begin with `lora_te1_` or `lora_te2_`. Motion layers have the paths of the published motion modules;
    spatial ones keep diffusers' paths, which the host translates. What this gives, it gives back unchanged.
    """
    parsed = _parse(key) if len(key) <= _LONGEST else None
    path = _path(parsed[0]) if parsed else None
    return f"{path}.{parsed[1]}" if parsed and path else key


def _parse(key: str) -> tuple[str, str] | None:
    """Everything before the part, and the part by the host's name; None for what is no part of a LoRA."""
    key = _BETWEEN.sub("", key)
    half = _HALF.fullmatch(key)
    if half:
        return half["path"], f"lora_{_PARTS.get(half['part'], half['part'])}.weight"
    if key.endswith(".alpha"):
        return _without_halves(key.removesuffix(".alpha")), "alpha"
    path, _, part = key.partition(".")  # of other kinds of networks only the path is looked at
    return (path, part) if part and path.startswith(UNET) else None


def _without_halves(path: str) -> str:
    while (shorter := _HALF_AT_END.sub("", path)) != path:
        path = shorter
    return path


def _path(path: str) -> str | None:
    """A layer's path as the host's loader spells it; None if this is no layer of a UNet or text encoder."""
    path = _unwrapped(path.replace(".", "_"))
    if _UNET_PATH.match(path):
        return UNET + _published(path)
    encoder = _TEXT_ENCODER.match(path)
    text = _unwrapped(path[encoder.end() :]) if encoder else path
    if not text.startswith(_TEXT_PATH):
        return None
    return f"lora_te{2 if encoder and encoder['second'] else 1}_{text}"


def _unwrapped(path: str) -> str:
    wrappers = _WRAPPERS.match(path)
    return path[wrappers.end() :] if wrappers else path


def _published(path: str) -> str:
    path = _OUT.sub("_to_out_0", path)
    if MOTION in path or "_temporal_attentions_" in path:
        for pattern, replacement in _PUBLISHED:
            path = pattern.sub(replacement, path)
    return path
