"""Elastic windows: what they save, and what they never do."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module.elastic import fitted, rows_of_step
from motion_module.windows import BLENDS, WindowPlan

LEARNT = 32
LOOPS = ("N", "R-P", "R+P", "A")


@st.composite
def a_video(draw):
    """A plan, its frames, those that a module has learnt, and those that are there already."""
    context = draw(st.integers(1, 32))
    loop = draw(st.sampled_from(LOOPS))
    plan = WindowPlan(
        context=context,
        stride=1 if loop == "N" else draw(st.sampled_from([1, 1, 1, 2])),
        overlap=draw(st.integers(-1, context + 2)),
        closed_loop=loop,
        schedule=draw(st.sampled_from(["auto", "static", "uniform"])),
        blend=draw(st.sampled_from(BLENDS)),
        windows_per_call=draw(st.integers(1, 4)),
        elastic=draw(st.sampled_from([True, True, True, False])),
    )
    frames = draw(st.integers(1, 300))
    return plan, frames, draw(st.integers(context, 64)), draw(st.integers(0, frames - 1))


def rows(plan, frames, step=0, before=0):
    wanted = [window for window in plan.windows(step, frames) if max(window) >= before]
    return sum(map(len, wanted))


@settings(max_examples=1500)
@given(a_video())
def test_no_frame_is_left_out_and_nothing_is_more_than_before(video):
    plan, frames, learnt, before = video
    found = fitted(plan, frames, learnt, before)
    windows = found.windows(0, frames)
    assert {frame for window in windows for frame in window} == set(range(frames))
    assert all(len(window) == min(found.context, frames) <= learnt for window in windows)
    assert 8 * plan.context <= 8 * found.context <= 9 * plan.context
    assert rows(found, frames, before=before) <= rows(plan, frames, before=before)
    assert len(windows) <= len(plan.windows(0, frames)), "so there are no more calls, either"


@settings(max_examples=1000)
@given(a_video())
def test_neighbours_share_as_many_frames_as_asked_for_at_least(video):
    plan, frames, learnt, before = video
    found = fitted(plan, frames, learnt, before)
    if found != plan:
        pairs = itertools.pairwise(found.windows(0, frames))
        assert all(len({*one} & {*other}) >= plan.shared_frames for one, other in pairs)
        assert found.shared_frames == plan.shared_frames


@settings(max_examples=1000)
@given(a_video())
def test_only_the_length_of_windows_that_stay_in_place_is_another(video):
    plan, frames, learnt, before = video
    found = fitted(plan, frames, learnt, before)
    if found == plan:
        return
    assert plan.elastic and plan.resolved_schedule == "static" and plan.blend != "overwrite"
    assert rows(found, frames, before=before) < rows(plan, frames, before=before), "there is a reason"
    assert dataclasses.replace(found, context=plan.context, overlap=plan.overlap) == plan
    assert found.windows(7, frames) == found.windows(0, frames)


@pytest.mark.parametrize(
    ("frames", "context", "count", "before", "after"),
    [
        (16, 16, 1, 1, 1),
        (17, 17, 1, 1.88, 1),
        (18, 18, 1, 1.78, 1),
        (19, 16, 2, 1.68, 1.68),
        (20, 16, 2, 1.6, 1.6),
        (28, 16, 2, 1.14, 1.14),
        (32, 18, 2, 1.5, 1.12),
        (48, 16, 4, 1.33, 1.33),
        (64, 16, 5, 1.25, 1.25),
        (65, 17, 5, 1.48, 1.31),
        (256, 16, 21, 1.31, 1.31),
    ],
)
def test_what_a_frame_costs(frames, context, count, before, after):
    plan = WindowPlan()
    found = fitted(plan, frames, LEARNT)
    assert (found.context, len(found.windows(0, frames))) == (context, count)
    assert rows_of_step(plan, frames) / frames == pytest.approx(before, abs=0.006)
    assert rows_of_step(found, frames) / frames == pytest.approx(after, abs=0.006)


def test_a_frame_costs_much_the_same_however_many_there_are():
    asked, elastic = (
        [rows_of_step(fitted(WindowPlan(elastic=switch), frames, LEARNT), frames) / frames for frames in range(16, 257)]
        for switch in (False, True)
    )
    assert (min(asked), round(max(asked), 2)) == (1, 1.88)
    assert (min(elastic), round(max(elastic), 2)) == (1, 1.68)
    assert max(elastic[24 - 16 :]) < 1.46 < 1.65 < max(asked[24 - 16 :])


@pytest.mark.parametrize(
    ("fields", "learnt"),
    [
        ({"elastic": False}, 32),
        ({"blend": "overwrite"}, 32),
        ({"blend": "overwrite", "schedule": "static"}, 32),
        ({"schedule": "uniform"}, 32),
        ({"closed_loop": "A"}, 32),
        ({"closed_loop": "N"}, 32),
        ({"closed_loop": "R+P"}, 32),
        ({"stride": 2}, 32),
        ({"overlap": 9}, 32),
        ({"overlap": 16}, 32),
    ],
)
def test_windows_that_keep_their_length(fields, learnt):
    plan = WindowPlan(**fields)
    for frames in (17, 20, 24, 32, 65):
        assert fitted(plan, frames, learnt) is plan


def test_windows_are_elastic_where_no_loop_is_wanted():
    assert fitted(WindowPlan(closed_loop="N", schedule="static"), 32, LEARNT).context == 18


@pytest.mark.parametrize(("learnt", "context", "count"), [(16, 16, 2), (17, 16, 2), (18, 18, 1), (24, 18, 1)])
def test_no_window_is_longer_than_what_a_module_has_learnt(learnt, context, count):
    found = fitted(WindowPlan(), 18, learnt)
    assert (found.context, len(found.windows(0, 18))) == (context, count)


def test_windows_of_old_frames_alone_count_for_nothing():
    """Of 32 frames 16 are there: two of three windows are computed, and two longer ones would be more."""
    asked = WindowPlan()
    assert fitted(asked, 32, LEARNT, before=11).context == 18
    assert fitted(asked, 32, LEARNT, before=16) is asked
    assert rows_of_step(asked, 32, before=16) == 32


def test_one_frame_at_a_time_stays_so():
    plan = WindowPlan(context=1)
    assert fitted(plan, 9, LEARNT) is plan
