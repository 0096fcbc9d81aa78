"""Pain 20: the panel says which fields have no effect before a run; asked over HTTP, as the page's events ask it."""

import json
import re
from html import unescape

import pytest
import requests

from motion_module.familiar_params import GROUPS

ONE_WINDOW = {"stride", "overlap", "blend", "schedule", "windows_per_call", "freenoise_enable", "remember", "elastic"}
WAITING = {"interp_x", "freeinit_filter", "freeinit_ds", "freeinit_dt", "freeinit_iters"}
WAITING |= {"latent_power_last", "latent_scale_last"}
OF_SOURCES = {"drop_duplicates", "video_start", "video_end", "every_nth", "keep_sound"}
WAITING |= OF_SOURCES


class Panel:
    """The extension's panel on one tab, as the page has it."""

    def __init__(self, url, tab):
        self.url, self.tab, self.prefix = url, tab, f"script_{tab}_animatediff_"
        config = requests.get(f"{url}/config", timeout=300).json()
        self.props = {component["id"]: component["props"] for component in config["components"]}
        self.places = {props.get("elem_id"): place for place, props in self.props.items()}
        hint = self.places[f"{self.prefix}hint"]
        self.asking = next(
            (number, event)
            for number, event in enumerate(config["dependencies"])
            if event["targets"] == [self.places[f"{self.prefix}plan"]]
        )
        assert hint in self.asking[1]["outputs"]
        # img2img has a picture to start from, unless a test says otherwise.
        self.pictures = {
            event["outputs"][0]: self.props[event["targets"][0]].get("elem_id") == "img2img_image"
            for event in config["dependencies"]
            if event["js"] == "(file) => Boolean(file)"
            and event["targets"][0] != self.places.get(f"{self.prefix}last_frame")
        }
        self.watched = {
            target
            for event in config["dependencies"]
            for target in event["targets"]
            if event["js"] == f"() => animatediffChanged('{tab}')"
        }

    def place(self, name):
        if name.startswith("webui "):
            return self.places[f"{self.tab}_{name.removeprefix('webui ')}"]
        return self.places[self.prefix + (name if name != "enable" else "enable-checkbox")]

    def change(self, name, value, **others):
        """What the line says when a field has been changed, and some other fields before it."""
        assert self.place(name) in self.watched
        return self.answer({**others, name: value})[0]

    def opened(self):
        """What a new page shows."""
        return self.answer({})[0]

    def titles(self, **fields):
        """What the parts of the panel are called when these fields have been changed."""
        labels = [update["label"] for update in self.answer(fields)[1:]]
        assert [label.split(":")[0] for label in labels] == list(GROUPS[1:])
        return [label for label in labels if ":" in label]

    def answer(self, fields):
        number, event = self.asking
        assert not event["queue"]
        values = {**self.pictures, **{self.place(field): value for field, value in fields.items()}}
        data = [values.get(place, self.props[place].get("value")) for place in event["inputs"]]
        answer = requests.post(f"{self.url}/run/predict", json={"fn_index": number, "data": data}, timeout=300)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def dimmed(self, line):
        """Field -> why, as the page's script reads it."""
        idle = json.loads(unescape(re.search(r'data-idle="([^"]*)"', line)[1]))
        assert all(elem_id in self.places for elem_id in idle)
        return {elem_id.removeprefix(self.prefix): why for elem_id, why in idle.items()}


PLAN = r'<div class="animatediff-plan">(.*?)</div>'


TRAVEL = re.compile("<ol.*?</ol>")


def text(line):
    line = TRAVEL.sub("", line)
    return unescape(re.sub(r"<br>", " ", re.fullmatch(rf"<div[^>]*>(?:{PLAN})?(.*)</div>", line)[2]))


def plan(line):
    return unescape(re.search(PLAN, line)[1]).split(" \u00b7 ")


@pytest.fixture(params=["txt2img", "img2img"])
def panel(pocket, request):
    return Panel(pocket["url"], request.param)


def test_a_new_panel_is_dimmed_where_it_does_nothing_and_says_nothing(panel):
    first = panel.opened()
    assert set(panel.dimmed(first)) == WAITING | ONE_WINDOW
    assert text(first) == ""


