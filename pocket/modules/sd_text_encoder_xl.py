"""What an SDXL model is conditioned with: two text encoders, and the sizes of the picture as numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from modules import sd_text_encoder, torch_compat  # noqa: F401  (torch_compat comes before open_clip)

from ldm.modules.diffusionmodules.util import timestep_embedding  # isort: skip  (torch_compat has made it importable)
from open_clip.transformer import TextTransformer  # isort: skip

CATENATED_BY = {2: ("vector", 1), 3: ("crossattn", 2)}
"""What an embedder's output is for, by its number of dimensions: the part of the conditioning, and its channels."""


def open_clip_sizes(state_dict: Mapping[str, torch.Tensor], prefix: str) -> dict[str, int]:
    """Sizes of the OpenCLIP text encoder whose weights are in a checkpoint, below `prefix`.

    Raises:
        KeyError: the checkpoint has no OpenCLIP text encoder there.
    """
    vocabulary, width = state_dict[prefix + "token_embedding.weight"].shape
    inside = prefix + "transformer.resblocks."
    return {
        "context_length": state_dict[prefix + "positional_embedding"].shape[0],
        "vocab_size": vocabulary,
        "width": width,
        "heads": max(width // sd_text_encoder.HEAD_WIDTH, 1),  # the weights do not tell; in all published ones
        "layers": len({key.removeprefix(inside).split(".")[0] for key in state_dict if key.startswith(inside)}),
        "output_dim": state_dict[prefix + "text_projection"].shape[1],
    }


class FrozenOpenCLIPEmbedder2(torch.nn.Module):
    """Holds OpenCLIP's text transformer, with the names of sgm's class.

    Args:
        sizes: see `open_clip_sizes`.
        layer: "penultimate" or "last", which output is the conditioning.
    """

    def __init__(self, sizes: Mapping[str, int], layer: str = "penultimate") -> None:
        super().__init__()
        self.tokenizer = sd_text_encoder.make_tokenizer()
        self.model = TextTransformer(**sizes)
        self.max_length: int = sizes["context_length"]
        self.layer = layer
        self.return_pooled = True

    def encode_with_transformer(self, text: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of tokens (b, n): "penultimate" (what the last block is given) and "last", (b, n, width); "pooled", (b, c).

        The pooled vector is that of the end token, the one with the highest number.
        """
        model, outputs = self.model, {}
        x = (model.token_embedding(text) + model.positional_embedding).transpose(0, 1)  # n b width
        for block in model.transformer.resblocks:
            outputs["penultimate"] = x.transpose(0, 1)
            x = block(x, attn_mask=model.attn_mask)
        outputs["last"] = x.transpose(0, 1)
        of_the_end = torch.arange(text.shape[0]), text.argmax(dim=-1)
        outputs["pooled"] = model.ln_final(outputs["last"])[of_the_end] @ model.text_projection
        return outputs


class ConcatTimestepEmbedderND(torch.nn.Module):
    """Numbers as sines and cosines, as the UNet takes its timestep: (b, n) -> (b, n * outdim)."""

    def __init__(self, outdim: int) -> None:
        super().__init__()
        self.outdim = outdim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return timestep_embedding(x.flatten(), self.outdim).reshape(x.shape[0], -1)


class GeneralConditioner(torch.nn.Module):
    """All embedders of a model; to the rest of the WebUI it looks like an SD1.x model's text encoder.

    Args:
        embedders: each has an `input_key`, which says what of the batch it is given.
    """

    def __init__(self, embedders: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.embedders: Any = torch.nn.ModuleList(embedders)

    def forward(self, batch: Mapping[str, Any], force_zero_embeddings: Collection[str] = ()) -> dict[str, torch.Tensor]:
        """{"crossattn": (b, tokens, width), "vector": (b, channels)} of a batch.

        Args:
            batch: inputs of the embedders by their `input_key`.
            force_zero_embeddings: inputs whose outputs are to be zero.
        """
        parts: dict[tuple[str, int], list[torch.Tensor]] = {}
        for embedder in self.embedders:
            made = embedder(batch[embedder.input_key])
            for output in made if isinstance(made, tuple) else (made,):
                own = torch.zeros_like(output) if embedder.input_key in force_zero_embeddings else output
                parts.setdefault(CATENATED_BY[output.dim()], []).append(own)
        return {name: torch.cat(outputs, dim) for (name, dim), outputs in parts.items()}

    @property
    def _text(self) -> Any:
        """The first of the text encoders, which count tokens alike."""
        return self.embedders[0]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without start and end."""
        return self._text.tokenize(texts)

    def process_texts(self, texts: Sequence[str]) -> tuple[list[list[Any]], int]:
        """Chunks of each prompt, and the number of tokens of the longest."""
        return self._text.process_texts(texts)

    def get_target_prompt_token_count(self, token_count: int) -> int:
        """Tokens that fit into as many chunks as a prompt of this length takes."""
        return self._text.get_target_prompt_token_count(token_count)
