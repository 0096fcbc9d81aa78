"""Samplers on a model whose right answer is known: normal pictures, where the way from noise to picture is a formula."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from numerics_fakes import ALPHAS, GaussianModel, conditionings, job

from modules import sd_models, sd_samplers, sd_samplers_lcm, sd_schedulers, shared

from k_diffusion import external  # isort: skip

EXACT = ["DPM++ 2M", "Euler", "LMS", "Heun", "DPM2", "DPM fast", "DPM adaptive", "DDIM", "DDIM CFG++", "PLMS", "UniPC"]
SIGMAS = json.loads((Path(__file__).parents[1] / "reference" / "sigmas.json").read_text())
LCM_SGM = [999, 754, 509, 264]
OF_WEBUI = [
    *("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 2S a", "DPM++ 3M SDE", "Euler a", "Euler"),
    *("LMS", "Heun", "DPM2", "DPM2 a", "DPM fast", "DPM adaptive", "Restart"),
    *("DDIM", "DDIM CFG++", "PLMS", "UniPC", "LCM"),
]
RANDOM = [
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "Euler a",
    "DPM2 a",
    "Restart",
]


@pytest.fixture(autouse=True)
def model(monkeypatch):
    model = GaussianModel()
    monkeypatch.setattr(sd_models.model_data, "sd_model", model)
    for name in ("interrupted", "skipped"):
        monkeypatch.setattr(shared.state, name, False)
    monkeypatch.setattr(shared.cmd_opts, "disable_console_progressbars", True)
    monkeypatch.setitem(shared.opts.data, "live_previews_enable", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchsde tells of ends that differ by a rounding
        yield model


@pytest.fixture
def option(monkeypatch):
    return lambda **values: [monkeypatch.setitem(shared.opts.data, name, value) for name, value in values.items()]


def sample(name, p, init=None):
    """Samples `p` from its own noise; from latents `init` if there are any."""
    sampler = sd_samplers.create_sampler(name, shared.sd_model)
    images = len(p.all_seeds)
    cond, uncond = conditionings([[(1, 1.0)]] * images, [0] * images)
    noise = p.rng.next()
    image_cond = noise.new_zeros(images, 5, 1, 1)
    if init is None:
        return sampler.sample(p, noise, cond, uncond, image_conditioning=image_cond)
    return sampler.sample_img2img(p, init, noise, cond, uncond, image_conditioning=image_cond)


def right_answer(model, noise, is_timesteps):
    """Where the probability flow takes this noise: the same place among the pictures as among the noise."""
    alpha = ALPHAS[-1].double()
    start = noise.double() if is_timesteps else noise.double() / alpha.sqrt() * (1 - alpha).sqrt() * alpha.sqrt()
    spread = (alpha * model.deviation**2 + 1 - alpha).sqrt()
    return (model.mean + model.deviation * (start - alpha.sqrt() * model.mean) / spread).float()


@pytest.mark.parametrize("name", EXACT)
def test_samplers_find_the_picture(model, name):
    p = job(steps=50, eta=0.0)  # DPM fast and adaptive add noise by default
    noise = job().rng.next()
    found = sample(name, p)
    expected = right_answer(model, noise, name in ("DDIM", "DDIM CFG++", "PLMS", "UniPC"))
    assert (found - expected).abs().mean() < 0.06
    assert found.mean() == pytest.approx(model.mean, abs=0.2)


@pytest.mark.parametrize("name", RANDOM)
def test_random_samplers_find_the_distribution(model, name):
    found = sample(name, job(images=4, size=8, steps=24))  # 1024 numbers
    assert found.mean().item() == pytest.approx(model.mean, abs=0.08)
    assert found.std().item() == pytest.approx(model.deviation, abs=0.12)


@pytest.mark.parametrize("name", [*RANDOM, "LCM", "Euler", "DDIM"])
def test_an_image_does_not_depend_on_its_batch(model, name):
    pair = sample(name, job(images=3, steps=4))
    alone = job(images=1, steps=4, all_seeds=[2])
    alone.rng = type(alone.rng)((4, 4, 4), [2])
    assert torch.allclose(sample(name, alone)[0], pair[1], atol=1e-5)


@pytest.mark.parametrize("name", ["Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "DDIM", "PLMS", "UniPC", "DPM fast"])
def test_img2img_keeps_as_much_as_the_strength_says(model, name):
    init = torch.full((2, 4, 4, 4), 3.0)
    weak = sample(name, job(steps=30, denoising_strength=0.2), init)
    strong = sample(name, job(steps=30, denoising_strength=0.95), init)
    assert (weak - init).abs().mean() < 0.7
    assert strong.mean().item() == pytest.approx(model.mean, abs=0.35)


@pytest.mark.parametrize(
    ("name", "steps", "calls"),
    [
        ("Euler", 5, 5),
        ("Heun", 5, 9),
        ("DDIM", 5, 4),
        ("PLMS", 5, 5),
        ("UniPC", 5, 5),
        ("DPM++ 2M", 5, 5),
        ("LCM", 5, 5),
    ],
)
def test_number_of_model_calls(model, monkeypatch, name, steps, calls):
    steps_seen = []
    monkeypatch.setattr(shared.total_tqdm, "update", lambda: steps_seen.append(shared.state.sampling_step))
    sample(name, job(steps=steps))
    assert model.calls == calls
    assert steps_seen == list(range(len(steps_seen)))


def test_an_interrupt_leaves_the_newest_estimate(model, monkeypatch):
    p = job(steps=10)

    def stop_after_three(*arguments, **keywords):
        if model.calls == 3:
            monkeypatch.setattr(shared.state, "interrupted", True)
        return original(*arguments, **keywords)

    original = model.apply_model
    monkeypatch.setattr(model, "apply_model", stop_after_three, raising=False)
    found = sample("Euler", p)
    assert model.calls == 4
    assert found.shape == (2, 4, 4, 4)
    assert found.mean().item() == pytest.approx(model.mean, abs=0.5)


def test_k_diffusion_has_its_own_torch_back(model, monkeypatch):
    import k_diffusion.sampling

    sample("Euler a", job(steps=2))
    assert k_diffusion.sampling.torch is torch
    monkeypatch.setattr(model, "apply_model", lambda *_, **__: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        sample("Euler a", job(steps=2))
    assert k_diffusion.sampling.torch is torch


@pytest.mark.parametrize(
    "scheduler", [each for each in sd_schedulers.schedulers if each.function], ids=lambda s: s.label
)
def test_schedules_go_down_to_nothing(scheduler, option):
    wrapped = external.CompVisDenoiser(shared.sd_model)
    lowest, highest = wrapped.sigmas[0].item(), wrapped.sigmas[-1].item()
    extra = {"inner_model": wrapped} if scheduler.need_inner_model else {}
    for steps in (1, 5, 11, 20):
        if steps == 1 and scheduler.label in ("Normal", "Uniform", "Align Your Steps", "Beta"):
            continue  # one step of these is the first level and 0
        sigmas = scheduler.function(n=steps, sigma_min=lowest, sigma_max=highest, device="cpu", **extra)
        assert (sigmas[:-1] > sigmas[1:]).all(), steps
        assert len(sigmas) == (len(range(1, 1000, 1000 // steps)) if scheduler.label == "DDIM" else steps) + 1
        assert sigmas[0].item() <= highest * 1.001
        if scheduler.label != "KL Optimal":
            assert sigmas[-1] == 0


@pytest.mark.parametrize("name", SIGMAS)
def test_schedules_are_those_of_the_webui(model, name):
    """Its own, made on SD1.5's noise schedule (tests/reference/README.md); SDXL has its own Align Your Steps."""
    scheduler = sd_schedulers.schedulers_map[name.removesuffix(" SDXL")]
    model.is_sdxl = name.endswith(" SDXL")
    wrapped = external.CompVisDenoiser(model)
    extra = {"inner_model": wrapped} if scheduler.need_inner_model else {}
    limits = {"sigma_min": wrapped.sigmas[0].item(), "sigma_max": wrapped.sigmas[-1].item()}
    for steps, expected in SIGMAS[name].items():
        found = scheduler.function(n=int(steps), **limits, device="cpu", **extra)
        assert torch.allclose(found, torch.tensor(expected), rtol=1e-4, atol=1e-6), steps


