"""Presets of the panel: what they set and say, and how people keep their own."""

import json
import shutil
from html import unescape
from pathlib import Path

import pytest
from safetensors.torch import save_file

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.presets import HOST_FIELDS, PRESETS, Preset, saved_fields
from tests.core.builders import motion_state
from tests.webui.test_http_hints import Panel

OURS = [name for name, field in VideoParams.table().items() if field.recorded and name != "enable"]
HOST = list(HOST_FIELDS)
NOW = {"steps": 20, "cfg_scale": 7, "sampler": "Euler", "scheduler": "Automatic", "width": 512, "height": 512}
NOW["denoising_strength"] = 0.75


@pytest.fixture
def row(pocket, tmp_path, monkeypatch):
    """The code of the row, with a data folder of its own."""
    from modules import paths_internal
    from motion_module.webui.page import preset_row

    monkeypatch.setattr(paths_internal, "data_path", str(tmp_path))
    return preset_row


@pytest.fixture
def file(row):
    from motion_module.webui.page import preset_file

    return preset_file


def panel_values(**changed):
    return {**{name: VideoParams.default_of(name) for name in OURS}, "reverse": [], **NOW, **changed}


def apply(row, name, of_host=HOST, **changed):
    """What choosing a preset says, and what it sets: name -> value."""
    values = panel_values(**changed)
    names = [*OURS, *of_host]
    line, *updates = row._apply(OURS, of_host)(name, *(values[field] for field in names))
    return unescape(line), {
        field: update["value"] for field, update in zip(names, updates, strict=True) if "value" in update
    }


def save(row, name, **changed):
    values = panel_values(**changed)
    return unescape(row._save("txt2img", OURS, HOST)(name, *(values[field] for field in [*OURS, *HOST]))[0])


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_each_of_ours_is_a_possible_request(preset):
    params = VideoParams.from_json({"enable": True, **preset.fields})
    assert params.recorded().items() >= preset.fields.items()
    assert set(preset.host) <= set(HOST_FIELDS)


def test_a_preset_sets_its_fields_and_says_which_changed(row):
    line, changed = apply(row, "Seamless loop", effect=0.5, fps=12)
    assert line == "Seamless loop: Closed loop 'A', Effect 1.0, Number of frames 32."
    assert (changed["closed_loop"], changed["video_length"], changed["effect"]) == ("A", 32, 1.0)
    assert not {"fps", "format", "model", "video_path", *HOST} & changed.keys(), "what it does not name stays"
    assert apply(row, "Seamless loop", closed_loop="A", video_length=32)[0] == "Seamless loop: nothing to change."


def test_a_preset_says_what_is_left_to_do(row):
    line, _ = apply(row, "Between two pictures")
    assert line.endswith("The picture of img2img is the first frame; put the last one into Last frame.")


def test_presets_of_pictures_are_offered_where_there_are_some(file):
    assert {"From this picture", "Between two pictures"} <= set(file.names("img2img"))
    assert not {"From this picture", "Between two pictures"} & set(file.names("txt2img"))


@pytest.mark.parametrize(
    ("model", "sets", "says"),
    [
        ("animatediff_lightning_4step_comfyui.safetensors", {"steps": 4, "cfg_scale": 1, "sampler": "Euler"}, ""),
        ("lcm.safetensors", {"steps": 6, "cfg_scale": 1.5, "sampler": "LCM"}, "Write the LoRA that came with it"),
        ("v2.safetensors", {}, "As this module wants it: nothing to change. AnimateDiff v2 works with any steps"),
        ("", {"steps": 4}, ""),
    ],
)
def test_a_module_brings_its_own_preset(row, file, tiny, tmp_path, monkeypatch, model, sets, says):
    from modules import shared
    from motion_module.webui.request import motion_modules

    for name in ("animatediff_lightning_4step_comfyui.safetensors", "v2.safetensors"):
        shutil.copy(tiny["v2"], tmp_path / name)
    without_positions = {key: value for key, value in motion_state("lcm").items() if not key.endswith("pe")}
    save_file(without_positions, tmp_path / "lcm.safetensors")
    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", tmp_path)
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    assert "As this module wants it" in file.names("txt2img")
    line, changed = apply(row, "As this module wants it", model=model)
    assert changed.items() >= sets.items() and set(changed) <= {"steps", "cfg_scale", "sampler", "scheduler"}
    assert says in line and (not sets or changed["scheduler"] == "SGM Uniform")
    gone, nothing = apply(row, "As this module wants it", model="gone")
    assert "allowed is one of" in gone and nothing == {}


def test_a_module_that_was_trained_on_few_frames_asks_for_them(row, monkeypatch):
    from motion_module.core.module.arch import HOTSHOT, ModuleSpec
    from motion_module.webui.page import module_preset
    from motion_module.webui.request.motion_modules import ModuleFile

    hotshot = ModuleFile("a", Path("a"), ModuleSpec(HOTSHOT, (320, 640, 1280), 24))
    monkeypatch.setattr(module_preset.module_choice, "foreseen", lambda *_: hotshot)
    assert apply(row, "As this module wants it")[1] == {"batch_size": 8}


