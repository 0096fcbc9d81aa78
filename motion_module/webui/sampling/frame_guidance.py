"""The CFG scale of each frame while the host samples, where that travels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from motion_module.errors import UserError
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.webui.sampling.neighbours import extension_of
from motion_module.webui.sampling.samplers import each_pass
from motion_module.wording import mention


def guiding(p: Processing, scales: Sequence[float]) -> AbstractContextManager[None]:
    """Every sampler that `p` uses inside the block guides frame i by `scales[i]`; none changes nothing."""
    if not scales:
        return nullcontext()
    return each_pass(p, lambda sampler, _: functools.partial(_pass, p, sampler, scales))


def _pass(
    p: Processing, sampler: Any, scales: Sequence[float], original: Callable[..., Tensor], *args: Any, **kwargs: Any
) -> Tensor:
    """Others have put their own way there by now, if they do: when a sampler is made, or before each pass.

    Raises:
        UserError: another extension weighs the branches; names it.
    """
    other = host.guidance_of_others(sampler)
    if other is not None:
        who = extension_of(other) or "another extension"
        raise UserError(
            f"{mention('cfg_travel')} does not work beside {who}, which weighs prompt and negative prompt in its own "
            f"way; leave it empty, or turn that extension off for this video"
        )
    with host.guidance(sampler, scales, p.cfg_scale):
        return original(*args, **kwargs)