def test_every_schedule_and_sampler_of_the_webui_is_there():
    assert {*SIGMAS} == {s.label for s in sd_schedulers.schedulers if s.function} | {"Align Your Steps SDXL"}
    assert [sampler.name for sampler in sd_samplers.all_samplers] == OF_WEBUI


def test_lcm_takes_the_noise_out_as_diffusers_does(model):
    diffusers = pytest.importorskip("diffusers")
    denoiser = sd_samplers_lcm.LCMDenoiser(model)
    theirs = diffusers.LCMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    theirs.set_timesteps(50)
    assert sorted(theirs.timesteps.tolist()) == list(range(19, 1000, 20))
    latents = job().rng.next()
    for timestep in theirs.timesteps:
        alpha = ALPHAS[timestep]
        sigma = ((1 - alpha) / alpha).sqrt()
        noise = model.apply_model(latents, torch.full([2], int(timestep)), None)
        expected = theirs.step(noise, timestep, latents).denoised
        found = denoiser(latents / alpha.sqrt(), sigma.repeat(2), cond=None)
        assert denoiser.sigma_to_t(sigma).item() == timestep
        assert torch.allclose(found, expected, atol=1e-4), timestep


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_sgm_uniform_has_the_timesteps_that_lightning_was_made_for(model, steps):
    """Those of diffusers' Euler with trailing timesteps, which AnimateDiff-Lightning's authors name."""
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.EulerDiscreteScheduler(timestep_spacing="trailing", beta_schedule="linear")
    theirs.set_timesteps(steps)
    wrapped = external.CompVisDenoiser(model)
    limits = {"sigma_min": wrapped.sigmas[0].item(), "sigma_max": wrapped.sigmas[-1].item()}
    sigmas = sd_schedulers.sgm_uniform(steps, **limits, inner_model=wrapped, device="cpu")
    assert torch.allclose(wrapped.sigma_to_t(sigmas[:-1]), theirs.timesteps, atol=1)


