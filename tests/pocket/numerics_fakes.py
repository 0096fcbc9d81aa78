"""Models and jobs for the samplers' tests: small enough to know the right answer."""

from types import SimpleNamespace

import torch

from modules import prompt_parser, rng

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS = torch.cumprod(1 - BETAS, 0).float()
WIDTH = 3


class GaussianModel:
    """Knows exactly the noise in pictures that are normal numbers of a mean and a deviation; counts its calls."""

    is_sdxl = False
    parameterization = "eps"
    cond_stage_key = "txt"
    sd_checkpoint_info = None
    model = SimpleNamespace(conditioning_key="crossattn")
    cond_stage_model_empty_prompt = torch.zeros(1, 77, WIDTH)

    def __init__(self, mean=2.0, deviation=0.5):
        self.mean, self.deviation = mean, deviation
        self.alphas_cumprod = ALPHAS
        self.calls = 0

    def apply_model(self, x, t, cond):
        self.calls += 1
        index = t.double().clamp(0, 999)
        low = index.floor().long().clamp(max=998)
        logs = ALPHAS.double().log()
        alpha = (logs[low] + (logs[low + 1] - logs[low]) * (index - low)).exp()[:, None, None, None].float()
        picture = alpha.sqrt() * self.deviation**2 * x + (1 - alpha) * self.mean
        picture = picture / (alpha * self.deviation**2 + 1 - alpha)
        return (x - alpha.sqrt() * picture) / (1 - alpha).sqrt()


def schedule_of(value, length=77, end=1000):
    """A prompt's conditioning, all of one value."""
    return [prompt_parser.ScheduledPromptConditioning(end, torch.full((length, WIDTH), float(value)))]


def conditionings(parts, uncond, length=77, uncond_length=77):
    """Conditionings of a batch: `parts[image]` = [(value, weight), ...], `uncond[image]` = value."""
    batch = [
        [prompt_parser.ComposableScheduledPromptConditioning(schedule_of(v, length), weight) for v, weight in image]
        for image in parts
    ]
    cond = prompt_parser.MulticondLearnedConditioning((len(parts),), batch)
    return cond, [schedule_of(value, uncond_length) for value in uncond]


def job(images=2, size=4, **changes):
    """What samplers read from a processing object."""
    seeds = list(range(1, images + 1))
    fields = {
        "steps": 20,
        "cfg_scale": 1.0,
        "eta": None,
        "scheduler": "Automatic",
        "hr_scheduler": None,
        "is_hr_pass": False,
        "sampler_noise_scheduler_override": None,
        "s_churn": 0.0,
        "s_tmin": 0.0,
        "s_tmax": float("inf"),
        "s_noise": 1.0,
        "s_min_uncond": 0.0,
        "all_seeds": seeds,
        "iteration": 0,
        "batch_size": images,
        "denoising_strength": 0.5,
        "refiner_checkpoint_info": None,
        "refiner_switch_at": None,
        "scripts": None,
        "extra_generation_params": {},
        "rng": rng.ImageRNG((4, size, size), seeds),
    }
    return SimpleNamespace(**{**fields, **changes})
