"""What the kinds of WebUI that come from AUTOMATIC1111's have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from modules import prompt_parser, sd_samplers_cfg_denoiser, sd_unet
from motion_module.errors import UserError
from motion_module.patching import replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Around, Loads, Processing, Wrapped


class CommonHost:
    """The part of `Host` that is done in the same way on each of them."""

    def check_unet(self) -> None:
        """TensorRT and its like are called past the layers, and would make unrelated pictures."""
        if getattr(sd_unet, "current_unet", None) is not None:
            label = getattr(sd_unet.current_unet_option, "label", "another one")
            raise UserError(
                f"AnimateDiff needs the checkpoint's own UNet, but {label} stands in for it; "
                f'set "SD Unet" to None in the settings'
            )

    @contextmanager
    def denoiser_callbacks(self, before: Around, after: Around) -> Iterator[None]:
        """All of them are called by these functions, which the denoiser has imported."""
        calls = {"cfg_denoiser_callback": before, "cfg_denoised_callback": after, "cfg_after_cfg_callback": after}
        with ExitStack() as stack:
            for name, around in calls.items():
                stack.enter_context(replaced_call(sd_samplers_cfg_denoiser, name, around))
            yield

    @contextmanager
    def noise_of_steps(self, p: Processing, change: Callable[[Tensor], None]) -> Iterator[None]:
        """Samplers draw from the run's own generators, or from k-diffusion's Brownian trees."""

        def draw(drawn: Wrapped, *of: Any, **how: Any) -> Tensor:
            noise: Tensor = drawn(*of, **how)
            change(noise)
            return noise

        def plant(planted: Wrapped, *of: Any, **how: Any) -> Wrapped:
            return partial(draw, planted(*of, **how))

        trees = sys.modules["k_diffusion.sampling"], "BrownianTreeNoiseSampler"
        with replaced_call(p.rng, "next", given_original(draw)), replaced_call(*trees, given_original(plant)):
            yield


def negatives_stacked(padded: Callable[[list[Any]], list[Any]]) -> AbstractContextManager[Any]:
    """The host stacks positive prompts of different lengths, but not negative ones.

    Args:
        padded: conditions of different lengths, in one length.
    """

    def stack(stacked: Loads, schedules: Any, step: int) -> Any:
        conds = [item.cond for schedule in schedules for item in schedule]
        made = iter(padded(conds))
        return stacked([[item._replace(cond=next(made)) for item in schedule] for schedule in schedules], step)

    return replaced_call(prompt_parser, "reconstruct_cond_batch", given_original(stack))
