"""A weight per frame: what a ControlNet unit adds to each row is multiplied by the number of the row's frame.

Facts of sd-webui-controlnet 1.1.455 that this rests on: a unit has one weight for all rows. What it adds passes,
weighed, through `apply_effective_region_mask`: of its `ControlParams` where a network or a T2I-Adapter adds to the
UNet's values, of the model itself where an IP-Adapter adds to the attention. Each of a Control-LLLite's modules returns
what it adds. The number comes beside the unit's own weight, its control mode and its weights by layer, which stay.
Other kinds take one weight for the whole call: it is compared with each layer's place (reference), is a share of the
finished output (colorfix, inpaint_only), or weighs a vector (revision) or tokens (style) that nothing is added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from motion_module.core.denoising.model_calls import ModelCall
from motion_module.core.module.call_frames import times
from motion_module.errors import HostError, ParamError
from motion_module.patching import replaced_call
from motion_module.stand_in import Call

_WEIGHED = "apply_effective_region_mask"
_ADDING = ("ControlNet", "ControlLoRA", "ControlNetUnion", "InstantID", "T2I_Adapter")  # by their `ControlParams`
_WITH_ONE_WEIGHT = ("reference", "revision", "colorfix", "inpaint_only", "clipvision", "clip_vision")


def check_preprocessor(number: int, line: str, module: str) -> None:
    """See that a unit with this preprocessor can have a weight for each frame, as far as its name tells.

    Args:
        number: which unit it is, from 0.
        line: that asks for it, such as `weight:`.
        module: the preprocessor, as ControlNet compares it.

    Raises:
        ParamError: it has one weight for all frames.
    """
    if any(name in module.lower() for name in _WITH_ONE_WEIGHT):
        raise ParamError(
            f"{line} of ControlNet unit {number} does not work with the preprocessor {module[:80]}, which has one "
            f"weight for all frames; leave the line out, or choose another preprocessor"
        )


def check_kind(number: int, line: str, param: Any) -> None:
    """As `check_preprocessor`, once ControlNet has loaded the unit's model.

    Args:
        number, line: as there.
        param: the unit's `ControlParams`; None where ControlNet has none.

    Raises:
        ParamError: its kind has one weight for all frames.
    """
    if not _weighed_calls(param):
        kind = getattr(getattr(param, "control_model_type", None), "name", "none")
        raise ParamError(
            f"{line} of ControlNet unit {number} does not work with a model of its kind ({kind}), which has one weight "
            f"for all frames; leave the line out, or choose another model"
        )


class RowWeights:
    """What a unit adds, multiplied row by row for the length of a loan.

    Args:
        param: the unit's `ControlParams`, of a kind that `check_kind` lets through.
        values: the number of each frame of the video.
        loan: in which it is changed.
    """

    def __init__(self, param: Any, values: Sequence[float], loan: ExitStack) -> None:
        self._values = values
        self._rows: list[float] = []
        self._factors: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}
        for owner, name in _weighed_calls(param):
            loan.enter_context(replaced_call(owner, name, self._weighed))

    def give(self, call: ModelCall) -> None:
        """The next call of the model has these rows."""
        rows = [self._values[call.layout.frame_of(row)[0]] for row in call.rows]
        if rows != self._rows:
            self._rows, self._factors = rows, {}

    def _weighed(self, original: Call) -> Call:
        def weighed(*args: Any, **kwargs: Any) -> Tensor:
            added: Tensor = original(*args, **kwargs)
            return times(added, self._factor(added))

        return weighed

    def _factor(self, added: Tensor) -> Tensor:
        """`(rows, 1, ...)` for `added: (rows, ...)` or, where it is the same for all rows, `(1, ...)`; made once."""
        if added.shape[0] not in (1, len(self._rows)):
            raise HostError(f"ControlNet adds to {added.shape[0]} rows in a call of {len(self._rows)}")
        key = added.dim(), added.device, torch.promote_types(added.dtype, torch.float32)
        if key not in self._factors:
            factor = torch.tensor(self._rows, dtype=key[2], device=added.device)
            self._factors[key] = factor.view(-1, *[1] * (added.dim() - 1))
        return self._factors[key]


def _weighed_calls(param: Any) -> list[tuple[Any, str]]:
    """The calls that return what a unit adds: their owners and names; none where its kind has none."""
    kind = getattr(getattr(param, "control_model_type", None), "name", "")
    if kind == "Controlllite":
        return [(module, "forward") for module in param.control_model.modules.values()]
    owner = param.control_model if kind == "IPAdapter" else param if kind in _ADDING else None
    return [(owner, _WEIGHED)] if hasattr(owner, _WEIGHED) else []
