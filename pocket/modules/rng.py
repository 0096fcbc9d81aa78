"""Noise of images: one generator for each image, so that a picture depends on its seed and not on its batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from modules import devices, rng_philox, shared

AnyGenerator = torch.Generator | rng_philox.Generator


class _GlobalNoise:
    """The stream that `randn_like` and `randn_without_seed` continue when the noise source is "NV"."""

    stream = rng_philox.Generator(0)


def _is_nv() -> bool:
    return shared.opts.randn_source == "NV"


def _draw(shape: Sequence[int], generator: AnyGenerator | None) -> torch.Tensor:
    if _is_nv():
        stream = generator if isinstance(generator, rng_philox.Generator) else _GlobalNoise.stream
        return torch.asarray(stream.randn(shape), device=devices.device)
    source = generator if isinstance(generator, torch.Generator) else None
    return torch.randn(tuple(shape), device=devices.cpu, generator=source).to(devices.device)


def manual_seed(seed: int) -> None:
    """Seeds the process's own stream (torch's global generator, or the "NV" one)."""
    if _is_nv():
        _GlobalNoise.stream = rng_philox.Generator(seed)
    else:
        torch.manual_seed(seed)


def create_generator(seed: int) -> AnyGenerator:
    """A generator of its own for one image."""
    if _is_nv():
        return rng_philox.Generator(seed)
    return torch.Generator(devices.cpu).manual_seed(int(seed))


def randn(seed: int, shape: Sequence[int], generator: AnyGenerator | None = None) -> torch.Tensor:
    """Seeds the process's stream, then draws from `generator`, or from that stream if there is none."""
    manual_seed(seed)
    return _draw(shape, generator)


def randn_local(seed: int, shape: Sequence[int]) -> torch.Tensor:
    """The first numbers of a seed; the process's stream stays where it is."""
    return _draw(shape, create_generator(seed))


def randn_without_seed(shape: Sequence[int], generator: AnyGenerator | None = None) -> torch.Tensor:
    """The next numbers of `generator`, or of the process's stream if there is none."""
    return _draw(shape, generator)


def randn_like(x: torch.Tensor) -> torch.Tensor:
    """The next numbers of the process's stream in the shape and format of `x`."""
    return _draw(x.shape, None).to(device=x.device, dtype=x.dtype)


def slerp(val: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Mixes two noises (c, h, w) on the sphere, `val` = 0 giving `low` and 1 giving `high`.

    The angle is taken along the second dimension (height), as the WebUI takes it. Nearly parallel noises are mixed
    linearly, and there the WebUI has `low` and `high` changed over; equal pictures need the same.
    """
    cosine = torch.nn.functional.normalize(low, dim=1).mul(torch.nn.functional.normalize(high, dim=1)).sum(1)
    if cosine.mean() > 0.9995:
        return val * low + (1 - val) * high
    angle = torch.acos(cosine)
    shares = [(torch.sin(part * angle) / torch.sin(angle)).unsqueeze(1) for part in (1.0 - val, val)]
    return shares[0] * low + shares[1] * high


def _centred(outer: int, inner: int) -> tuple[slice, slice]:
    """Where the middle of a length meets the middle of another: (slice of outer, slice of inner)."""
    shift = (outer - inner) // 2
    length = inner if shift >= 0 else inner + 2 * shift
    return slice(max(shift, 0), max(shift, 0) + length), slice(max(-shift, 0), max(-shift, 0) + length)


class ImageRNG:
    """Noise for a batch of images.

    Args:
        shape: of one image's latents, (c, h, w).
        seeds: one for each image.
        subseeds, subseed_strength: a second noise for each image and its share in the first draw, 0..1.
        seed_resize_from_h, seed_resize_from_w: size in pixels whose noise is put in the middle of the first draw;
            0 or less means the size of the image itself.
    """

    def __init__(
        self,
        shape: Sequence[int],
        seeds: Sequence[int],
        subseeds: Sequence[int] | None = None,
        subseed_strength: float = 0.0,
        seed_resize_from_h: int = 0,
        seed_resize_from_w: int = 0,
    ) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.seeds = seeds
        self.subseeds = subseeds
        self.subseed_strength = subseed_strength
        self.seed_resize_from_h = seed_resize_from_h
        self.seed_resize_from_w = seed_resize_from_w
        self.generators = [create_generator(seed) for seed in seeds]
        self.is_first = True

    def first(self) -> torch.Tensor:
        """The noise an image starts from, (images, c, h, w)."""
        noise = torch.stack([self._first_of(index) for index in range(len(self.generators))])
        delta = shared.opts.eta_noise_seed_delta or 0
        if delta:
            self.generators = [create_generator(seed + delta) for seed in self.seeds]
        return noise.to(devices.device)

    def next(self) -> torch.Tensor:
        """The first draw the first time, the generators' next numbers after that; (images, c, h, w)."""
        if self.is_first:
            self.is_first = False
            return self.first()
        return torch.stack([_draw(self.shape, generator) for generator in self.generators]).to(devices.device)

    def _noise_shape(self) -> tuple[int, ...]:
        if self.seed_resize_from_h <= 0 or self.seed_resize_from_w <= 0:
            return self.shape
        return (self.shape[0], int(self.seed_resize_from_h) // 8, int(self.seed_resize_from_w) // 8)

    def _first_of(self, index: int) -> torch.Tensor:
        seed, generator, shape = self.seeds[index], self.generators[index], self._noise_shape()
        # the order of draws matters: each seeds the process's stream, which some samplers go on with
        subnoise = None
        if self.subseeds is not None and self.subseed_strength != 0:
            subnoise = randn(self.subseeds[index] if index < len(self.subseeds) else 0, shape)
        noise = randn(seed, shape, generator if shape == self.shape else None)
        if subnoise is not None:
            noise = slerp(self.subseed_strength, noise, subnoise)
        if shape == self.shape:
            return noise
        canvas = randn(seed, self.shape, generator)
        (rows, from_rows), (columns, from_columns) = (_centred(self.shape[i], shape[i]) for i in (1, 2))
        canvas[:, rows, columns] = noise[:, from_rows, from_columns]
        return canvas


# extensions reach these through `devices`, where they once lived
devices.randn = randn  # type: ignore[attr-defined]
devices.randn_local = randn_local  # type: ignore[attr-defined]
devices.randn_like = randn_like  # type: ignore[attr-defined]
devices.randn_without_seed = randn_without_seed  # type: ignore[attr-defined]
devices.manual_seed = manual_seed  # type: ignore[attr-defined]
