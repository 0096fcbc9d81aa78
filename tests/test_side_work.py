"""Work on the side keeps below its share of a run's processor time."""

import doctest
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module import side_work
from motion_module.side_work import SideWork


class Run:
    """A run of which work on the side is a part, in a time of its own."""

    def __init__(self, share=0.02, pause=5.0):
        self.now = self.used = 100.0  # the process is older
        self.work = SideWork(share, pause, lambda: self.now, lambda: self.used)
        self.begun = []

    def go(self, seconds, threads, cost):
        """The run goes on, and then the work does one piece if it can afford it."""
        self.now += seconds
        self.used += seconds * threads
        if self.work.affordable >= cost:
            self.work.begin()
            self.begun.append(self.now)
            self.now, self.used = self.now + cost, self.used + cost
            self.work.spend(cost)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.1, 16), st.floats(0.001, 5)), max_size=60))
def test_it_never_takes_more_than_its_share(steps):
    run = Run()
    for seconds, threads, cost in steps:
        run.go(seconds, threads, cost)
        assert run.work.spent <= 0.02 * (run.used - 100.0) + 1e-9


@given(st.floats(0.01, 3), st.floats(0.001, 0.5))
def test_it_takes_all_its_share_where_that_is_needed(seconds, cost):
    run = Run(pause=0.0)
    for _ in range(2000):
        run.go(seconds, 1, cost)
    share = 0.02 * (run.used - 100.0)
    assert run.work.spent >= min(share - cost, 2000 * cost) - 1e-6


def test_it_pauses():
    run = Run()
    for _ in range(600):
        run.go(0.5, 4, 0.001)
    pauses = [after - before for before, after in itertools.pairwise(run.begun)]
    assert run.begun[0] - 100 == pytest.approx(1, abs=0.5), "a short run shows something, too"
    assert min(pauses[10:]) >= 5.0 and len(run.begun) < 70


def test_the_example_in_its_text():
    assert doctest.testmod(side_work).failed == 0
