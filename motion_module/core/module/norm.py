"""GroupNorm over all frames of a video, which the UNet was given when AnimateDiff v1 and HotShot-XL were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.patching import replaced_call


def layers_named(unet: nn.Module, name: str) -> list[nn.Module]:
    """The layers of a UNet whose class, or a class that it is made from, has this name."""
    return [part for part in unet.modules() if any(base.__name__ == name for base in type(part).__mro__)]


def norms_of_blocks(unet: nn.Module) -> list[nn.Module]:
    """Those of the ResBlocks, and the one before the last layer, by their places."""
    blocks: list[Any] = [part for part in unet.modules() if hasattr(part, "in_layers") and hasattr(part, "out_layers")]
    last: Any = unet.out
    return [*(norm for block in blocks for norm in (block.in_layers[0], block.out_layers[0])), last[0]]


@contextmanager
def norms_over_frames(norms: Iterable[nn.Module], call: CallFrames) -> Iterator[None]:
    """These very norms of a UNet take their statistics over (c/g, f, h, w) of one copy meanwhile."""
    with ExitStack() as stack:
        for norm in norms:
            stack.enter_context(replaced_call(norm, "forward", partial(_over_frames, call)))
        yield


def _over_frames(call: CallFrames, per_frame: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if call.resting:
            return per_frame(x)
        copies = call.copies(x.shape[0])
        together = rearrange(x, "(b f) c h w -> b c f h w", b=copies)
        return rearrange(per_frame(together), "b c f h w -> (b f) c h w")

    return forward
