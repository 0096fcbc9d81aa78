"""What ControlNet holds for the frames of a video, handed out to each call of the model.

ControlNet (1.1.455) makes its hints for the whole batch before sampling, and keeps those of a video on the CPU. Here
the originals stay where they are; a call gets copies of its own rows, and only they go to the accelerator, in few
bytes (`hint_store.py`). As long as the rows stay the same (a video that fits into one window, or the two branches of a
window one after the other), the copies stay too, with what ControlNet keeps beside them. Facts of its `forward` that
this rests on:

- Which rows are the prompt's it reads from the text conditions, whose first token it marks. They are cut with the
  rows of a call, so control modes find their rows in a cut call as in a whole one; an adapter's embeddings likewise.
- The setter of `hint_cond` makes it forget the latents and masks that it made from the last hint.
- In a hires fix it takes the hint whose height is nearest to that of x; `hr_hint_cond` on a tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from modules import devices
from motion_module.core.denoising.frame_rows import counts_for_all, picked, rows_of_call, uncond_rows_of_call
from motion_module.core.denoising.hint_store import HintStore
from motion_module.core.denoising.model_calls import AroundCall, ModelCall
from motion_module.core.denoising.slerp import travelled
from motion_module.core.module.attention import stretching
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.sparsectrl import temporal_layers
from motion_module.patching import changing, replaced
from motion_module.travel import Travel
from motion_module.webui.controlnet.row_weights import RowWeights
from motion_module.webui.host_types import Processing


class Lent(Protocol):
    """Something of ControlNet's that is handed out call by call; what was there comes back when its loan ends."""

    def give(self, call: ModelCall) -> None:
        """Make it fit the rows of a call."""


@contextmanager
def handed_out(
    p: Processing,
    control_params: Sequence[Any],
    travels: Mapping[int, Travel | None],
    weights: Mapping[int, Sequence[float]] = MappingProxyType({}),
    pe_stretch: int = 0,
) -> Iterator[AroundCall]:
    """For the length of one `p.sample`: hand out what ControlNet holds, call by call, and put it all back.

    Args:
        p: the host's processing object.
        control_params: ControlNet's, one for each unit.
        travels: index of a unit with several pictures -> from keyframe to keyframe, None where each frame has one.
        weights: index of a unit -> what its part in each frame is multiplied by; nothing for 1 everywhere.
        pe_stretch: so many positions of SparseCtrl's layers are spread over longer windows; 0 for none.

    Yields:
        What goes around each call of the model.

    Raises:
        HostError: (in a call) a hint has neither one row nor one for each frame.
    """
    lent: list[Lent] = []
    call_frames = CallFrames(frames=1)

    @contextmanager
    def around(call: ModelCall) -> Iterator[None]:
        for thing in lent:
            thing.give(call)
        with call_frames.running(call.frames):
            yield

    with ExitStack() as stack:
        for index, param in enumerate(control_params):
            lent += _lent_by(p, param, index in travels, travels.get(index), stack)
            lent += [RowWeights(param, weights[index], stack)] if index in weights else []
            if isinstance(param.control_model, torch.nn.Module):
                stack.enter_context(_told(temporal_layers(param.control_model), call_frames, pe_stretch))
        yield around


@contextmanager
def _told(layers: Sequence[MotionModule], call_frames: CallFrames, pe_stretch: int) -> Iterator[None]:
    """SparseCtrl's layers know how many frames a call has, and spread their positions as the motion module does."""
    with stretching(layers, pe_stretch), ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "call", call_frames))
        yield


def _lent_by(p: Processing, param: Any, several: bool, travel: Travel | None, loan: ExitStack) -> list[Lent]:
    lent: list[Lent] = [_Hint(p, param, loan)]
    kind = param.control_model_type.name
    if kind == "IPAdapter":
        adapter = param.control_model
        whole = _of_each_frame(param, travel, p.batch_size) if several else adapter.image_emb
        lent.append(_Embeddings(adapter, whole, loan))
    elif kind == "Controlllite":
        lent.append(_LiteImages(list(param.control_model.modules.values()), loan))
    return lent


