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
    from motion_module.webui.request import checkpoints, module_choice, motion_modules

    found = module_choice.choose(name, motion_modules.files(), checkpoints.base_of_run()).file
    assert (found.name, found.path) == ("sub/mm_tiny_v2.safetensors", folder / "sub" / "mm_tiny_v2.safetensors")


@pytest.mark.parametrize("name", ["sub\\mm_tiny_v2.safetensors", "SUB/MM_tiny_V2.safetensors", "MM_TINY_V2"])
def test_a_name_may_be_spelt_as_on_windows(folder, tiny, name):
    """Infotexts and requests from there; an exact name comes first."""
    from motion_module.webui.request import module_choice, motion_modules

    assert module_choice.named(name, motion_modules.files()).name == "sub/mm_tiny_v2.safetensors"
    shutil.copy(tiny["v1"], folder / "MM_TINY_V2.safetensors")
    assert module_choice.named("MM_TINY_V2", motion_modules.files()).name == "MM_TINY_V2.safetensors"
    assert module_choice.named("mm_tiny_v2", motion_modules.files()).name == "sub/mm_tiny_v2.safetensors"


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
    from motion_module.webui.request.module_choice import base_of

    with pytest.raises(CheckpointError, match="no checkpoint is loaded"):
        base_of(None)


OTHERS = ("sd-webui-animatediff", "SD-Forge-AnimateDiff-main")


@pytest.fixture
def extensions_dir(pocket, tiny, tmp_path, monkeypatch):
    """The host's folder of extensions, with motion modules in those of two other extensions and of one of another kind."""
    from modules import paths_internal

    for name, version in zip((*OTHERS, "other"), ("v1", "v2", "v3"), strict=True):
        (tmp_path / "extensions" / name / "model").mkdir(parents=True)
        shutil.copy(tiny[version], tmp_path / "extensions" / name / "model")
    monkeypatch.setattr(paths_internal, "extensions_dir", str(tmp_path / "extensions"))
    return tmp_path / "extensions"


def test_modules_in_the_folders_of_other_animatediff_extensions_are_found(extensions_dir):
    from modules import shared
    from motion_module.webui.request import motion_modules

    shared.opts.data["animatediff_model_path"] = "/gone"
    assert motion_modules.names() == ["mm_tiny_v2.safetensors", "mm_tiny_v1.safetensors"]
    assert (
        motion_modules.files()["mm_tiny_v1.safetensors"]
        == extensions_dir / OTHERS[0] / "model" / "mm_tiny_v1.safetensors"
    )


def test_a_folder_that_is_named_in_several_ways_is_searched_once(extensions_dir, monkeypatch):
    """The other extension has stored its own folder in the setting that both have; and ours may lie in its place."""
    from modules import shared
    from motion_module.webui.request import motion_modules

    (extensions_dir / "animatediff-link").symlink_to(extensions_dir / OTHERS[0])
    chosen = extensions_dir / OTHERS[0] / "model"
    shared.opts.data["animatediff_model_path"] = str(chosen)
    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", extensions_dir / "animatediff-link" / "model")
    assert motion_modules.folders() == [chosen, extensions_dir / OTHERS[1] / "model"]


@pytest.mark.parametrize("stored", [None, "", 3, "nowhere", "C:\\webui\\extensions\\sd-webui-animatediff\\model"])
def test_whatever_the_other_extension_has_stored_the_folders_are_searched(extensions_dir, stored):
    from modules import shared
    from motion_module.webui.request import motion_modules

    shared.opts.data["animatediff_model_path"] = stored
    assert {"mm_tiny_v1.safetensors", "mm_tiny_v2.safetensors"} <= set(motion_modules.names())


def test_a_host_without_a_folder_of_extensions(pocket, monkeypatch):
    from modules import paths_internal
    from motion_module.webui.request import motion_modules

    monkeypatch.setattr(paths_internal, "extensions_dir", "/nowhere")
    assert "mm_tiny_v2.safetensors" in motion_modules.names()
