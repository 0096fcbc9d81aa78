"""Beside extensions that move the rows of a denoiser call, or stack several copies of it."""

import numpy as np
import pytest
import torch
from http_client import far
from row_movers import (
    LONG,
    NOT_TOLD,
    SHORT,
    TWICE,
    TWO,
    Blocks,
    Moved,
    Shuffled,
    Woven,
    backwards,
    callbacks,
    regions_first,
    still,
    tiled,
    turned,
)
from runs import frames, pictures
from snapshot import differences, of_host


@pytest.mark.parametrize(
    ("order", "in_place", "fields", "prompt"),
    [
        (regions_first, True, SHORT, TWO),
        (regions_first, True, LONG, TWICE),
        (backwards, False, SHORT, TWO),
        (turned, False, LONG, TWO),
    ],
    ids=["regions first", "regions first, windows", "backwards", "turned, windows"],
)
def test_rows_in_another_order_are_followed(pocket, order, in_place, fields, prompt):
    plain = frames(fields=fields, prompt=prompt)
    with Moved(fields["video_length"], order, in_place).running():
        assert far(frames(fields=fields, prompt=prompt), plain) <= 1


def test_a_travel_goes_on_beside_moved_rows(pocket):
    request = {"prompt": "0: a cat AND a dog\n3: a tree AND a house", "fields": SHORT}
    plain = frames(**request)
    with Moved(4, regions_first).running():
        assert far(frames(**request), plain) <= 1


def test_rows_that_are_not_sampled_in_some_steps(pocket):
    """There the host takes the first rows of what came out for the negative prompt's, moved as they are."""
    request = {"prompt": TWO, "s_min_uncond": 100.0, "steps": 4}
    with Moved(4, regions_first).running():
        plain = pictures(batch_size=4, **request)
        assert far(still(SHORT, **request), plain) <= 1


def test_other_latents_in_the_order_of_the_host_are_sampled(pocket):
    """Regional Prompter's Prompt mode goes back to the latents of the first step."""
    kept = []

    def back_to_the_first(params):
        kept[:] = kept or [params.x.clone()]
        params.x = kept[0].clone()

    with callbacks(cfg_denoiser=back_to_the_first):
        got = still(SHORT, steps=3)
    kept.clear()
    with callbacks(cfg_denoiser=back_to_the_first):
        assert far(got, pictures(batch_size=4, steps=3)) <= 1


def frames_lost(params):
    params.x[0] = params.x[1]


def rows_lost(params):
    for name in ("x", "image_cond", "sigma"):
        setattr(params, name, getattr(params, name)[1:])


def noise_instead(params):
    params.x = torch.randn_like(params.x)


@pytest.mark.parametrize("change", [frames_lost, rows_lost, noise_instead])
def test_rows_that_nobody_can_tell_are_refused(pocket, change):
    before = of_host()
    with callbacks(cfg_denoiser=change), pytest.raises(Exception, match=NOT_TOLD) as caught:
        frames(fields=SHORT)
    assert caught.value.status_code == 500, "nobody knows the other extension"
    assert differences(before, of_host()) == []


def apart(one, other):
    """The mean difference of the pixels. How much single ones differ by rounding depends on the processor."""
    return np.abs(one.astype(float) - other).mean()


@pytest.mark.parametrize(
    ("stack", "fields", "request_"),
    [
        (Blocks(), SHORT, {"prompt": TWO}),
        (Blocks(), LONG, {}),
        (Woven(), SHORT, {}),
        (Blocks(), SHORT, {"s_min_uncond": 100.0, "steps": 3}),
    ],
    ids=["tile by tile", "windows", "row by row", "without the negative prompt"],
)
def test_tiles_in_one_call_are_told_apart(pocket, monkeypatch, stack, fields, request_):
    """v1's norms go over all frames of a tile; a tile for each call is right however rows are told."""
    fields = {**fields, "model": "mm_tiny_v1.safetensors"}
    alone = tiled(monkeypatch, None, fields=fields, **request_)
    rounding = apart(tiled(monkeypatch, stack, fields=fields, **request_), alone)
    seeing_each_other = apart(frames(fields=fields, **request_), alone)
    assert rounding < seeing_each_other / 50


def test_tiles_in_no_order_are_refused(pocket, monkeypatch):
    before = of_host()
    with pytest.raises(Exception, match=NOT_TOLD) as caught:
        tiled(monkeypatch, Shuffled(), fields=SHORT)
    assert caught.value.status_code == 500, "nobody knows the other extension"
    assert differences(before, of_host()) == []