def test_20_fields_of_windows_have_no_effect_on_one_window(panel):
    line = panel.change("overlap", 4, video_length=16)
    assert text(line) == "Overlap has no effect: 16 frames fit into one window of 16."
    assert panel.dimmed(line)["overlap"] == "No effect: 16 frames fit into one window of 16."
    assert set(panel.dimmed(line)) == WAITING | ONE_WINDOW
    loop = panel.change("closed_loop", "N", video_length=8)
    assert text(loop) == "Closed loop has no effect: 8 frames fit into one window of 16."
    longer = panel.change("video_length", 17, overlap=4, closed_loop="N")
    assert text(longer) == "" and set(panel.dimmed(longer)) == WAITING | {"elastic"}
    assert panel.dimmed(longer)["elastic"] == "No effect: the windows of this video move from step to step."


def test_a_part_names_what_was_changed_in_it(panel):
    assert panel.titles(video_length=8) == [], "it stands in no part"
    assert panel.titles(effect=0.5) == ["Motion and noise: Effect"]
    assert panel.titles(reverse=["Add Reverse Frame"], request_id="a") == [
        "Looping and long videos: Reverse",
        "Interpolation and files: Request id",
    ]
    several = {"motion_scale": 2, "effect": 0.5, "same_noise": True, "freeinit_iters": 4, "freeinit_ds": None}
    assert panel.titles(**several) == ["Motion and noise: d_s, FreeInit iterations, Motion scale and 2 more"]
    assert panel.titles(**{**several, "effect": 1, "motion_scale": 1, "same_noise": False, "freeinit_ds": 0.25}) == [
        "Motion and noise: FreeInit iterations"
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"effect_blocks": "1, 1"}, "Effect by level is '1, 1'; for a UNet of 4 levels allowed is nothing, 4 numbers"),
        ({"effect_blocks": "1, x"}, "Effect by level is '1, x'; 'x' is no number"),
        ({"batch_size": 40, "video_length": 40}, "set it to 24 or less, or set PE stretch, which spreads what it has"),
        ({"pe_stretch": 1}, "PE stretch is 1; allowed is 0, which is off, or 2 and more, such as 16."),
        (
            {"motion_start": 0.5, "motion_end": 0.2},
            "Starting Motion Step is 0.5; allowed is at most Ending Motion Step",
        ),
        (
            {"motion_start": 1.0},
            "steps lies between Starting Motion Step and Ending Motion Step: each frame is made by",
        ),
        ({"pe_stretch": 16, "video_length": 16}, "PE stretch has no effect: the motion module sees 16 frames at once"),
    ],
)
def test_what_is_said_of_motion_in_parts(panel, fields, said):
    name, value = next(iter(fields.items()))
    line = panel.change(name, value, **{"enable": True, "model": "mm_tiny_v1.safetensors", **fields})
    assert said in text(line)
    refused = "no effect" not in said and "lies between" not in said
    assert ("animatediff-refused" in line) == refused


def test_the_plan_stands_there_before_the_run(panel):
    steps = {"txt2img": 20, "img2img": 16}[panel.tab]  # of which img2img does the part that the denoising strength says
    one = plan(panel.change("video_length", 16, enable=True, fps=10))
    assert one[:2] == ["16 frames, 1.6 s", f"one window, {steps} model calls"]
    assert re.fullmatch(rf"GIF, PNG -> .*{panel.tab}-images/AnimateDiff/\d\d\d\d-\d\d-\d\d", one[-1])
    long = plan(panel.change("video_length", 64, enable=True, format=["MP4", "TXT"]))
    assert long[:2] == [
        "64 frames, 8.0 s",
        f"5 windows of 16 a step, {5 * steps} model calls, 1.25 times the work of one pass",
    ]
    assert long[-1].startswith("MP4, TXT -> ")
    calls = plan(panel.change("freeinit_enable", True, enable=True, video_length=64, freeinit_iters=3))[1]
    assert f"{15 * steps} model calls" in calls
    assert 'class="animatediff-plan' not in panel.change("video_length", 64), "nothing is planned while it is off"
    assert 'class="animatediff-plan' not in panel.change("video_length", 99_999, enable=True)


def test_the_plan_counts_what_is_written(panel):
    def length(**fields):
        return plan(panel.change("video_length", 16, enable=True, **fields))[0]

    assert length(reverse=["Add Reverse Frame"]) == "16 frames, 32 with those added, 4.0 s"
    assert (
        length(reverse=["Add Reverse Frame", "Remove head", "Remove tail"]) == "16 frames, 30 with those added, 3.8 s"
    )
    assert length(interp="FFMPEG", interp_x=10) == "16 frames, 166 with those added, 2.0 s"
    assert plan(panel.change("video_length", 1, enable=True))[0] == "1 frame, 0.1 s"


