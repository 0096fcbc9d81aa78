"""Prompts of any length for SDXL's second text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modules import torch_compat  # noqa: F401  (torch_compat comes before open_clip)
from modules.sd_hijack_clip import FrozenCLIPEmbedderWithCustomWords

import open_clip.tokenizer  # isort: skip


class FrozenOpenCLIPEmbedder2WithCustomWords(FrozenCLIPEmbedderWithCustomWords):
    """Wraps a FrozenOpenCLIPEmbedder2: text in, conditioning of any length and the text's vector out.

    It was trained with the token 0 behind a prompt's end.
    """

    def __init__(self, wrapped: Any, hijack: Any) -> None:
        super().__init__(wrapped, hijack)
        self.id_pad = 0

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without start and end; OpenCLIP's own rules for what looks like HTML."""
        return [open_clip.tokenizer._tokenizer.encode(text) for text in texts]

    def encode_with_transformers(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, 77, width), with (batch, channels) as its attribute `pooled`."""
        outputs = self.wrapped.encode_with_transformer(tokens)
        z: Any = outputs[self.wrapped.layer]
        z.pooled = outputs["pooled"]
        return z
