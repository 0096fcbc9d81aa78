"""The sampling passes of one run: each sampler's own methods are replaced as soon as the host has made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from modules import sd_samplers
from motion_module.patching import replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Processing

OfPass = Callable[[Any, str], Callable[..., Any]]
"""`(sampler, name of its method)` -> what is called in its place, with the method as the first argument."""

SAMPLE, SAMPLE_IMG2IMG = "sample", "sample_img2img"
"""The methods of a sampler: `(p, x, ...)` from noise x, `(p, x, noise, ...)` from latents x and noise."""


@contextmanager
def each_pass(p: Processing, of_pass: OfPass) -> Iterator[None]:
    """Inside the block every pass of every sampler that `p` uses goes to what `of_pass` makes.

    img2img has its sampler already; txt2img and hires fix make theirs inside `p.sample`.
    """
    with ExitStack() as stack:

        def change(sampler: Any) -> None:
            for name in (SAMPLE, SAMPLE_IMG2IMG):
                stack.enter_context(replaced_call(sampler, name, given_original(of_pass(sampler, name))))

        def create_sampler(create: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            sampler = create(*args, **kwargs)
            change(sampler)
            return sampler

        if getattr(p, "sampler", None) is not None:
            change(p.sampler)
        stack.enter_context(replaced_call(sd_samplers, "create_sampler", given_original(create_sampler)))
        yield
