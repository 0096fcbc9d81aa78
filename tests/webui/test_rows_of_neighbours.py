"""Beside extensions that move the rows of a denoiser call, or stack several copies of it, as those people use do it."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from http_client import far
from runs import frames, make, pictures, run, video
from snapshot import differences, of_host

TWO = {"prompt": "a cat AND a dog AND grass"}
KEEP = {"animatediff_alpha_schedule": "as the model"}
SHORT = {"video_length": 4, "batch_size": 16}
LONG = {"video_length": 7, "batch_size": 4}


@contextmanager
def callbacks(**functions):
    """Denoiser callbacks of another extension: name of the host's callback -> function."""
    from modules import script_callbacks

    for name, function in functions.items():
        getattr(script_callbacks, f"on_{name}")(function)
    try:
        yield
    finally:
        for function in functions.values():
            script_callbacks.remove_callbacks_for_function(function)


class Moved:
    """Moves the rows of the prompts before a call, and what came out back after it.

    Args:
        order: (frames, parts) -> for each row of the call the row of the host's order that goes there.
        in_place: whether it writes into the host's tensors or puts others in their place.
    """

    def __init__(self, count, order, in_place=True):
        self.count, self.order, self.in_place = count, order, in_place

    def before(self, params):
        count = self.count
        index = torch.tensor(self.order(count, params.text_cond.shape[0] // count))
        self.back = index.argsort()
        whole = torch.cat([index, torch.arange(len(index), params.x.shape[0])])
        for name, rows in (("x", whole), ("image_cond", whole), ("sigma", whole), ("text_cond", index)):
            moved = getattr(params, name)[rows]
            if self.in_place:
                getattr(params, name)[:] = moved
            else:
                setattr(params, name, moved)

    def after(self, params):
        params.x[: len(self.back)] = params.x[: len(self.back)][self.back]

    def running(self):
        return callbacks(cfg_denoiser=self.before, cfg_denoised=self.after)


def regions_first(count, parts):
    """All frames of the first region, then all of the second: Regional Prompter's Latent mode."""
    return [frame * parts + part for part in range(parts) for frame in range(count)]


def backwards(count, parts):
    return list(reversed(range(count * parts)))


def turned(count, parts):
    """Each frame has its parts in another order than the last one."""
    return [frame * parts + (part + frame) % parts for frame in range(count) for part in range(parts)]


@pytest.mark.parametrize("fields", [SHORT, LONG], ids=["one window", "windows"])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "replaced"])
@pytest.mark.parametrize("order", [regions_first, backwards, turned])
@pytest.mark.parametrize("prompt", [TWO["prompt"], "a cat AND a cat"], ids=["three parts", "the same twice"])
def test_rows_in_another_order_are_followed(pocket, fields, in_place, order, prompt):
    plain = frames(fields=fields, prompt=prompt)
    with Moved(fields["video_length"], order, in_place).running():
        assert far(frames(fields=fields, prompt=prompt), plain) <= 1


def test_a_travel_goes_on_beside_moved_rows(pocket):
    request = {"prompt": "0: a cat AND a dog\n3: a tree AND a house", "fields": SHORT}
    plain = frames(**request)
    with Moved(4, regions_first).running():
        assert far(frames(**request), plain) <= 1


def test_rows_that_are_not_sampled_in_some_steps(pocket):
    request = {"prompt": "a cat AND a dog", "fields": SHORT, "s_min_uncond": 100.0, "steps": 4}
    plain = frames(**request)
    with Moved(4, regions_first).running():
        assert far(frames(**request), plain) <= 1
