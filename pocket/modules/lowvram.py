"""Moving parts of the model to the accelerator one at a time: never done here, where everything is on the CPU."""

from __future__ import annotations

from typing import Any


def is_needed(sd_model: Any) -> bool:
    """Whether a model should be moved in parts."""
    return False


def is_enabled(sd_model: Any) -> bool:
    """Whether a model is moved in parts."""
    return False


def apply(sd_model: Any) -> None:
    """Marks the model as not moved in parts."""
    sd_model.lowvram = False


def setup_for_low_vram(sd_model: Any, use_medvram: bool) -> None:
    """Would prepare a model for being moved in parts."""


def send_everything_to_cpu() -> None:
    """Everything is there already."""
