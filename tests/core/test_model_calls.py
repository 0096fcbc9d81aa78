"""Who makes the windows of a step: in turn here, or whoever is chosen, in any order."""

import pytest
import torch
from test_sliding import Model, inputs

from motion_module.core.denoising.model_calls import IN_TURN, ModelCall, chosen_executor, windows_made_by
from motion_module.core.denoising.remembering import Memory, Prediction
from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.windows import WindowPlan

LAYOUT = RowLayout(12, 1, True)
PLAN = {"context": 5, "overlap": 2, "schedule": "static"}


class LastFirst:
    """Makes them in the opposite order, each second one by another model."""

    def __init__(self, elsewhere=None):
        self.elsewhere, self.seen = elsewhere, []

    def __call__(self, calls, make, frames):
        calls = list(calls)
        self.seen.append([call.of.rows for call in calls])
        made = {i: make(calls[i], self.elsewhere if i % 2 else None) for i in reversed(range(len(calls)))}
        return (made[i] for i in range(len(calls)))

    def kept_here(self, reason):
        return IN_TURN


def slid(executor=IN_TURN, memory=None, around=None, model=None, together=True, **plan):
    model = model or Model(CallFrames(), motion=1.0)
    sliding = SlidingModel(
        model, model.call, LAYOUT.frames, WindowPlan(**{**PLAN, **plan}), together, around, memory=memory, executor=executor
    )  # fmt: skip
    return sliding(*inputs(LAYOUT))


@pytest.mark.parametrize("blend", ["pyramid", "overwrite"])
@pytest.mark.parametrize("together", [True, False])
def test_the_order_in_which_they_are_made_changes_no_bit(blend, together):
    executor = LastFirst()
    assert torch.equal(slid(executor, blend=blend, together=together), slid(blend=blend, together=together))
    assert len(executor.seen[0]) == 4 * (1 if together else 2)


def test_nor_for_windows_that_remember_the_first_one():
    def remembering(executor):
        return slid(executor, Memory(0.5, lambda: Prediction(torch.linspace(0.99, 0.01, 1000))), blend="pyramid")

    assert torch.equal(remembering(LastFirst()), remembering(IN_TURN))
    assert not torch.equal(remembering(IN_TURN), slid(blend="pyramid"))


def test_another_model_is_called_in_the_place_of_this_ones_with_all_that_goes_around():
    class Counting(Model):
        entered = []

    model, around = Counting(CallFrames(), motion=1.0), []
    other = Model(model.call, motion=1.0)

    def noted(call):
        from contextlib import nullcontext

        around.append((call.number, call.shown[: call.frames]))
        return nullcontext()

    out = slid(LastFirst(other), around=noted, model=model)
    assert torch.equal(out, slid())
    assert (len(model.calls), len(other.calls)) == (2, 2) and set(other.calls) == {(10, 5)}
    assert [number for number, _ in around] == [4, 3, 2, 1] and around[-1][1] == [0, 1, 2, 3, 4]


def test_a_video_of_one_window_is_made_without_asking():
    executor = LastFirst()
    assert torch.equal(slid(executor, context=12), slid(context=12)) and executor.seen == []


def test_each_call_is_cut_out_when_it_is_wanted():
    """Else the rows of all windows would be there at once."""
    cut = []

    def looking(calls, make, frames):
        for call in calls:
            cut.append(call)
            yield make(call)
            assert len(cut) == call.of.number

    slid(looking)
    assert len(cut) == 4


def test_a_call_shows_the_frames_of_its_rows():
    assert ModelCall(RowLayout(4, 1, True), [1, 2, 5, 6], 2).shown == [1, 2, 1, 2]


def test_the_chosen_one_counts_inside_of_its_block_only():
    assert chosen_executor() is IN_TURN
    one, other = LastFirst(), LastFirst()
    with windows_made_by(one):
        with pytest.raises(RuntimeError), windows_made_by(other):
            assert chosen_executor() is other
            raise RuntimeError
        assert chosen_executor() is one
    assert chosen_executor() is IN_TURN and IN_TURN.kept_here("it is") is IN_TURN
