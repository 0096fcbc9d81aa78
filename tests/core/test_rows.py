"""The rows of a denoiser call, and conditions brought to one length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_module.core.denoising import conditioning
from motion_module.core.denoising.conditioning import pad_to_same_length, waiting
from motion_module.core.denoising.rows import RowLayout, take_rows
from motion_module.errors import HostError


def labels(frames, parts, uncond):
    """Rows as the WebUI's CFG denoiser makes them."""
    rows = [(f"part {part}", frame) for frame in range(frames) for part in range(parts)]
    return rows + [("uncond", frame) for frame in range(frames)] * uncond


@given(st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_branches_are_whole_copies_of_the_video(frames, parts, uncond):
    rows = labels(frames, parts, uncond)
    layout = RowLayout.of_call(len(rows), frames, parts)
    assert layout == RowLayout(frames, parts, uncond)
    assert layout.rows == len(rows)
    names = [f"part {part}" for part in range(parts)] + ["uncond"] * uncond
    found = [[rows[row] for row in branch] for branch in layout.branches()]
    assert found == [[(name, frame) for frame in range(frames)] for name in names]


@pytest.mark.parametrize(
    ("rows", "frames", "parts"), [(31, 16, 1), (48, 16, 1), (16, 16, 2), (0, 16, 1), (4, 0, 1), (4, 4, 0)]
)
def test_numbers_that_do_not_fit(rows, frames, parts):
    with pytest.raises(HostError, match=f"with {rows} rows, but {frames} frames make"):
        RowLayout.of_call(rows, frames, parts)


SIX = RowLayout(frames=3, parts=1, uncond=True)


class Condition(dict):
    """SDXL's condition is a dict of the host's own class."""


def test_rows_of_everything_a_condition_can_be():
    x = torch.arange(6)[:, None].float()
    index = torch.tensor([4, 1, 1])
    taken = take_rows(
        Condition(crossattn=x, nested={"c_concat": [x + 10, x[:1]]}, scale=2.5, none=None, name="x"), index, SIX
    )
    assert isinstance(taken, Condition)
    assert taken["crossattn"].flatten().tolist() == [4, 1, 1]
    assert taken["nested"]["c_concat"][0].flatten().tolist() == [14, 11, 11]
    assert taken["nested"]["c_concat"][1].tolist() == [[0.0]], "one row that counts for all stays one"
    assert (taken["scale"], taken["none"], taken["name"]) == (2.5, None, "x")
    assert take_rows(torch.tensor(7.0), index, SIX).item() == 7
    assert take_rows(torch.ones(1, 2), torch.tensor([0]), RowLayout(1, 1, uncond=False)).shape == (1, 2)


def test_a_condition_with_other_rows():
    with pytest.raises(HostError, match="has 4 rows where the call has 6"):
        take_rows({"c_crossattn": [torch.zeros(4, 77, 8)]}, torch.tensor([0]), SIX)


def test_a_condition_that_keeps_the_rows_of_the_skipped_negative_prompt():
    """Skipping it, the host shortens x and sigma but not the image condition."""
    layout = RowLayout(frames=3, parts=1, uncond=False)
    image_condition = torch.arange(6)[:, None]
    assert take_rows(image_condition, torch.tensor([2, 0]), layout).flatten().tolist() == [2, 0]


EMPTY = torch.arange(77 * 2).view(1, 77, 2).float()


@pytest.mark.parametrize(("cond", "uncond"), [(77, 231), (231, 77), (77, 154), (77, 77)])
def test_the_shorter_side_gets_the_empty_prompt(cond, uncond):
    sides = torch.randn(6, cond, 2), torch.randn(3, uncond, 2)
    kept = [side.clone() for side in sides]
    padded = pad_to_same_length(*sides, EMPTY)
    for before, side, after in zip(kept, sides, padded, strict=True):
        assert torch.equal(side, before)
        assert after.shape == (before.shape[0], max(cond, uncond), 2)
        assert torch.equal(after[:, : before.shape[1]], before)
        for start in range(before.shape[1], after.shape[1], 77):
            assert torch.equal(after[:, start : start + 77], EMPTY.expand(before.shape[0], 77, 2))
    if cond == uncond:
        assert padded[0] is sides[0]


def test_padding_of_sdxl():
    short = Condition(crossattn=torch.randn(2, 77, 2), vector=torch.randn(2, 5))
    long = Condition(crossattn=torch.randn(2, 154, 2), vector=torch.randn(2, 5))
    text = short["crossattn"]
    uncond, cond = pad_to_same_length(short, long, EMPTY)
    assert isinstance(uncond, Condition)
    assert uncond["crossattn"].shape == (2, 154, 2)
    assert uncond["vector"] is short["vector"]
    assert cond is long
    assert short["crossattn"] is text


def test_padding_keeps_the_dtype_and_fills_odd_lengths():
    _cond, uncond = pad_to_same_length(torch.zeros(1, 80, 2).half(), torch.zeros(1, 77, 2).half(), EMPTY)
    assert uncond.dtype == torch.float16
    assert torch.equal(uncond[0, 77:], EMPTY[0, :3].half())


def test_conditions_wait_where_all_of_them_have_room(monkeypatch):
    """On CUDA they stay where they are, as long as they are small together; see `place_of_video`."""
    asked = []

    def place(device, size):
        asked.append((device.type, size))
        return torch.device("meta")

    monkeypatch.setattr(conditioning, "place_of_video", place)
    cond = Condition(crossattn=torch.ones(2, 77, 8).half(), vector=torch.ones(2, 4))
    kept, other = waiting(cond, Condition(crossattn=torch.ones(1, 77, 8)))
    assert asked == [("cpu", 2 * 2 * 77 * 8 + 4 * 2 * 4 + 4 * 77 * 8)]
    assert all(value.is_meta for value in (*kept.values(), *other.values()))
    assert all(value.is_meta for value in waiting(torch.ones(2, 77, 8), torch.ones(2, 77, 8)))


def test_conditions_of_a_long_video_wait_on_the_cpu():
    cond = Condition(crossattn=torch.ones(2, 77, 8), vector=torch.ones(2, 4))
    kept, other = waiting(cond, Condition(cond))
    assert isinstance(kept, Condition) and isinstance(other, Condition)
    assert all(value.device.type == "cpu" and torch.equal(value, cond[key]) for key, value in kept.items())
    assert take_rows(kept, torch.tensor([1]), RowLayout(2, 1, False), torch.device("meta"))["vector"].is_meta
