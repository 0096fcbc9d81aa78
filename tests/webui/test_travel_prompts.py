"""Prompt travel with what the host does to prompts: styles, comments, extra networks, scripts that change them."""

import logging

import numpy as np
import pytest
from runs import frames, make, run, runner_of, video
from snapshot import differences, of_host

from motion_module.errors import ParamError

STYLES = {
    "tail": ("masterpiece, best quality", "bad"),
    "wrap": ("photo of {prompt}, masterpiece", ""),
    "lines": ("{prompt}\nbest quality", ""),
    "day": ("0: {prompt} by day\n2: {prompt} by night", ""),
    "noted": ("photo of {prompt}, sharp # not too sharp", ""),
    "both": ("{prompt} in oil", "no {prompt}"),
}
FIELDS = {"model": "mm_tiny_v3.safetensors"}


@pytest.fixture
def styles(pocket, monkeypatch):
    from modules import shared
    from modules.styles import PromptStyle

    known = {name: PromptStyle(name, *texts) for name, texts in STYLES.items()}
    monkeypatch.setattr(shared.prompt_styles, "styles", known)


def schedule_of(**fields):
    """The prompt travel as it was understood, from the infotext, and the whole result."""
    result = run(make(animatediff=video(**FIELDS), **fields))
    return result.extra_generation_params.get("Prompt travel"), result


@pytest.mark.parametrize(
    ("names", "prompt", "understood"),
    [
        (["wrap"], "0: yellow\n2: red", "0: photo of yellow, masterpiece; 2: photo of red, masterpiece"),
        (["tail"], "0: yellow\n2: red", "0: yellow, masterpiece, best quality; 2: red, masterpiece, best quality"),
        (["lines"], "0: yellow\n2: red", "0: yellow, best quality; 2: red, best quality"),
        (["wrap"], "a\n0: b\n2: c\nd", "0: photo of a, b, d, masterpiece; 2: photo of a, c, d, masterpiece"),
        (["tail", "both"], "0: a\n2: b", "0: a, masterpiece, best quality in oil; 2: b, masterpiece, best quality in oil"),
        (["tail"], "0: yellow\n2: red # note", "0: yellow, masterpiece, best quality; 2: red, masterpiece, best quality"),
        (["noted"], "0: a\n2: b", "0: photo of a, sharp; 2: photo of b, sharp"),
        (["day"], "a town", "0: a town by day; 2: a town by night"),
        (["unknown"], "0: a\n2: b", "0: a; 2: b"),
    ],
)  # fmt: skip
def test_styles_apply_to_the_text_of_every_key(styles, names, prompt, understood):
    found, result = schedule_of(prompt=prompt, styles=names)
    assert found == understood
    keys = understood.replace("; ", "\n")
    typed = {"prompt": keys, "negative_prompt": result.all_negative_prompts[0]}
    assert np.array_equal(frames(fields=FIELDS, prompt=prompt, styles=names), frames(fields=FIELDS, **typed))
    again, _ = schedule_of(prompt=result.all_prompts[0])  # an infotext's prompt, pasted
    assert again == understood


def test_styles_apply_to_the_keys_of_the_negative_prompt_and_the_hires_prompts(styles):
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    result = run(
        make(
            animatediff=video(**FIELDS),
            prompt="0: a\n2: b",
            negative_prompt="0: c\n2: d",
            hr_prompt="0: e\n2: f",
            hr_negative_prompt="0: g\n2: h",
            styles=["both"],
            **hires,
        )
    )
    understood = {name: value for name, value in result.extra_generation_params.items() if "travel" in name}
    assert understood == {
        "Prompt travel": "0: a in oil; 2: b in oil",
        "Negative prompt travel": "0: no c; 2: no d",
        "Hires prompt travel": "0: e in oil; 2: f in oil",
        "Hires negative prompt travel": "0: no g; 2: no h",
    }


def test_a_prompt_without_keys_gets_its_styles_from_the_host(styles):
    _, result = schedule_of(prompt="a # b", negative_prompt="0: c\n2: d", styles=["tail", "wrap"])
    plain = make(prompt="a # b", styles=["tail", "wrap"])
    plain.setup_prompts()
    assert plain.all_prompts[0] == "photo of a # b, masterpiece, best quality, masterpiece"
    assert result.all_prompts[0] == "photo of a \n"  # what the host's comments leave of it
    assert plain.styles == ["tail", "wrap"]


def test_the_styles_of_the_run_stay_what_they_were(styles):
    p = make(animatediff=video(**FIELDS), prompt="0: yellow\n2: red", styles=["wrap"])
    before = of_host()
    run(p)
    assert p.styles == ["wrap"] and "setup_prompts" not in vars(p)
    assert differences(before, of_host()) == []


