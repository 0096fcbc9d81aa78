"""Frames that are frozen: up to a step of its own each of them is denoised to latents that are given, then it is free.

As inpainting uses known pixels (RePaint, Lugmayr et al., 2022), but through the denoiser's answer instead of its input:
the sampler itself then brings the frame to every noise level on the way, whichever sampler it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PredictX0 = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`(x, out, sigma)` -> the latents that a denoiser's answer stands for; affine in `x` and in `out`, row by row."""

_NOT_CREDIBLE = 1.5  # times the variance of a guess: from there on nothing is carried on
FOR_EVER = math.inf
"""As `until`: never free."""


@dataclass(frozen=True)
class Edge:
    """Where frozen frames end and free ones begin.

    A model draws free frames that go with what it would make of the frozen one beside them, which is not quite what is
    given: the change between the two would be larger than any other. So what is missing there is added to the free
    frames, too, the less the farther they are, as windows that overlap are faded into each other.

    Attributes:
        frame: the last frozen frame.
        beyond: the frames behind it, the nearest one first.
    """

    frame: int
    beyond: Sequence[int]

    @property
    def weights(self) -> dict[int, float]:
        """How much of what is missing is added to each frame: less than 1, more than 0."""
        return {frame: 1 - place / (len(self.beyond) + 1) for place, frame in enumerate(self.beyond, start=1)}


