"""What scripts do to the lists of a run, and what they and people who interrupt it get back."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
from neighbours import extension
from runs import array, frames, make, run, video

COLOURS = ("red", "green", "blue")
FOUR = {"format": ["Frame"], "video_length": 4}


class Rewriting:
    """Changes `p` in `process`, after us.

    Args:
        change: what it does to `p`.
    """

    def __init__(self, change):
        self.change = change

    def process(self, p, *args):
        self.change(p)


def combinations(p, count=3, fixed=False):
    """Dynamic Prompts, combinatorial: a picture for each, in as many batches as that takes."""
    p.all_prompts = [f"a {COLOURS[i % 3]} cat {i}" for i in range(count)]
    p.all_negative_prompts = [f"bad {i}" for i in range(count)]
    p.n_iter = -(-count // p.batch_size)
    p.all_seeds = [int(p.seed) + i * (not fixed) for i in range(count)]
    p.all_subseeds = [int(p.subseed) + i * (not fixed) for i in range(count)]


def wildcards(p, fixed=False):
    """Dynamic Prompts, random: another prompt for each picture."""
    count = len(p.all_prompts)
    p.all_prompts = [f"a {COLOURS[i % 3]} cat {i}" for i in range(count)]
    p.all_seeds = [int(p.seed) + i * (not fixed) for i in range(count)]


def made(change, **request):
    with extension("txt2img", Rewriting(change)):
        return run(make(animatediff=video(**FOUR), **request))


@pytest.mark.parametrize("count", [1, 3, 6, 8])
def test_a_video_for_each_combination(pocket, count):
    result = made(lambda p: combinations(p, count), seed=5, steps=1)
    assert len(result.images) == 4 * count
    prompts = [f"a {COLOURS[i % 3]} cat {i}" for i in range(count)]
    assert result.all_prompts == [prompt for prompt in prompts for _ in range(4)]
    assert result.all_seeds == [5 + i for i in range(4 * count)]
    for place, text in enumerate(result.infotexts):
        assert text.startswith(prompts[place // 4]) and f"Negative prompt: bad {place // 4}" in text
        assert f"Seed: {5 + place}," in text
    alone = frames(
        fields=FOUR, prompt=prompts[-1], negative_prompt=f"bad {count - 1}", seed=5 + 4 * (count - 1), steps=1
    )
    assert np.array_equal(array(result.images[-4:]), alone)


def test_combinations_with_one_seed_differ_in_their_prompts_alone(pocket):
    result = made(lambda p: combinations(p, 3, fixed=True), seed=5, steps=1)
    assert result.all_seeds == [5, 6, 7, 8] * 3
    alone = frames(fields=FOUR, prompt="a blue cat 2", negative_prompt="bad 2", seed=5, steps=1)
    assert np.array_equal(array(result.images[-4:]), alone)


@pytest.mark.parametrize("fixed", [False, True])
def test_wildcards_choose_a_prompt_for_each_video(pocket, fixed):
    result = made(lambda p: wildcards(p, fixed), seed=5, steps=1, n_iter=2)
    assert result.all_prompts == ["a red cat 0"] * 4 + ["a green cat 4"] * 4
    assert result.all_seeds == ([5, 6, 7, 8] * 2 if fixed else list(range(5, 13)))
    assert [text.split("\n")[0] for text in result.infotexts] == result.all_prompts
    moving = array(result.images[:4])
    assert np.array_equal(moving, frames(fields=FOUR, prompt="a red cat 0", seed=5, steps=1))


@pytest.mark.parametrize(("asked", "runs"), [(1, 2), (2, 1)])
def test_another_number_of_videos(pocket, asked, runs):
    result = made(lambda p: setattr(p, "n_iter", runs), seed=5, steps=1, n_iter=asked)
    assert len(result.images) == 4 * runs
    assert result.all_seeds == [5 + i for i in range(4 * runs)]
    assert np.array_equal(
        array(result.images), array(run(make(animatediff=video(**FOUR), seed=5, steps=1, n_iter=runs)).images)
    )


def test_as_many_combinations_as_frames_are_told_by_the_script(pocket):
    """Their numbers are those of a prompt for each frame; Dynamic Prompts itself says what they are."""
    script = Rewriting(lambda p: combinations(p, 4))
    with extension("txt2img", script):
        assert len(run(make(animatediff=video(**FOUR), steps=1)).images) == 4
        type(script).title = lambda self: "Dynamic Prompts v2.17.1"
        p = make(animatediff=video(**FOUR), steps=1)
        script.args_from, script.args_to = len(p.script_args), len(p.script_args) + 2
        p.script_args = (*p.script_args, True, True)
        result = run(p)
    assert len(result.images) == 16 and result.all_prompts[4] == "a green cat 1"


def test_a_script_gets_one_picture_for_each_job(pocket):
    """Prompt matrix writes its prompts beside them."""
    p = make(
        animatediff=video(format=["GIF", "WEBP", "PNG", "Frame"]), prompt=["a cat", "a dog"], seed=[5, 9], n_iter=2
    )
    p.script_args = (1, *p.script_args[1:])
    result = run(p)
    assert [image.size for image in result.images] == [(64, 64)] * 2 and len(result.infotexts) == 2
    alone = make(animatediff=video(format=["PNG"]), seed=5)
    alone.script_args = (1, *alone.script_args[1:])
    assert len(run(alone).images) == 1


@pytest.mark.parametrize("is_api", [False, True])
def test_what_is_said_of_a_plot_names_all_its_files(pocket, is_api):
    """The plot runs copies of one `p`, and shows a copy of its first cell's result."""
    p = make(animatediff=video(format=["GIF"]), steps=1)
    p.script_args, p.is_api = (1, *p.script_args[1:]), is_api
    shown = None
    for seed in (5, 6, 7):
        cell = copy.copy(p)
        cell.seed = seed
        result = run(cell)
        shown = shown or copy.copy(result)
    named = [Path(entry["GIF"]) for entry in shown.extra_generation_params["AnimateDiff files"]]
    assert len(set(named)) == 3 and all(path.is_file() for path in named)
    assert all(path.name in shown.js() for path in named)
    assert len(re.findall(r"^4 frames, .*; in ", shown.comments, re.MULTILINE)) == 1, "what is alike is said once"
    on_page = shown.extra_generation_params.get("AnimateDiff page", [])
    assert [film["files"][0]["path"] for film in on_page] == ([] if is_api else list(map(str, named)))
    other = make(animatediff=video(format=["GIF"]), steps=1)
    other.script_args = p.script_args
    assert len(run(other).extra_generation_params["AnimateDiff files"]) == 1, "another plot begins anew"


