"""ControlNets in a chain; each adds what a small model makes of its picture, the latents and the text."""

import torch
from torch import nn
from torch.nn import functional

_PLACES = ((32, 1), (32, 1), (32, 1), (32, 2), (64, 2), (64, 2), (64, 4), (64, 4), (64, 4), (64, 8), (64, 8), (64, 8))


class ControlModel(nn.Module):
    """Twelve tensors for the skipped ones of the UNet, and one for its middle; notes how many rows it was called with."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.places = (*_PLACES, _PLACES[-1])
        self.gains = [torch.randn(width, generator=generator) for width, _ in self.places]
        self.rows = []

    def forward(self, x, hint, timesteps, context, y=None):
        assert len(x) == len(hint) or len(hint) == 1
        self.rows.append(len(x))
        signal = functional.adaptive_avg_pool2d(hint.mean(1, keepdim=True), x.shape[2:]) + x.mean(1, keepdim=True)
        signal = signal + context.mean(dim=(1, 2))[:, None, None, None]
        sizes = [[side // part for side in x.shape[2:]] for _, part in self.places]
        return [
            functional.adaptive_avg_pool2d(signal, size) * gain[:, None, None]
            for size, gain in zip(sizes, self.gains, strict=True)
        ]


class ControlNet:
    """One of the chain.

    Args:
        hint: `(1 or n, 3, h, w)`, for all frames or one for each.
    """

    def __init__(self, hint, strength=1.0, seed=0):
        self.cond_hint_original, self.cond_hint, self.strength = hint, None, strength
        self.control_model, self.previous_controlnet = ControlModel(seed), None
        self.transformer_options, self.timestep_range = {}, None
        self.advanced_frame_weighting = self.advanced_mask_weighting = self.model_sampling_current = None

    def pre_run(self, model, percent_to_sigma):
        self.timestep_range, self.model_sampling_current = (
            (percent_to_sigma(0.0), percent_to_sigma(1.0)),
            model.predictor,
        )

    def get_control(self, x_noisy, t, cond, batched_number):
        before = self.previous_controlnet
        added = None if before is None else before.get_control(x_noisy, t, cond, batched_number)
        if not self.timestep_range[1] <= t[0] <= self.timestep_range[0]:
            return added
        size = [8 * side for side in x_noisy.shape[2:]]
        if self.cond_hint is None or list(self.cond_hint.shape[2:]) != size:
            self.cond_hint = functional.interpolate(self.cond_hint_original, size)
        if len(self.cond_hint) != len(x_noisy):  # kept for the next step, as often as this call has branches
            self.cond_hint = _broadcast(self.cond_hint, len(x_noisy), batched_number)
        schedule = self.model_sampling_current
        made = self.control_model(
            schedule.calculate_input(t, x_noisy), self.cond_hint, schedule.timestep(t), cond["c_crossattn"]
        )
        *skipped, middle = [self._weighed(tensor * self.strength) for tensor in made]
        own = {"input": [], "middle": [middle], "output": skipped}
        return own if added is None else {place: _sum(own[place], added[place]) for place in own}

    def _weighed(self, tensor):
        branches = len(self.transformer_options["cond_or_uncond"])
        if self.advanced_frame_weighting is not None:
            weights = torch.tensor(self.advanced_frame_weighting * branches)
            assert len(weights) == len(self.transformer_options["cond_mark"]), "not as many weights as rows"
            tensor = tensor * weights[:, None, None, None]
        mask = self.advanced_mask_weighting
        if mask is not None:
            mask = mask if len(mask) == 1 else mask.repeat(len(tensor) // len(mask), 1, 1, 1)
            tensor = tensor * functional.interpolate(mask, tensor.shape[2:])
        return tensor


def _broadcast(hint, rows, branches):
    """The hints of the first rows of a branch, once for each branch; one alone is for all."""
    return hint if len(hint) == 1 else torch.cat([hint[: rows // branches]] * branches)


def _sum(own, added):
    return [one + other for one, other in zip(own, added, strict=True)]
