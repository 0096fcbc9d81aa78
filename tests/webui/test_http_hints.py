"""Pain 20: the panel says which fields have no effect before a run; asked over HTTP, as the page's events ask it."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
ONE_WINDOW = {"stride", "overlap", "blend", "schedule", "windows_per_call", "freenoise_enable"}
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
        self.events = {
            target: (number, event)
            for number, event in enumerate(config["dependencies"])
            for target in event["targets"]
            if event["outputs"] == [hint]
        }
        self.first = self.props[hint]["value"]

    def place(self, name):
        if name.startswith("webui "):
            return self.places[f"{self.tab}_{name.removeprefix('webui ')}"]
        return self.places[self.prefix + (name if name != "enable" else "enable-checkbox")]

    def change(self, name, value, **others):
        """What the line says when a field has been changed, and some other fields before it."""
        number, event = self.events[self.place(name)]
        assert not event["queue"]
        values = {self.place(field): other for field, other in {**others, name: value}.items()}
        data = [values.get(place, self.props[place].get("value")) for place in event["inputs"]]
        answer = requests.post(f"{self.url}/run/predict", json={"fn_index": number, "data": data}, timeout=300)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"][0]

    def dimmed(self, line):
        """Field -> why, as the page's script reads it."""
        idle = json.loads(unescape(re.search(r'data-idle="([^"]*)"', line)[1]))
        assert all(elem_id in self.places for elem_id in idle)
        return {elem_id.removeprefix(self.prefix): why for elem_id, why in idle.items()}


def text(line):
    return unescape(re.sub(r"<br>", " ", re.fullmatch(r"<div[^>]*>(.*)</div>", line)[1]))


@pytest.fixture(params=["txt2img", "img2img"])
def panel(pocket, request):
    return Panel(pocket["url"], request.param)


def test_a_new_panel_is_dimmed_where_it_does_nothing_and_says_nothing(panel):
    expected = WAITING | ONE_WINDOW if "txt2img" in panel.prefix else WAITING
    assert set(panel.dimmed(panel.first)) == expected, "nobody knows yet how many pictures img2img will get"
    assert text(panel.first) == ""


def test_20_fields_of_windows_have_no_effect_on_one_window(panel):
    line = panel.change("overlap", 4, video_length=16)
    assert text(line) == "Overlap has no effect: 16 frames fit into one window of 16."
    assert panel.dimmed(line)["overlap"] == "No effect: 16 frames fit into one window of 16."
    assert set(panel.dimmed(line)) == WAITING | ONE_WINDOW
    loop = panel.change("closed_loop", "N", video_length=8)
    assert text(loop) == "Closed loop has no effect: 8 frames fit into one window of 16."
    longer = panel.change("video_length", 17, overlap=4, closed_loop="N")
    assert text(longer) == "" and set(panel.dimmed(longer)) == WAITING


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
    assert picture not in panel.events
    config = requests.get(f"{pocket['url']}/config", timeout=300).json()
    (box,) = (event["outputs"][0] for event in config["dependencies"] if event["targets"] == [picture])
    number, event = panel.events[box]
    assert picture not in event["inputs"]
    data = [True if place == box else panel.props[place].get("value") for place in event["inputs"]]
    answer = requests.post(f"{pocket['url']}/run/predict", json={"fn_index": number, "data": data}, timeout=300).json()
    assert not {"latent_power_last", "latent_scale_last"} & set(panel.dimmed(answer["data"][0]))


def test_the_page_loads_our_script(pocket):
    page = requests.get(pocket["url"], timeout=300).text
    (address,) = re.findall(rf'"(file={re.escape(str(ROOT / "javascript/animatediff.js"))}[^"]*)"', page)
    answer = requests.get(f"{pocket['url']}/{address}", timeout=300)
    assert answer.status_code == 200 and "animatediff-idle" in answer.text