def stopped(p):
    """A run that is stopped in its second step."""
    from modules import script_callbacks, shared

    def stop(params):
        if params.sampling_step == 1:
            shared.state.interrupt()

    script_callbacks.on_cfg_denoiser(stop)
    try:
        return run(p)
    finally:
        script_callbacks.remove_callbacks_for_function(stop)


@pytest.mark.parametrize("is_api", [False, True], ids=["page", "API"])
@pytest.mark.parametrize("kept", [False, True], ids=["not saved", "saved"])
def test_an_interrupted_video_follows_the_setting_and_says_what_it_is(pocket, kept, is_api):
    from modules import shared

    outputs = Path(pocket["data"]) / "outputs"
    before = {path for path in outputs.rglob("*") if path.is_file()}
    shared.opts.set("save_incomplete_images", kept)
    p = make(animatediff=video(format=["GIF", "PNG"]), steps=4)
    p.is_api = is_api
    result = stopped(p)
    saved = {path.suffix for path in outputs.rglob("*") if path.is_file() and path not in before}
    assert saved == ({".gif", ".png"} if kept else set())
    assert len(result.images) >= 1, "the person sees it in any case"
    state = (
        'saved: "Save interrupted images" (Settings, Saving images/grids) is on'
        if kept
        else 'not saved: "Save interrupted images" (Settings, Saving images/grids) is off'
    )
    assert f"the video is unfinished, interrupted in step 2 of 4. It was {state}" in result.comments
    assert "AnimateDiff unfinished: interrupted in step 2 of 4" in result.infotexts[0]
    assert ("AnimateDiff files" in result.extra_generation_params) == kept
    whole = run(make(animatediff=video(format=["GIF"])))
    assert "unfinished" not in whole.comments + whole.infotexts[0]
