"""Alphas by their definition, and lent reversibly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from motion_module.core.denoising.schedule import KEEP, SCHEDULES, alphas_cumprod, lent_schedule
from motion_module.errors import ParamError
from motion_module.settings import AS_TRAINED, Settings

PLACES = ("alphas_cumprod", "alphas_cumprod_original")  # of the host's model


def by_hand(betas):
    value, found = 1.0, []
    for beta in betas:
        value *= 1 - beta
        found.append(value)
    return torch.tensor(found, dtype=torch.float64)


def linspace(low, high, count):
    return [low + (high - low) * i / (count - 1) for i in range(count)]


@pytest.mark.parametrize("timesteps", [1000, 50])
@pytest.mark.parametrize(
    ("name", "betas"),
    [
        ("linear", lambda T: linspace(0.00085, 0.012, T)),
        ("sqrt-linear", lambda T: [x * x for x in linspace(0.00085**0.5, 0.012**0.5, T)]),
        ("sqrt-linear 0.020", lambda T: [x * x for x in linspace(0.00085**0.5, 0.020**0.5, T)]),
    ],
)
def test_values(name, betas, timesteps):
    ours = alphas_cumprod(name, timesteps)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), by_hand(betas(timesteps)), atol=1e-5, rtol=0)


def test_stable_diffusions_own():
    """The last value that Stable Diffusion's checkpoints carry in `alphas_cumprod`."""
    assert alphas_cumprod("sqrt-linear", 1000)[-1].item() == pytest.approx(0.00466, abs=5e-6)


def test_unknown():
    with pytest.raises(ParamError, match=r"no schedule 'cosine'; choose one of linear, sqrt-linear"):
        alphas_cumprod("cosine", 1000)


class _Model(nn.Module):
    def __init__(self, dtype=torch.float32, original=True):
        super().__init__()
        self.register_buffer("alphas_cumprod", alphas_cumprod("sqrt-linear", 1000).to(dtype))
        if original:
            self.alphas_cumprod_original = self.alphas_cumprod.clone()


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_lent_and_given_back(dtype, original):
    model = _Model(dtype, original)
    before = model.alphas_cumprod, getattr(model, "alphas_cumprod_original", None)
    with pytest.raises(RuntimeError), lent_schedule(model, PLACES, "linear"):
        assert torch.equal(model.alphas_cumprod, alphas_cumprod("linear", 1000).to(dtype))
        assert "alphas_cumprod" in dict(model.named_buffers())
        assert hasattr(model, "alphas_cumprod_original") == original
        if original:
            assert torch.equal(model.alphas_cumprod_original, model.alphas_cumprod)
        raise RuntimeError
    assert model.alphas_cumprod is before[0]
    assert getattr(model, "alphas_cumprod_original", None) is before[1]


def test_keep():
    model = _Model()
    before = model.alphas_cumprod
    with lent_schedule(model, PLACES, KEEP):
        assert model.alphas_cumprod is before


def test_the_setting_offers_every_schedule():
    assert Settings.alpha_schedule.field.choices == (AS_TRAINED, *SCHEDULES, KEEP)
