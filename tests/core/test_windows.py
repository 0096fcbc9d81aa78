"""Windows: golden lists, and what must hold for every setting at every step."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module import window_counts as window_counts_of
from motion_module import windows
from motion_module.errors import ParamError
from motion_module.window_counts import window_counts
from motion_module.windows import (
    BLENDS,
    WindowPlan,
    context_windows,
    halving,
    overlap_note,
    resolve_overlap,
    resolve_schedule,
    window_weights,
)
from motion_module.wording import for_client

LOOPS = ("N", "R-P", "R+P", "A")


@st.composite
def a_setting(draw, loops=LOOPS, schedules=("uniform", "static")):
    context = draw(st.integers(1, 32))
    loop = draw(st.sampled_from(loops))
    return {
        "step": draw(st.integers(0, 63)),
        "frames": draw(st.integers(1, 200)),
        "context": context,
        "stride": 1 if loop == "N" else draw(st.integers(1, 8)),
        "overlap": draw(st.integers(-1, context + 2)),
        "closed_loop": loop,
        "schedule": draw(st.sampled_from(schedules)),
    }


def wraps(window):
    return any(later < earlier for earlier, later in itertools.pairwise(window))


@settings(max_examples=1500)
@given(a_setting())
def test_every_frame_is_covered_and_every_window_is_whole(setting):
    windows = context_windows(**setting)
    frames, size = setting["frames"], min(setting["frames"], setting["context"])
    assert {frame for window in windows for frame in window} == set(range(frames))
    assert {len(window) for window in windows} == {size}


@settings(max_examples=500)
@given(a_setting())
def test_the_frames_of_a_window_go_forward_evenly(setting):
    frames, strides = setting["frames"], {2**power for power in range(setting["stride"])}
    for window in context_windows(**setting):
        steps = {(later - earlier) % frames for earlier, later in itertools.pairwise(window)}
        assert len(steps) <= 1
        assert steps <= {stride % frames for stride in strides} or frames == 1


@settings(max_examples=500)
@given(a_setting(loops=("N",)))
def test_nothing_wraps_without_a_loop(setting):
    windows = context_windows(**setting)
    assert not any(map(wraps, windows))
    assert len({tuple(window) for window in windows}) == len(windows), "the same window twice is work for nothing"


@settings(max_examples=500)
@given(a_setting(schedules=("static",)))
def test_static_windows_are_the_same_at_every_step_and_never_wrap(setting):
    windows = context_windows(**setting)
    assert windows == context_windows(**{**setting, "step": 0, "closed_loop": "A", "stride": 3})
    assert not any(map(wraps, windows))
    assert windows[0][0] == 0
    assert windows[-1][-1] == setting["frames"] - 1
    overlap = resolve_overlap(setting["overlap"], setting["context"])
    starts = [window[0] for window in windows]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(gap == setting["context"] - overlap for gap in gaps[:-1])


def by_definition(step, frames, context, stride, overlap, closed_loop):
    """docs/behaviour.md 3.1, word by word."""
    bits = f"{step:b}"[::-1]
    half = sum(int(bit) / 2 ** (place + 1) for place, bit in enumerate(bits))
    overlap = context // 4 if overlap == -1 else overlap
    found = []
    for s in [2**p for p in range(min(stride, math.ceil(math.log2(frames / context)) + 1))]:
        pad = round(frames * half)
        j = int(half * s) + pad
        while j < frames + pad - (0 if closed_loop == "A" else overlap):
            found.append([(j + k * s) % frames for k in range(context)])
            j += context * s - overlap
    return found


@settings(max_examples=500)
@given(st.integers(0, 63), st.integers(2, 32), st.integers(1, 8), st.sampled_from(["R-P", "R+P", "A"]), st.data())
def test_uniform_windows_by_their_definition(step, context, stride, loop, data):
    frames = data.draw(st.integers(context + 1, 200))
    overlap = data.draw(st.integers(-1, context - 1))
    arguments = step, frames, context, stride, overlap, loop
    assert context_windows(*arguments) == by_definition(*arguments)


def spans(windows):
    return [(window[0], window[-1]) for window in windows]


@pytest.mark.parametrize(
    ("step", "frames", "context", "stride", "overlap", "loop", "expected"),
    [
        (0, 24, 8, 1, 4, "R-P", [(0, 7), (4, 11), (8, 15), (12, 19), (16, 23)]),
        (0, 24, 8, 1, 4, "A", [(0, 7), (4, 11), (8, 15), (12, 19), (16, 23), (20, 3)]),
        (1, 24, 8, 1, 4, "R-P", [(12, 19), (16, 23), (20, 3), (0, 7), (4, 11)]),
        (1, 24, 8, 1, 4, "N", [(12, 19), (16, 23), (0, 7), (4, 11)]),
        (2, 24, 8, 1, -1, "R-P", [(6, 13), (12, 19), (18, 1), (0, 7)]),
        (0, 20, 16, 1, -1, "R-P", [(0, 15), (12, 7)]),
        (0, 20, 16, 1, -1, "N", [(0, 15), (4, 19)]),
        (3, 20, 16, 1, -1, "A", [(15, 10), (7, 2)]),
        (0, 16, 8, 3, 2, "R-P", [(0, 7), (6, 13), (12, 3), (0, 14)]),
        (0, 17, 16, 1, 0, "N", [(0, 15), (1, 16)]),
        (5, 10, 16, 2, 3, "A", [(0, 9)]),
    ],
)
def test_golden_lists(step, frames, context, stride, overlap, loop, expected):
    assert spans(context_windows(step, frames, context, stride, overlap, loop)) == expected


def test_golden_static_lists():
    def static(frames, context, overlap):
        return spans(context_windows(7, frames, context, 1, overlap, "R-P", "static"))

    assert static(24, 8, 4) == [(0, 7), (4, 11), (8, 15), (12, 19), (16, 23)]
    assert static(25, 8, 2) == [(0, 7), (6, 13), (12, 19), (17, 24)]
    assert static(16, 16, 4) == [(0, 15)]
    assert static(17, 16, 15) == [(0, 15), (1, 16)]


def test_halving_mirrors_the_bits():
    assert [halving(step) for step in range(8)] == [0, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]
    assert len({halving(step) for step in range(1000)}) == 1000


def test_overlap():
    assert [resolve_overlap(value, 16) for value in (-1, 0, 4, 15, 16, 99, -7)] == [4, 0, 4, 15, 8, 8, 0]
    assert resolve_overlap(-1, 3) == 0
    assert [resolve_overlap(value, 1) for value in (-1, 0, 1, 256)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("frames", "overlap", "schedule", "note"),
    [
        (32, 15, "static", "overlap 15 makes 17 windows a step instead of 3."),
        (32, 9, "static", "overlap 9 makes 4 windows a step instead of 3."),
        (
            32,
            16,
            "static",
            "overlap is 16, and batch_size is 16: two windows share half of it, 8 frames, which makes 3 windows a step.",
        ),
        (10_000, 15, "static", "overlap 15 makes 9,985 windows a step instead of 833."),
        (32, 15, "uniform", "overlap 15 makes 17 windows a step instead of 3."),
        (32, 8, "static", ""),
        (32, -1, "static", ""),
        (16, 15, "static", ""),
    ],
)
def test_an_overlap_of_more_than_half_says_what_it_costs(frames, overlap, schedule, note):
    assert for_client(overlap_note(frames, WindowPlan(overlap=overlap, schedule=schedule))) == note


@pytest.mark.parametrize(
    ("schedule", "blend", "closed_loop", "stride", "used"),
    [
        ("auto", "pyramid", "R-P", 1, "static"),
        ("auto", "flat", "R-P", 1, "static"),
        ("auto", "overwrite", "R-P", 1, "uniform"),
        ("auto", "pyramid", "R-P", 2, "uniform"),
        ("auto", "pyramid", "R+P", 1, "uniform"),
        ("auto", "pyramid", "A", 1, "uniform"),
        ("auto", "pyramid", "N", 1, "uniform"),
        ("uniform", "pyramid", "R-P", 1, "uniform"),
        ("static", "overwrite", "A", 3, "static"),
    ],
)
def test_the_schedule_that_is_used(schedule, blend, closed_loop, stride, used):
    assert resolve_schedule(schedule, blend, closed_loop, stride) == used


def test_refused():
    with pytest.raises(ParamError, match="stride is 2; with closed_loop N it has to be 1"):
        context_windows(0, 32, 16, 2, 4, "N")
    assert context_windows(0, 16, 16, 2, 4, "N") == [list(range(16))], "one window never wraps"
    with pytest.raises(ParamError, match=r"schedule is 'best'; allowed are uniform, static"):
        context_windows(0, 32, 16, 1, 4, "A", "best")
    with pytest.raises(ParamError, match=r"blend is 'mean'; allowed are overwrite, flat, pyramid, linear"):
        window_weights("mean", 16, 4)


@pytest.mark.parametrize(
    ("name", "context", "overlap", "expected"),
    [
        ("flat", 4, 2, [1, 1, 1, 1]),
        ("overwrite", 3, 1, [1, 1, 1]),
        ("pyramid", 6, 2, [1, 2, 3, 3, 2, 1]),
        ("pyramid", 5, 4, [1, 2, 3, 2, 1]),
        ("linear", 8, 3, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ("linear", 4, 0, [1, 1, 1, 1]),
        ("linear", 4, 3, [0.25, 0.5, 0.5, 0.25]),
    ],
)
def test_weights(name, context, overlap, expected):
    assert window_weights(name, context, overlap) == pytest.approx(expected)


@given(st.sampled_from(BLENDS), st.integers(1, 32), st.data())
def test_weights_are_positive_and_symmetric(name, context, data):
    weights = window_weights(name, context, data.draw(st.integers(0, context - 1)))
    assert len(weights) == context
    assert min(weights) > 0
    assert weights == weights[::-1]


@given(st.integers(2, 24), st.data())
def test_linear_ramps_of_neighbours_add_up(context, data):
    """Where two static windows overlap by no more than half, their linear weights sum to one everywhere."""
    overlap = data.draw(st.integers(0, context // 2))
    weights = window_weights("linear", context, overlap)
    for k in range(overlap):
        assert weights[context - overlap + k] + weights[k] == pytest.approx(1)


@settings(max_examples=500)
@given(a_setting())
def test_windows_are_counted_as_they_are_made(setting):
    steps, frames = setting.pop("step"), setting.pop("frames")
    plan = WindowPlan(**setting)
    made = Counter(len(plan.windows(step, frames)) for step in range(steps))
    assert +window_counts(plan, frames, steps) == made


@pytest.mark.parametrize("loop", LOOPS)
def test_many_steps_are_counted_without_making_their_windows(monkeypatch, loop):
    """A million steps were a million lists of windows, and a plan took a quarter of a minute."""
    plan = WindowPlan(16, 1 if loop == "N" else 8, 4, loop, "uniform")
    asked = []
    monkeypatch.setattr(windows, "context_windows", asked.append)
    for name in ("halving", "shift", "window_starts"):
        work = getattr(window_counts_of, name)
        monkeypatch.setattr(window_counts_of, name, lambda *args, work=work: asked.append(args) or work(*args))
    counts = window_counts(plan, 1_000, 3 << 20)
    assert counts.total() == 3 << 20 and len(asked) < (60_000 if loop == "N" else 200)
    twice = window_counts(plan, 1_000, 1 << 20)
    assert all(abs(counts[count] - 3 * twice[count]) <= 4 for count in counts), "which parts come repeats itself"