def test_keys_in_the_prompt_and_in_a_style_are_refused(styles):
    with pytest.raises(ParamError, match="the prompt has frame numbers, and so has a style"):
        run(make(animatediff=video(**FIELDS), prompt="0: a\n2: b", styles=["day"]))


def test_a_style_cannot_bring_a_key_beyond_the_end(styles):
    with pytest.raises(ParamError, match="frame 2 is beyond the last frame, 1"):
        run(make(animatediff=video(video_length=2), prompt="a town", styles=["day"]))


@pytest.mark.parametrize(
    "prompt",
    [
        "0: yellow\n# try blue later\n2: red",
        "0: yellow\n2: red # or blue AND green",
        "0: yellow\n# 1: blue\n2: red",
        "# a plan\n0: yellow # first\n2: red",
        "0: yellow\n\n#\n#\n2: red\n# the end",
    ],
)
def test_comments_are_read_as_the_host_reads_them(pocket, prompt):
    assert schedule_of(prompt=prompt)[0] == "0: yellow; 2: red"


def test_a_sign_of_a_comment_is_a_sign_where_comments_are_off(pocket):
    from modules import shared

    shared.opts.data["enable_prompt_comments"] = False
    assert schedule_of(prompt="0: yellow\n2: red #5")[0] == "0: yellow; 2: red #5"
    with pytest.raises(ParamError, match="stands between two keys"):
        schedule_of(prompt="0: yellow\n# blue\n2: red")


def test_a_script_that_comes_before_ours_is_seen_early(pocket):
    p = make(animatediff=video(**FIELDS), prompt="a cat")
    p.prompt = "0: a\n9: b"
    with pytest.raises(ParamError, match="frame 9 is beyond the last frame, 3, of 4 frames"):
        run(p)


@pytest.mark.parametrize("hook", ["before_process", "process"])
@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_a_script_that_changes_the_prompt_later_is_checked_before_sampling(pocket, monkeypatch, hook, tab):
    """The second of two videos is the one that cannot be."""
    scripts = runner_of(tab)
    ours_and_others = getattr(scripts, hook)

    def and_one_more(p):
        ours_and_others(p)
        if hook == "process":
            p.all_prompts = [*p.all_prompts[:4], *["0: a\n9: b"] * 4]
        else:
            p.prompt = "0: a\n9: b"

    monkeypatch.setattr(scripts, hook, and_one_more)
    p = make(tab, animatediff=video(**FIELDS), prompt="0: a\n2: b", n_iter=2)
    monkeypatch.setattr(p, "sample", lambda *args, **kwargs: pytest.fail("it has sampled"))
    before = of_host()
    with pytest.raises(ParamError, match="frame 9 is beyond the last frame, 3, of 4 frames"):
        run(p)
    assert differences(before, of_host()) == []


@pytest.mark.parametrize(
    ("line", "is_told"),
    [("[0]: yellow", True), ("frame 0: yellow", True), ("0%: yellow", True), ("0.0: yellow", True), ("16:9", False)],
)
def test_what_looks_like_a_key_gets_one_message(pocket, caplog, line, is_told):
    caplog.set_level(logging.WARNING)
    p = make(animatediff=video(**FIELDS), prompt=f"{line}\n{line}" if is_told else line, n_iter=2)
    result = run(p)
    assert "Prompt travel" not in result.extra_generation_params
    assert result.comments.count("read as ordinary text") == is_told
    assert len([one for one in caplog.messages if "read as ordinary text" in one]) == is_told
    assert not is_told or repr(line) in result.comments


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_half_a_character_is_refused(pocket, field):
    with pytest.raises(ParamError, match=rf"{field} holds '\\ud83d', half of a surrogate pair"):
        run(make(animatediff=video(), **{field: "0: a\n2: b \ud83d"}))


def test_a_key_of_five_thousand_digits_is_beyond_the_last_frame(pocket):
    with pytest.raises(ParamError, match=r"frame 1111111111 is beyond|frame 1{10}\d* is beyond"):
        run(make(animatediff=video(), prompt="0: a\n" + "1" * 5000 + ": b"))


def test_tags_alone_in_a_key_or_between_keys(pocket):
    """`<lora:x:1>` of a name that there is not: the host takes it out and goes on."""
    found, _ = schedule_of(prompt="a cat\n0: <hypernet:x:1>\n<hypernet:y:1>\n2: runs")
    assert found == "0: a cat; 2: a cat, runs"
    with pytest.raises(ParamError, match="frame 0 has no text"):
        schedule_of(prompt="0: <hypernet:x:1>\n2: runs")
