"""What Forge's ControlNets add to the UNet, for the rows of one call of it.

Forge asks them once for all rows of a denoiser call, some 13 MB a row at 512x512 in half precision, and before it comes
to the UNet. A video in windows asks for the rows of each window, when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from backend.sampling import sampling_function
from torch import Tensor

from motion_module.patching import assign, preserved, replaced, replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Wrapped

_OF_FRAMES = ("cond_hint_original", "advanced_mask_weighting", "advanced_frame_weighting")
_MADE_OF_THEM = ("cond_hint", "control_input")  # which Forge keeps for the rows of the last call


class LazyControl:
    """Stands for what a chain of ControlNets would add.

    Args:
        get_control: Forge's, of the chain's head.
        head: the last ControlNet; each knows the one before it.
        x: `(rows, c, h, w)`, noisy latents.
        sigmas: `(rows,)`.
        cond: what the UNet is given besides.
    """

    def __init__(self, get_control: Wrapped, head: Any, x: Tensor, sigmas: Tensor, cond: Mapping[str, Any]) -> None:
        self._get_control, self._head = get_control, head
        self._x, self._sigmas, self._cond = x, sigmas, cond

    def of_rows(self, rows: Sequence[int], options: Mapping[str, Any]) -> Any:
        """What is added to these rows, as the UNet takes it.

        Args:
            rows: frames of one branch, then of another; none for all rows in their order.
            options: what Forge tells the layers about them.
        """
        branches, frames = len(options["cond_or_uncond"]), len(self._sigmas) // len(self._sides())
        if not rows:
            return self._get_control(self._x, self._sigmas, dict(self._cond), branches)
        of_branch = [row % frames for row in rows[: len(rows) // branches]]
        index = torch.tensor(rows, device=self._x.device)
        cond = {name: _picked(value, index, len(self._x)) for name, value in self._cond.items()}
        with ExitStack() as stack:
            for controlnet in _chain(self._head):
                stack.enter_context(_cut(controlnet, of_branch, frames))
                stack.enter_context(replaced(controlnet, "transformer_options", options))
            return self._get_control(self._x[index], self._sigmas[index], cond, branches)

    def _sides(self) -> Sequence[int]:
        sides: Sequence[int] = self._head.transformer_options["cond_or_uncond"]
        return sides


def lazily() -> AbstractContextManager[Any]:
    """Inside the block Forge's ControlNets are asked when the UNet is called."""

    def calculated(original: Wrapped, model: Any, cond: Any, uncond: Any, x: Tensor, *args: Any) -> Any:
        heads = {id(part["control"]): part["control"] for part in [*cond, *(uncond or [])] if "control" in part}
        with ExitStack() as stack:
            for head in heads.values():
                stack.enter_context(replaced_call(head, "get_control", _standing_for(head, x.shape)))
            return original(model, cond, uncond, x, *args)

    return replaced_call(sampling_function, "calc_cond_uncond_batch", given_original(calculated))


def _standing_for(head: Any, whole: torch.Size) -> Callable[[Wrapped], Wrapped]:
    """Another extension that works on tiles gives it those of their pictures, and wants its part at once."""

    def of(get_control: Wrapped) -> Wrapped:
        def lazy(x: Tensor, sigmas: Tensor, cond: Mapping[str, Any], batched_number: int) -> Any:
            if x.shape[1:] != whole[1:]:
                return get_control(x, sigmas, cond, batched_number)
            return LazyControl(get_control, head, x, sigmas, cond)

        return lazy

    return of


@contextmanager
def _cut(controlnet: Any, frames: Sequence[int], of: int) -> Iterator[None]:
    """Its pictures, masks and weights of some frames of a video."""
    with ExitStack() as stack:
        for name in _OF_FRAMES:
            whole = getattr(controlnet, name, None)
            if isinstance(whole, (Tensor, list)) and len(whole) == of:
                cut = whole[list(frames)] if isinstance(whole, Tensor) else [whole[frame] for frame in frames]
                stack.enter_context(replaced(controlnet, name, cut))
        made = [name for name in _MADE_OF_THEM if hasattr(controlnet, name)]
        stack.enter_context(preserved(controlnet, *made))
        assign(controlnet, **dict.fromkeys(made))  # Forge makes it anew for the rows of the call
        yield


def _chain(head: Any) -> Iterator[Any]:
    while head is not None:
        yield head
        head = head.previous_controlnet


def _picked(value: Any, index: Tensor, rows: int) -> Any:
    return value[index.to(value.device)] if isinstance(value, Tensor) and value.dim() and len(value) == rows else value
