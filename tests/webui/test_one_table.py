"""Panel, JSON, infotext, X/Y/Z plot, presets and README have exactly the fields of the one table."""

import re
from pathlib import Path

import pytest
import requests
from test_xyz import axes, plot  # noqa: F401 - fixtures

from motion_module.params import VideoParams
from motion_module.presets import saved_fields

TABLE = VideoParams.table()
README = Path(__file__).parents[2] / "README.md"
NOT_COMPARED = {  # by the plot: what is a place, a list or a part of a file's name
    *(
        "format",
        "video_source",
        "video_path",
        "mask_path",
        "last_frame",
        "request_id",
        "reverse",
        "returned",
        "hold",
        "continue_from",
        "resume",
        "preset",
    ),
}
NOT_KEPT = {
    "video_source",
    "last_frame",
    "request_id",
    "returned",
    "hold",
    "resume",
    "preset",
}  # in an infotext: files of the moment, and names


def other(name, field):
    """Something else than a new panel has."""
    default = VideoParams.default_of(name)
    values = {"bool": not default, "text": "mine", "path": "/mine", "image": "picture", "video": "/mine.mp4"}
    values["held"] = "3: /mine.png"
    if field.kind == "values":
        return "0: 1, 2: 1, hold"
    if field.kind == "numbers":
        return "1, 0.5, 0.5, 0"
    if field.kind in ("int", "number"):
        return default + (field.step if default < field.high else -field.step)
    if field.kind == "choices":
        return [choice for choice in field.choices if choice not in default][:1]
    return next((choice for choice in field.choices if choice != default), values.get(field.kind))


OTHER = {name: other(name, field) for name, field in TABLE.items()}


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_panel(pocket, tab):
    prefix = f"script_{tab}_animatediff_"
    config = requests.get(f"{pocket['url']}/config", timeout=300).json()
    props = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    shown = {name for name in TABLE if props.get(prefix + name, {}).get("visible", True) and prefix + name in props}
    assert shown == {name for name, field in TABLE.items() if tab in field.tabs}
    for name in shown - {"enable"}:
        assert props[prefix + name]["label"] == TABLE[name].label, name
        assert props[prefix + name].get("info") in (TABLE[name].help, None), name


def test_the_api(pocket):
    schema = requests.get(f"{pocket['url']}/animatediff/schema", timeout=300).json()["properties"]
    assert list(schema) == list(TABLE)
    assert {name: (field["title"], field["description"]) for name, field in schema.items()} == {
        name: (field.label, field.whole_help) for name, field in TABLE.items()
    }
    for name, value in OTHER.items():
        VideoParams.from_json({name: value, "enable": False})


def test_the_infotext(pocket):
    from motion_module.webui.plan import infotext

    text = infotext.write(VideoParams.from_json({**OTHER, "enable": False}))
    assert set(infotext.read(text)) == set(TABLE) - NOT_KEPT


def test_the_plot(axes):  # noqa: F811
    assert list(axes) == [name for name in TABLE if name not in NOT_COMPARED]


def test_presets_of_ones_own():
    values = {**OTHER, "enable": False}
    assert set(saved_fields(values)) == set(TABLE) - NOT_KEPT - {"enable", "video_path", "mask_path", "continue_from"}


def test_the_readme():
    table = re.search(r"<!-- fields,(.*?)<!-- end of fields", README.read_text("utf8"), re.DOTALL)[1]
    assert re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, re.MULTILINE) == [
        (name, field.label if field.tabs else "(API only)") for name, field in TABLE.items()
    ]
