"""The numbers of the host's own fields, of which it checks none: it fails while it samples, or makes nothing."""

from __future__ import annotations

from motion_module.errors import ParamError
from motion_module.webui.host_types import Processing
from motion_module.wording import value_text

_MOST = 1_000_000_000
_SMALLEST_SIDE = 8  # pixels, of which latents have one
_LIMITS = {  # field -> the least and the most
    "n_iter": (1, _MOST),
    "steps": (1, _MOST),
    "hr_second_pass_steps": (0, _MOST),
    "width": (_SMALLEST_SIDE, _MOST),
    "height": (_SMALLEST_SIDE, _MOST),
    "seed": (-(2**63), 2**64 - 1),  # as torch takes them
}


def check_numbers(p: Processing) -> None:
    """See that a run can have these numbers of steps, videos and pixels, and this seed.

    Raises:
        ParamError: one is too small or too large.
    """
    for name, (least, most) in _LIMITS.items():
        value = getattr(p, name, None)
        if isinstance(value, int) and not least <= value <= most:
            raise ParamError(f"{name} is {value_text(value)}; allowed is a whole number from {least:,} to {most:,}")
