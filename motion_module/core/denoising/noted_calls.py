"""The file in which one answer of a denoiser is noted, so that a run that broke off can be played back.

A run is played back by giving its sampler the answers of the first time, without calling the model: whatever the
sampler does with them, it does again, and comes to the same latents, bit by bit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open  # type: ignore[attr-defined]
from safetensors.torch import save
from torch import Tensor

_ANSWER, _TRACE, _NEGATIVE = "answer", "trace", "negative"
_GENERATOR = "generator "  # and the device's kind
_CLOSE = 1e-3  # of the deviation of the latents: a VAE may round otherwise in another run, another seed is far off


@dataclass(frozen=True)
class NotedCall:
    """One call of a denoiser.

    Attributes:
        answer: f c h w, what it gave.
        trace: of what it was asked, see `trace_of`.
        negative: f c h w, what CFG++ is told of the negative prompt besides; None for other samplers.
        generators: kind of a device -> the state of its random numbers after the call, where the call has drawn some.
        notes: what the host wrote into the infotext meanwhile.
    """

    answer: Tensor
    trace: Tensor
    negative: Tensor | None = None
    generators: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def trace_of(x: Tensor, sigma: Tensor) -> Tensor:
    """What tells one call from another: the noise level, and mean and deviation of each frame.

    Args:
        x: latents f c h w.
        sigma: their noise level or timestep, for each frame.

    Returns:
        3 f, in double precision, on the CPU.
    """
    frames = x.detach().flatten(1).cpu().to(torch.float64)  # some devices have no numbers of that kind
    levels = sigma.detach().cpu().to(torch.float64)
    return torch.stack([levels, frames.mean(1), frames.std(1)])


def is_same_trace(one: Tensor, other: Tensor) -> bool:
    """Whether two traces are of the same call, but for rounding."""
    if one.shape != other.shape:
        return False
    return bool(((one - other).abs() <= _CLOSE * (1e-6 + other[2].abs() + other[0].abs() * _CLOSE)).all())


def wait_for(device: torch.device) -> None:
    """Until a device has done what it was told so far: a GPU answers before that."""
    wait = getattr(getattr(torch, device.type, None), "synchronize", None)
    if device.type != "cpu" and wait is not None:
        wait() if device.type == "mps" else wait(device)  # of which there is one


def generators_of(device: torch.device) -> dict[str, Tensor]:
    """The states of the random numbers that a call on a device may draw, by the kind of the device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with random numbers as after a noted call."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def generators_as_text(states: Mapping[str, Tensor]) -> dict[str, str]:
    """States of random numbers for JSON."""
    return {kind: base64.b64encode(state.numpy().tobytes()).decode() for kind, state in states.items()}


def generators_of_text(texts: Mapping[str, str]) -> dict[str, Tensor]:
    """The states that are written in texts of `generators_as_text`.

    Raises:
        ValueError: it is none.
    """
    states = {kind: bytearray(base64.b64decode(text, validate=True)) for kind, text in texts.items()}
    return {kind: torch.frombuffer(state, dtype=torch.uint8) for kind, state in states.items()}


def changed_generators(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those in which numbers were drawn."""
    return {kind: state for kind, state in after.items() if not torch.equal(state, before[kind])}


def call_as_file(call: NotedCall) -> bytes:
    """The content of a file with all of it, every bit of the tensors."""
    tensors = {_ANSWER: call.answer, _TRACE: call.trace}
    if call.negative is not None:
        tensors[_NEGATIVE] = call.negative
    tensors |= {f"{_GENERATOR}{kind}": state for kind, state in call.generators.items()}
    whole = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return save(whole, dict(call.notes))


def read_call(file: Path) -> NotedCall | None:
    """What is noted in a file; None where there is none, or it was cut off or damaged."""
    try:
        with safe_open(file, "pt") as opened:  # type: ignore[attr-defined]
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
            notes = dict(opened.metadata() or {})
        states = {
            name.removeprefix(_GENERATOR): state for name, state in tensors.items() if name.startswith(_GENERATOR)
        }
        return NotedCall(tensors[_ANSWER], tensors[_TRACE], tensors.get(_NEGATIVE), states, notes)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
