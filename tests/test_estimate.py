"""How long the rest of some work takes, told from what has been done of it."""

import pytest

from motion_module.estimate import Estimate


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_what_is_left_is_told_from_what_was_done(clock):
    estimate = Estimate(clock, {"bake": 1.0, "wash": 2.0})
    estimate.expect("bake", 4)
    estimate.expect("wash", 3)
    assert (estimate.left(), estimate.fraction()) == (10.0, 0.0)
    clock.now += 30
    estimate.reach("bake", 1)
    assert estimate.left() == 3 * 30 + 3 * 2
    assert estimate.fraction() == pytest.approx(30 / 126)


def test_the_first_of_several_is_no_measure(clock):
    """It may have warmed up a device."""
    estimate = Estimate(clock, {"bake": 1.0})
    estimate.expect("bake", 4)
    for done, seconds in ((1, 50), (2, 5), (3, 7)):
        clock.now += seconds
        estimate.reach("bake", done)
    assert estimate.left() == 6 and estimate.rates() == {"bake": 6.0}


def test_earlier_runs_are_believed_before_habit_and_other_kinds(clock):
    usual, relative = {"bake": 1.0, "wash": 2.0}, {"fry": ("bake", 3.0)}
    estimate = Estimate(clock, usual, {"wash": 5.0}, relative)
    for kind in ("bake", "wash", "fry"):
        estimate.expect(kind, 1)
    assert estimate.left() == 1 + 5 + 3
    clock.now += 4
    estimate.reach("bake", 1)
    assert estimate.left() == 5 + 12
    clock.now += 1
    estimate.reach("fry", 1)
    assert estimate.left() == 5


def test_time_between_kinds_belongs_to_none(clock):
    estimate = Estimate(clock, {"bake": 1.0})
    estimate.expect("bake", 3)
    clock.now += 100
    estimate.begin()
    clock.now += 2
    estimate.reach("bake", 1)
    assert estimate.left() == 4
    assert estimate.fraction() == pytest.approx(102 / 106)


def test_what_is_left_out_takes_no_time_and_measures_nothing(clock):
    estimate = Estimate(clock, {"bake": 1.0})
    estimate.expect("bake", 10)
    clock.now += 2
    estimate.reach("bake", 1)
    estimate.leave_out("bake", 5)
    assert estimate.left() == 10 and estimate.rates() == {"bake": 2.0}
    estimate.leave_out("bake", 3)
    assert estimate.left() == 10


def test_it_never_goes_back(clock):
    estimate = Estimate(clock, {"bake": 1.0})
    estimate.expect("bake", 2)
    clock.now += 1
    estimate.reach("bake", 1)
    assert estimate.fraction() == 0.5
    estimate.expect("bake", 100)
    assert estimate.fraction() == 0.5
    clock.now += 1
    estimate.reach("bake", 2)
    assert 0.5 < estimate.fraction() < 0.52
    clock.now += 1
    estimate.reach("bake", 100)
    assert estimate.fraction() == 1.0


def test_it_does_not_stand_still_where_something_takes_longer_than_was_expected(clock):
    estimate = Estimate(clock, {"bake": 1.0, "wash": 0.001})
    for kind in ("bake", "wash"):
        estimate.expect(kind, 10)
    told = []
    for kind in ("bake", "wash"):
        for done in range(1, 11):
            clock.now += 1
            estimate.reach(kind, done)
            told.append(estimate.fraction())
    assert told == sorted(told) and len(set(told)) == 20
    assert told[9] <= 0.99 and told[-1] == 1.0


def test_time_that_stands_still_changes_nothing(clock):
    estimate = Estimate(clock, {"bake": 1.0})
    estimate.expect("bake", 2)
    estimate.reach("bake", 1)
    assert estimate.fraction() == 0.0
