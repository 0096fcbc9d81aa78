"""The page's defaults: those of the bundled model, and the WebUI's own with any other."""

import argparse
import json

import gradio as gr
import pytest
import requests
from train import captions, world

import cli
from commands import demo, model_files
from modules import shared
from modules.ui_components import InputAccordion
from modules.ui_loadsave import UiLoadsave

BUNDLED = model_files.bundled()


def test_other_checkpoints_get_the_defaults_of_the_webui(pocket):
    config = requests.get(f"{pocket['url']}/config", timeout=300).json()
    props = {item["props"].get("elem_id"): item["props"] for item in config["components"]}
    names = ("width", "height", "cfg_scale", "steps", "prompt")
    assert [props[f"txt2img_{name}"]["value"] for name in names] == [512, 512, 7.0, 20, ""]
    assert props["script_txt2img_animatediff_enable-checkbox"]["value"] is False
    assert "about_model" not in props


def test_only_the_bundled_checkpoint_has_defaults_of_its_own(tmp_path):
    other = tmp_path / "other.safetensors"
    other.touch()
    assert model_files.model_of(other) is None
    assert model_files.model_of(BUNDLED.checkpoint) == model_files.model_of(None) == BUNDLED
    assert BUNDLED.page_defaults == BUNDLED.checkpoint.with_name("ui-config.json")
    unknown = model_files.ModelFiles(other, tmp_path, trained=True)
    assert (unknown.page_defaults, unknown.about) == (None, "")


def test_demo_asks_for_what_the_page_opens_with(monkeypatch):
    monkeypatch.setattr(shared, "about_model", BUNDLED.about)
    page = json.loads(BUNDLED.page_defaults.read_text())
    asked = demo.request(cli.parse(["demo"]))
    script = "customscript/sampler.py/txt2img/Sampling"
    assert [page[f"txt2img/{name}/value"] for name in ("Prompt", "Width", "Height", "CFG Scale")] == [
        asked[name] for name in ("prompt", "width", "height", "cfg_scale")
    ]
    assert (page[f"{script} method/value"], page[f"{script} steps/value"]) == (asked["sampler_name"], asked["steps"])
    module = page["customscript/animatediff.py/txt2img/Motion module/value"]
    assert (BUNDLED.motion_modules / module).is_file()
    assert asked["alwayson_scripts"]["AnimateDiff"]["args"][0]["model"] in module


def test_demo_with_other_motion_modules_takes_the_first(monkeypatch):
    monkeypatch.setattr(shared, "about_model", BUNDLED.about)
    args = argparse.Namespace(**{**vars(cli.parse(["demo"])), "motion_modules": "elsewhere"})
    assert demo.request(args)["alwayson_scripts"]["AnimateDiff"]["args"][0]["model"] == ""


@pytest.mark.parametrize("command", ["", "demo", "generate", "serve"])
def test_help_says_what_the_bundled_model_can_do(command, capsys):
    with pytest.raises(SystemExit):
        cli.parse([*filter(None, [command]), "--help"])
    said = capsys.readouterr().out
    words = [*captions.SHAPE_WORDS, *world.COLOURS, "64x64", "left", "right", "up", "down", "small", "big"]
    words += [captions.MOTION_WORDS[name][0] for name in ("circling", "growing", "shrinking", "still")]
    assert [word for word in words if word not in said] == []


@pytest.fixture
def tab(pocket):
    """A tab with a field of every kind: (interface, fields by name)."""
    with gr.Blocks() as interface:
        fields = {
            "Width": gr.Slider(64, 2048, 512, step=8, label="Width"),
            "Seed": gr.Number(5, label="Seed"),
            "Prompt": gr.Textbox("", label="Prompt"),
            "Kind": gr.Dropdown(["a", "b"], value="a", label="Kind"),
        }
        with InputAccordion(False, label="Open", elem_id="open_or_not") as fields["Open"]:
            pass
    fields["Kind"].custom_script_source = "script.py"
    return interface, fields


def test_values_of_the_file_are_taken(tab, tmp_path):
    interface, fields = tab
    values = {"tab/Width/value": 64, "tab/Seed/value": 7, "tab/Prompt/value": "words", "tab/Open/value": True}
    (tmp_path / "ui.json").write_text(json.dumps({**values, "customscript/script.py/tab/Kind/value": "b"}))
    UiLoadsave(str(tmp_path / "ui.json")).add_block(interface, "tab")
    assert {name: field.value for name, field in fields.items()} == {
        "Width": 64,
        "Seed": 7,
        "Prompt": "words",
        "Kind": "b",
        "Open": True,
    }
    assert fields["Open"].accordion.open is True


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        json.dumps({"tab/Width/value": 1, "tab/Seed/value": "x", "tab/Prompt/value": 3, "tab/Open/value": "yes"}),
        json.dumps({"tab/Kind/value": "b", "customscript/script.py/tab/Kind/value": "c", "tab/Width/value": True}),
    ],
)
def test_values_that_do_not_fit_are_left_out(tab, tmp_path, text):
    interface, fields = tab
    before = {name: field.value for name, field in fields.items()}
    (tmp_path / "ui.json").write_text(text)
    UiLoadsave(str(tmp_path / "ui.json")).add_block(interface, "tab")
    UiLoadsave(str(tmp_path / "missing.json")).add_block(interface, "tab")
    assert {name: field.value for name, field in fields.items()} == before


def test_docs_are_a_plain_page_that_needs_no_internet(pocket):
    shown = requests.get(f"{pocket['url']}/docs", timeout=300)
    assert shown.headers["Content-Type"].startswith("text/html")
    assert "POST /sdapi/v1/txt2img" in shown.text and "GET /internal/pending-tasks" in shown.text
    assert "<script" not in shown.text and "http" not in shown.text
    assert requests.get(f"{pocket['url']}/redoc", timeout=300).url == f"{pocket['url']}/docs"
    assert "/sdapi/v1/txt2img" in requests.get(f"{pocket['url']}/openapi.json", timeout=300).json()["paths"]