class _Hint:
    """`hint_cond` and `hr_hint_cond` of a unit."""

    def __init__(self, p: Processing, param: Any, loan: ExitStack) -> None:
        self._p, self._param = p, param
        self._whole = {name: getattr(param, name) for name in ("hint_cond", "hr_hint_cond")}
        self._put = {name: loan.enter_context(changing(param, name)) for name in self._whole}
        self._stores: dict[str, HintStore] = {}  # of the pass that runs
        loan.callback(self._stores.clear)
        self._last: Any = None

    def give(self, call: ModelCall) -> None:
        name = self._used_in_this_pass()
        # Of a hint that counts for all ControlNet makes as many latents as the call has rows, and keeps them.
        cut = _are_pictures(self._whole[name])
        rows = rows_of_call(call, self._whole[name].shape[0]) if cut else []
        now = (name, tuple(rows) if cut else len(call.rows))
        if now == self._last:
            return
        self._last = now
        for each, whole in self._whole.items():
            self._put[each](whole)
        if cut:
            self._put[name](self._store(name, call).rows(rows))
        reset = getattr(self._param.control_model, "reset", None)
        if reset is not None and self._param.control_model_type.name == "T2I_Adapter":
            reset()  # it keeps what it made of the first hint

    def _store(self, name: str, call: ModelCall) -> HintStore:
        if name not in self._stores:
            self._stores.clear()
            self._stores[name] = _store_of(self._whole[name], call)
        return self._stores[name]

    def _used_in_this_pass(self) -> str:
        low, high = self._whole["hint_cond"], self._whole["hr_hint_cond"]
        if not (isinstance(low, Tensor) and isinstance(high, Tensor) and low.dim() == high.dim() == 4):
            return "hint_cond"
        hires = getattr(self._p, "is_hr_pass", False) or low.shape[2] == high.shape[2]
        return "hr_hint_cond" if hires else "hint_cond"


def _are_pictures(hint: Any) -> bool:
    """Whether a hint is pictures, one for each frame; what a face or a style has become has rows of another kind."""
    return isinstance(hint, Tensor) and hint.dim() == 4 and not counts_for_all(hint)


def _store_of(whole: Tensor, call: ModelCall) -> HintStore:
    return HintStore(whole, call.layout.frames, devices.get_device_for("controlnet"))


class _LiteImages:
    """The pictures in the modules of a Control-LLLite, which all hold the same one.

    Each module fetches its picture from where it is; so they go to the accelerator once, and not for each module.
    """

    def __init__(self, modules: Sequence[Any], loan: ExitStack) -> None:
        self._whole = [module.cond_image for module in modules]
        self._stores: dict[int, HintStore] = {}
        loan.callback(self._stores.clear)
        # The setter makes it forget what it made of the last one.
        self._put = [loan.enter_context(changing(module, "cond_image", module.set_cond_image)) for module in modules]
        self._rows: list[int] | None = None

    def give(self, call: ModelCall) -> None:
        if call.rows == self._rows:
            return
        self._rows = list(call.rows)
        cut: dict[int, Tensor] = {}
        for index, whole in enumerate(self._whole):
            if not counts_for_all(whole):
                if id(whole) not in cut:
                    store = self._stores.setdefault(id(whole), _store_of(whole, call))
                    cut[id(whole)] = store.rows(rows_of_call(call, whole.shape[0]))
                self._put[index](cut[id(whole)])


class _Embeddings:
    """The image embeddings of an IP-Adapter, and its cache of keys and values, which does not ask whose rows they are.

    They stay on the CPU, where ControlNet keeps the adapter's layers.
    """

    def __init__(self, adapter: Any, whole: Any, loan: ExitStack) -> None:
        self._whole = whole
        self._put_embeddings = loan.enter_context(changing(adapter, "image_emb"))
        self._put_cache = loan.enter_context(changing(adapter, "cache"))
        self._last: Any = None
        self._caches: dict[tuple[bool, ...], dict[str, Any]] = {}

    def give(self, call: ModelCall) -> None:
        whole, uncond_rows = self._whole, uncond_rows_of_call(call)
        cut = not counts_for_all(whole.cond_emb)
        now = tuple(call.rows) if cut else uncond_rows
        if now == self._last:
            return
        self._last = now
        if not cut:
            self._set(whole, self._caches.setdefault(uncond_rows, {}))
            return
        rows = rows_of_call(call, whole.cond_emb.shape[0])
        uncond = whole.uncond_emb
        uncond = uncond if counts_for_all(uncond) else picked(uncond, rows_of_call(call, uncond.shape[0]))
        self._set(whole._replace(cond_emb=picked(whole.cond_emb, rows), uncond_emb=uncond), {})

    def _set(self, embeddings: Any, cache: dict[str, Any]) -> None:
        self._put_embeddings(embeddings)
        self._put_cache(cache)


def _of_each_frame(param: Any, travel: Travel | None, frames: int) -> Any:
    """The embeddings of every frame's own picture, and between keyframes its share of two; ControlNet made the mean."""
    adapter = param.control_model
    outputs = param.hint_cond if isinstance(param.hint_cond, (list, tuple)) else [param.hint_cond]
    each = torch.cat([adapter.ipadapter.get_image_emb(output).cond_emb for output in outputs])
    if travel is not None:
        spread = torch.zeros(frames, *each.shape[1:], dtype=each.dtype, device=each.device)
        spread[list(travel.keys)] = each
        each = travelled(spread, travel.mixes())
    return adapter.image_emb._replace(cond_emb=each)
