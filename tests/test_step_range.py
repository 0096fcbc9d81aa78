"""A part of the steps, in the numbers in which the host tells ControlNet where it is."""

import pytest

from motion_module.step_range import StepRange


@pytest.mark.parametrize(
    ("start", "end", "steps", "acting"),
    [
        (0, 1, 4, [0, 1, 2, 3]),
        (0, 1, 1, [0]),
        (0, 0, 4, [0, 1]),  # the host says 0 of the first two
        (0, 0.25, 4, [0, 1, 2]),
        (0.25, 1, 4, [2, 3]),
        (0.25, 0.25, 4, [2]),
        (0.3, 1, 10, [4, 5, 6, 7, 8, 9]),
        (0.9, 1, 10, []),
        (0.3, 0.31, 4, []),
    ],
)
def test_which_steps_are_in_it(start, end, steps, acting):
    asked = StepRange(start, end)
    told = [0, *range(steps - 1)]
    assert [step for step, over in enumerate(told) if asked.holds(over, steps)] == acting
    assert asked.count(steps) == len(acting)


@pytest.mark.parametrize(("over", "steps"), [(0, 0), (7, 5), (300, 1)])
def test_a_sampler_that_takes_more_steps_than_asked_for_is_at_its_end(over, steps):
    assert StepRange().holds(over, steps)
    assert StepRange(0, 0.5).holds(over, steps) == (over == 0)
