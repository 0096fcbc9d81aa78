"""Prompts of any length for CLIP: chunks of 75 tokens, `BREAK`, words kept together at commas, and weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from modules import devices, prompt_parser, sd_emphasis, shared


class PromptChunk:
    """77 tokens (start, 75 of the prompt, end) with their weights; `fixes` is kept for extensions and stays empty."""

    def __init__(self, tokens: Sequence[int] = (), multipliers: Sequence[float] = ()) -> None:
        self.tokens: list[int] = list(tokens)
        self.multipliers: list[float] = list(multipliers)
        self.fixes: list[Any] = []


class _Chunker:
    """Fills chunks token by token; a word group that would be cut at a chunk's end moves on whole from its comma."""

    def __init__(self, owner: FrozenCLIPEmbedderWithCustomWords) -> None:
        self.owner = owner
        self.length = owner.chunk_length
        self.backtrack: int = shared.opts.comma_padding_backtrack
        self.chunks: list[PromptChunk] = []
        self.token_count = 0
        self._open_new()

    def _open_new(self, tokens: Sequence[int] = (), multipliers: Sequence[float] = ()) -> None:
        self.chunk = PromptChunk(tokens, multipliers)
        self.last_comma = -1

    def close(self, is_last: bool = False) -> None:
        """Fills the open chunk up with end tokens and begins the next one."""
        filled = len(self.chunk.tokens)
        self.token_count += filled if is_last else self.length
        padding = self.length - filled
        start, end = self.owner.id_start, self.owner.id_end
        tokens = [start, *self.chunk.tokens, *[end] * padding, end]
        self.chunks.append(PromptChunk(tokens, [1.0, *self.chunk.multipliers, *[1.0] * padding, 1.0]))
        self._open_new()

    def add(self, token: int, weight: float) -> None:
        """Puts a token into the open chunk, or into the next one if it is full."""
        full = len(self.chunk.tokens) == self.length
        if token == self.owner.comma_token:
            self.last_comma = len(self.chunk.tokens)
        elif full and self._comma_is_near():
            self._move_group()
        if len(self.chunk.tokens) == self.length:
            self.close()
        self.chunk.tokens.append(token)
        self.chunk.multipliers.append(weight)

    def _comma_is_near(self) -> bool:
        return self.last_comma != -1 and self.length - self.last_comma <= self.backtrack

    def _move_group(self) -> None:
        """Closes the chunk behind its last comma; what followed the comma begins the next chunk."""
        cut = self.last_comma + 1
        moved = self.chunk.tokens[cut:], self.chunk.multipliers[cut:]
        self.chunk.tokens, self.chunk.multipliers = self.chunk.tokens[:cut], self.chunk.multipliers[:cut]
        self.close()
        self._open_new(*moved)

    def finish(self) -> tuple[list[PromptChunk], int]:
        """All chunks (at least one) and the number of tokens."""
        if self.chunk.tokens or not self.chunks:
            self.close(is_last=True)
        return self.chunks, self.token_count


