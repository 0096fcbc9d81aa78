"""Every value that a field refuses, sent as the page sends it and as an API client does: labels there, names here."""

import base64
import json
import re
import sys
from html import unescape
from pathlib import Path

import pytest
import requests
from http_client import SMALL, Client, gradient, png_base64

sys.path.insert(2, str(Path(__file__).parents[1] / "pocket"))
from page_client import Page

from motion_module.params import VideoParams

TABLE = VideoParams.table()
NO_PICTURE = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
GONE = {"name": "/tmp/no/such/upload.mp4", "orig_name": "upload.mp4", "data": None, "size": 1, "is_file": True}
LONG = "x" * 5000
EMPTY = "is empty"


def refused_by(field):
    """What a person, or the page in a person's name, may send of a kind of field, and is not allowed."""
    if field.kind in ("int", "number"):
        return [None, field.high + 1, 1.5 if field.kind == "int" else field.low - 1, "many", ""]
    return {
        "bool": [None, "maybe"],
        "choice": ["not there any more", None],
        "choices": [["not there any more"], 9],
        "text": ["no such thing", LONG] if not field.pattern else ["a b", LONG],
        "path": ["/no/such/folder", LONG],
        "values": ["much", "0: 99", "99: 1"],
        "numbers": ["much", "1, 1, 1, 9", "1, 1"],
        "held": ["8", "8: nothing", "1: /no/such.png"],
        "image": [NO_PICTURE, "nothing"],
        "video": [GONE, "/no/such/film.mp4"],
    }[field.kind]


def each(most, on_page=False):
    """Some values for each field; some fields are for clients only."""
    return pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param(name, value, id=f"{name}={value!r:.24}")
            for name, field in TABLE.items()
            if name != "enable" and (field.tabs or not on_page)  # what is not enabled is off
            for value in refused_by(field)[:most]
        ],
    )


TABS = {"txt2img": {}, "img2img": {"img2img_image": f"data:image/png;base64,{png_base64(gradient())}"}}


class Panel:
    """The page with the extension switched on."""

    def __init__(self, url):
        self.page = Page(url)

    def generate(self, tab, **fields):
        """The line below the gallery after Generate, and how many pictures are above it."""
        host = {f"{tab}_prompt": "a ball", f"{tab}_width": 64, f"{tab}_height": 64, f"{tab}_steps": 1}
        ours = {f"script_{tab}_animatediff_{name}": value for name, value in {"video_length": 2, **fields}.items()}
        ours[f"script_{tab}_animatediff_enable-checkbox"] = True
        shown = self.page.press(f"{tab}_generate", {**host, **TABS[tab], **ours}, first=f"task({tab})")
        return Line(shown[f"html_log_{tab}"], shown[f"{tab}_gallery"] or [])

    def progress(self, tab):
        answer = requests.post(f"{self.page.url}/internal/progress", json={"id_task": f"task({tab})"}, timeout=300)
        return answer.json()


class Line:
    def __init__(self, html, pictures):
        self.html, self.pictures = html, pictures
        found = re.search(r"<div class='error'>(.*?)</div>", html, re.DOTALL)
        self.error = unescape(found[1]) if found else ""


@pytest.fixture(scope="module")
def panels():
    return {}


@pytest.fixture
def panel(pocket, panels):
    if "one" not in panels:
        panels["one"] = Panel(pocket["url"])
    return panels["one"]


def names_in(sentence):
    """The names of fields that only clients know: with an underscore, or as the word that a sentence begins with."""
    known = "|".join(name for name in TABLE if "_" in name)
    return re.findall(rf"\b(?:{known})\b", sentence)


@each(3, on_page=True)
def test_people_on_the_page_read_labels(panel, name, value):
    tab = TABLE[name].tabs[0]
    look_at(panel.generate(tab, **{name: value}), name, value)
    assert panel.progress(tab)["completed"] and not panel.progress(tab)["active"]


@each(1, on_page=True)
def test_so_they_do_in_the_other_tab(panel, name, value):
    look_at(panel.generate("img2img", **{name: value}), name, value)


def look_at(line, name, value):
    """One sentence, with the field's label, and nothing that only programmers know."""
    label = TABLE[name].label
    assert line.error.startswith("AnimateDiff: "), line.html
    sentence = line.error.removeprefix("AnimateDiff: ")
    assert label in sentence and names_in(sentence) == [], sentence
    assert not re.match(rf"{name}\b", sentence) or name == label, sentence
    assert not re.search(r"Error|Traceback|\bNone\b|\bTrue\b|e\+\d|[\x00-\x1f]", sentence), sentence
    assert len(sentence) < 700 and sentence.endswith(".")
    if value is None or value == "":
        assert f"{label} {EMPTY}; allowed is " in sentence


@each(5)
def test_clients_read_names(pocket, name, value):
    if value == GONE:
        value = GONE["name"]
    fields = {"enable": True, "video_length": 2, name: value}
    body = {**SMALL, "steps": 1, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}}
    tab = "img2img" if name == "last_frame" else "txt2img"
    reply = Client(pocket).post(tab, {**body, "init_images": [png_base64(gradient())]} if tab == "img2img" else body)
    assert reply.status == 422, reply.body
    assert set(reply.body) == {"error", "detail", "body", "errors"}
    assert reply.body["error"].endswith("Error") and reply.body["detail"] == reply.body["errors"]
    assert reply.sentence.startswith(f"AnimateDiff: {name} is "), reply.sentence
    assert not re.search(r"Traceback|\bNone\b|\bTrue\b|e\+\d|[\x00-\x1f]", reply.sentence), reply.sentence
    if value is None or value is True:
        assert f"{name} is {json.dumps(value)}; allowed is " in reply.sentence


@pytest.mark.parametrize("tab", TABS)
def test_the_next_good_generate_works(panel, tab):
    assert panel.generate(tab, video_length=99_999).error
    line = panel.generate(tab)
    assert line.error == "" and line.pictures