def test_lcm_goes_down_even_timesteps(model):
    """With SGM Uniform the last one is left out, and each is the nearest of 50.

    One of them lies just between two of the 50: the processor's rounding decides, in the host, too.
    """
    denoiser = sd_samplers_lcm.LCMDenoiser(model)
    limits = denoiser.sigma_min.item(), denoiser.sigma_max.item()
    own, uniform = denoiser.get_sigmas(4), sd_schedulers.sgm_uniform(4, *limits, denoiser, "cpu")
    assert own[-1] == uniform[-1] == 0
    assert denoiser.sigma_to_t(own[:-1]).tolist() == [999, 679, 339, 19]
    assert denoiser.sigma_to_t(uniform[:-1]).tolist() == pytest.approx(LCM_SGM, abs=sd_samplers_lcm.STRIDE / 2)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "noted"),
    [
        ("Euler", "Automatic", None),
        ("DPM++ 2M", "Automatic", "Karras"),
        ("DPM++ 2M SDE", "Automatic", "Exponential"),
        ("Euler", "Karras", "Karras"),
        ("DDIM", "Karras", None),
    ],
)
def test_automatic_is_the_samplers_own_schedule(sampler, scheduler, noted):
    p = job(steps=2, scheduler=scheduler)
    sample(sampler, p)
    assert p.extra_generation_params.get("Schedule type") == noted


def test_settings_of_the_schedule_are_noted(option):
    option(sigma_min=0.1, sigma_max=10.0, rho=5.0, always_discard_next_to_last_sigma=True)
    p = job(steps=4, scheduler="Karras")
    sampler = sd_samplers.create_sampler("Euler", shared.sd_model)
    sigmas = sampler.get_sigmas(p, 4)
    assert len(sigmas) == 5
    assert sigmas[0].item() == pytest.approx(10.0)
    assert p.extra_generation_params == {
        "Discard penultimate sigma": True,
        "Schedule type": "Karras",
        "Schedule min sigma": 0.1,
        "Schedule max sigma": 10.0,
        "Schedule rho": 5.0,
    }


def test_settings_of_the_noise_are_noted(option):
    option(s_churn=2.0, s_noise=1.1)
    p = job(steps=3, eta=0.5)
    sample("Heun", p)
    assert p.extra_generation_params == {"Sigma churn": 2.0, "Sigma noise": 1.1}
    p = job(steps=3, eta=0.5)
    sample("DDIM", p)
    assert p.extra_generation_params == {"Eta DDIM": 0.5}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("DPM++ 2M Karras", None), ("DPM++ 2M", "Automatic")),
        (("Euler", "Karras"), ("Euler", "Karras")),
        (("Euler Karras", "Automatic"), ("Euler", "Karras")),
        (("DPM++ 2M", "karras"), ("DPM++ 2M", "Automatic")),
        (("nothing", "nothing"), ("DPM++ 2M", "Automatic")),
        ((None, None), ("DPM++ 2M", "Automatic")),
    ],
)
def test_names(asked, found):
    assert sd_samplers.get_sampler_and_scheduler(*asked) == found


def test_names_of_a_job_are_put_right():
    p = job(scheduler="Automatic", sampler_name="DPM++ 2M Karras")
    sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
    assert (p.sampler_name, p.scheduler) == ("DPM++ 2M", "Karras")


def test_aliases_and_hidden_samplers(option):
    assert sd_samplers.samplers_map["k_euler_a"] == "Euler a"
    assert sd_samplers.find_sampler_config("no such sampler") is None
    with pytest.raises(ValueError, match="no such sampler"):
        sd_samplers.create_sampler("no such sampler", shared.sd_model)
    option(hide_samplers=["Euler"])
    sd_samplers.set_samplers()
    shown = sd_samplers.visible_sampler_names()
    option(hide_samplers=[])
    sd_samplers.set_samplers()
    assert set(sd_samplers.visible_sampler_names()) - set(shown) == {"Euler"}
