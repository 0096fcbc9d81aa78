"""What `(word:1.2)` does to the text encoder's output: the choices of the setting "Emphasis mode"."""

from __future__ import annotations

import torch


class Emphasis:
    """A way to apply the weights of a prompt's words.

    Attributes:
        tokens: token ids of the chunk, (batch, 77) as lists.
        multipliers: weight of each token, (batch, 77).
        z: output of the text encoder, (batch, 77, width); changed in place of its name by `after_transformers`.
    """

    name: str = "Base"
    description: str = ""

    tokens: list[list[int]]
    multipliers: torch.Tensor
    z: torch.Tensor

    def after_transformers(self) -> None:
        """Applies the weights to `z`; the base leaves it alone."""


class EmphasisNone(Emphasis):
    """Brackets are ordinary characters; the tokeniser is told so by the chunker."""

    name = "None"
    description = "brackets and weights are read as ordinary characters"


class EmphasisIgnore(Emphasis):
    """Brackets are taken out of the text, their weights are dropped."""

    name = "Ignore"
    description = "brackets are taken out, weights have no effect"


class EmphasisOriginalNoNorm(Emphasis):
    """Each token's vector is multiplied by its weight."""

    name = "No norm"
    description = "each word's vector is multiplied by its weight, without rescaling"

    def after_transformers(self) -> None:
        """Multiplies each token's vector by its weight."""
        self.z = self.z * self.multipliers.unsqueeze(-1)


class EmphasisOriginal(EmphasisOriginalNoNorm):
    """As `No norm`, then the whole chunk is scaled back to its former mean."""

    name = "Original"
    description = "each word's vector is multiplied by its weight, then the chunk gets its mean back"

    def after_transformers(self) -> None:
        """Multiplies each token's vector by its weight and restores the mean over the whole batch."""
        mean_before = self.z.mean()
        super().after_transformers()
        self.z = self.z * (mean_before / self.z.mean())


options: list[type[Emphasis]] = [EmphasisNone, EmphasisIgnore, EmphasisOriginal, EmphasisOriginalNoNorm]


def get_current_option(emphasis_option_name: str) -> type[Emphasis]:
    """The emphasis of that name; "Original" where there is none."""
    return next((option for option in options if option.name == emphasis_option_name), EmphasisOriginal)


def get_options_descriptions() -> str:
    """One line that explains all choices, for the settings page."""
    return ", ".join(f"{option.name}: {option.description}" for option in options)