def test_a_sampler_that_calls_the_model_twice_is_counted_as_such(panel):
    line = panel.change("video_length", 16, enable=True, **{"webui sampling": "Heun"})
    assert plan(line)[1] == f"one window, about {2 * {'txt2img': 20, 'img2img': 16}[panel.tab]} model calls"


def test_what_files_are_missing_is_told_before_the_run(panel):
    film = panel.change("interp", "FILM", enable=True)
    assert "FILM" in text(film) and "animatediff-refused" in film
    folder = panel.change("video_path", "/nope", enable=True)
    assert text(folder).startswith("AnimateDiff: Video path is '/nope'") and "animatediff-refused" in folder
    assert "animatediff-refused" not in panel.change("video_path", "/nope"), "while it is off it is nobody's concern"


@pytest.mark.parametrize("outdir", ["", "/elsewhere/pictures"])
def test_wherever_the_folder_is_the_plan_names_it(panel, monkeypatch, outdir):
    import os

    from modules import shared

    def another_drive(path):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setitem(shared.opts.data, "outdir_samples", outdir)
    for relpath in (os.path.relpath, another_drive):
        monkeypatch.setattr(os.path, "relpath", relpath)
        assert plan(panel.change("video_length", 16, enable=True))[-1].startswith("GIF, PNG -> ")


def test_the_plan_says_whether_a_loop_closes(panel):
    closes = {"closed_loop": "A", "enable": True}
    assert "the last frame leads to the first" in plan(panel.change("video_length", 64, **closes))
    assert "it plays back to its first frame" in plan(panel.change("video_length", 16, **closes))
    static = panel.change("schedule", "static", video_length=64, **closes)
    assert "the last frame does not lead to the first" in plan(static)
    assert not [part for part in plan(panel.change("video_length", 64, enable=True)) if "first" in part]


def test_the_plan_follows_the_webuis_fields(panel):
    line = panel.change("webui steps", 10, enable=True, video_length=16, **{"webui batch_count": 3})
    assert plan(line)[0] == "3 videos of 16 frames, 2.0 s"
    assert plan(line)[1] == f"one window, { ({'txt2img': 10, 'img2img': 8}[panel.tab]) } model calls"


def test_the_plan_tells_how_long_it_takes_once_a_run_has_told(panel, monkeypatch):
    from motion_module.webui import progress

    monkeypatch.setattr(progress, "_MEASURED", {})
    assert not [part for part in plan(panel.change("video_length", 16, enable=True)) if part.startswith("about")]
    rates = {"sample": 10.0, "decode": 5.0, "save GIF PNG": 0.0, "finish GIF PNG": 0.0}
    monkeypatch.setattr(progress, "_MEASURED", rates)
    size = {"webui width": 500, "webui height": 500, "webui steps": 10}
    steps = {"txt2img": 10, "img2img": 8}[panel.tab]
    (about,) = (p for p in plan(panel.change("video_length", 16, enable=True, **size)) if p.startswith("about"))
    seconds = steps * 16 * 0.25 * 10 + 16 * 0.25 * 5  # steps, frames, a quarter of a million pixels, seconds a unit
    assert about == f"about {round(seconds / 60)} min (40.0 s a call)"


def test_what_the_checkpoint_does_not_fit_is_refused_before_the_run(panel, tiny, monkeypatch):
    from motion_module.webui.request import module_choice

    assert text(panel.change("model", "gone.safetensors", enable=True)).startswith(
        "AnimateDiff: Motion module is 'gone"
    )
    monkeypatch.setattr(module_choice, "family_of", lambda sd_model: "SDXL")
    assert "made for SD1.5" in text(panel.change("video_length", 16, enable=True))


def test_a_field_says_which_other_it_needs(panel):
    line = panel.change("freeinit_iters", 4, video_length=17)
    assert text(line) == "FreeInit iterations has no effect: it needs FreeInit."
    assert set(panel.dimmed(panel.change("freeinit_enable", True, video_length=17))) == {
        name for name in WAITING if not name.startswith("freeinit")
    }
    assert "interp_x" not in panel.dimmed(panel.change("interp", "FFMPEG", video_length=17))
    folder = panel.dimmed(panel.change("video_path", "/frames", video_length=17))
    assert OF_SOURCES & set(folder) == {"keep_sound"}


