"""Pasted generation parameters with values that are not allowed: the panel says so, and all others are set."""

import json

import pytest
import requests
from test_http_hints import Panel, text

from motion_module.params import VideoParams
from motion_module.webui.plan import infotext

STEPS = "a cat\nSteps: 20, Sampler: Euler, Size: 64x64"
WRONG = {
    "video_length: abc": ("video_length", "Number of frames is 'abc'; allowed is a whole number from 0 to "),
    "video_length: 2.5": ("video_length", "Number of frames is 2.5; allowed is a whole number from 0 to "),
    "fps: 0": ("fps", "FPS is 0; allowed is a number from "),
    'format: ["OGV"]': ("format", 'Save format is ["OGV"]; allowed is a list of GIF, MP4, '),
    "closed_loop: Z": ("closed_loop", "Closed loop is 'Z'; allowed is one of N, R-P, R+P, A"),
    "freenoise_enable: maybe": ("freenoise_enable", "FreeNoise is 'maybe'; allowed is on or off"),
}


class Pasted(Panel):
    """The panel after its tab's paste button."""

    def paste(self, parameters):
        """Press the button; gives what it set, as component -> value."""
        config = requests.get(f"{self.url}/config", timeout=300).json()
        button = next(
            place for place, props in self.props.items()
            if props.get("elem_id") == "paste" and self.place("enable") in self._set_by(config, place)[1]
        )  # fmt: skip
        number, outputs = self._set_by(config, button)
        answer = requests.post(
            f"{self.url}/run/predict", json={"fn_index": number, "data": [parameters]}, timeout=300
        ).json()["data"]
        updates = {place: update for place, update in zip(outputs, answer, strict=True) if "value" in update}
        return {place: update["value"] for place, update in updates.items()}

    def _set_by(self, config, button):
        """The number and the outputs of a button's event that fills the tab."""
        return next(
            ((number, event["outputs"]) for number, event in enumerate(config["dependencies"])
             if event["targets"] == [button] and len(event["outputs"]) > 20), (0, [])
        )  # fmt: skip

    def said(self, values):
        """The line below the first fields once these values stand on the page; other fields by name."""
        number, event = self.asking
        values = {self.place(key) if isinstance(key, str) else key: value for key, value in values.items()}
        data = [
            values.get(place, self.pictures.get(place, self.props[place].get("value"))) for place in event["inputs"]
        ]
        body = {"fn_index": number, "data": data}
        return requests.post(f"{self.url}/run/predict", json=body, timeout=300).json()["data"][0]


@pytest.fixture(params=["txt2img", "img2img"])
def panel(pocket, request):
    return Pasted(pocket["url"], request.param)


@pytest.mark.parametrize("entry", WRONG)
def test_a_value_that_is_not_allowed_is_said(panel, entry):
    name, sentence = WRONG[entry]
    values = panel.paste(
        f'{STEPS}, AnimateDiff: "enable: true, {entry.replace(chr(34), chr(92) + chr(34))}, overlap: 3"'
    )
    assert values[panel.place("overlap")] == 3 and values[panel.place("enable")] is True, "others are set as ever"
    assert values[panel.place(name)] == VideoParams.default_of(name)
    line = panel.said(values)
    assert f"Left out of what was pasted: {sentence}" in text(line)
    assert "animatediff-plan" in line, "the plan is there as before"


def test_it_is_said_until_the_field_is_set_or_something_else_is_pasted(panel):
    values = panel.paste(f'{STEPS}, AnimateDiff: "enable: true, video_length: abc, fps: 0"')
    assert text(panel.said(values)).count("Left out of what was pasted") == 2
    mended = panel.said({**values, panel.place("video_length"): 24})
    assert "Number of frames is" not in text(mended) and "FPS is 0" in text(mended)
    for other in (STEPS, f'{STEPS}, AnimateDiff: "enable: true, video_length: 12"'):
        later = {**values, **panel.paste(other)}
        assert "Left out" not in panel.said(later)


def test_what_is_allowed_is_not_mentioned(panel):
    entry = infotext.write(VideoParams(enable=True, video_length=24, format=["MP4", "PNG"]), version="9", mm_hash="1a")
    values = panel.paste(f"{STEPS}, AnimateDiff: {json.dumps(entry)}")
    assert values[panel.place("video_length")] == 24
    assert "Left out" not in panel.said(values)


def test_beside_a_sentence_why_it_would_be_refused_it_is_said_too(panel):
    values = panel.paste(f'{STEPS}, AnimateDiff: "enable: true, video_length: abc, model: gone.safetensors"')
    line = panel.said(values)
    assert "animatediff-refused" in line
    assert "gone.safetensors" in text(line) and "Left out of what was pasted: Number of frames is 'abc'" in text(line)


def test_words_of_an_infotext_are_no_html(panel):
    values = panel.paste(f'{STEPS}, AnimateDiff: "enable: true, video_length: <b>16</b>"')
    line = panel.said(values)
    assert "<b>" not in line and "Number of frames is '<b>16</b>'" in text(line)
