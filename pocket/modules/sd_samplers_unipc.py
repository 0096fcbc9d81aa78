"""UniPC (Zhao et al., "UniPC: A Unified Predictor-Corrector Framework", 2023): multistep, predicting the picture.

Times are continuous: timestep i of T stands for time (i + 1) / T, and log(alpha) between two timesteps is interpolated
linearly. lambda is half the logarithm of the signal-to-noise ratio; a step goes from lambda to lambda + h.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tqdm

from modules import shared


class VPSchedule:
    """alpha, sigma and lambda of the model at any time; outside the timesteps the end pieces go on straight."""

    def __init__(self, alphas_cumprod: torch.Tensor) -> None:
        self.log_alphas = 0.5 * np.log(alphas_cumprod.double().cpu().numpy())
        self.times = np.arange(1, len(self.log_alphas) + 1) / len(self.log_alphas)

    def log_alpha(self, time: float) -> float:
        """Logarithm of the picture's share at a time."""
        right = int(np.clip(np.searchsorted(self.times, time), 1, len(self.times) - 1))
        (t0, t1), (a0, a1) = self.times[right - 1 : right + 1], self.log_alphas[right - 1 : right + 1]
        return float(a0 + (time - t0) * (a1 - a0) / (t1 - t0))

    def alpha(self, time: float) -> float:
        """Share of the picture at a time."""
        return math.exp(self.log_alpha(time))

    def sigma(self, time: float) -> float:
        """Share of the noise at a time."""
        return math.sqrt(-math.expm1(2 * self.log_alpha(time)))

    def half_log_snr(self, time: float) -> float:
        """lambda at a time."""
        return self.log_alpha(time) - math.log(self.sigma(time))

    def time_of(self, half_log_snr: float) -> float:
        """The time that has this lambda."""
        log_alpha = -0.5 * float(np.logaddexp(0.0, -2.0 * half_log_snr))
        return float(np.interp(log_alpha, self.log_alphas[::-1], self.times[::-1]))

    def walk(self, kind: str, start: float, steps: int) -> list[float]:
        """`steps + 1` times from `start` down to the first timestep's.

        Raises:
            ValueError: `kind` is not time_uniform, time_quadratic or logSNR.
        """
        end = float(self.times[0])
        if kind == "time_uniform":
            return list(np.linspace(start, end, steps + 1))
        if kind == "time_quadratic":
            return list(np.linspace(math.sqrt(start), math.sqrt(end), steps + 1) ** 2)
        if kind == "logSNR":
            ends = self.half_log_snr(start), self.half_log_snr(end)
            return [self.time_of(value) for value in np.linspace(*ends, steps + 1)]
        raise ValueError(f"UniPC skip type {kind!r}: time_uniform, time_quadratic or logSNR")


@dataclass(frozen=True)
class _Past:
    """A picture that the model has predicted, and when."""

    half_log_snr: float
    picture: torch.Tensor


@dataclass(frozen=True)
class _Move:
    """A step of some order: its length h (in lambda) and the weights of the differences to past pictures."""

    length: float
    ratios: np.ndarray  # (order,): places of the past pictures and, last, of the new one, in steps; 1 is the new one
    scale: float  # B(h)
    matrix: np.ndarray  # R, (order, order)
    vector: np.ndarray  # b, (order,)

    @staticmethod
    def between(past: list[_Past], end: float, order: int, variant: str) -> _Move:
        """The step from the newest of `past` to lambda `end` (algorithms 1 and 2 of the paper)."""
        start = past[-1].half_log_snr
        length = end - start
        ratios = [(past[-(place + 1)].half_log_snr - start) / length for place in range(1, order)]
        if variant not in ("bh1", "bh2"):
            raise ValueError(f"UniPC variant {variant!r}: bh1 or bh2")
        scale = -length if variant == "bh1" else math.expm1(-length)
        vector, phi, factorial = [], math.expm1(-length) / -length - 1, 1.0
        for power in range(1, order + 1):
            vector.append(phi * factorial / scale)
            factorial *= power + 1
            phi = phi / -length - 1 / factorial
        places = np.array([*ratios, 1.0])
        return _Move(length, places, scale, np.stack([places**power for power in range(order)]), np.array(vector))

    def predictor(self) -> np.ndarray:
        """Weights of the past pictures' differences, (order - 1,)."""
        if len(self.ratios) == 2:
            return np.array([0.5])
        return np.linalg.solve(self.matrix[:-1, :-1], self.vector[:-1])

    def corrector(self) -> np.ndarray:
        """Weights of the past pictures' differences and of the new one's, (order,)."""
        return np.array([0.5]) if len(self.ratios) == 1 else np.linalg.solve(self.matrix, self.vector)