class FrozenCLIPEmbedderWithCustomWords(torch.nn.Module):
    """Wraps a FrozenCLIPEmbedder: text in, conditioning of any length out.

    Args:
        wrapped: holder of `tokenizer` and `transformer`.
        hijack: `sd_hijack.model_hijack`, which collects what the infotext must say.
    """

    def __init__(self, wrapped: Any, hijack: Any) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.hijack = hijack
        self.tokenizer = wrapped.tokenizer
        self.chunk_length = 75
        self.is_trainable = False
        self.input_key: str = getattr(wrapped, "input_key", "txt")
        self.return_pooled: bool = getattr(wrapped, "return_pooled", False)
        self.legacy_ucg_val = None
        self.comma_token: int | None = self.tokenizer.get_vocab().get(",</w>")
        self.id_start: int = self.tokenizer.bos_token_id
        self.id_end: int = self.tokenizer.eos_token_id
        self.id_pad: int = self.id_end

    def empty_chunk(self) -> PromptChunk:
        """The chunk of an empty prompt."""
        length = self.chunk_length
        return PromptChunk([self.id_start] + [self.id_end] * (length + 1), [1.0] * (length + 2))

    def get_target_prompt_token_count(self, token_count: int) -> int:
        """Tokens that fit into as many chunks as a prompt of this length takes."""
        return math.ceil(max(token_count, 1) / self.chunk_length) * self.chunk_length

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without start and end."""
        return self.tokenizer(list(texts), truncation=False, add_special_tokens=False)["input_ids"]

    def tokenize_line(self, line: str) -> tuple[list[PromptChunk], int]:
        """Chunks of one prompt, and its number of tokens."""
        weighted = [[line, 1.0]]
        if shared.opts.emphasis != "None":
            weighted = prompt_parser.parse_prompt_attention(line)
        chunker = _Chunker(self)
        tokenized = self.tokenize([text for text, _ in weighted])
        for tokens, (text, weight) in zip(tokenized, weighted, strict=True):
            if text == "BREAK" and weight == -1:
                chunker.close()
                continue
            for token in tokens:
                chunker.add(token, weight)
        return chunker.finish()

    def process_texts(self, texts: Sequence[str]) -> tuple[list[list[PromptChunk]], int]:
        """Chunks of each prompt, and the number of tokens of the longest; equal prompts share their chunks."""
        lines = {text: self.tokenize_line(text) for text in texts}
        longest = max((count for _, count in lines.values()), default=0)
        return [lines[text][0] for text in texts], longest

    def forward(self, texts: Sequence[str]) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Conditioning of prompts: (prompts, 77 * chunks of the longest, width).

        With `return_pooled` also the vector of each prompt's first chunk, (prompts, channels).
        """
        chunks, _ = self.process_texts(texts)
        if shared.opts.emphasis != "Original" and any("(" in text or "[" in text for text in texts):
            self.hijack.extra_generation_params["Emphasis"] = shared.opts.emphasis
        encoded: list[Any] = [self._encode(batch) for batch in self._batches(chunks)]
        text = torch.hstack(encoded)
        return (text, encoded[0].pooled) if self.return_pooled else text

    def _batches(self, chunks: list[list[PromptChunk]]) -> Iterator[list[PromptChunk]]:
        """First chunks of all prompts, then all second ones, ...; prompts that have ended give empty chunks."""
        for place in range(max(len(line) for line in chunks)):
            yield [line[place] if place < len(line) else self.empty_chunk() for line in chunks]

    def _encode(self, batch: Sequence[PromptChunk]) -> torch.Tensor:
        return self.process_tokens([chunk.tokens for chunk in batch], [chunk.multipliers for chunk in batch])

    def process_tokens(
        self, remade_batch_tokens: Sequence[Sequence[int]], batch_multipliers: Sequence[Sequence[float]]
    ) -> torch.Tensor:
        """Encodes one chunk of each prompt and applies the weights: (prompts, 77, width).

        An encoder's vector of the whole text, without weights, is the result's attribute `pooled`.
        """
        emphasis = sd_emphasis.get_current_option(shared.opts.emphasis)()
        emphasis.tokens = [list(tokens) for tokens in remade_batch_tokens]
        emphasis.multipliers = torch.asarray(batch_multipliers).to(devices.device)
        z = emphasis.z = self.encode_with_transformers(self._padded(remade_batch_tokens).to(devices.device))
        emphasis.after_transformers()
        if hasattr(z, "pooled"):
            emphasis.z.pooled = z.pooled  # type: ignore[attr-defined]
        return emphasis.z

    def _padded(self, chunks: Sequence[Sequence[int]]) -> torch.Tensor:
        """The tokens of chunks, (chunks, 77), with the encoder's own padding behind the first end token."""
        tokens = torch.asarray(chunks)
        if self.id_pad == self.id_end:
            return tokens
        behind = (tokens == self.id_end).cumsum(dim=1).roll(1, dims=1)
        behind[:, 0] = 0
        return torch.where(behind > 0, self.id_pad, tokens)

    def encode_with_transformers(self, tokens: torch.Tensor) -> torch.Tensor:
        """Last hidden state, or an earlier one after the final norm (CLIP skip): (batch, 77, width)."""
        skip: int = shared.opts.CLIP_stop_at_last_layers
        outputs = self.wrapped.transformer(input_ids=tokens, output_hidden_states=skip > 1)
        if skip > 1:
            return self.wrapped.transformer.text_model.final_layer_norm(outputs.hidden_states[-skip])
        return outputs.last_hidden_state


class FrozenCLIPEmbedderForSDXLWithCustomWords(FrozenCLIPEmbedderWithCustomWords):
    """The same for CLIP-L in an SDXL model, whose conditioning is an inner layer's, without the final norm."""

    def encode_with_transformers(self, tokens: torch.Tensor) -> torch.Tensor:
        """The hidden state that the configuration names, or the one that CLIP skip means where that is switched on."""
        outputs = self.wrapped.transformer(input_ids=tokens, output_hidden_states=True)
        if shared.opts.sdxl_clip_l_skip:
            return outputs.hidden_states[-shared.opts.CLIP_stop_at_last_layers]
        if self.wrapped.layer == "last":
            return outputs.last_hidden_state
        return outputs.hidden_states[self.wrapped.layer_idx]
