"""Windows through a model: what goes in, how it is put together, and that nothing depends on how it is cut."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.placement import mounted
from motion_module.errors import HostError
from motion_module.windows import BLENDS, WindowPlan, context_windows
from tests.core.builders import motion_model, norms_of, unet, unet_inputs


class Model:
    """A stand-in: each row answers with itself, its text and its copy's mean over frames (`motion`)."""

    def __init__(self, call, motion=0.0, dtype=torch.float32):
        self.call, self.motion, self.dtype = call, motion, dtype
        self.calls = []

    def __call__(self, x, t, cond):
        frames = self.call.frames
        copies = x.view(-1, frames, *x.shape[1:])
        self.calls.append((x.shape[0], frames))
        mean = copies.mean(dim=1, keepdim=True).expand_as(copies).reshape(x.shape)
        text = cond["c_crossattn"][0].mean(dim=(1, 2))[:, None, None, None]
        return (x.sin() + text * t[:, None, None, None] + self.motion * mean).to(self.dtype)


def inputs(layout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(layout.rows, 4, 2, 3, generator=generator)
    text = torch.randn(layout.rows, 2, 3, generator=generator)
    return (
        x,
        torch.rand(layout.rows, generator=generator),
        {"c_crossattn": [text], "c_concat": [torch.zeros(layout.rows, 5, 1, 1)]},
    )


def slide(model, layout, together=True, around_call=None, step=0, **options):
    plan = WindowPlan(**{"schedule": "uniform", "blend": "overwrite", **options})
    sliding = SlidingModel(model, model.call, layout.frames, plan, together, around_call)
    sliding.begin(step, layout.parts)
    return sliding(*inputs(layout))


@st.composite
def a_case(draw):
    context = draw(st.integers(1, 12))
    loop = draw(st.sampled_from(["N", "R-P", "A"]))
    layout = RowLayout(draw(st.integers(1, 40)), draw(st.integers(1, 3)), draw(st.booleans()))
    options = {
        "context": context,
        "stride": 1 if loop == "N" else draw(st.integers(1, 4)),
        "overlap": draw(st.integers(-1, context + 1)),
        "closed_loop": loop,
        "schedule": draw(st.sampled_from(["uniform", "static"])),
        "blend": draw(st.sampled_from(BLENDS)),
        "windows_per_call": draw(st.integers(1, 4)),
    }
    return layout, options, draw(st.booleans()), draw(st.integers(0, 40))


@settings(max_examples=300)
@given(a_case())
def test_a_model_without_motion_gives_the_same_through_any_windows(case):
    layout, options, together, step = case
    x, t, cond = inputs(layout)
    expected = x.sin() + cond["c_crossattn"][0].mean(dim=(1, 2))[:, None, None, None] * t[:, None, None, None]
    ours = slide(Model(CallFrames()), layout, together, step=step, **options)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@settings(max_examples=100)
@given(a_case())
def test_sides_and_windows_in_one_call_or_apart(case):
    """Only the number of calls may depend on `together` and `windows_per_call`; the frames see the same neighbours."""
    layout, options, _, step = case
    results = [
        slide(Model(CallFrames(), motion=1.0), layout, together, step=step, **{**options, "windows_per_call": windows})
        for together in (True, False)
        for windows in (1, 3)
    ]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("uncond", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_each_copy_is_a_video_of_its_own(parts, uncond, together):
    layout = RowLayout(6, parts, uncond)
    x, t, cond = inputs(layout)
    model = Model(CallFrames(), motion=1.0)
    ours = slide(model, layout, together, context=6)
    for branch in layout.branches():
        with model.call.running(6):
            alone = model(x[branch], t[branch], {"c_crossattn": [cond["c_crossattn"][0][branch]]})
        assert torch.equal(ours[branch], alone)
    copies = parts + uncond
    expected = [(6 * copies, 6)] if together else [(6, 6)] * copies
    assert model.calls[: len(expected)] == expected


def test_one_window_passes_the_very_arguments_through():
    seen = []
    call, layout = CallFrames(), RowLayout(16, 1, True)
    arguments = inputs(layout)
    sliding = SlidingModel(
        lambda *a, **k: seen.append((a, k, call.frames)) or a[0], call, 16, WindowPlan(blend="pyramid")
    )
    assert sliding(*arguments, 7, extra=8) is arguments[0]
    (positional, named, frames) = seen[0]
    assert all(ours is theirs for ours, theirs in zip(positional, (*arguments, 7), strict=False))
    assert (positional[3], named, frames, len(seen)) == (7, {"extra": 8}, 16, 1)
    assert call.frames == 0


@pytest.mark.parametrize("name", ["v1", "v3"])
def test_through_a_real_unet(name):
    net, call, layout = unet(), CallFrames(), RowLayout(8, 1, True)
    x, t, text = unet_inputs(16)
    apply = lambda x, t, cond: net(x, t, context=cond["c_crossattn"][0])  # noqa: E731
    with torch.no_grad(), mounted(net, motion_model(name), call, norms_of(net)):
        with call.running(8):
            direct = net(x, t, context=text)
        cond = {"c_crossattn": [text]}
        whole = SlidingModel(apply, call, layout.frames, WindowPlan())
        apart = SlidingModel(apply, call, layout.frames, WindowPlan(), together=False)
        windowed = SlidingModel(apply, call, layout.frames, WindowPlan(context=4, blend="flat"))
        assert torch.equal(whole(x, t, cond), direct)
        torch.testing.assert_close(apart(x, t, cond), direct, atol=1e-5, rtol=0)
        assert (windowed(x, t, cond) - direct).abs().mean() > 1e-3


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_windows_in_one_call_are_videos_of_their_own_in_a_real_unet(name):
    """v1's norms go over the frames of a window, not over all windows of a call."""
    net, call = unet(), CallFrames()
    x, t, text = unet_inputs(20)
    apply = lambda x, t, cond: net(x, t, context=cond["c_crossattn"][0])  # noqa: E731
    with torch.no_grad(), mounted(net, motion_model(name), call, norms_of(net)):
        one, three = (
            SlidingModel(apply, call, 10, WindowPlan(context=4, overlap=1, blend="pyramid", windows_per_call=width))(
                x, t, {"c_crossattn": [text]}
            )
            for width in (1, 3)
        )
        norms_over_all = SlidingModel(apply, call, 10, WindowPlan(context=10))(x, t, {"c_crossattn": [text]})
    torch.testing.assert_close(three, one, atol=1e-5, rtol=0)
    assert (norms_over_all - one).abs().mean() > 1e-3


def test_only_the_frames_of_a_window_are_on_the_accelerator(monkeypatch):
    """ "meta" stands in for it: conditions that wait on the CPU come window by window, what is done goes back at once."""
    layout, call, seen, brought_back = RowLayout(20, 1, True), CallFrames(), [], []
    to, to_cpu = torch.Tensor.to, torch.Tensor.cpu

    def fetched(tensor):
        if tensor.is_meta:
            brought_back.append(tensor.shape[0])
            return torch.ones(tensor.shape)
        return to_cpu(tensor)

    def moved(tensor, target, *rest):
        """A number of rows has to be known on both devices, which "meta" does not do."""
        known = tensor.is_meta and tensor.dtype == torch.int64 and torch.device("cpu") == target
        return torch.zeros(tensor.shape, dtype=torch.int64) if known else to(tensor, target, *rest)

    def model(x, t, cond):
        seen.append((x.shape[0], len(brought_back)))
        assert x.is_meta and t.is_meta and all(value[0].is_meta for value in cond.values())
        assert {value[0].shape[0] for value in cond.values()} == {x.shape[0]}
        return torch.zeros_like(x)

    x, t, cond = inputs(layout)
    accelerated = x.to("meta"), t.to("meta")
    monkeypatch.setattr(torch.Tensor, "to", moved)
    monkeypatch.setattr(torch.Tensor, "cpu", fetched)
    sliding = SlidingModel(model, call, 20, WindowPlan(context=8, overlap=2, schedule="static", blend="pyramid"))
    assert sliding(*accelerated, cond).is_meta
    assert seen == [(16, 0), (16, 1), (16, 2)]
    assert brought_back == [16, 16, 16]


def by_hand(model, layout, options, step):
    """Blend as docs/behaviour.md 3.4 writes it, in float64."""
    x, t, cond = inputs(layout)
    size, lap = options["context"], options["overlap"]
    total, weight = torch.zeros_like(x).double(), torch.zeros(layout.rows).double()
    for window in context_windows(step, layout.frames, size, 1, lap, "R-P"):
        for branch in layout.branches():
            rows = [branch[frame] for frame in window]
            with model.call.running(size):
                out = model(x[rows], t[rows], {"c_crossattn": [cond["c_crossattn"][0][rows]]}).double()
            for k, row in enumerate(rows):
                w = {
                    "flat": 1.0,
                    "pyramid": min(k, size - 1 - k) + 1.0,
                    "linear": min(1.0, (k + 1) / (lap + 1), (size - k) / (lap + 1)),
                    "overwrite": 1.0,
                }[options["blend"]]
                if options["blend"] == "overwrite":
                    total[row], weight[row] = out[k], 1.0
                else:
                    total[row] += w * out[k]
                    weight[row] += w
    return total / weight[:, None, None, None]


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("step", [0, 1, 5])
def test_blending_by_its_formula(blend, step):
    layout, options = RowLayout(20, 2, True), {"context": 8, "overlap": 3, "blend": blend}
    ours = slide(Model(CallFrames(), motion=2.0), layout, step=step, **options)
    expected = by_hand(Model(CallFrames(), motion=2.0), layout, options, step)
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=0)


def test_sums_are_float32_whatever_the_model_says():
    layout, options = RowLayout(40, 1, False), {"context": 16, "overlap": 14, "blend": "pyramid"}
    ours = slide(Model(CallFrames(), motion=2.0, dtype=torch.float16), layout, **options)
    expected = by_hand(Model(CallFrames(), motion=2.0, dtype=torch.float16), layout, options, 0)
    assert ours.dtype == torch.float16
    assert torch.equal(ours, expected.to(torch.float16)) or (ours - expected).abs().max() < 2e-3
    float32 = slide(Model(CallFrames(), motion=2.0), layout, **options)
    assert (ours.float() - float32).abs().max() < 4e-3


@pytest.mark.parametrize("blend", ["flat", "pyramid", "linear"])
@pytest.mark.parametrize("loop", ["N", "R-P", "A"])
def test_no_output_of_the_model_is_thrown_away(blend, loop):
    """Each frame of each window moves the result; with `overwrite` up to a third of the work counts for nothing."""

    def lost(blend):
        layout, call, outputs = RowLayout(32, 1, False), CallFrames(), []

        def model(x, t, cond):
            outputs.append(torch.zeros_like(x, requires_grad=True))
            return outputs[-1]

        slide_once = SlidingModel(model, call, 32, WindowPlan(context=12, overlap=4, closed_loop=loop, blend=blend))
        slide_once.begin(3)
        slide_once(*inputs(layout)).sum().backward()
        return sum((out.grad.abs().amax(dim=(1, 2, 3)) == 0).sum().item() for out in outputs)

    assert lost(blend) == 0
    assert lost("overwrite") > 0


def test_what_others_are_told_about_a_call():
    seen = []

    @contextmanager
    def around(model_call):
        seen.append((model_call.rows, model_call.frames, model_call.layout))
        yield

    layout = RowLayout(6, 2, True)
    slide(Model(CallFrames()), layout, together=False, around_call=around, context=4, overlap=2)
    windows = [[0, 1, 2, 3], [2, 3, 4, 5]]
    sides = [lambda f: 2 * f, lambda f: 2 * f + 1, lambda f: 12 + f]
    assert seen == [([side(f) for f in window], 4, layout) for window in windows for side in sides]


def test_windows_per_call():
    layout, model = RowLayout(20, 1, True), Model(CallFrames())
    slide(model, layout, context=8, overlap=4, windows_per_call=3)
    assert model.calls == [(3 * 8 * 2, 8), (1 * 8 * 2, 8)]


def test_an_error_in_the_model_leaves_no_call_running():
    call = CallFrames()

    def broken(x, t, cond):
        assert call.frames == 8
        raise MemoryError

    with pytest.raises(MemoryError):
        slide_case = SlidingModel(broken, call, 20, WindowPlan(context=8))
        slide_case(*inputs(RowLayout(20, 1, True)))
    assert call.frames == 0


def test_rows_that_fit_no_layout():
    sliding = SlidingModel(Model(CallFrames()), CallFrames(), 7, WindowPlan())
    with pytest.raises(HostError, match="16 rows, but 7 frames"):
        sliding(*inputs(RowLayout(16, 1, False)))


def test_an_overlap_that_does_not_fit_is_warned_about_once(caplog):
    with caplog.at_level("WARNING"):
        slide(Model(CallFrames()), RowLayout(20, 1, True), context=8, overlap=9)
    assert [record.getMessage() for record in caplog.records] == ["overlap 9 does not fit 8 frames, 4 is used"]
    caplog.clear()
    slide(Model(CallFrames()), RowLayout(20, 1, True), context=8, overlap=-1)
    assert not caplog.records
