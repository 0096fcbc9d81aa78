"""What the WebUI changes in a loaded model: long prompts, tiling, sizes that are multiples of 8, quicker attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import interpolate, scaled_dot_product_attention

from modules import sd_hijack_clip, sd_hijack_open_clip, shared, torch_compat  # noqa: F401  (torch_compat comes before ldm)

import ldm.models.diffusion.ddpm  # isort: skip
import ldm.modules.attention  # isort: skip
import ldm.modules.diffusionmodules.model  # isort: skip
import ldm.modules.diffusionmodules.openaimodel  # isort: skip
import ldm.util  # isort: skip


XL_WRAPPERS = {
    "FrozenCLIPEmbedder": sd_hijack_clip.FrozenCLIPEmbedderForSDXLWithCustomWords,
    "FrozenOpenCLIPEmbedder2": sd_hijack_open_clip.FrozenOpenCLIPEmbedder2WithCustomWords,
}
"""What an SDXL model's text encoders are wrapped in, by the class that its configuration names."""


class NoEmbeddings:
    """Stands for the textual-inversion database: there are none, and no word is one."""

    def __init__(self) -> None:
        self.word_embeddings: dict[str, Any] = {}
        self.skipped_embeddings: dict[str, Any] = {}
        self.embedding_dirs: dict[str, Any] = {}
        self.ids_lookup: dict[int, Any] = {}

    def add_embedding_dir(self, path: str) -> None:
        """Embeddings are not read; the folder is not kept."""

    def load_textual_inversion_embeddings(self, force_reload: bool = False) -> None:
        """Nothing to load."""

    def find_embedding_at_position(self, tokens: Sequence[int], offset: int) -> tuple[None, None]:
        """No embedding begins at any token."""
        return None, None


class StableDiffusionModelHijack:
    """Changes to the model in use, and what its text encoder has to tell about the current prompts.

    Attributes:
        comments: remarks about the prompts, shown below the picture.
        extra_generation_params: entries that encoding the prompts adds to the infotext.
        clip: the text encoder in use, or None.
        layers: all modules of the model in use, or None.
        circular_enabled: whether pictures are made to tile.
    """

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.extra_generation_params: dict[str, Any] = {}
        self.embedding_db = NoEmbeddings()
        self.fixes: list[Any] | None = None
        self.layers: list[torch.nn.Module] | None = None
        self.clip: Any = None
        self.circular_enabled = False
        self.optimization_method = "sdp"

    def hijack(self, m: Any) -> None:
        """Gives a freshly loaded model long-prompt text encoders."""
        if m.is_sdxl:
            embedders = m.conditioner.embedders
            for place, embedder in enumerate(embedders):
                wrapper = XL_WRAPPERS.get(type(embedder).__name__)
                if wrapper is not None:
                    embedders[place] = wrapper(embedder, self)
        else:
            m.cond_stage_model = sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(m.cond_stage_model, self)
        self.clip = m.cond_stage_model
        self.layers = list(m.modules())

    def undo_hijack(self, m: Any) -> None:
        """Gives the model its own text encoders back and forgets it."""
        if m.is_sdxl:
            embedders = m.conditioner.embedders
            for place, embedder in enumerate(embedders):
                embedders[place] = getattr(embedder, "wrapped", embedder)
        elif isinstance(m.cond_stage_model, sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords):
            m.cond_stage_model = m.cond_stage_model.wrapped
        self.apply_circular(False)
        self.layers = None
        self.clip = None

    def redo_hijack(self, m: Any) -> None:
        """Undoes and repeats the changes."""
        self.undo_hijack(m)
        self.hijack(m)

    def apply_circular(self, enable: bool) -> None:
        """Makes all convolutions wrap around (tiling), or not."""
        if self.circular_enabled == enable:
            return
        self.circular_enabled = enable
        for layer in self.layers or []:
            if type(layer) is torch.nn.Conv2d:
                layer.padding_mode = "circular" if enable else "zeros"

    def clear_comments(self) -> None:
        """Forgets remarks and infotext entries of the last prompts."""
        self.comments = []
        self.extra_generation_params = {}

    def get_prompt_lengths(self, text: str) -> tuple[int | str, int | str]:
        """Tokens of a prompt and how many fit into its chunks; dashes while no model is loaded."""
        if self.clip is None:
            return "-", "-"
        _, count = self.clip.process_texts([text])
        return count, self.clip.get_target_prompt_token_count(count)


model_hijack = StableDiffusionModelHijack()


class _TorchWithResizingCat:
    """Stands for torch inside ldm's UNet: `cat` first brings the skip connection to the other's size.

    Halving and doubling again gives another size where latents are not multiples of 8.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def cat(self, tensors: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
        """torch.cat; of two tensors, the first is resized to the second's height and width."""
        if len(tensors) == 2 and tensors[0].shape[-2:] != tensors[1].shape[-2:]:
            tensors = (interpolate(tensors[0], tensors[1].shape[-2:], mode="nearest"), tensors[1])
        return torch.cat(tensors, *args, **kwargs)


def cross_attention_forward(
    self: Any, x: torch.Tensor, context: torch.Tensor | None = None, mask: torch.Tensor | None = None, **kwargs: Any
) -> torch.Tensor:
    """ldm's CrossAttention with torch's own attention: (b, n, channels), context (b, m, width), mask (b, m)."""
    source = x if context is None else context
    q, k, v = (
        layer(value).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # b heads tokens channels
        for layer, value in ((self.to_q, x), (self.to_k, source), (self.to_v, source))
    )
    if mask is not None:
        mask = mask.flatten(1)[:, None, None, :]
    attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return self.to_out(attended.transpose(1, 2).flatten(2))


def vae_attention_forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    """ldm's AttnBlock of the VAE with torch's own attention: (b, c, h, w), one head."""
    normed = self.norm(x)
    q, k, v = (layer(normed).flatten(2).transpose(1, 2).contiguous() for layer in (self.q, self.k, self.v))
    attended = scaled_dot_product_attention(q, k, v)  # b pixels c
    return x + self.proj_out(attended.transpose(1, 2).reshape(x.shape))


ldm.modules.diffusionmodules.openaimodel.th = _TorchWithResizingCat()
ldm.modules.attention.CrossAttention.forward = cross_attention_forward
ldm.modules.diffusionmodules.model.AttnBlock.forward = vae_attention_forward
ldm.modules.diffusionmodules.model.nonlinearity = torch.nn.functional.silu

for _chatty in (ldm.modules.attention, ldm.modules.diffusionmodules.model, ldm.models.diffusion.ddpm, ldm.util):
    _chatty.print = shared.ldm_print  # sizes of every layer, told while a model is built
