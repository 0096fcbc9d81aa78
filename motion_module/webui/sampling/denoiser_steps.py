"""Which step of the sampler a call of its denoiser belongs to."""

from __future__ import annotations

from typing import Any

from motion_module.webui.host_types import Denoiser


def step_of(denoiser: Denoiser) -> int:
    """The step that a denoiser call belongs to, from 1; the host's state counts the steps that are over, less one."""
    over = denoiser.step * denoiser.steps // denoiser.total_steps  # some samplers call twice in each step,
    return min(over + 1, denoiser.steps)  # and some in the first one alone


def calls_of(denoiser: Any) -> int:
    """How often a sampler calls its denoiser: those that do so twice in each step do it once in the last one."""
    twice = denoiser.total_steps > denoiser.steps
    return int(denoiser.total_steps) - twice
