"""Windows that remember: what later windows show is drawn near the first one's, in terms of latents, and by how much."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module.core.denoising.remembering import Memory, Prediction, Recall
from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.schedule import alphas_cumprod
from motion_module.core.denoising.sliding import SlidingModel, Wanted
from motion_module.core.module.call_frames import CallFrames
from motion_module.windows import WindowPlan
from tests.core.test_sliding import Model, a_case, inputs

ALPHAS = alphas_cumprod("linear", 1000)
EPS, V = Prediction(ALPHAS), Prediction(ALPHAS, of_v=True)
STATIC = {"context": 4, "overlap": 0, "schedule": "static", "blend": "flat"}


def answer_for(prediction, x, x0, t):
    """What a model answers that takes x for noisy x0."""
    a = ALPHAS[t.long()].view(-1, 1, 1, 1).double()
    noise = (x.double() - a.sqrt() * x0) / (1 - a).sqrt()
    return (a.sqrt() * noise - (1 - a).sqrt() * x0 if prediction.of_v else noise).float()


def x0_of(prediction, x, out, t):
    a = ALPHAS[t.long()].view(-1, 1, 1, 1).double()
    x, out = x.double(), out.double()
    return a.sqrt() * x - (1 - a).sqrt() * out if prediction.of_v else (x - (1 - a).sqrt() * out) / a.sqrt()


def slide(call_model, layout, arguments, memory, together=True, step=0, wanted=None, **options):
    plan = WindowPlan(**{"schedule": "uniform", **options})
    sliding = SlidingModel(call_model, CallFrames(), layout.frames, plan, together, wanted=wanted, memory=memory)
    sliding.begin(step, layout.parts)
    return sliding(*arguments)


@pytest.mark.parametrize("prediction", [EPS, V], ids=["noise", "v"])
@pytest.mark.parametrize(("timestep", "share"), [(999, 0.5), (333, 1 / 6), (0, 0.0)])
def test_the_latents_of_a_later_window_are_mixed_with_those_of_the_first_one(prediction, timestep, share):
    """Frame f is 10 f, whatever its noise: with weight 1/2 at pure noise, frame 5 becomes (50 + 10) / 2 = 30."""
    layout = RowLayout(8, 1, False)
    x, _, cond = inputs(layout)
    t = torch.full((8,), float(timestep))
    shows = torch.arange(8.0).view(8, 1, 1, 1).double() * 10
    whole = answer_for(prediction, x, shows.expand(x.shape), t)

    def model(xs, ts, conds):
        rows = [int((x == one).flatten(1).all(1).nonzero()) for one in xs]
        return whole[rows]

    memory = Memory(0.5, lambda: prediction)
    found = x0_of(prediction, x, slide(model, layout, (x, t, cond), memory, **STATIC), t).mean((1, 2, 3))
    expected = [0, 10, 20, 30, *(10 * f + share * (10 * (f - 4) - 10 * f) for f in range(4, 8))]
    assert found.tolist() == pytest.approx(expected, abs=2e-2)


def test_frames_of_two_windows_are_mixed_before_they_are_blended():
    """Windows 0-3 and 2-5 answer 0 and 6 with the same noise: at weight 1 the second one answers 0, at 1/2 it answers 3."""
    layout, t = RowLayout(6, 1, False), torch.full((6,), 999.0)
    arguments = torch.ones(6, 1, 1, 1), t, torch.zeros(6, 1, 1)
    for weight, expected in ((1.0, [0, 0, 0, 0, 0, 0]), (0.5, [0, 0, 1.5, 1.5, 3, 3])):
        answers = iter([0.0, 6.0])
        found = slide(
            lambda x, t, cond, answers=answers: torch.full_like(x, next(answers)),
            layout, arguments, Memory(weight, lambda: EPS), context=4, overlap=2, schedule="static", blend="flat",
        )  # fmt: skip
        assert found.flatten().tolist() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(a_case(), st.floats(0.01, 1))
def test_windows_that_agree_stay_as_they_are(case, weight):
    """Where each frame shows the same, remembering changes nothing: whatever the windows, branches and calls."""
    layout, options, together, step = case
    x, _, cond = inputs(layout)
    t = torch.full((layout.rows,), 500.0)

    def model(xs, ts, conds):
        return answer_for(EPS, xs, torch.full_like(xs, 3.0).double(), ts)

    found = slide(model, layout, (x, t, cond), Memory(weight, lambda: EPS), together, step, **options)
    torch.testing.assert_close(found, model(x, t, cond), atol=1e-4, rtol=1e-4)


@settings(max_examples=100, deadline=None)
@given(a_case())
def test_calls_and_branches_apart_or_together(case):
    layout, options, _, step = case
    options = {**options, "blend": "flat"}
    results = []
    for together in (True, False):
        for windows in (1, 3):
            model = Model(CallFrames(), motion=1.0)
            plan = WindowPlan(**{**options, "windows_per_call": windows})
            memory = Memory(0.7, lambda: EPS)
            sliding = SlidingModel(model, model.call, layout.frames, plan, together, memory=memory)
            sliding.begin(step, layout.parts)
            x, t, cond = inputs(layout)
            results.append(sliding(x, t * 999, cond))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-4, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(a_case())
def test_rows_that_others_have_moved(case):
    """Row by row, whatever the order of the rows."""
    layout, options, together, step = case
    order = torch.randperm(layout.rows, generator=torch.Generator().manual_seed(step)).tolist()
    moved = RowLayout(layout.frames, layout.parts, layout.uncond, moved_rows=tuple(order))
    x, t, cond = inputs(layout)
    arguments = [x, t * 999, cond["c_crossattn"][0]]
    elsewhere = [torch.empty_like(each).index_copy(0, torch.tensor(order), each) for each in arguments]
    plan, memory = WindowPlan(**{**options, "blend": "flat"}), Memory(0.7, lambda: EPS)
    found = []
    for where, (xs, ts, text) in ((layout, arguments), (moved, elsewhere)):
        model = Model(CallFrames(), motion=1.0)
        sliding = SlidingModel(model, model.call, layout.frames, plan, together, memory=memory)
        sliding.begin(step, layout.parts, lambda x, cond, where=where: where)
        found.append(sliding(xs, ts, {"c_crossattn": [text]}))
    torch.testing.assert_close(found[1][order], found[0], atol=1e-4, rtol=1e-4)


def test_one_window_has_nothing_to_remember():
    layout = RowLayout(4, 1, True)
    memory = Memory(1.0, lambda: pytest.fail("nobody needs it"))
    arguments = inputs(layout)
    plain, ours = (slide(lambda x, t, cond: x.sin(), layout, arguments, m, context=4) for m in (None, memory))
    assert torch.equal(plain, ours)


def test_of_windows_that_are_left_out_nothing_is_remembered():
    """The first of those that are computed takes their place; here 4-7, for 8-11."""
    layout, wanted = RowLayout(12, 1, False), Wanted()
    arguments = torch.ones(12, 1, 1, 1), torch.full((12,), 999.0), torch.zeros(12, 1, 1)
    answers = iter([1.0, 5.0])
    with wanted.only(frozenset(range(5, 12))):
        found = slide(
            lambda x, t, cond: torch.full_like(x, next(answers)),
            layout, arguments, Memory(1.0, lambda: EPS), wanted=wanted, **STATIC,
        )  # fmt: skip
    assert found.flatten().tolist() == [0] * 4 + [1] * 8


@pytest.mark.parametrize(
    ("windows", "first"),
    [
        ([[0, 1, 2], [2, 3, 4], [4, 5, 6]], [0, 1, 2]),
        ([[5, 6, 7], [7, 0, 1], [1, 2, 3], [3, 4, 5]], [1, 2, 3]),  # moved: the one that begins nearest to frame 0
        ([[6, 7, 0], [0, 1, 2], [2, 3, 4]], [0, 1, 2]),
        ([[2, 3, 4], [3, 4, 5], [0, 2, 4], [1, 3, 5]], [2, 3, 4]),
    ],
)
def test_which_window_is_the_first(windows, first):
    x = torch.zeros(8, 1)
    recall = Recall(windows, 8, x, torch.ones(8), torch.ones(8))
    assert recall.windows[0] == first and sorted(recall.windows) == sorted(windows)


def test_windows_with_a_stride_remember_the_first_one_of_their_own_distance():
    windows, branch = [[0, 1], [2, 3], [0, 2], [4, 6]], list(range(8))
    recall = Recall(windows, 8, torch.zeros(8, 1), torch.ones(8), torch.ones(8))
    assert recall.windows == [[0, 1], [0, 2], [2, 3], [4, 6]]
    out = torch.tensor([[1.0], [2], [3], [4], [5], [6], [7], [8]])
    assert recall.mixed([branch], recall.windows, out).flatten().tolist() == [1, 2, 3, 4, 1, 2, 3, 4]


def test_the_slope_between_two_timesteps_is_that_of_the_sampler():
    """k-diffusion asks at timesteps between two whole ones, where log(sigma) is straight."""
    t = torch.tensor([0.0, 10.5, 999.0])
    sigmas = ((1 - ALPHAS.double()) / ALPHAS.double()).sqrt()
    between = math.sqrt(float(sigmas[10] * sigmas[11]))
    expected = [math.sqrt((s * s + 1) / (s * s)) for s in (float(sigmas[0]), between, float(sigmas[999]))]
    assert EPS.slope(t).tolist() == pytest.approx(expected, rel=1e-4)
    assert V.slope(t).tolist() == pytest.approx([1 / float(sigmas[0]), 1 / between, 1 / float(sigmas[999])], rel=1e-4)


def test_a_schedule_that_ends_in_noise_alone():
    assert Prediction(torch.tensor([0.9, 0.5, 0.0])).slope(torch.tensor([2.0, 1.5])).tolist() == pytest.approx(
        [1, 1], rel=0.01
    )
    assert Prediction(torch.tensor([0.9, 0.0]), of_v=True).slope(torch.tensor([1.0])).item() == pytest.approx(
        0, abs=1e-4
    )


def test_half_precision_stays_what_it_is():
    layout = RowLayout(8, 1, False)
    x, t, cond = inputs(layout)
    found = slide(lambda x, t, cond: x.sin(), layout, (x.half(), t * 999, cond), Memory(1.0, lambda: EPS), **STATIC)
    assert found.dtype == torch.float16 and found.isfinite().all()
