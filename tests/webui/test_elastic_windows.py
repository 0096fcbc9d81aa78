"""Elastic windows in runs: the frames of windows of that length, and for whom nothing changes."""

import copy
import json

import numpy as np
import pytest
from runs import frames, make, run, video
from test_pasted import Pasted
from test_too_little_memory import sampling, sentence_of
from test_xyz import axes, cell_of, plot  # noqa: F401 - fixtures

from motion_module.params import VideoParams
from motion_module.presets import Preset
from motion_module.webui.plan import infotext

LONG = {"video_length": 18}


def foreseen(module, before=0, **fields):
    from motion_module.webui.plan.facts import Facts
    from motion_module.webui.plan.plan import Plan
    from motion_module.webui.plan.request import Request
    from motion_module.webui.request.motion_modules import ModuleFile, spec_of

    request = Request.of(VideoParams.from_json(video(**fields)), Facts(steps=(5,), before=before))
    return Plan(request, ModuleFile(module.name, module, spec_of(module)))


def called(monkeypatch, **fields):
    """How many rows each call of the UNet has in a run."""
    from motion_module.core.denoising import sliding

    rows = []
    call = sliding.SlidingModel._make
    monkeypatch.setattr(
        sliding.SlidingModel, "_make", lambda self, given: rows.append(len(given.x)) or call(self, given)
    )
    run(make(animatediff=video(**fields), steps=1))
    return rows


def test_a_run_has_the_frames_of_windows_of_that_length(pocket):
    whole = frames(fields=LONG)
    assert np.array_equal(whole, frames(fields={**LONG, "batch_size": 18}))
    assert not np.array_equal(whole, frames(fields={**LONG, "elastic": False}))
    cut = frames(fields={"video_length": 32})
    assert np.array_equal(cut, frames(fields={"video_length": 32, "batch_size": 18, "overlap": 4}))


def test_who_names_a_length_gets_it(pocket):
    named = frames(fields={**LONG, "batch_size": 16})
    assert np.array_equal(named, frames(fields={**LONG, "elastic": False}))
    assert np.array_equal(frames(fields={**LONG, "batch_size": 16, "elastic": True}), frames(fields=LONG))


def test_the_unet_gets_no_more_rows_than_the_windows_have(pocket, monkeypatch):
    with monkeypatch.context() as patch:
        assert called(patch, video_length=18, elastic=False) == [32, 32]
    with monkeypatch.context() as patch:
        assert called(patch, video_length=18) == [36]
    with monkeypatch.context() as patch:
        assert called(patch, video_length=32) == [36, 36]


@pytest.mark.parametrize(
    ("kind", "fields", "context", "calls"),
    [
        ("v2", {"video_length": 17}, 17, 5),
        ("v2", {"video_length": 17, "elastic": False}, 16, 10),
        ("v2", {"video_length": 17, "batch_size": 16}, 16, 10),
        ("v2", {"video_length": 32}, 18, 10),
        ("v2", {"video_length": 32, "windows_per_call": 2}, 18, 5),
        ("v2", {"video_length": 32, "blend": "overwrite"}, 16, 15),
        ("v2", {"video_length": 32, "closed_loop": "A"}, 16, 15),
        ("v1", {"video_length": 50, "batch_size": 24, "overlap": 0, "elastic": True}, 24, 15),
        ("v2", {"video_length": 50, "batch_size": 24, "overlap": 0, "elastic": True}, 25, 10),
        ("v2", {"video_length": 18, "pe_stretch": 8}, 16, 10),
        ("v2", {"video_length": 0}, 16, 5),
    ],
)
def test_a_plan_knows_its_windows(pocket, tiny, kind, fields, context, calls):
    """v1 has learnt 24 frames."""
    plan = foreseen(tiny[kind], **fields)
    assert (plan.windows.context, plan.model_calls) == (context, calls)


def test_windows_with_old_frames_alone_are_not_among_those_that_are_counted(pocket, tiny):
    plan = foreseen(tiny["v2"], before=16, video_length=16)
    assert (plan.request.frames, plan.windows.context, plan.model_calls) == (32, 16, 10)


