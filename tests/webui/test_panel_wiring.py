"""What the panel is connected with, whatever order a person gives the parts of a tab; its cards and lines over HTTP."""

import html
import re

import pytest
from runs import make, video
from test_http_hints import TRAVEL, Panel, text
from video_files import film

from motion_module.params import VideoParams
from tests.running import webui


@pytest.mark.parametrize("order", [[], ["scripts"], ["scripts", "batch", "accordions"]])
def test_the_plan_sees_the_webuis_fields_in_any_order(pocket, monkeypatch, order):
    from modules import infotext_utils, scripts, shared
    from modules.ui_txt2img import Txt2ImgTab
    from motion_module.webui.page.page_facts import _ELEMENTS

    monkeypatch.setattr(infotext_utils, "paste_fields", {})
    monkeypatch.setattr(infotext_utils, "registered_param_bindings", [])
    monkeypatch.setattr(scripts, "scripts_current", None)
    monkeypatch.setitem(shared.opts.data, "ui_reorder_list", order)
    config = Txt2ImgTab(scripts.ScriptRunner()).build(lambda *_: None).get_config_file()
    places = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    asked = next(
        event for event in config["dependencies"] if event["targets"] == [places["script_txt2img_animatediff_plan"]]
    )
    of_host = {element.format(tab="txt2img") for element in _ELEMENTS.values()} & set(places)
    assert len(of_host) > 15
    assert {places[element] for element in of_host} <= set(asked["inputs"])


@pytest.mark.parametrize("painted", [False, True])
def test_the_picture_of_a_place_is_looked_for_where_the_host_keeps_it(pocket, painted):
    """On Forge it is a text beside HTML that names it; the last of two of a name is the picture, not what is painted."""
    import gradio as gr

    from motion_module.webui.page.page_facts import picture_components

    with gr.Blocks():
        gr.Textbox(elem_id="other")
        if painted:
            place = gr.HTML('<input id="imageInput_uuid_1"><img id="image_uuid_1">', elem_id="img2img_image")
            gr.Textbox(elem_id="uuid_1")
            kept = gr.Textbox(elem_id="uuid_1")
        else:
            place = kept = gr.Image(elem_id="img2img_image")
        found = picture_components("img2img")
        assert picture_components("txt2img") == {}
    assert list(found.values()) == [kept] and (place is kept) == (not painted)


@pytest.fixture
def panel(pocket):
    return Panel(pocket["url"], "txt2img")


