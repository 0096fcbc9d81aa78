"""Extensions that stand in the middle of sampling and expect all frames at once: kept right, or named."""

import pytest
import torch
from http_client import far
from neighbours import extension
from row_movers import LONG, NAMED, NOT_TOLD, SHORT, Negative, callbacks, hooked, still
from runs import frames, pictures
from snapshot import differences, of_host


@pytest.fixture(scope="module")
def named():
    """Code of an extension that the host has in its folder."""
    code = {}
    exec(compile(NAMED, "/webui/extensions/sd-webui-regions/scripts/regions.py", "exec"), code)
    return code


def test_who_moved_rows_is_named(pocket, named, monkeypatch):
    from modules import script_callbacks

    file = named["denoiser_callback"].__code__.co_filename
    with callbacks(cfg_denoiser=named["denoiser_callback"]):
        registered = script_callbacks.callback_map["callbacks_cfg_denoiser"][-1]
        monkeypatch.setattr(registered, "script", file)
        with pytest.raises(Exception, match=NOT_TOLD) as caught:
            frames(fields=SHORT)
    assert caught.value.status_code == 422 and "sd-webui-regions has moved or changed the rows" in str(caught.value)


@pytest.mark.parametrize(
    "fields", [SHORT, LONG, {**LONG, "windows_per_call": 2}], ids=["short", "windows", "two a call"]
)
def test_who_counts_rows_by_the_batch_size_counts_right(pocket, fields):
    script, count = Negative(), fields["video_length"]
    with extension("txt2img", script), hooked(script.hook):
        plain = pictures(batch_size=count)
        assert far(still(fields), plain) <= 1
        assert script.batch == count and len(script.conds[0]) == count, "what it holds is its own again"
    assert far(pictures(batch_size=count), plain) > 9


@pytest.mark.parametrize("fields", [LONG, {**LONG, "windows_per_call": 2}], ids=["windows", "two a call"])
@pytest.mark.parametrize("together", [True, False])
def test_who_keeps_something_of_a_call_finds_it_of_all_rows(pocket, named, fields, together):
    from modules import shared

    script, count = named["Guidance"](), fields["video_length"]
    plain = pictures(batch_size=count)
    with hooked(script.hook), callbacks(cfg_denoised=script.denoised):
        guided = pictures(batch_size=count)
        shared.opts.data["batch_cond_uncond"] = together
        assert far(still(fields), guided) <= 1
    assert far(guided, plain) > 9


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        ("hook", "sd-webui-regions counts on all 7 frames in each model call"),
        ("hook_raising", "sd-webui-regions failed beside them .RuntimeError: The expanded size"),
    ],
)
def test_who_cannot_be_set_right_is_refused_by_name(pocket, named, hook, sentence):
    before = of_host()
    with hooked(lambda layer: getattr(named["Closed"](), hook)(layer, 7 if hook == "hook" else 14)):
        frames(fields={**LONG, "batch_size": 16})
        with pytest.raises(Exception, match=sentence) as caught:
            frames(fields=LONG)
    assert caught.value.status_code == 422
    assert "Set batch_size to the number of frames, or turn that extension off" in str(caught.value)
    assert differences(before, of_host()) == []


def test_too_little_memory_is_nobodys_fault(pocket, named):
    error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    told = pytest.raises(Exception, match="^AnimateDiff: the GPU ran out of memory while sampling; switch")
    with hooked(lambda layer: named["Closed"]().hook_with_little_memory(layer, error)), told as caught:
        frames(fields=LONG)
    assert caught.value.status_code == 500 and "sd-webui" not in str(caught.value)


@pytest.mark.parametrize("moment", ["cfg_denoiser", "cfg_denoised", "cfg_after_cfg"])
def test_a_callback_that_fails_beside_windows_is_no_silent_loss(pocket, named, moment):
    with callbacks(**{moment: named["failing"]}):
        frames(fields=SHORT)
        with pytest.raises(Exception, match="sd-webui-regions failed beside them .KeyError: 'cat-4'") as caught:
            frames(fields=LONG)
    assert caught.value.status_code == 422
