"""The text encoder: CLIP's own transformer and tokeniser, with a table of only the tokens that captions use.

All other tokens share one row, "unknown", also when the table is written out in full.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from modules.sd_text_encoder import make_tokenizer
from train.captions import vocabulary

WIDTH, LAYERS, HEADS, POSITIONS = 40, 2, 4, 77
FULL_VOCABULARY = 49408
_BEGIN, _END = 49406, 49407
_TABLE = "text_model.embeddings.token_embedding.weight"


class TextEncoder(nn.Module):
    """Captions -> `b 77 c`, the last hidden state, padded with end tokens as the WebUI does."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = used_tokens()
        self.rows = {token: row for row, token in enumerate(self.tokens)}
        config = CLIPTextConfig(
            vocab_size=len(self.tokens) + 1,  # the last row is "unknown"
            hidden_size=WIDTH,
            intermediate_size=WIDTH * 4,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=POSITIONS,
            hidden_act="quick_gelu",
        )
        self.transformer = CLIPTextModel(config)
        with torch.no_grad():
            self.transformer.text_model.embeddings.token_embedding.weight.normal_(0, 0.5)
            # the WebUI's emphasis divides by the mean of the output, which must stay away from zero
            self.transformer.text_model.final_layer_norm.bias.fill_(0.3)

    def forward(self, captions: Sequence[str]) -> Tensor:
        """Rows of up to 75 tokens; what is longer is cut."""
        ids = torch.tensor([self._ids(caption) for caption in captions], device=next(self.parameters()).device)
        return self.transformer(input_ids=ids).last_hidden_state

    def _ids(self, caption: str) -> list[int]:
        unknown = len(self.tokens)
        tokens = make_tokenizer()(caption, add_special_tokens=False).input_ids[: POSITIONS - 2]
        tokens = [_BEGIN, *tokens] + [_END] * (POSITIONS - 1 - len(tokens))
        return [self.rows.get(token, unknown) for token in tokens]

    def full_state(self) -> dict[str, Tensor]:
        """The transformer's weights with a row for each of CLIP's 49,408 tokens."""
        state = {name: value for name, value in self.transformer.state_dict().items() if "position_ids" not in name}
        small = state[_TABLE]
        full = small[-1:].repeat(FULL_VOCABULARY, 1)
        full[torch.tensor(self.tokens)] = small[:-1]
        return {**state, _TABLE: full}


def used_tokens() -> list[int]:
    """Tokens with a row of their own, ascending."""
    tokenizer = make_tokenizer()
    found = {token for text in vocabulary() for token in tokenizer(text, add_special_tokens=False).input_ids}
    return sorted(found | {_BEGIN, _END})
