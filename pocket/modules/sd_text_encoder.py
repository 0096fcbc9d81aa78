"""CLIP-L, the text encoder of SD1.x and the first of SDXL: a transformers model of any size, with the real tokeniser.

The tokeniser is made from open-clip's files.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import os
import tempfile
from collections.abc import Mapping

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2  # merges that CLIP was trained with; the file has more
HEAD_WIDTH = 64  # channels of an attention head in every published CLIP
PREFIX = "cond_stage_model.transformer.text_model."


def _vocabulary_path() -> str:
    spec = importlib.util.find_spec("open_clip")  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("open-clip-torch is not installed; CLIP's vocabulary is in it", name="open_clip")
    return os.path.join(spec.submodule_search_locations[0], VOCABULARY_FILE)


def _byte_symbols() -> list[str]:
    """The 256 characters that stand for bytes in CLIP's vocabulary, in its order.

    Bytes that print stand for themselves; the others follow as characters from 256 on (as in GPT-2's tokeniser).
    """
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(value) for value in printing] + [chr(256 + place) for place in range(256 - len(printing))]


@functools.cache
def make_tokenizer() -> CLIPTokenizer:
    """CLIP's tokeniser (49,408 tokens), made from the merges in open-clip's wheel; no download.

    Raises:
        ModuleNotFoundError: open-clip-torch is not installed.
    """
    with gzip.open(_vocabulary_path(), "rt", encoding="utf-8") as file:
        text = file.read()
    merges = [line.split() for line in text.split("\n")[1 : MERGES + 1]]
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt")
        with open(vocab_file, "w", encoding="utf-8") as file:
            json.dump({token: place for place, token in enumerate(tokens)}, file)
        with open(merges_file, "w", encoding="utf-8") as file:
            file.write(text)
        return CLIPTokenizer(vocab_file, merges_file, pad_token="<|endoftext|>")


def sizes_of(state_dict: Mapping[str, torch.Tensor], heads: int | None = None, prefix: str = PREFIX) -> dict[str, int]:
    """Sizes of the text encoder whose weights are in a checkpoint.

    Args:
        state_dict: of the whole checkpoint.
        heads: of its attention; the weights do not tell. None: one for each 64 channels, as in CLIP.
        prefix: before the names of its weights; SD1.x's if not given.

    Raises:
        KeyError: the checkpoint has no CLIP text encoder.
    """
    vocabulary, width = state_dict[prefix + "embeddings.token_embedding.weight"].shape
    inside = prefix + "encoder.layers."
    layers = {key.removeprefix(inside).split(".")[0] for key in state_dict if key.startswith(inside)}
    return {
        "vocabulary": vocabulary,
        "width": width,
        "positions": state_dict[prefix + "embeddings.position_embedding.weight"].shape[0],
        "layers": len(layers),
        "inner": state_dict[prefix + "encoder.layers.0.mlp.fc1.weight"].shape[0],
        "heads": heads or max(width // HEAD_WIDTH, 1),
    }


class FrozenCLIPEmbedder(torch.nn.Module):
    """Holds CLIP's text transformer and tokeniser, with the names of ldm's class (`transformer`, `tokenizer`).

    Args:
        vocabulary, width, positions, layers, inner, heads: sizes, see `sizes_of`.
    """

    def __init__(self, vocabulary: int, width: int, positions: int, layers: int, inner: int, heads: int) -> None:
        super().__init__()
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=positions,
            hidden_act="quick_gelu",
        )
        self.tokenizer = make_tokenizer()
        self.transformer = CLIPTextModel(config)
        self.max_length = positions