class UniPC:
    """One run.

    Args:
        predict_noise: (x, timestep (images,)) -> noise in x.
        schedule: of the model.
        variant: "bh1" or "bh2", the paper's B(h).
        after_step: called with the number of the step, x and the last predicted picture (None at the end).
    """

    def __init__(
        self,
        predict_noise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        schedule: VPSchedule,
        variant: str,
        after_step: Callable[[int, torch.Tensor, torch.Tensor | None], None],
    ) -> None:
        self.predict_noise = predict_noise
        self.schedule = schedule
        self.variant = variant
        self.after_step = after_step

    def picture(self, x: torch.Tensor, time: float) -> torch.Tensor:
        """The picture that the model sees in `x` at a time."""
        timesteps = len(self.schedule.times)
        timestep = x.new_full([x.shape[0]], (time - 1.0 / timesteps) * 1000.0)
        return (x - self.schedule.sigma(time) * self.predict_noise(x, timestep)) / self.schedule.alpha(time)

    def step(
        self, x: torch.Tensor, past: list[_Past], times: tuple[float, float], order: int, correct: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One step from times[0] to times[1]: the new x, and the picture predicted there if it was corrected."""
        schedule, newest = self.schedule, past[-1].picture
        move = _Move.between(past, schedule.half_log_snr(times[1]), order, self.variant)
        differences = [(past[-(i + 1)].picture - newest) / float(move.ratios[i - 1]) for i in range(1, order)]
        alpha = schedule.alpha(times[1])
        straight = schedule.sigma(times[1]) / schedule.sigma(times[0]) * x - alpha * math.expm1(-move.length) * newest

        def bent(weights: np.ndarray, terms: list[torch.Tensor]) -> torch.Tensor:
            parts = (float(weight) * term for weight, term in zip(weights, terms, strict=True))
            bend = sum(parts, torch.zeros_like(x))
            return straight - alpha * move.scale * bend

        predicted = bent(move.predictor(), differences) if differences else straight
        if not correct:
            return predicted, None
        picture = self.picture(predicted, times[1])
        return bent(move.corrector(), [*differences, picture - newest]), picture

    def sample(self, x: torch.Tensor, times: list[float], order: int, lower_order_final: bool) -> torch.Tensor:
        """Walks down `times`; the order rises to `order` at the start and, if wanted, falls again at the end.

        Raises:
            ValueError: there are fewer steps than the order.
        """
        steps = len(times) - 1
        if steps < order:
            raise ValueError(f"UniPC of order {order} needs at least {order} steps; {steps} were asked for.")
        past = [_Past(self.schedule.half_log_snr(times[0]), self.picture(x, times[0]))]
        for number in range(1, steps + 1):
            falling = min(order, steps + 1 - number) if lower_order_final else order
            now = number if number < order else falling
            x, picture = self.step(x, past, (times[number - 1], times[number]), now, correct=number < steps)
            self.after_step(number - 1, x, picture)
            if picture is not None:
                past = [*past, _Past(self.schedule.half_log_snr(times[number]), picture)][-order:]
        return x


@torch.no_grad()
def unipc(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    is_img2img: bool = False,
) -> torch.Tensor:
    """UniPC in as many steps as there are `timesteps` (rising); img2img starts at the highest of them."""
    opts = shared.opts
    schedule = VPSchedule(model.inner_model.inner_model.alphas_cumprod)
    start = timesteps[-1].item() / 1000 + 1 / 1000 if is_img2img else 1.0
    times = schedule.walk(opts.uni_pc_skip_type, start, len(timesteps))

    def after_step(number: int, latents: torch.Tensor, picture: torch.Tensor | None) -> None:
        progress.update()
        if callback is not None:
            callback({"x": latents, "i": number, "sigma": 0, "sigma_hat": 0, "denoised": picture})

    with tqdm.tqdm(total=len(timesteps), disable=disable) as progress:
        predict = functools.partial(model, **(extra_args or {}))
        run = UniPC(predict, schedule, opts.uni_pc_variant, after_step)
        return run.sample(x, times, opts.uni_pc_order, opts.uni_pc_lower_order_final)