def sent(panel, name, *values):
    """What the page's event of an element answers."""
    import requests

    target = panel.places[f"{panel.prefix}{name}"]
    config = requests.get(f"{panel.url}/config", timeout=300).json()
    numbers = [
        number for number, event in enumerate(config["dependencies"])
        if event["targets"] == [target] and event["backend_fn"]
    ]  # fmt: skip
    body = {"fn_index": numbers[0], "data": list(values)}
    answer = requests.post(f"{panel.url}/run/predict", json=body, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def upload(path):
    return {"name": str(path), "orig_name": path.name, "is_file": True, "size": path.stat().st_size}


@pytest.fixture
def clip(tmp_path):
    return film(tmp_path / "my <clip>.mp4", range(12), fps=6)


def test_an_uploaded_video_says_at_once_what_it_is(panel, clip):
    path, card, button, first, last = sent(panel, "video_source", upload(clip), 3, 40)
    assert path.endswith(".mp4")
    assert "<video" in card and "12 frames, 2.0 s" in card and "6 FPS" in card
    assert "my <clip>" not in card and html.escape("my <clip>") in card
    assert button["visible"]
    assert (first["maximum"], first["value"]) == (11, 3), "a frame that the video has stays chosen"
    assert (last["maximum"], last["value"]) == (11, 0)
    assert sent(panel, "video_source_take_all", path, 2, 9, 2) == [4]


def test_the_plan_has_the_frames_of_an_uploaded_video(pocket, panel, clip):
    webui.leave_out_without_controlnet(pocket)  # txt2img takes a video with it
    line = panel.change("video_source_path", sent(panel, "video_source", upload(clip), 3, 40)[0], enable=True)
    assert "12 frames" in line and "2.0 s" in line


def test_what_is_no_video_says_so_at_once(panel, tmp_path, monkeypatch):
    """By its name: the person knows nothing of the folder where uploads lie."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    _, card, button, first, _ = sent(panel, "video_source", upload(broken), 0, 0)
    assert "animatediff-refused" in card and "Video source is 'broken.mp4'; " in html.unescape(card)
    assert not button["visible"] and first["maximum"] == 1000


def test_a_place_that_nobody_uploaded_is_judged_as_a_typed_path(panel, tmp_path, monkeypatch):
    """The box is hidden, but whoever reaches the page may fill it."""
    from modules import shared

    monkeypatch.setattr(shared.cmd_opts, "listen", True)
    there = film(tmp_path / "there.mp4", range(3))
    said = [html.unescape(text(panel.change("video_source_path", str(path), enable=True)))
            for path in (there, tmp_path / "not there.mp4")]  # fmt: skip
    assert all("allowed are paths inside the WebUI's own output" in line for line in said)


def test_without_controlnet_plan_and_run_say_the_same(panel, clip, monkeypatch):
    from modules import scripts
    from motion_module.errors import ParamError
    from motion_module.webui.routes.planned import planned

    runner = scripts.scripts_txt2img
    others = [script for script in runner.alwayson_scripts if script.title().lower() != "controlnet"]
    assert len(others) < len(runner.alwayson_scripts)
    path, *_ = sent(panel, "video_source", upload(clip), 0, 0)
    assert "go to ControlNet: enable one of its units" in panel.change("video_source_path", path, enable=True)
    monkeypatch.setattr(runner, "alwayson_scripts", others)
    said = text(panel.change("video_source_path", path, enable=True))
    p = make(animatediff=video(video_source=path))
    with pytest.raises(ParamError) as refused:
        planned(p)
    assert said == VideoParams.worded_for_page(refused.value.whole)
    assert said.startswith("AnimateDiff: Video source needs the extension ControlNet")


def test_without_an_upload_there_is_no_card(panel):
    assert sent(panel, "video_source", None, 0, 0)[:2] == ["", ""]


def rows(line):
    """Of the timelines in a line: the frames, the text, what is wrong."""
    found = re.findall(r"<b>(.*?)</b> <span>(.*?)(?: <em[^>]*>(.*?)</em>)?</span>", "".join(TRAVEL.findall(line)))
    return [tuple(map(html.unescape, row)) for row in found]


def test_a_travelling_prompt_is_shown_frame_by_frame(panel):
    prompt = "a <b>\n0: red\n4: blue & green\n15: grey"
    line = panel.change("webui prompt", prompt, enable=True, video_length=16)
    assert rows(line) == [("0–3", "red", ""), ("4–14", "blue & green", ""), ("15", "grey", "")]
    assert "--from: 25.00%; --to: 93.75%" in line


def test_what_is_wrong_stands_beside_its_line(panel):
    line = panel.change("webui prompt", "0: red\nand hat\n9: blue\n4: x\n99: y", enable=True, video_length=16)
    assert [(frames, bool(fault)) for frames, _, fault in rows(line)] == [
        ("0–8", False), ("", True), ("9–15", False), ("4", True), ("99", True)
    ]  # fmt: skip
    assert "is beyond the last frame, 15" in rows(line)[-1][2]


def test_a_prompt_of_one_picture_has_no_timeline(panel):
    assert not rows(panel.change("webui prompt", "a cat", enable=True))
    assert not rows(panel.change("webui prompt", "0: a cat", video_length=16)), "there is no video"


def test_the_module_in_memory_is_named_and_can_be_removed(panel, client):
    client.run({"video_length": 2, "format": ["GIF"]})
    from motion_module.webui.request import motion_modules

    name = motion_modules.kept().name
    (told,) = sent(panel, "memory_remove")
    assert (
        told == "No motion module is in memory; the next video loads it from its file."
        and motion_modules.kept() is None
    )
    client.run({"video_length": 2, "format": ["GIF"]})
    from motion_module.webui.page import module_memory

    assert module_memory._told().startswith(name) and re.search(r"\(\d+\.\d MB\) is kept", module_memory._told())
