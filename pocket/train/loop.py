"""The training loop that all stages share: seeded by step, checkpointed in time, resumable after any kill."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, distributed, nn

from train.optimiser import Both

SAVE_EVERY = 120.0  # seconds
SAY_EVERY = 20.0  # seconds

Loss = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Plan:
    """What one stage asks of the loop.

    Attributes:
        name: of the stage; its files are named after it.
        steps: optimiser steps in all.
        rate: highest learning rate.
        warmup: steps until it is reached.
        cooldown: share of all steps, at the end, in which it falls to zero in a line.
        decay: of the running average of the weights, which is what the stage delivers.
        seed: step k draws everything from (seed, name, k), so a resumed run draws what the first would have drawn.
    """

    name: str
    steps: int
    rate: float
    warmup: int = 100
    cooldown: float = 0.3
    decay: float = 0.998
    seed: int = 1


def rate_at(plan: Plan, step: int) -> float:
    """Learning rate of a step: a line up, a plateau, a line down to (nearly) zero."""
    up = min(1.0, (step + 1) / max(plan.warmup, 1))
    down = min(1.0, (plan.steps - step) / max(plan.steps * plan.cooldown, 1.0))
    return plan.rate * up * down


def rank() -> int:
    """Which of the processes that train together this one is; 0 where there is one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def step_generator(plan: Plan, step: int) -> torch.Generator:
    """The source of all randomness of one step, on the CPU whatever the device, so that devices draw alike."""
    name = sum(ord(letter) * 257**place for place, letter in enumerate(plan.name)) % 2**31
    return torch.Generator().manual_seed((plan.seed * 1_000_003 + name) * 2_000_003 % 2**61 + step + 500_009 * rank())


class Average:
    """Running average of a module's state, in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the weights after a step; young averages forget faster."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, share)
            else:
                self.state[name].copy_(value)


@contextmanager
def averaged(module: nn.Module, state: Mapping[str, Tensor]) -> Iterator[None]:
    """The module with the averaged weights, and with its own again afterwards."""
    own = {name: value.detach().clone() for name, value in module.state_dict().items()}
    module.load_state_dict(dict(state))
    try:
        yield
    finally:
        module.load_state_dict(own)


class Progress:
    """Prints a line now and then: step, loss, rate, speed, and the time that is left."""

    def __init__(self, plan: Plan, first: int) -> None:
        self.plan = plan
        self.recent: list[float] = []
        self.since, self.made = time.monotonic(), 0
        print(f"{plan.name}: step {first} of {plan.steps}", flush=True)

    def add(self, step: int, loss: float) -> None:
        """One step more; prints if the last line is old enough."""
        self.recent.append(loss)
        self.made += 1
        passed = time.monotonic() - self.since
        if passed < SAY_EVERY and step + 1 < self.plan.steps:
            return
        speed = passed / self.made
        left = (self.plan.steps - step - 1) * speed / 60
        mean = sum(self.recent) / len(self.recent)
        rate = rate_at(self.plan, step)
        print(
            f"{self.plan.name} {step + 1}/{self.plan.steps}  loss {mean:.4f}  rate {rate:.1e}  "
            f"{speed:.2f} s/step  {left:.1f} min left",
            flush=True,
        )
        self.recent, self.since, self.made = [], time.monotonic(), 0


def train(
    plan: Plan,
    module: nn.Module,
    loss: Loss,
    folder: Path,
    stop: Callable[[int], bool] = lambda step: False,
    look: Callable[[int], None] | None = None,
    look_every: float = 400.0,
) -> list[float]:
    """Trains `module` to the plan's end, from the checkpoint in `folder` if there is one; then it holds the averages.

    Args:
        plan: steps and rates.
        module: everything that is saved; parameters that need no gradient stay as they are.
        loss: of a step, drawn from that step's generator alone.
        folder: where `{name}.checkpoint` and, at the end, `{name}.safetensors` are put.
        stop: asked after each step; True ends the call with a checkpoint.
        look: called with the averaged weights in place, every `look_every` seconds.

    Returns:
        The losses of the steps that this call made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = [value for value in module.parameters() if value.requires_grad]
    optimiser = Both(module, plan.rate)
    average = Average(module, plan.decay)
    path = folder / f"{plan.name}.checkpoint"
    first = _resume(path, module, optimiser, average)
    progress, losses = Progress(plan, first), []
    saved = looked = time.monotonic()
    for step in range(first, plan.steps):
        losses.append(_step(plan, step, loss, optimiser, parameters))
        average.update(module, step)
        stopping = stop(step)
        if rank():
            continue  # the first process keeps the books
        progress.add(step, losses[-1])
        if time.monotonic() - saved > SAVE_EVERY or step + 1 == plan.steps or stopping:
            _save(path, step + 1, module, optimiser, average)
            saved = time.monotonic()
        if stopping:
            return losses
        if look is not None and time.monotonic() - looked > look_every:
            with averaged(module, average.state):
                look(step)
            looked = time.monotonic()
    module.load_state_dict(average.state)
    if not rank():
        write_weights(module.state_dict(), folder / f"{plan.name}.safetensors")
    if distributed.is_initialized():
        distributed.barrier()  # the next stage reads the file
    return losses


def _step(plan: Plan, step: int, loss: Loss, optimiser: Both, parameters: list[nn.Parameter]) -> float:
    optimiser.zero_grad()
    value = loss(step, step_generator(plan, step))
    value.backward()
    _average_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step(rate_at(plan, step))
    return value.item()


def _average_gradients(parameters: list[nn.Parameter]) -> None:
    """Over the processes that train together, if there are several."""
    if not distributed.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(together)
    together /= distributed.get_world_size()
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view(gradient.shape))


def _resume(path: Path, module: nn.Module, optimiser: Both, average: Average) -> int:
    """Fills everything from a checkpoint; the step to go on with, 0 without one."""
    if not path.exists():
        return 0
    kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(kept["module"])
    optimiser.load_state_dict(kept["optimiser"])
    for name, value in kept["average"].items():
        average.state[name].copy_(value)
    return int(kept["step"])


def _save(path: Path, step: int, module: nn.Module, optimiser: Both, average: Average) -> None:
    """Written beside and renamed: a kill at any moment leaves the former checkpoint or the new one, whole."""
    kept = {
        "step": step,
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.state,
    }
    beside = path.with_suffix(".unfinished")
    torch.save(kept, beside)
    os.replace(beside, path)


def write_weights(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all."""
    beside = path.with_suffix(".unfinished")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    safetensors.torch.save_file(tensors, beside, dict(metadata or {"format": "pt"}))
    os.replace(beside, path)
