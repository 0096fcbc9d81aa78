"""Frozen frames: at every step at the noise level where they should be, in the end what was given, and the others free."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module.core.denoising.frozen import FOR_EVER, Edge, FrozenFrames, steps_frozen

ALPHAS = torch.linspace(0.9991, 0.0047, 1000, dtype=torch.float64)
SIGMAS = torch.tensor([14.6, 9.0, 5.1, 2.2, 0.7, 0.03, 0.0], dtype=torch.float64)


def latents(seed, frames=5):
    return torch.randn(frames, 4, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def x0_itself(x, out, sigma):
    return out


def x0_of_noise(x, out, timestep):
    alpha = ALPHAS[timestep.long()][:, None, None, None]
    return (x - (1 - alpha).sqrt() * out) / alpha.sqrt()


def model(x):
    """Some answer that mixes all frames."""
    return (x - x.mean(dim=0)).tanh()


def euler(frozen, x, from_noise, look):
    for step, (level, following) in enumerate(itertools.pairwise(SIGMAS), start=1):
        sigma = level.expand(len(x))
        if step == 1 and from_noise:
            frozen.put_into_noise(x, sigma, x0_itself)
        look(step, x, level)
        denoised = frozen.answer(model(x), x, sigma, step, x0_itself)
        x = x + (x - denoised) / level * (following - level)
    return frozen.kept(x)


def ddim(frozen, x, from_noise, look):
    steps = [999, 799, 599, 399, 199, 1]
    for step, (level, following) in enumerate(zip(steps, [*steps[1:], 0], strict=True), start=1):
        timestep = torch.full([len(x)], float(level), dtype=torch.float64)
        if step == 1 and from_noise:
            frozen.put_into_noise(x, timestep, x0_of_noise)
        look(step, x, level)
        noise = frozen.answer(model(x), x, timestep, step, x0_of_noise)
        alpha = ALPHAS[following]
        x = alpha.sqrt() * x0_of_noise(x, noise, timestep) + (1 - alpha).sqrt() * noise
    return frozen.kept(x)


def level_of(name, given, noise, level):
    """What a frame should be at a noise level."""
    if name == "Euler":
        return given + level * noise
    return ALPHAS[level].sqrt() * given + (1 - ALPHAS[level]).sqrt() * noise


def far(one, other):
    return (one - other).abs().max() > 1e-3


SAMPLERS = {"Euler": euler, "DDIM": ddim}


@pytest.mark.parametrize("from_noise", [True, False])
@pytest.mark.parametrize("name", SAMPLERS)
@settings(deadline=None, max_examples=30)
@given(
    until=st.dictionaries(st.integers(0, 4), st.sampled_from([0, 1, 2, 3, 6, FOR_EVER]), min_size=1),
    seed=st.integers(0, 99),
)
def test_each_frame_is_where_it_should_be_until_its_step(name, from_noise, until, seed):
    z, noise = latents(seed), latents(seed + 100)
    frames = tuple(until)
    frozen = FrozenFrames(frames, z[list(frames)], tuple(until.values()))
    first = SIGMAS[0] if name == "Euler" else 999
    start = noise * (first if name == "Euler" else 1) if from_noise else level_of(name, z, noise, first)

    def look(step, x, level):
        for frame, last in until.items():
            if step <= last or (step == last + 1 and (last or not from_noise)):
                assert torch.allclose(x[frame], level_of(name, z[frame], noise[frame], level), atol=1e-9)

    result = SAMPLERS[name](frozen, start.clone(), from_noise, look)
    for frame, last in until.items():
        assert torch.equal(result[frame], z[frame]) if last == FOR_EVER else last == 6 or far(result[frame], z[frame])


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_model_that_looks_at_no_other_frame_makes_of_the_others_is_unchanged(name, monkeypatch):
    monkeypatch.setitem(globals(), "model", torch.tanh)
    z, start = latents(1), latents(2)
    frozen, nothing = FrozenFrames((1, 3), z[[1, 3]], (FOR_EVER, 2)), FrozenFrames((), z[:0], ())
    found, plain = (SAMPLERS[name](which, start.clone(), True, lambda *_: None) for which in (frozen, nothing))
    assert torch.equal(found[[0, 2, 4]], plain[[0, 2, 4]]) and not torch.allclose(found[[1, 3]], plain[[1, 3]])


def test_where_nothing_is_frozen_the_very_tensors_are_handed_on():
    frozen = FrozenFrames((2,), latents(1)[:1], (3,))
    out = latents(2)
    assert frozen.answer(out, out, torch.ones(5), 4, x0_itself) is out and frozen.kept(out) is out


PREDICTIONS = {"latents": x0_itself, "noise": x0_of_noise}


@pytest.mark.parametrize("prediction", PREDICTIONS.values(), ids=PREDICTIONS)
def test_what_is_missing_at_an_edge_is_added_to_the_frames_behind_it(prediction):
    """Frame 1 is frozen at 5, and the model makes 4.7 of it: of the 0.3 that are missing frame 2 gets 0.2, frame 3 0.1."""
    timestep = torch.tensor([900.0, 900.0, 500.0, 500.0, 500.0], dtype=torch.float64)
    made = torch.tensor([0.0, 4.7, 7.0, 8.0, 9.0], dtype=torch.float64).view(5, 1, 1, 1).expand(5, 4, 2, 3).clone()
    x, given = latents(1), torch.full((2, 4, 2, 3), 5.0, dtype=torch.float64)
    offset = prediction(x, torch.zeros_like(x), timestep)
    out = (made - offset) / prediction(torch.zeros_like(x), torch.ones_like(x), timestep)
    frozen = FrozenFrames((0, 1), given, (FOR_EVER, FOR_EVER), (Edge(1, range(2, 4)),))
    found = prediction(x, frozen.answer(out, x, timestep, 1, prediction), timestep)
    assert torch.allclose(
        found, torch.tensor([5.0, 5, 7.2, 8.1, 9], dtype=torch.float64).view(5, 1, 1, 1).expand(found.shape)
    )


def test_an_edge_in_the_other_direction():
    frozen = FrozenFrames((4,), torch.full((1, 1, 1, 1), 1.0), (FOR_EVER,), (Edge(4, (3, 2, 1)),))
    out = torch.zeros(5, 1, 1, 1)
    found = frozen.answer(out, out, torch.full((5,), 1e4), 1, x0_itself)
    assert torch.allclose(found.flatten(), torch.tensor([0, 0.25, 0.5, 0.75, 1]))


@pytest.mark.parametrize(
    ("until", "step", "seen", "added"),
    [
        ((FOR_EVER, 0), 1, None, True),
        ((FOR_EVER, 0), 1, frozenset({1, 2}), True),
        ((FOR_EVER, 0), 1, frozenset({2, 3}), False),  # the model was not asked for frame 1
        ((2, FOR_EVER), 3, None, False),  # frame 1 is free by then
        ((FOR_EVER, FOR_EVER), 1, None, False),  # frame 2, the only one behind it, is frozen, too
    ],
)
def test_when_something_is_added_behind_an_edge(until, step, seen, added):
    z, out = latents(1)[:2], latents(2)
    out[1] = z[0] + 0.1 * out[1]
    plain, frozen = (FrozenFrames((1, 2), z, until, edges) for edges in ((), (Edge(1, (2,)),)))
    expected, found = (each.answer(out, out, torch.ones(5), step, x0_itself, seen) for each in (plain, frozen))
    assert torch.equal(found[[0, 1, 3, 4]], expected[[0, 1, 3, 4]])
    assert torch.equal(found, expected) is not added
    assert not added or torch.allclose(found[2], out[2] + (z[0] - out[1]) / 2)


@pytest.mark.parametrize(
    ("error", "sigma", "share"),
    [
        (0.5, 1.0, 1),  # a guess among latents of variance 1 below noise of variance 1 has an error of variance 0.5
        (0.6, 1.0, 0.6),  # 1.2 times that of a guess: half of the way to where nothing is added, and 0.1 of it more
        (0.75, 1.0, 0),
        (2.0, 1e4, 0),  # the old picture, where the model draws another one
        (0.0014, 0.03, 0),
        (0.0005, 0.03, 1),
    ],
)
def test_what_another_prompt_has_the_model_draw_is_not_carried_on(error, sigma, share):
    from motion_module.core.denoising.frozen import _credible

    own = torch.ones(1, 4, 2, 3, dtype=torch.float64)
    assert _credible(own * error**0.5, own, torch.tensor(sigma)).item() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("level", [0.03, 1.0, 14.6])
def test_the_noise_level_is_known_whatever_the_sampler_asks_for(level):
    from motion_module.core.denoising.frozen import _noise_level

    z, a = latents(1), 1 / (1 + level**2)
    of_noise = _noise_level(z, torch.tensor([500.0]), lambda x, e, t: (x - (1 - a) ** 0.5 * e) / a**0.5)
    of_latents = _noise_level(z, torch.tensor([level]), x0_itself)
    assert float(of_noise) == pytest.approx(level, rel=1e-4) and float(of_latents) == pytest.approx(level, rel=1e-4)


def test_a_frame_is_as_good_as_its_window_where_the_model_agrees_with_what_is_given():
    out = latents(1)
    frozen = FrozenFrames((0, 1), out[:2], (FOR_EVER, FOR_EVER), (Edge(1, (2, 3, 4)),))
    assert torch.equal(frozen.answer(out, out, torch.ones(5), 1, x0_itself), out)


def test_what_is_given_may_be_of_another_precision():
    z = latents(1)[:2].half()
    frozen = FrozenFrames((0, 4), z, (FOR_EVER, FOR_EVER))
    out = latents(2).float()
    answer = frozen.answer(out, out, torch.ones(5), 1, x0_itself)
    assert answer.dtype == torch.float32 and torch.equal(answer[[0, 4]], z.float()) and torch.equal(answer[1], out[1])


@pytest.mark.parametrize(
    ("strengths", "steps", "most", "frozen"),
    [
        ([0.5, 0.5], 20, 10, (0, 0)),
        ([0.5, 0.25, 0.0], 20, 10, (0, 5, FOR_EVER)),
        ([1.0, 0.01], 20, 19, (0, 19)),
        ([0.4, 0.2], 50, 19, (0, 9)),  # with the setting that does all steps of 20: 50 steps of the whole schedule
    ],
)
def test_a_frame_waits_for_its_own_start(strengths, steps, most, frozen):
    assert steps_frozen(strengths, steps, most) == frozen


def test_windows_in_which_all_frames_are_frozen_are_left_out():
    from motion_module.core.denoising.sliding import SlidingModel, Wanted
    from motion_module.core.module.call_frames import CallFrames
    from motion_module.windows import WindowPlan

    asked, wanted = [], Wanted()

    def count(x, t, cond):
        asked.append(x[:, 0, 0, 0].tolist())
        return x + 1

    plan = WindowPlan(context=8, overlap=2, schedule="static")
    sliding = SlidingModel(count, CallFrames(), 20, plan, wanted=wanted)
    x = torch.arange(20.0)[:, None, None, None].expand(20, 4, 2, 2).clone()
    whole = sliding(x, torch.ones(20), torch.zeros(20, 3, 4))
    windows = len(asked)
    frozen = FrozenFrames(tuple(range(14)), torch.zeros(14, 4, 2, 2), (FOR_EVER,) * 13 + (1,))
    with wanted.only(frozen.free(20, 2)):
        asked.clear()
        out = sliding(x, torch.ones(20), torch.zeros(20, 3, 4))
        assert wanted.seen == frozenset(range(6, 20))
    assert windows == 3 and asked == [list(range(6, 14)), list(range(12, 20))], "frame 13 is free in step 2"
    assert torch.equal(out[13:], whole[13:]) and not out[:6].any() and wanted.seen is None
    with wanted.only(frozenset()):
        assert sliding(x, torch.ones(20), torch.zeros(20, 3, 4)).isfinite().all()
    assert wanted.frames is None and torch.equal(sliding(x, torch.ones(20), torch.zeros(20, 3, 4)), whole)


def test_where_somebody_looks_at_all_frames_no_window_is_left_out():
    """Another extension may keep the rows of every call, and puts them together afterwards."""
    from motion_module.core.denoising.sliding import Wanted

    windows, wanted = [[0, 1, 2], [2, 3, 4]], Wanted()
    with wanted.only(frozenset({4})):
        assert wanted.of(windows) == [[2, 3, 4]]
        wanted.in_any_case(True)
        assert wanted.of(windows) == windows
