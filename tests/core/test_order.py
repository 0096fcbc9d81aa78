"""Rows that others have moved, stacked or cut into tiles, told from what is in them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_module.core.denoising.frame_rows import rows_of_call, uncond_rows_of_call
from motion_module.core.denoising.model_calls import ModelCall
from motion_module.core.denoising.row_order import Announced, Snapshot, UnknownRowsError, find_moved_rows
from motion_module.core.denoising.rows import RowLayout


def host_rows(frames, parts, seed=0, alike=False, tokens=3):
    """A denoiser call as the host lines it up: x, conditions of the prompts, of the negative prompt."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(frames, 4, 6, 8, generator=generator)
    texts = torch.randn(1 if alike else parts, tokens, 5, generator=generator).expand(parts, -1, -1)
    x = torch.cat([latents.repeat_interleave(parts, dim=0), latents])
    return x, texts.repeat(frames, 1, 1), torch.randn(1, tokens, 5, generator=generator).repeat(frames, 1, 1)


def moved(rows, order, frames, parts):
    x, cond, uncond = rows
    whole = [*order, *range(frames * parts, frames * (parts + 1))]
    return x[whole], cond[order], uncond


def announced(rows, frames, parts, moved_rows=()):
    return Announced(frames, parts, *rows, moved_rows)


def call(x, cond, uncond=None):
    """What `apply_model` gets: scaled latents, and the conditions one below the other."""
    return x * 0.31, {
        "c_crossattn": [cond if uncond is None else torch.cat([cond, uncond])],
        "c_concat": [x[:, :1] * 0],
    }


def shown(layout, x, latents):
    """Whether each branch shows the frames in their order."""
    return all(
        torch.equal(x[branch] / 0.31, latents) or torch.allclose(x[branch], latents * 0.31)
        for branch in layout.branches()
    )


@settings(max_examples=60)
@given(st.data(), st.integers(1, 6), st.integers(1, 3), st.booleans())
def test_any_order_of_the_prompts_rows(data, frames, parts, alike):
    rows = host_rows(frames, parts, alike=alike)
    order = data.draw(st.permutations(range(frames * parts)))
    after = moved(rows, order, frames, parts)
    moved_rows = find_moved_rows(Snapshot.of(*rows[:2]), Snapshot.of(*after[:2]), frames, parts)
    x, cond = call(*after)
    layout = announced(after, frames, parts, moved_rows).layout_of(x, cond)
    assert sorted(row for branch in layout.branches() for row in branch) == list(range(frames * (parts + 1)))
    assert shown(layout, x, rows[0][-frames:])
    for branch in layout.branches():
        assert len({bytes(cond["c_crossattn"][0][row].numpy()) for row in branch}) == 1, "one prompt in each branch"
        assert [layout.frame_of(row) for row in branch] == [
            (frame, branch is layout.branches()[-1] or branch[0] >= frames * parts) for frame in range(frames)
        ]


