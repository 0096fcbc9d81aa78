"""The setting for as little memory as possible: the same frames by smaller calls, and nothing of it is left afterwards."""

import numpy as np
import pytest
from http_client import gradient, png_base64
from neighbours import on_every_change
from runs import HIRES, frames, make, run, video
from snapshot import differences, of_host, of_p

from motion_module.core.module import pieces
from motion_module.errors import ParamError

NAME = "animatediff_least_memory"
LEAST = {"override_settings": {NAME: True}}
WINDOWS = {"video_length": 12, "batch_size": 4, "overlap": 2, "windows_per_call": 3}


@pytest.fixture(autouse=True)
def row_by_row(pocket, monkeypatch):
    """Pieces are smaller than a row, as small as the pocket's pictures are."""
    monkeypatch.setattr(pieces, "_SMALL", 1)


@pytest.fixture
def rows(pocket):
    """How many rows the UNet is called with, and how many one of its ResBlocks and feed-forwards, call by call."""
    from modules import shared

    unet = shared.sd_model.model.diffusion_model
    block, transformer = unet.input_blocks[1]
    watched = {"unet": unet.input_blocks[0], "res": block.in_layers, "ff": transformer.transformer_blocks[0].ff.net}
    seen = {name: [] for name in watched}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, args, name=name: seen[name].append(len(args[0])))
        for name, layer in watched.items()
    ]
    yield seen
    for hook in hooks:
        hook.remove()


REQUESTS = {
    "v1": ({"model": "mm_tiny_v1.safetensors"}, {}),
    "v2": ({}, {}),
    "v3": ({"model": "mm_tiny_v3.safetensors"}, {}),
    "windows": (WINDOWS, {}),
    "hires": ({}, HIRES),
    "prompts": (
        {"effect_travel": "0: 1, 3: 0.5"},
        {"prompt": "0: a cat AND a dog\n3: a bird AND a fish", "negative_prompt": "a, " * 60},
    ),
}


@pytest.mark.parametrize(("tab", "name"), [*[("txt2img", name) for name in REQUESTS], ("img2img", "windows")])
def test_the_frames_are_the_same(pocket, tab, name):
    fields, request = REQUESTS[name]
    usual, least = frames(tab, fields, **request), frames(tab, fields, **request, **LEAST)
    assert usual.shape == least.shape
    assert np.abs(usual.astype(int) - least).max() <= 1


def test_so_they_are_through_the_api(client):
    for path, body in (("txt2img", {}), ("img2img", {"init_images": [png_base64(gradient())]})):
        usual, least = client.frames({}, path, **body), client.frames({}, path, **body, **LEAST)
        assert np.abs(usual - least).max() <= 1


def test_of_sdxl(pocket_xl):
    for model in ("sdxl", "hotshot"):
        fields = {"model": pocket_xl[model].name, "batch_size": 8}
        assert np.abs(frames(fields=fields).astype(int) - frames(fields=fields, **LEAST)).max() <= 1


def test_each_call_has_one_branch_of_one_window_and_its_layers_see_row_by_row(rows):
    frames(fields=WINDOWS, steps=1)
    usual = {name: list(seen) for name, seen in rows.items()}
    for seen in rows.values():
        seen.clear()
    frames(fields=WINDOWS, steps=1, **LEAST)
    assert (
        usual["unet"] == usual["res"] == usual["ff"] == [24, 16]
    )  # two branches of three windows, and of the other two
    assert rows["unet"] == [4] * 10 and rows["res"] == rows["ff"] == [1] * 40


def test_norms_over_frames_see_all_of_them(rows):
    frames(fields={"model": "mm_tiny_v1.safetensors"}, steps=1, **LEAST)
    assert rows["unet"] == rows["res"] == [4, 4] and rows["ff"] == [1] * 8


@pytest.mark.parametrize(
    ("tab", "error"),
    [("txt2img", None), ("img2img", OverflowError("broken")), ("txt2img", KeyboardInterrupt())],
    ids=["whole", "error", "ended"],
)
def test_nothing_is_left_of_it(rows, tab, monkeypatch, error):
    from motion_module.core.module.layers import MotionModule

    plain, before, p = frames(tab), of_host(), make(tab, video(), **LEAST)
    own, forward, left = of_p(p), MotionModule.forward, [30]

    def failing(self, x):
        left[0] -= 1
        if left[0] == 0 and error is not None:
            raise error
        return forward(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(MotionModule, "forward", failing)
        if error is None:
            run(p)
        else:
            with pytest.raises(type(error) if isinstance(error, KeyboardInterrupt) else Exception, match="broken|^$"):
                run(p)
    assert left[0] <= 0
    assert differences(before, of_host()) == [] and differences(own, of_p(p)) == []
    assert pieces.most_values() == pieces._LARGE
    assert np.array_equal(frames(tab), plain)
    assert rows["res"][-1] == 8, "both branches again"


def test_a_failure_among_its_changes_undoes_those_before_it(pocket, monkeypatch):
    fields, request = video(), {"steps": 1, **LEAST}
    changes, snapshot = [], of_host(values=False)
    with monkeypatch.context() as patch:
        on_every_change(patch, lambda: changes.append(1), of="core.module.pieces")
        run(make(animatediff=fields, **request))
    assert len(changes) > 30  # ResBlocks and feed-forwards
    for failing in range(1, len(changes) + 1, 6):
        left = [failing]

        def fail(left=left):
            left[0] -= 1
            if left[0] == 0:
                raise OverflowError("broken")

        with monkeypatch.context() as patch, pytest.raises(Exception, match="broken"):
            on_every_change(patch, fail, of="core.module.pieces")
            run(make(animatediff=fields, **request))
        assert differences(snapshot, of_host(values=False)) == [], failing


def test_the_plan_counts_windows_one_by_one(client, monkeypatch):
    body = {"steps": 5, "width": 64, "height": 64, "prompt": "a cat"}

    def calls(**fields):
        scripts = {"AnimateDiff": {"args": [{**video(**WINDOWS, schedule="static"), **fields}]}}
        reply = client.plan({**body, "alwayson_scripts": scripts, **settings})
        return reply.body["model_calls"]

    settings = {}
    assert calls() == 5 * 2 and calls(windows_per_call=1) == 5 * 5
    settings = LEAST
    assert calls() == calls(windows_per_call=1) == 5 * 5


def test_the_panel_counts_them_so_too(pocket, monkeypatch):
    from modules import shared
    from motion_module.params import VideoParams
    from motion_module.webui.page.page_facts import facts_of_page

    params = VideoParams.from_json(video())
    assert not facts_of_page("txt2img", params, {}).least_memory
    monkeypatch.setitem(shared.opts.data, NAME, True)
    assert facts_of_page("txt2img", params, {}).least_memory
    monkeypatch.setitem(shared.opts.data, NAME, "yes")
    assert not facts_of_page("txt2img", VideoParams.from_json({"enable": False}), {}).least_memory
    with pytest.raises(ParamError, match="'yes'; allowed is true or false"):
        facts_of_page("txt2img", params, {})
