"""Motion modules as requests name them, and the files that lie beside them."""

import shutil

import pytest

from motion_module.errors import CheckpointError, ParamError


@pytest.fixture
def folder(pocket, tiny, tmp_path):
    """A folder of motion modules of our own: {"sub/mm_tiny_v2.safetensors"}."""
    from modules import shared

    (tmp_path / "sub").mkdir()
    shutil.copy(tiny["v2"], tmp_path / "sub")
    shared.opts.data["animatediff_model_path"] = str(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["sub/mm_tiny_v2.safetensors", "mm_tiny_v2.safetensors", "mm_tiny_v2", ""])
def test_a_module_is_found_by_path_file_name_and_stem_and_keeps_its_own_name(folder, name):
    from motion_module.webui.request import module_choice, motion_modules

    found = module_choice.choose(name, motion_modules.files(), motion_modules.shared.sd_model).file
    assert (found.name, found.path) == ("sub/mm_tiny_v2.safetensors", folder / "sub" / "mm_tiny_v2.safetensors")


@pytest.mark.parametrize("name", ["../sub/mm_tiny_v2.safetensors", "/etc/passwd", "sub", "v2"])
def test_a_name_leads_nowhere_else(folder, name):
    from motion_module.webui.request import module_choice, motion_modules

    with pytest.raises(ParamError, match="allowed is one of sub/mm_tiny_v2.safetensors"):
        module_choice.named(name, motion_modules.files())


def test_folders_that_are_links_are_searched_as_the_hosts_are(folder, tiny):
    from motion_module.webui.request import motion_modules

    (folder / "elsewhere").symlink_to(tiny["v1"].parent)
    (folder / "broken.safetensors").symlink_to(folder / "gone")
    assert "elsewhere/mm_tiny_v1.safetensors" in motion_modules.names()
    assert "broken.safetensors" not in motion_modules.files()


def test_files_that_are_no_motion_modules_are_looked_at_once(folder, monkeypatch):
    from motion_module.webui.request import module_choice, motion_modules

    (folder / "half.ckpt").write_bytes(b"PK\x03\x04 cut off")
    looked = []
    read = motion_modules.inspect_motion_file
    monkeypatch.setattr(motion_modules, "inspect_motion_file", lambda path: looked.append(path.name) or read(path))
    for _ in range(2):
        assert motion_modules.names() == ["sub/mm_tiny_v2.safetensors"]
        with pytest.raises(CheckpointError, match="half.ckpt is damaged"):
            module_choice.named("half.ckpt", motion_modules.files())
    assert looked.count("half.ckpt") == 1


def test_without_a_checkpoint_the_sentence_says_so(folder):
    """The host goes on with None where a checkpoint could not be loaded."""
    from motion_module.webui.request import module_choice, motion_modules

    for name in ("", "mm_tiny_v2"):
        with pytest.raises(CheckpointError, match="no checkpoint is loaded"):
            module_choice.choose(name, motion_modules.files(), None)