def test_a_module_that_was_trained_on_few_frames_sees_that_many(pocket, tiny_xl):
    assert foreseen(tiny_xl["hotshot"], video_length=9, batch_size=8, elastic=True).windows.context == 8


def test_the_summary_says_what_is_done(pocket, tiny):
    from motion_module.webui.plan.summary import summary

    said = summary(foreseen(tiny["v2"], video_length=32), None, "out")
    assert "2 windows of 18 a step, 10 model calls, 1.12 times the work of one pass" in said


def test_an_infotext_says_it_and_an_older_one_means_windows_as_long_as_it_names(pocket, tiny):
    text = foreseen(tiny["v2"], video_length=32).infotext
    assert infotext.read(text)["elastic"] is True
    named = foreseen(tiny["v2"], video_length=32, batch_size=16).infotext
    assert infotext.read(named)["elastic"] is False
    for tab in ("txt2img", "img2img"):
        panel = Pasted(pocket["url"], tab)
        for entry, elastic in ((text, True), (named, False), (text.replace("elastic: true, ", ""), False)):
            values = panel.paste(f"a cat\nSteps: 20, Size: 64x64, AnimateDiff: {json.dumps(entry)}")
            assert values[panel.place("elastic")] is elastic
            assert values[panel.place("batch_size")] == 16


def test_an_older_list_of_the_panels_values_means_windows_as_long_as_it_names(pocket):
    from motion_module.webui.request.read import read_params

    values = {**{name: VideoParams.default_of(name) for name in VideoParams.table()}, "enable": True}
    assert next(iter(values)) == "enable" and read_params([*values.values()]).elastic
    del values["elastic"]
    assert not read_params([*values.values()]).elastic


def test_a_plot_of_lengths_has_those(axes):  # noqa: F811
    p = make(animatediff=video(format=["Frame"], **LONG))
    named = cell_of(copy.copy(p), axes, batch_size=16)
    assert "elastic: false" in named.infotexts[0]
    assert "elastic: true" in cell_of(p, axes).infotexts[0]
    assert "elastic: true" in cell_of(p, axes, batch_size=16, elastic=True).infotexts[0]
    off = make(animatediff=video(format=["Frame"], elastic=False, **LONG))
    assert "elastic: false" in cell_of(off, axes, fps=12).infotexts[0], "who names something else changes nothing"


def test_an_older_preset_of_ones_own_means_windows_as_long_as_it_names(pocket):
    assert Preset.from_json("mine", {"fields": {"batch_size": 16}}).fields == {"batch_size": 16, "elastic": False}
    assert Preset.from_json("mine", {"fields": {"fps": 12}}).fields == {"fps": 12}


def test_a_run_that_broke_off_in_an_older_version_is_the_same_without(pocket, tiny):
    from motion_module.errors import ParamError
    from motion_module.webui.request.same_run import check_same
    from motion_module.webui.request.unfinished import Unfinished

    asked = foreseen(tiny["v2"], batch_size=16, **LONG).asked
    older = {**asked, "fields": {name: value for name, value in asked["fields"].items() if name != "elastic"}}
    check_same(Unfinished("20261130-120000-abcd", older), asked)
    with pytest.raises(ParamError, match="elastic"):
        check_same(Unfinished("20261130-120000-abcd", older), foreseen(tiny["v2"], **LONG).asked)


def test_with_too_little_memory_longer_windows_are_the_first_to_go(pocket, monkeypatch):
    sampling(monkeypatch)
    assert "least_memory on, then switch elastic off, then set batch_size below 16, or" in sentence_of(
        make(animatediff=video(**LONG))
    )
    with monkeypatch.context() as patch:
        sampling(patch)
        assert "least_memory on, then set batch_size below 16, or" in sentence_of(
            make(animatediff=video(video_length=18, batch_size=16))
        )


def test_nobody_is_told_that_a_switch_has_no_effect_which_they_have_not_set(pocket):
    assert "elastic" not in run(make(animatediff=video(video_length=4, batch_size=4))).comments
