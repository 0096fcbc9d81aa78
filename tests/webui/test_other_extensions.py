"""A video whose motion module adds nothing is a plain batch of pictures, whatever other extensions do to both.

On the pocket this is about us alone. On a running WebUI (WEBUI_URL) it is about every extension that is installed there: each
is switched on in each way that known_extensions.py lists, and each together with the next one. That the extension does
something to the batch is looked at, too: of known ones it must.
"""

import contextlib
import io
import itertools
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
from control_videos import STILL
from known_extensions import Way, arguments, files_for, has_switch, known
from PIL import Image

from tests.running import webui

OF_THE_HOST = {
    "animatediff",
    "controlnet",
    "extra options",
    "hypertile",
    "refiner",
    "sampler",
    "seed",
    "comments",
    "soft inpainting",
}
LEFT_OUT = {"demofusion"}  # it makes pictures of several sizes, one batch out of another
PICTURE = {
    "prompt": "a red ball in a blue sky",
    "negative_prompt": "bad",
    "seed": 5,
    "width": 128,
    "height": 64,
    "steps": 2,
    "cfg_scale": 7,
    "sampler_name": "Euler",
    "override_settings": {"animatediff_alpha_schedule": "as the model", "pad_cond_uncond": True},
}
WINDOW, LONGER = 8, 12


@dataclass
class Case:
    """Scripts that act: `alwayson_scripts`, and what else the request has; `without` them, if they are a single one's."""

    scripts: dict = field(default_factory=dict)
    body: dict = field(default_factory=dict)
    without: dict | None = None
    must_act: bool = False
    module: str = STILL["model"]


def case_of(info, way, must_act):
    name = info["name"].lower()
    off = merged({**way.body, "alwayson_scripts": {name: arguments(info, way, False)}}, way.without)
    return Case({name: arguments(info, way, True)}, way.body, off, must_act, way.module)


def single_cases(client):
    """Name -> each always-on script in each way; one that nobody knows how to switch on is only named."""
    found = {}
    for info in client.get("script-info"):
        name = info["name"].lower()
        if not info["is_alwayson"] or info["is_img2img"] or name in OF_THE_HOST | LEFT_OUT:
            continue
        ways = known(name) or ([Way()] if has_switch(info) else [])
        if not ways:
            warnings.warn(f"{name} is only installed: nothing here says how it is switched on", stacklevel=1)
        for number, way in enumerate(ways, 1):
            found[f"{name} {number}" if len(ways) > 1 else name] = case_of(info, way, bool(known(name)))
    return found


def cases_of(client):
    """Name -> what is tried: nothing else, each extension by itself, then each with the next one."""
    single = single_cases(client)
    pairs = itertools.pairwise(single.items())
    both = {
        f"{a} + {b}": Case(one.scripts | other.scripts, merged(one.body, other.body))
        for (a, one), (b, other) in pairs
        if not one.scripts.keys() & other.scripts.keys() and one.module == other.module
    }
    return {"nothing": Case(), **single, **both}


def merged(one, other):
    """Two bodies of requests; the settings of both."""
    settings = {**one.get("override_settings", {}), **other.get("override_settings", {})}
    return {**one, **other, "override_settings": settings}


def made(client, body, length):
    """The pictures of a request; one sentence if it was refused."""
    reply = client.post("txt2img", merged(PICTURE, body))
    if reply.status != 200:
        return reply.sentence
    return [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) for data in reply.files[-length:]]


def difference(one, other):
    """The largest and the mean difference, in 1 of 255; a sentence if they cannot be compared."""
    for pictures in (one, other):
        if isinstance(pictures, str):
            return pictures
    if [picture.shape for picture in one] != [picture.shape for picture in other]:
        return f"{len(other)} pictures, not {len(one)}, or of another size"
    apart = np.abs(np.stack(one) - np.stack(other))
    return apart.max(), round(apart.mean(), 3)


def is_same(found):
    return not isinstance(found, str) and found[0] <= 1


def compared(client, case, length):
    """How far the video is from the batch; and how far the batch is from the one without the extension."""
    batch = {**case.body, "batch_size": length, "alwayson_scripts": case.scripts}
    fields = {"enable": True, **STILL, "model": case.module, "video_length": length, "batch_size": WINDOW}
    video = {
        **case.body,
        "alwayson_scripts": {**case.scripts, "AnimateDiff": {"args": [{**fields, "format": ["PNG"]}]}},
    }
    plain = made(client, batch, length)
    acts = case.without and difference(plain, made(client, {"batch_size": length, **case.without}, length))
    return difference(plain, made(client, video, length)), acts


@pytest.fixture
def files(client):
    """What some of the known extensions need; none is installed on the pocket."""
    with files_for(client) if webui.URL else contextlib.nullcontext():
        yield


def test_a_video_that_adds_nothing_is_a_plain_batch(client, files):
    wrong = {}
    for (name, case), length in itertools.product(cases_of(client).items(), (WINDOW, LONGER)):
        apart, acts = compared(client, case, length)
        print(f"{name}, {length} frames: video {apart}" + (f"; with and without {acts}" if acts else ""), flush=True)
        if not is_same(apart):
            wrong[f"{name}, {length} frames"] = apart
        if acts and is_same(acts) and case.must_act:
            wrong[f"{name}, which does nothing"] = acts
        elif acts and is_same(acts):
            warnings.warn(f"{name} changes nothing as it starts: this says nothing about it", stacklevel=1)
    assert not wrong


@pytest.mark.skipif(bool(webui.URL), reason=webui.IN_PROCESS)
def test_the_oracle_sees_a_difference(client):
    """With the motion module's own effect the same comparison is far off."""
    batch = made(client, {"batch_size": WINDOW}, WINDOW)
    video = {"enable": True, **STILL, "effect": 1, "video_length": WINDOW, "batch_size": WINDOW, "format": ["PNG"]}
    moving = made(client, {"alwayson_scripts": {"AnimateDiff": {"args": [video]}}}, WINDOW)
    assert difference(batch, moving)[0] > 20
