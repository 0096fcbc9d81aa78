"""Five kinds of layers, changed for the whole process: they take networks in when called."""

from collections.abc import Callable
from typing import Any

import networks
import torch

LAYERS = (
    torch.nn.Linear,
    torch.nn.Conv2d,
    torch.nn.GroupNorm,
    torch.nn.LayerNorm,
    torch.nn.MultiheadAttention,
)


def _forward(original: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        networks.network_apply_weights(self)
        return original(self, *args, **kwargs)

    return forward


def _load_from_state_dict(original: Callable[..., Any]) -> Callable[..., Any]:
    def load(self: Any, *args: Any, **kwargs: Any) -> Any:
        networks.network_reset_cached_weight(self)
        return original(self, *args, **kwargs)

    return load


class LoraPatches:
    """The patches; made once, undone when scripts are unloaded."""

    def __init__(self) -> None:
        self.originals: list[tuple[type, str, Callable[..., Any]]] = []
        for layer in LAYERS:
            self._patch(layer, "forward", _forward)
            self._patch(layer, "_load_from_state_dict", _load_from_state_dict)

    def _patch(self, owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = getattr(owner, name)
        self.originals.append((owner, name, original))
        setattr(owner, name, wrap(original))

    def undo(self) -> None:
        """Put the original methods back."""
        for owner, name, original in self.originals:
            setattr(owner, name, original)
        self.originals.clear()