def test_what_would_be_refused_is_said_at_once(panel):
    assert text(panel.change("stride", 2, enable=True, closed_loop="N")) == (
        "AnimateDiff: Stride is 2; with Closed loop N it has to be 1."
    )
    assert text(panel.change("batch_size", None)) == (
        "AnimateDiff: Context batch size is empty; allowed is a whole number from 1 to 256."
    )


def test_img2img_without_a_picture_is_refused_before_the_run(pocket):
    panel = Panel(pocket["url"], "img2img")
    panel.pictures = dict.fromkeys(panel.pictures, False)
    assert len(set(panel.pictures) & set(panel.asking[1]["inputs"])) >= 3
    said = text(panel.change("video_length", 8, enable=True))
    assert said.startswith("AnimateDiff: img2img has no picture to start from; give it one")
    assert text(panel.change("video_length", 8)) == "", "without a video it is nobody's concern"
    folder = panel.change("webui batch_input_dir", "/frames", enable=True, video_length=8)
    assert plan(folder)[0] == "8 frames, 1.0 s"


def test_the_webuis_own_fields_count(panel):
    """What would be said of them after a run is said before it; without a video they are nobody's concern."""
    said = "Batch size of the WebUI, 3, has no effect: all 8 frames of a video are one batch; use Batch count."
    assert text(panel.change("webui batch_size", 3, enable=True, video_length=8)) == said
    assert text(panel.change("video_length", 8, enable=True, **{"webui batch_size": 3})) == said
    assert text(panel.change("webui batch_size", 3, video_length=8)) == ""
    late = {"enable": True, "webui prompt": "0: a cat\n9: a dog"}
    assert "9" in text(panel.change("video_length", 8, **late)) and text(panel.change("video_length", 10, **late)) == ""


def test_prompts_count_as_the_run_reads_them(panel):
    """Without comments; and a note goes as soon as its reason does."""
    commented = "0: a cat\n# 20: a dog"
    assert text(panel.change("webui prompt", commented, enable=True, video_length=8)) == ""
    assert "9" in text(panel.change("webui prompt", "0: a cat\n9: a dog", enable=True, video_length=8))
    assert text(panel.change("webui prompt", "0: a cat\n7: a dog", enable=True, video_length=8)) == ""


def test_the_facts_of_the_page_are_those_of_its_run(pocket):
    from motion_module.params import VideoParams
    from motion_module.webui.page.page_facts import facts_of_page
    from motion_module.webui.plan.facts import Facts

    params = VideoParams(enable=True)
    values = {
        "width": 64,
        "height": 96,
        "steps": 7,
        "sampler": "DDIM",
        "batch_size": 2,
        "batch_count": 3,
        "hires": True,
    }
    made = facts_of_page("txt2img", params, {**values, "hires_steps": 0, "prompt": "a"})
    assert (made.width, made.height, made.steps, made.sampler) == (64, 96, (7, 7), "DDIM")
    assert (made.batch_size, made.batch_count, made.texts["prompt"]) == (2, 3, ("a",))
    assert facts_of_page("txt2img", params, {**values, "hires": False}).steps == (7,)
    assert facts_of_page("txt2img", params, {}).steps == Facts.steps, "another host may have other elements"


def test_a_picture_is_told_by_a_box_and_never_sent(pocket):
    panel = Panel(pocket["url"], "img2img")
    picture = panel.place("last_frame")
    assert picture not in panel.watched
    config = requests.get(f"{pocket['url']}/config", timeout=300).json()
    (box,) = (event["outputs"][0] for event in config["dependencies"] if event["targets"] == [picture])
    number, event = panel.asking
    assert box in panel.watched
    assert picture not in event["inputs"]
    data = [True if place == box else panel.props[place].get("value") for place in event["inputs"]]
    answer = requests.post(f"{pocket['url']}/run/predict", json={"fn_index": number, "data": data}, timeout=300).json()
    assert not {"latent_power_last", "latent_scale_last"} & set(panel.dimmed(answer["data"][0]))


def test_the_page_loads_our_script(pocket):
    page = requests.get(pocket["url"], timeout=300).text
    (address,) = re.findall(r'"(file=[^"]*/javascript/animatediff\.js[^"]*)"', page)
    answer = requests.get(f"{pocket['url']}/{address}", timeout=300)
    assert answer.status_code == 200 and "animatediff-idle" in answer.text