def test_a_preset_of_ones_own_brings_the_panel_and_the_webuis_fields_back(row, file):
    kept = {"video_length": 24, "reverse": ["Add Reverse Frame"], "video_path": "/a, b", "steps": 6, "sampler": "LCM"}
    assert save(row, " Mine ", **kept) == "The preset Mine is saved."
    assert "Mine" in file.names("txt2img") and "Mine" in file.names("img2img")
    line, changed = apply(row, "Mine")
    paths = {"video_path", "mask_path", "continue_from"}
    assert {name: changed[name] for name in kept if name not in paths} == {
        name: value for name, value in kept.items() if name not in paths
    }
    assert set(changed) == {*OURS, *HOST} - paths, "what the infotext keeps, but for where a video lay"
    assert line.startswith("Mine: ") and "Sampling steps 6" in line and "Number of frames 24" in line


def test_where_the_page_lacks_a_field_the_person_is_told_to_set_it(row):
    save(row, "Mine", sampler="LCM", steps=6)
    line, changed = apply(row, "Mine", of_host=["steps"])
    assert "by hand" in line and "Sampling method to LCM" in line and "Sampling steps to" not in line
    assert "sampler" not in changed and changed["steps"] == 6


def test_saving_again_and_deleting(row, file):
    save(row, "Mine", video_length=24)
    save(row, "Mine", video_length=32)
    assert apply(row, "Mine")[1]["video_length"] == 32
    line, update = row._delete("txt2img")("Mine")
    assert line == "The preset Mine is deleted." and "Mine" not in update["choices"] and update["value"] is None
    assert apply(row, "Mine") == ("AnimateDiff: there is no preset 'Mine'; choose one of the list.", {})
    assert "no preset 'Mine' to delete" in unescape(row._delete("txt2img")("Mine")[0])


@pytest.mark.parametrize("name", ["", "   ", None, "x" * 61])
def test_a_preset_needs_a_name(row, file, name):
    says = "allowed are up to 60 characters" if (name or "").strip() else "type one into Preset"
    assert says in save(row, name)
    assert not file.path().exists()


def test_ours_stay(row, file):
    said = save(row, "Long video")
    assert said == "AnimateDiff: Long video is a preset that comes with AnimateDiff; choose another name."
    kept = unescape(row._delete("txt2img")("Long video")[0])
    assert kept == "AnimateDiff: Long video comes with AnimateDiff, and stays; you can delete your own presets."
    assert "no preset is chosen" in row._delete("txt2img")("")[0]
    assert not file.path().exists()


def test_a_panel_that_would_be_refused_is_not_saved(row, file):
    assert save(row, "Mine", overlap=-7).startswith("AnimateDiff: Overlap is -7; allowed is a whole number from -1")
    assert not file.path().exists()


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "\xff\xfe"], ids=["cut off", "list", "text", "bytes"])
def test_a_file_that_cannot_be_read_is_told_and_stays(row, file, content):
    file.path().write_bytes(content.encode("latin1"))
    assert file.names("txt2img") == [
        *(preset.name for preset in PRESETS if "txt2img" in preset.tabs),
        "As this module wants it",
    ]
    for said in (save(row, "Mine"), apply(row, "Mine")[0]):
        assert "animatediff-presets.json" in said and "mend or rename that file" in said
    assert file.path().read_bytes() == content.encode("latin1")
    assert apply(row, "Seamless loop")[1]["closed_loop"] == "A", "ours need no file"


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ([], "is no object with fields and host"),
        ({"fields": []}, "is no object with fields and host"),
        ({"fields": {"frames": 3}}, "there is no field 'frames'"),
        ({"fields": {"fps": 0}}, "FPS is 0; allowed is a number from 1 to 120"),
        ({"host": {"steps": "many"}}, "Sampling steps is 'many'; allowed is a whole number from 1 to 10,000"),
        ({"host": {"sampler": 3}}, "Sampling method is 3; allowed is a text"),
    ],
)
def test_a_preset_of_another_version_is_refused_in_a_sentence(row, file, stored, says):
    file.path().write_text(json.dumps({"Mine": stored}))
    line, changed = apply(row, "Mine")
    assert says in line and changed == {}


def test_a_folder_that_cannot_be_written_is_told(row, file, monkeypatch):
    def refuse(part, final):
        raise PermissionError(13, "no")

    monkeypatch.setattr(file, "replace", refuse)
    assert "the presets cannot be written" in save(row, "Mine") and "permission is denied" in save(row, "Mine")
    assert list(file.path().parent.iterdir()) == []


def test_a_preset_that_was_written_by_hand_may_say_what_the_panel_says(row, file):
    by_hand = {"fields": {"reverse": ["Add Reverse Frame"], "format": "mp4", "closed_loop": True}}
    file.path().write_text(json.dumps({"Mine": by_hand}))
    line, changed = apply(row, "Mine")
    assert changed == {"reverse": ["Add Reverse Frame"], "format": ["MP4"], "closed_loop": "A"}
    assert "Save format MP4" in line


def test_fields_of_the_host_that_we_do_not_know_are_left_out():
    assert Preset.from_json("Mine", {"host": {"steps": 3, "elsewhere": 1}}).host == {"steps": 3}
    with pytest.raises(ParamError):
        saved_fields({"fps": 0})


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_row_stands_on_the_page(pocket, tab):
    panel = Panel(pocket["url"], tab)
    assert {"preset_list", "preset_save", "preset_delete"} <= {
        name.removeprefix(panel.prefix) for name in panel.places if name
    }
    assert "Long video" in str(panel.props[panel.place("preset_list")]["choices"])
