"""The panel's list of motion modules: what fits comes first, and a line says what the chosen one is."""

import shutil
from html import unescape

import pytest
from safetensors.torch import save_file

from tests.core.builders import motion_state

SDXL_TITLE = "a.safetensors (HotShot-XL for SDXL)"


@pytest.fixture
def field(pocket, tiny, tmp_path, monkeypatch):
    """The code of the list, with a module that fits and one that is for SDXL, which comes first by its name."""
    from modules import shared
    from motion_module.webui.page import module_field
    from motion_module.webui.request import motion_modules

    shutil.copy(tiny["v2"], tmp_path / "b.safetensors")
    save_file(motion_state("hotshot"), tmp_path / "a.safetensors")
    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", tmp_path)
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    return module_field


def test_what_fits_comes_first_and_the_others_say_what_they_are_for(field, monkeypatch):
    assert field.titles() == ["b.safetensors", SDXL_TITLE]
    monkeypatch.setattr(field, "_base", lambda: None)
    assert field.titles() == ["a.safetensors", "b.safetensors"], "nobody knows yet what fits"


def test_a_request_gets_the_modules_name_and_a_pasted_name_is_shown_as_in_the_list(field):
    from motion_module.webui.page.module_field import name_of

    assert name_of(SDXL_TITLE) == "a.safetensors" and name_of("b.safetensors") == "b.safetensors"
    assert name_of(None) == "" and name_of("x (2).ckpt") == "x (2).ckpt"


def test_the_line_below_says_what_the_module_is_and_whether_it_fits(field, monkeypatch):
    assert field.about("b.safetensors") == "AnimateDiff v2 for SD1.5, sees up to 32 frames, fits this checkpoint"
    assert field.about("a.safetensors") == (
        "HotShot-XL for SDXL, sees up to 24 frames, does not fit this checkpoint (SD1.5)"
    )
    assert unescape(field.about("")) == "Motion module is empty: the first that fits is used (b.safetensors)"
    assert unescape(field.about("gone")).startswith("Motion module is 'gone'; allowed is one of ")
    monkeypatch.setattr(field, "_base", lambda: None)
    assert field.about("a.safetensors") == "HotShot-XL for SDXL, sees up to 24 frames"


def test_a_refresh_finds_new_files_and_keeps_the_choice_while_it_is_there(field, tmp_path):
    shutil.copy(tmp_path / "b.safetensors", tmp_path / "c.safetensors")
    update, about = field._refreshed("c.safetensors")
    assert (update["choices"], update["value"]) == (["b.safetensors", "c.safetensors", SDXL_TITLE], "c.safetensors")
    assert "fits this checkpoint" in about
    (tmp_path / "c.safetensors").unlink()
    assert field._refreshed("c.safetensors")[0]["value"] == "b.safetensors"
