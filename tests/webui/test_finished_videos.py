"""A run of several videos that fails in a later one: those that are finished are saved, and it is said where."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import array, make, run, video
from snapshot import differences, of_host

from motion_module.errors import HostError, SaidError


def pixels(folder):
    return array(Image.open(path) for path in sorted(Path(folder).iterdir()))


def first_alone(tab):
    whole = run(make(tab, video(format=["PNG"]), n_iter=1))
    return pixels(whole.extra_generation_params["AnimateDiff files"][0]["PNG"])


def saved_folders(p):
    return set(Path(p.outpath_samples).rglob("*.gif"))


@pytest.fixture
def failing_in(monkeypatch):
    """Have the model fail with this error in its so many-th call."""
    from motion_module.core.module.layers import MotionModule

    real = MotionModule.forward

    def fail(error, call):
        calls = []

        def forward(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == call:
                raise error
            return real(self, *args, **kwargs)

        monkeypatch.setattr(MotionModule, "forward", forward)

    yield fail
    monkeypatch.setattr(MotionModule, "forward", real)


SECOND_VIDEO = 1 + 2 * 21  # calls of layers: two steps of 21 layers each, and one of the second video


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_our_own_sentence_says_where_the_finished_video_is(pocket, failing_in, tab):
    expected, before = first_alone(tab), of_host()
    failing_in(HostError("it went wrong"), SECOND_VIDEO)
    with pytest.raises(SaidError) as caught:
        run(make(tab, video(format=["PNG", "GIF"]), n_iter=2))
    sentence = caught.value.detail
    assert sentence.startswith("AnimateDiff: it went wrong (the video before it is in ") and sentence.endswith(".gif).")
    gif = Path(sentence.partition("is in ")[2].removesuffix(")."))
    assert np.array_equal(pixels(gif.with_suffix("")), expected)
    assert differences(before, of_host()) == []


def test_an_error_of_another_extension_stays_as_it_is_and_the_log_says_it(pocket, failing_in, caplog):
    failing_in(RuntimeError("somebody else's"), SECOND_VIDEO)
    p = make("txt2img", video(format=["GIF"]), n_iter=3)
    before = saved_folders(p)
    with pytest.raises(RuntimeError, match="^somebody else's$"):
        run(p)
    (gif,) = saved_folders(p) - before
    (line,) = [record.getMessage() for record in caplog.records if "could not be made" in record.getMessage()]
    assert line == f"A video could not be made; the video before it is in {gif}."


def test_an_error_in_a_hook_of_a_later_video(pocket, monkeypatch):
    from motion_module.webui.run.session import Session

    real, calls = Session.spread_prompts, []

    def spread(self):
        calls.append(1)
        if len(calls) == 3:
            raise HostError("no prompt")
        real(self)

    monkeypatch.setattr(Session, "spread_prompts", spread)
    with pytest.raises(SaidError, match=r"no prompt \(the 2 videos before it are in .*gif, .*gif\)\."):
        run(make("txt2img", video(format=["GIF"]), n_iter=3))


@pytest.mark.parametrize(
    ("step", "call", "error", "said"),
    [
        ("_kept_video", 2, HostError("no room"), "no room (the video before it is in {0})."),
        ("_kept_video", 1, HostError("no room"), "no room (the other video is in {0})."),
        ("_kept_video", 2, TypeError("inside"), "TypeError: inside (the video before it is in {0})"),
        ("publish", 1, TypeError("inside"), "TypeError: inside (the videos are in {0}, {1})"),
        ("publish", 1, OSError(28, "x"), "there is no space left on the disk (the videos are in {0}, {1})"),
    ],
)
def test_an_error_while_saving_says_where_the_others_are(pocket, monkeypatch, step, call, error, said):
    """What was saved is not saved anew; what comes after the one that has failed is saved, too."""
    p = make("txt2img", video(format=["GIF"]), n_iter=2)
    before, host = saved_folders(p), of_host()
    fail_in_call(monkeypatch, step, call, error)
    with pytest.raises(SaidError) as caught:
        run(p)
    new = sorted(saved_folders(p) - before)
    assert caught.value.detail == f"AnimateDiff: {said.format(*new)}" and len(new) == said.count("{")
    assert differences(host, of_host()) == []


def fail_in_call(monkeypatch, step, call, error):
    """Have a step of saving fail with this error in its so many-th call."""
    from motion_module.webui.output import videos

    real, calls = getattr(videos, step), []

    def failing(*args):
        calls.append(1)
        if len(calls) == call:
            raise error
        return real(*args)

    monkeypatch.setattr(videos, step, failing)


def test_what_is_saved_after_a_video_that_has_failed_is_that_very_video(pocket, monkeypatch):
    whole = run(make("txt2img", video(format=["PNG"]), n_iter=2))
    expected = pixels(whole.extra_generation_params["AnimateDiff files"][1]["PNG"])
    fail_in_call(monkeypatch, "_kept_video", 1, HostError("no room"))
    with pytest.raises(SaidError) as caught:
        run(make("txt2img", video(format=["PNG", "GIF"]), n_iter=2))
    (gif,) = re.findall(r"the other video is in (.*\.gif)\)", caught.value.detail)
    assert np.array_equal(pixels(Path(gif).with_suffix("")), expected)


def test_a_second_failure_while_saving_changes_nothing_of_the_sentence(pocket, monkeypatch):
    from motion_module.webui.output import videos

    errors = iter([HostError("no room"), KeyError("x"), MemoryError()])
    monkeypatch.setattr(videos, "_kept_video", lambda *args: (_ for _ in ()).throw(next(errors)))
    with pytest.raises(SaidError, match=r"^AnimateDiff: no room\.$"):
        run(make("txt2img", video(format=["GIF"]), n_iter=3))
    assert next(errors, None) is None


def test_pictures_that_were_made_without_us_are_no_finished_videos(pocket, monkeypatch):
    from modules import processing

    p = make("txt2img", video(format=["GIF"]), n_iter=2)
    before = saved_folders(p)
    kind = processing.StableDiffusionProcessingTxt2Img
    real = kind.setup_conds

    def with_a_sample_of_its_own(self):
        real(self)
        self.sample = functools.partial(kind.sample, self)

    monkeypatch.setattr(kind, "setup_conds", with_a_sample_of_its_own)
    with pytest.raises(SaidError, match=r"samples in its own way \(it has replaced p.sample\).*for videos\.$"):
        run(p)
    assert saved_folders(p) == before


def test_where_nothing_is_finished_nothing_is_said_of_it(pocket, failing_in):
    p = make("txt2img", video(format=["GIF"]), n_iter=2)
    before = saved_folders(p)
    failing_in(HostError("it went wrong"), 3)
    with pytest.raises(SaidError, match=r"^AnimateDiff: it went wrong\.$"):
        run(p)
    assert saved_folders(p) == before


def test_what_is_added_to_a_sentence_stands_before_its_full_stop():
    error = HostError("it went wrong")
    error.add("more")
    assert (error.detail, error.sentence) == ("AnimateDiff: it went wrong (more).", "it went wrong (more)")
    quoted = HostError("he said: No!", quoted=True)
    quoted.add("more")
    assert quoted.detail == "AnimateDiff: he said: No! (more)"