@settings(max_examples=60)
@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans())
def test_tiles_stacked_in_one_call(frames, parts, tiles, woven, skipped, regions):
    rows = host_rows(frames, parts)
    order = (
        [frame * parts + part for part in range(parts) for frame in range(frames)]
        if regions
        else [*range(frames * parts)]
    )
    after = moved(rows, order, frames, parts)
    moved_rows = find_moved_rows(Snapshot.of(*rows[:2]), Snapshot.of(*after[:2]), frames, parts)
    count = frames * parts if skipped else frames * (parts + 1)
    x, cond = call(after[0][:count], after[1], None if skipped else after[2])
    corners = [(tile % 3, tile // 3 + tile) for tile in range(tiles)]
    cut = [x[:, :, top : top + 3, left : left + 4] for top, left in corners]
    stack = (lambda values: torch.stack(values, dim=1).flatten(0, 1)) if woven else torch.cat
    text = stack([cond["c_crossattn"][0]] * tiles)
    layout = announced(after, frames, parts, moved_rows).layout_of(stack(cut), {"c_crossattn": [text]})
    assert (layout.rows, layout.copies * (layout.parts + layout.uncond)) == (tiles * count, tiles * count // frames)
    for branch in layout.branches():
        pieces = stack(cut)[branch]
        latents = rows[0][-frames:] * 0.31
        places_of = [latents[:, :, top : top + 3, left : left + 4] for top, left in corners]
        assert any(torch.allclose(pieces, piece) for piece in places_of), "one tile of all frames in each branch"
        assert len({bytes(text[row].numpy()) for row in branch}) == 1


def test_the_host_own_order_is_a_plain_layout():
    rows = host_rows(4, 2)
    assert find_moved_rows(Snapshot.of(*rows[:2]), Snapshot.of(*rows[:2]), 4, 2) == ()
    assert announced(rows, 4, 2).layout_of(*call(*rows)) == RowLayout(4, 2, uncond=True)
    x, cond = call(rows[0][:8], rows[1])
    assert announced(rows, 4, 2).layout_of(x, cond) == RowLayout(4, 2, uncond=False)


def test_conditions_that_somebody_has_lengthened_say_what_they_said():
    x, cond, uncond = host_rows(4, 1)
    longer = torch.cat([torch.cat([cond, uncond]), torch.zeros(8, 2, 5)], dim=1)
    own = announced((x, cond, uncond), 4, 1)
    assert own.layout_of(x, {"c_crossattn": [longer]}) == RowLayout(4, 1, uncond=True)
    assert own.layout_of(x, {"crossattn": longer, "vector": x}) == RowLayout(4, 1, uncond=True)


def test_latents_alone_tell_where_conditions_are_others():
    """A region of Tiled Diffusion has prompts of its own."""
    x, cond, uncond = host_rows(4, 1)
    tile = x[:, :, 2:5, 1:5] * 0.2
    layout = announced((x, cond, uncond), 4, 1).layout_of(tile, {"c_crossattn": [torch.rand(8, 9, 5)]})
    assert layout == RowLayout(4, 1, uncond=True)
    assert announced((x, cond, uncond), 4, 1).layout_of(tile[:4], {"c_crossattn": [torch.rand(4, 9, 5)]}).rows == 4


def test_frames_that_are_alike_may_change_places():
    """With one noise for all frames any order of them is right in the first step."""
    x, cond, uncond = host_rows(4, 1)
    x = x[:1].repeat(8, 1, 1, 1)
    before = Snapshot.of(x, cond)
    assert find_moved_rows(before, Snapshot.of(x[[*range(7, -1, -1)]], cond), 4, 1) == ()


def test_latents_a_little_changed_are_known_again():
    x, cond, uncond = host_rows(4, 2)
    before = Snapshot.of(x, cond)
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    assert find_moved_rows(before, Snapshot.of(noisy, cond), 4, 2) == ()
    order = [frame * 2 + part for part in range(2) for frame in range(4)]
    after = moved((noisy, cond, uncond), order, 4, 2)
    assert find_moved_rows(before, Snapshot.of(*after[:2]), 4, 2) == (0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10, 11)


@pytest.mark.parametrize("rows", [1, 3, 7, 9])
def test_calls_that_show_no_whole_video(rows):
    x, cond, uncond = host_rows(4, 1)
    with pytest.raises(UnknownRowsError, match=f"the {rows} rows of a model call .* the 4 frames"):
        announced((x, cond, uncond), 4, 1).layout_of(
            *call(torch.cat([x, x])[:rows], torch.cat([cond, uncond, cond])[:rows])
        )


@pytest.mark.parametrize(
    "change", [lambda x: x.flip(0)[[1, 0, *range(2, 8)]], torch.rand_like], ids=["mixed up", "others"]
)
def test_rows_of_nobody(change):
    x, cond, uncond = host_rows(4, 1)
    call_x, call_cond = call(change(x), cond, uncond)
    call_cond["c_crossattn"] = [torch.rand(8, 3, 5)]
    with pytest.raises(UnknownRowsError):
        announced((x, cond, uncond), 4, 1).layout_of(call_x, call_cond)


def test_three_branches_of_instruct_pix2pix():
    x, cond, uncond = host_rows(4, 1)
    whole = torch.cat([x, x[:4]])
    layout = announced((whole, cond, uncond), 4, 1).layout_of(
        whole, {"c_crossattn": [torch.cat([cond, uncond, uncond])]}
    )
    assert layout.branches() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_is_held_for_a_frame_follows_its_rows():
    """ControlNet's hints, of the prompts and of the negative prompt, beside rows that are moved and stacked."""
    rows = host_rows(3, 2)
    order = [frame * 2 + part for part in range(2) for frame in range(3)]
    after = moved(rows, order, 3, 2)
    moved_rows = find_moved_rows(Snapshot.of(*rows[:2]), Snapshot.of(*after[:2]), 3, 2)
    x, cond = call(*after)
    layout = announced(after, 3, 2, moved_rows).layout_of(x, cond)
    branch = layout.branches()[1]
    assert branch == [3, 4, 5]
    assert rows_of_call(ModelCall(layout, branch, 3), 3) == [0, 1, 2]
    assert rows_of_call(ModelCall(layout, list(range(9)), 3), 6) == [0, 1, 2, 0, 1, 2, 3, 4, 5]
    assert uncond_rows_of_call(ModelCall(layout, list(range(9)), 3)) == (False,) * 6 + (True,) * 3


@pytest.mark.parametrize("frames", [[1], [0], [0, 1, 2]])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_no_numbers_blame_nobody(frames, value):
    rows = host_rows(3, 2)
    for frame in frames:
        rows[0][[2 * frame, 2 * frame + 1, 6 + frame]] = value
    assert find_moved_rows(Snapshot.of(*rows[:2]), Snapshot.of(*rows[:2]), 3, 2) == ()
    layout = announced(rows, 3, 2).layout_of(*call(*rows))
    assert layout == RowLayout(3, 2, True)


def test_a_call_for_the_negative_prompt_alone():
    """Another extension may look at latents of its own."""
    x, cond, uncond = host_rows(3, 1)
    layout = announced((x, cond, uncond), 3, 1).layout_of(*call(torch.randn(3, 4, 6, 8), uncond))
    assert (layout.rows, layout.uncond, layout.copies) == (3, False, 1)
