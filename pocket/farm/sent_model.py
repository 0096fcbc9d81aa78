"""The UNet of a video, with its motion layers and LoRA, as it is sent to a worker and held there.

What is sent are the very layers and weights that the host samples with. What somebody has put into them (functions in
the place of a layer's own, hooks) cannot be sent; only the norms that go over all frames are put in again there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import pickle
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.norm import norms_over_frames
from motion_module.stand_in import MISSING, StandIn

_LORA = "network_"  # attributes of the host's LoRA extension, whose changes are in the weights
_FORWARD_HOOKS = {"_forward_hooks", "_forward_pre_hooks"}
_PLAIN = (bool, int, float, str, tuple, torch.dtype)
_PROTOCOL = 5  # the first one whose large parts need no copy


class UnsentError(Exception):
    """Something in the UNet cannot be sent; the message says what, for the middle of a sentence."""


class Rows(NamedTuple):
    """Values of rows, of which many are alike: a prompt is the same for each frame.

    Attributes:
        values: `(n, ...)`, those that follow upon another.
        of_rows: which of them each row has.
    """

    values: Tensor
    of_rows: Tensor


class HeldModel:
    """The model that a worker holds; made from what was sent when it is first called.

    Args:
        head, parts: a pickle, and the large parts that lie outside of it; the weights share their memory.
        key: the same for the same layers and weights.
    """

    def __init__(self, head: bytes, parts: list[np.ndarray], key: str) -> None:
        self.head, self.parts, self.key = head, parts, key
        self._lock = threading.Lock()  # a worker may have more than one thread, and there is one model

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldModel, (self.head, self.parts, self.key)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.head) + sum(part.nbytes for part in self.parts)

    @cached_property
    def _whole(self) -> tuple[nn.Module, CallFrames, torch.autocast]:
        import_libraries()
        wrapper, frames, norms, half = pickle.loads(self.head, buffers=self.parts)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.backends.cudnn.allow_tf32 = False  # this process calculates with all bits
        self._stack = ExitStack()
        self._stack.enter_context(norms_over_frames(norms, frames))  # for as long as the model is held
        return wrapper.to(device), frames, torch.autocast(device.type, half or torch.float16, enabled=half is not None)

    @torch.inference_mode()
    def __call__(self, frames: int, shown: list[int], resting: bool, x: Tensor, t: Tensor, cond: Any) -> Tensor:
        """What the model says of a window, on the CPU.

        Args:
            frames: of each copy of the window.
            shown: the frame of the video that each row shows.
            resting: whether the motion module is to be left out.
            x: `(rows, c, h, w)`.
            t: `(rows,)`.
            cond: as the host's model takes it, with `Rows` in the place of tensors.
        """
        with self._lock:
            return self._made(frames, shown, resting, x, t, cond)

    def _made(self, frames: int, shown: list[int], resting: bool, x: Tensor, t: Tensor, cond: Any) -> Tensor:
        wrapper, call, autocast = self._whole
        device = next(wrapper.parameters()).device
        call.rest(resting)
        given = _each(cond, Rows, lambda rows: rows.values.to(device)[rows.of_rows.to(device)])
        with call.running(frames, shown if call.travels else ()), autocast:
            out: Tensor = _applied(wrapper, x.to(device), t.to(device), given)
        return out.cpu()


def import_libraries() -> None:
    """What a held model needs, with the host's changes of ldm's layers; what they say of each other is left out."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        importlib.import_module("modules.sd_hijack")


def _applied(wrapper: nn.Module, x: Tensor, t: Tensor, cond: Any) -> Tensor:
    """As the host's `apply_model` calls it, for SDXL and for SD1.x."""
    if isinstance(cond, Mapping) and "crossattn" in cond:
        return wrapper(x, t, cond)
    if isinstance(cond, Mapping):
        return wrapper(x, t, **cond)
    key = "c_concat" if getattr(wrapper, "conditioning_key", "") == "concat" else "c_crossattn"
    return wrapper(x, t, **{key: cond if isinstance(cond, list) else [cond]})


def packed(wrapper: nn.Module, frames: CallFrames) -> HeldModel:
    """The model as it is now.

    Args:
        wrapper: what holds the UNet in the host's model, and hands the conditions to it.
        frames: shared with its motion layers.

    Raises:
        UnsentError: something that is in the UNet cannot be sent.
    """
    half = _half(next(wrapper.parameters()).device)
    norms = [part for part in wrapper.modules() if isinstance(part, nn.GroupNorm) and _stands_in(part)]
    head, parts = io.BytesIO(), []
    pickler = _Pickler(head, _PROTOCOL, buffer_callback=lambda part: parts.append(np.frombuffer(part, np.uint8)))
    try:
        pickler.dump((wrapper, frames, norms, half))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UnsentError(f"a part of the UNet cannot be sent ({error})") from error
    return HeldModel(head.getvalue(), parts, _key(wrapper, frames, half, parts))


