"""GroupNorm over all frames of a video, which the UNet was given when AnimateDiff v1 and HotShot-XL were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from einops import rearrange
from torch import Tensor, nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.patching import replaced_call

_NAME = "GroupNorm32"  # of ldm and of sgm, which are two classes; used in their ResBlocks and before the last layer


@contextmanager
def norms_over_frames(unet: nn.Module, call: CallFrames) -> Iterator[None]:
    """Every `GroupNorm32` of this very UNet takes its statistics over (c/g, f, h, w) of one copy meanwhile."""
    with ExitStack() as stack:
        for module in unet.modules():
            if any(base.__name__ == _NAME for base in type(module).__mro__):
                stack.enter_context(replaced_call(module, "forward", partial(_over_frames, call)))
        yield


def _over_frames(call: CallFrames, per_frame: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        copies = call.copies(x.shape[0])
        together = rearrange(x, "(b f) c h w -> b c f h w", b=copies)
        return rearrange(per_frame(together), "b c f h w -> (b f) c h w")

    return forward
