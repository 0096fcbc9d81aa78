"""With no field in use that controls a video over time, not one tensor operation more is made than without its code.

Counted by torch's own dispatch over whole runs, by the name of each operation, against runs of bare_run.py.
"""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from bare_run import bare
from http_client import gradient, png_base64
from runs import HIRES, array, make, run, video

from tests.core.test_factors import Counted

V1, V2, V3 = (f"mm_tiny_{kind}.safetensors" for kind in ("v1", "v2", "v3"))
WINDOWS = {"batch_size": 3, "overlap": 1}
RUNS = {
    "one window": ("txt2img", {"model": V2}, {}),
    "norms over frames": ("txt2img", {"model": V1}, {}),
    "windows": ("txt2img", {"model": V3, **WINDOWS, "windows_per_call": 2}, {}),
    "hires": ("txt2img", {"model": V2, **WINDOWS}, HIRES),
    "img2img": ("img2img", {"model": V3}, {"steps": 3}),
    "FreeInit": ("txt2img", {"model": V3, "freeinit_enable": True, "freeinit_iters": 2}, {}),
    "sides apart": ("txt2img", {"model": V2}, {"override_settings": {"batch_cond_uncond": False}}),
    "prompt travel": ("txt2img", {"model": V2}, {"prompt": "0: a cat\n3: a dog"}),
}
AS_EVER = {  # what the fields say in a new panel
    **dict.fromkeys(("motion_scale_travel", "effect_travel", "cfg_travel", "continue_from", "effect_blocks"), ""),
    "motion_scale": 1,
    "effect": 1,
    "hold": [],
    "travel": "slerp",
    "interp": "Off",
    "pe_stretch": 0,
    "motion_start": 0,
    "motion_end": 1,
    "resume": "",
    "preset": "off",
}


@pytest.fixture(autouse=True)
def _no_previews(pocket):
    """They come by the clock."""
    from modules import shared

    shared.opts.data["live_previews_enable"] = False


def counted(tab="txt2img", fields=None, **request):
    """How often a run makes each operation, and its frames."""
    p = make(tab, video(format=["Frame"], **(fields or {})), **request)
    with Counted() as mode:
        result = run(p)
    return mode.counts, array(result.images)


@pytest.mark.parametrize("asked", RUNS.values(), ids=list(RUNS))
def test_not_one_operation_more(monkeypatch, asked):
    tab, fields, request = asked
    counted(tab, fields, **request)  # the first one fills the host's caches
    with bare(monkeypatch):
        wanted, frames = counted(tab, fields, **request)
    counts, made = counted(tab, fields, **request)
    assert (counts - wanted, wanted - counts) == (Counter(), Counter())
    assert np.array_equal(made, frames)
    assert wanted["aten.native_layer_norm.default"] and sum(wanted.values()) > 1_000, "something has been counted"


def test_fields_that_say_what_a_new_panel_says_are_not_in_use(pocket):
    counted()
    assert counted(fields=AS_EVER)[0] == counted()[0]


PICTURE = png_base64(gradient())
USED = [
    ("txt2img", {"motion_scale_travel": "0: 1"}),
    ("txt2img", {"effect_travel": "0: 1"}),
    ("img2img", {"denoise_travel": "0: 0.6, 3: 0.3"}),
    ("img2img", {"hold_pictures": True}),
    ("txt2img", {"hold": [[1, PICTURE]]}),
    ("txt2img", {"pe_stretch": 3}),
    ("txt2img", {"motion_end": 0.0}),
    ("txt2img", {"effect_blocks": "1, 1, 1, 0"}),
]


@pytest.mark.parametrize(("tab", "fields"), USED, ids=[",".join(fields) for _, fields in USED])
def test_each_field_in_use_shows_in_the_counts(monkeypatch, tab, fields):
    """Or a count would say nothing of its code. (CFG travel weighs by plain numbers, and makes none more in use.)"""
    request = {"steps": 4}
    counted(tab, **request)
    with bare(monkeypatch):
        wanted, _ = counted(tab, **request)
    counts, _ = counted(tab, fields, **request)
    assert counts != wanted


@contextmanager
def with_a_stray_one(*args):
    """In the place of what changes nothing."""
    torch.zeros(1)
    yield


PLACES = [
    ("motion_module.webui.sampling.scope.guiding", lambda *args: with_a_stray_one(), 1),
    ("motion_module.webui.sampling.scope.stretching", lambda *args: with_a_stray_one(), 1),
    ("motion_module.webui.sampling.loan.Loan._acts", lambda *args: bool(torch.ones(1)), 2),
    ("motion_module.core.module.call_frames.CallFrames.effect_of", lambda *args: float(torch.ones(1)), 2 * 21),
]


@pytest.mark.parametrize(("place", "stray", "times"), PLACES, ids=[place.rpartition(".")[2] for place, *_ in PLACES])
def test_one_stray_operation_is_seen(monkeypatch, place, stray, times):
    """In each run, in each of two steps, in each of 21 layers."""
    counted()
    with bare(monkeypatch):
        wanted, _ = counted()
    monkeypatch.setattr(place, stray)
    counts, _ = counted()
    more = counts - wanted
    assert {more["aten.zeros.default"], more["aten.ones.default"]} == {0, times} and not wanted - counts