@dataclass(frozen=True)
class FrozenFrames:
    """Frames of one video, and what is given for them.

    Attributes:
        frames: their numbers.
        latents: f c h w, one for each of them.
        until: the last step, from 1, in which each of them is frozen; 0 is never, `FOR_EVER` always.
        edges: where what is missing in a frozen frame is added to free ones, too.
    """

    frames: tuple[int, ...]
    latents: Tensor
    until: tuple[float, ...]
    edges: tuple[Edge, ...] = ()

    def answer(
        self,
        out: Tensor,
        x: Tensor,
        sigma: Tensor,
        step: int,
        predict_x0: PredictX0,
        seen: frozenset[int] | None = None,
    ) -> Tensor:
        """The denoiser's answer with what is given for the frames that are frozen in this step.

        Args:
            out: f c h w, the denoiser's answer: latents, or the noise in `x`.
            x: f c h w, what it was asked.
            sigma: f, the noise levels (or timesteps).
            step: from 1.
            predict_x0: tells what an answer stands for.
            seen: the frames that the model was asked for; None for all.
        """
        places = [place for place, until in enumerate(self.until) if step <= until]
        if not places:
            return out
        rows, given = self._of(places, out)
        xs, levels = x[rows], sigma[rows]
        offset = predict_x0(xs, torch.zeros_like(xs), levels)
        factor = predict_x0(torch.zeros_like(xs), torch.ones_like(xs), levels)
        answer = out.index_copy(0, rows, ((given - offset) / factor).to(out.dtype))
        frozen = {self.frames[place]: place for place in places}
        for edge in self.edges:
            if edge.frame in frozen and (seen is None or edge.frame in seen):
                _, own = self._of([frozen[edge.frame]], out)
                one = slice(edge.frame, edge.frame + 1)
                missing = own - predict_x0(x[one], out[one], sigma[one])
                missing = missing * _credible(missing, own, _noise_level(own, sigma[one], predict_x0))
                weights = {frame: weight for frame, weight in edge.weights.items() if frame not in frozen}
                answer = _added(answer, weights, missing, sigma, predict_x0)
        return answer

    def free(self, frames: int, step: int) -> frozenset[int]:
        """Which of so many frames are not frozen in this step."""
        frozen = {frame for frame, until in zip(self.frames, self.until, strict=True) if step <= until}
        return frozenset(range(frames)) - frozen

    def put_into_noise(self, x: Tensor, sigma: Tensor, predict_x0: PredictX0) -> None:
        """Change in place noise that sampling begins with to what is given, with that noise on it.

        Args:
            x: f c h w, noise of the first level alone.
            sigma, predict_x0: as in `answer`.
        """
        places = [place for place, until in enumerate(self.until) if until > 0]
        if not places:
            return
        rows, given = self._of(places, x)
        noise, levels = x[rows], sigma[rows]
        growth = predict_x0(torch.ones_like(noise), torch.zeros_like(noise), levels)  # 1 / sqrt(alpha), or 0
        kept = torch.where(growth > 0, 1 / growth, torch.ones_like(growth))
        spread = torch.where(growth > 0, (1 - kept**2).clamp(min=0).sqrt(), torch.ones_like(growth))
        x.index_copy_(0, rows, (given * kept + noise * spread).to(x.dtype))

    def kept(self, result: Tensor) -> Tensor:
        """A sampler's result f c h w, in which frames that were never free are exactly what is given."""
        return self._put_into(result, [place for place, until in enumerate(self.until) if until == FOR_EVER])

    def given(self, latents: Tensor, step: int) -> Tensor:
        """Latents f c h w of this step, in which the frames that are frozen are exactly what is given."""
        if latents.shape[1:] != self.latents.shape[1:]:
            return latents
        return self._put_into(latents, [place for place, until in enumerate(self.until) if step <= until])

    def _put_into(self, latents: Tensor, places: Sequence[int]) -> Tensor:
        if not places:
            return latents
        rows, given = self._of(places, latents)
        return latents.index_copy(0, rows, given)

    def _of(self, places: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.tensor([self.frames[place] for place in places], device=like.device)
        return rows, self.latents[list(places)].to(like)


def _noise_level(like: Tensor, sigma: Tensor, predict_x0: PredictX0) -> Tensor:
    """How much noise stands beside latents of the size of the given ones: sigma of k-diffusion, of whatever sampler."""
    factor = predict_x0(torch.zeros_like(like), torch.ones_like(like), sigma).mean()  # 1, or less than 0
    return torch.where(factor == 1, sigma.to(factor).mean(), factor.abs())


def _credible(missing: Tensor, own: Tensor, level: Tensor) -> Tensor:
    """How much of what is missing is the model's own rounding-off of the frozen frame, 0 to 1.

    Who knows nothing but the size s of latents below noise of size l guesses them with an error of variance
    s^2 l^2 / (s^2 + l^2), the best linear estimate's. A model whose error is larger draws something else, as another
    prompt has it do; what is missing then is the old picture, and would shine through the new one.
    """
    variance = own.float().square().mean()
    guess = variance * level.float().square() / (variance + level.float().square())
    ratio = missing.float().square().mean() / guess.clamp(min=torch.finfo(torch.float32).tiny)
    return ((_NOT_CREDIBLE - ratio) / (_NOT_CREDIBLE - 1)).clamp(0, 1).to(missing.dtype)


def _added(
    answer: Tensor, weights: Mapping[int, float], missing: Tensor, sigma: Tensor, predict_x0: PredictX0
) -> Tensor:
    """An answer f c h w that stands for so much more of the latents `missing`, 1 c h w, in some frames."""
    if not weights:
        return answer
    rows = torch.tensor(list(weights), device=answer.device)
    shares = torch.tensor(list(weights.values()), device=answer.device, dtype=missing.dtype).view(-1, 1, 1, 1)
    ones = torch.ones_like(missing).expand(len(weights), *missing.shape[1:])
    factor = predict_x0(torch.zeros_like(ones), ones, sigma[rows])
    return answer.index_copy(0, rows, (answer[rows] + shares * missing / factor).to(answer.dtype))


def steps_frozen(strengths: Sequence[float], steps: int, most: int) -> tuple[float, ...]:
    """In how many steps of img2img a frame waits until it begins where its own denoising strength would have begun.

    Args:
        strengths: the denoising strength of each frame, 0..1; 0 leaves the frame as it is.
        steps: of the whole schedule.
        most: the number of steps that the host leaves of it for the highest strength, less one.
    """
    return tuple(
        max(0, most - int(min(strength, 0.999) * steps)) if strength > 0 else FOR_EVER for strength in strengths
    )