def _half(device: torch.device) -> torch.dtype | None:
    """The dtype of autocast in this thread, if it is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def _key(wrapper: nn.Module, frames: CallFrames, half: torch.dtype | None, parts: list[np.ndarray]) -> str:
    """A hash of what is calculated; that of the pickle would change with what else there is in memory."""
    digest = hashlib.sha256(repr((half, *_strengths(frames))).encode())
    for name, module in wrapper.named_modules():
        digest.update(repr((name, type(module).__qualname__, _settings(module))).encode())
    for name, value in wrapper.state_dict().items():
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def signature(wrapper: nn.Module, frames: CallFrames) -> tuple[Any, ...]:
    """Another one after every change of what is calculated: layers, weights, strengths, and what others put in; cheap.

    Arguments as in `packed`.
    """
    values = [*wrapper.parameters(), *wrapper.buffers()]
    half = _half(values[0].device) if values else None
    return (
        tuple(_looks(part) for part in wrapper.modules()),
        tuple((id(value), value.data_ptr(), 0 if value.is_inference() else value._version) for value in values),
        (id(frames), half, *_strengths(frames), *((name, *weights) for name, weights in frames.weights.items())),
    )


def _looks(module: nn.Module) -> tuple[Any, ...]:
    """A layer without its weights: its kind, its settings, and which functions stand in it."""
    own = vars(module)
    hooks = tuple(id(hook) for name in _FORWARD_HOOKS for hook in own.get(name, {}).values())
    put_in = tuple((name, id(value)) for name, value in own.items() if _is_put_in(module, name, value))
    return id(module), type(module), _settings(module), hooks, put_in


def _settings(module: nn.Module) -> tuple[tuple[str, str], ...]:
    own = {name: value for name, value in vars(module).items() if not name.startswith(_LORA)}
    return tuple((name, repr(value)) for name, value in sorted(own.items()) if isinstance(value, _PLAIN))


def _strengths(frames: CallFrames) -> tuple[Any, ...]:
    return (
        frames.motion_scale, frames.effect, tuple(frames.motion_scales), tuple(frames.effects), tuple(frames.levels)
    )  # fmt: skip


def sent_rows(cond: Any) -> Any:
    """Conditions with `Rows` in the place of tensors."""
    return _each(cond, Tensor, _rows)


def compact(value: Tensor) -> Tensor:
    """The values on the CPU, without what else there is in memory of which they are a part."""
    value = value.detach().cpu()
    return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value


def _rows(value: Tensor) -> Rows:
    value = compact(value)
    if not value.numel():
        return Rows(value, torch.arange(len(value)))
    values, of_rows = torch.unique_consecutive(value, return_inverse=True, dim=0)
    return Rows(values, of_rows)


def _each(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested dicts and lists, with something else in the place of what is of a kind."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each(item, kind, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each(item, kind, change) for item in value]
    return value


class _Pickler(pickle.Pickler):
    """Takes layers apart into what is theirs, and tensors into their bytes."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, nn.Module):
            return _made_module, (type(value),), _own_state(value)
        if isinstance(value, Tensor):
            return _sent_tensor(value)
        return NotImplemented


def _made_module(kind: type[nn.Module]) -> nn.Module:
    return kind.__new__(kind)


def _own_state(module: nn.Module) -> dict[str, Any]:
    """What a layer is made of, without what others have put there.

    Raises:
        UnsentError: without that it would be another layer.
    """
    state = {}
    for name, value in vars(module).items():
        what = f"{name} of a {type(module).__name__}"
        if name.endswith("_hooks"):
            if value and name in _FORWARD_HOOKS:
                raise UnsentError(f"there is a hook in the UNet ({what})")
            state[name] = OrderedDict()
        elif _is_put_in(module, name, value):
            if not isinstance(value, StandIn) or value.stands_for is not MISSING:
                raise UnsentError(f"another extension stands in the UNet ({what})")
        elif not name.startswith(_LORA):
            state[name] = value
    return state


def _is_put_in(module: nn.Module, name: str, value: Any) -> bool:
    """Whether it is a function in the place of the class's own."""
    is_function = inspect.isroutine(value) or isinstance(value, (partial, StandIn))
    return is_function and hasattr(type(module), name)


def _stands_in(module: nn.Module) -> bool:
    stand_in = vars(module).get("forward")
    return isinstance(stand_in, StandIn) and not stand_in.over


def _sent_tensor(value: Tensor) -> tuple[Any, ...]:
    plain = value.detach().cpu().contiguous()
    data = pickle.PickleBuffer(plain.view(-1).view(torch.uint8).numpy()) if plain.numel() else b""
    return _made_tensor, (data, plain.dtype, tuple(plain.shape), isinstance(value, nn.Parameter))


def _made_tensor(data: Any, dtype: torch.dtype, shape: tuple[int, ...], is_parameter: bool) -> Tensor:
    values = torch.frombuffer(data, dtype=dtype).view(shape) if len(data) else torch.zeros(shape, dtype=dtype)
    return nn.Parameter(values, requires_grad=False) if is_parameter else values
