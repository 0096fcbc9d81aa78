"""Another AnimateDiff extension is installed beside ours, or ours twice: one of them works, and one sentence says which.

The other one is made up here: it has the names that collide, and does nothing but note that it was called.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = {
    "motion_module.py": "class Wrapper:\n    owner = 'the other'\n",
    "scripts/animatediff_mm.py": "from motion_module import Wrapper\n",
    "scripts/animatediff_utils.py": "def get_animatediff_arg(p):\n    return 'the other'\n",
    "scripts/animatediff.py": """
import gradio as gr
from modules import script_callbacks, scripts, shared
from scripts.animatediff_mm import Wrapper
from scripts.animatediff_utils import get_animatediff_arg

class Other(scripts.Script):
    def title(self): return "AnimateDiff"
    def show(self, is_img2img): return scripts.AlwaysVisible
    def ui(self, is_img2img): return [gr.Checkbox(False, label="the other's")]
    def before_process(self, p, *args): p.seen = [Wrapper.owner, get_animatediff_arg(p), *args]

def settings():
    option = shared.OptionInfo("theirs", "Theirs", section=("animatediff", "AnimateDiff"))
    shared.opts.add_option("animatediff_model_path", option)

script_callbacks.on_ui_settings(settings)
""",
}
CHILD = """
import json, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
folders, checkpoint, data, motion, *disabled = sys.argv[2].split("|"), *sys.argv[3:]
from modules import (extensions, initialize_pocket, img2img, processing, script_callbacks, scripts, shared)
Path(data).mkdir()
Path(data, "config.json").write_text(json.dumps({"disabled_extensions": disabled[0].split("|")}))
initialize_pocket.start(checkpoint=Path(checkpoint), motion_modules=Path(motion), data_dir=Path(data),
                        extensions=[Path(folder) for folder in folders])
def load_anew(off):
    script_callbacks.script_unloaded_callback()
    shared.opts.data["disabled_extensions"] = off.split("|")
    extensions.list_extensions()
    scripts.load_scripts()
    script_callbacks.before_ui_callback()
    script_callbacks.ui_settings_callback()
    initialize_pocket.build_script_runners()
def run(argument):
    runner = scripts.scripts_txt2img
    p = processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, prompt="a cat", steps=1, width=64,
        height=64, sampler_name="Euler", scheduler="Automatic", seed=1, do_not_save_samples=True,
        do_not_save_grid=True, outpath_samples=data)
    p.is_api, p.scripts = True, runner
    args = [0] + [getattr(c, "value", None) for c in runner.inputs[1:]]
    titles = [script.title().lower() for script in runner.scripts]  # as the API finds a script
    args[runner.scripts[titles.index("animatediff")].args_from] = argument
    p.script_args = tuple(args)
    try:
        return p, processing.process_images(p)
    finally:
        p.close()
def report():
    from scripts.animatediff_utils import get_animatediff_arg  # as ControlNet does, late
    p, result = run({"enable": True, "video_length": 2, "format": ["Frame"], "model": ""})
    titles = [script.title() for script in scripts.scripts_txt2img.alwayson_scripts]
    print("RESULT", json.dumps({
        "titles": sorted(title for title in titles if "AnimateDiff" in title),
        "seen": getattr(p, "seen", None), "pictures": len(result.images), "asked": get_animatediff_arg(p) == "the other",
        "setting": shared.opts.data_labels["animatediff_model_path"].label,
        "tab_is_taken": hasattr(img2img, "animatediff_has_batch_tab"),
    }))
report()
for off in disabled[1:]:
    load_anew(off)
    report()
"""
OURS_WORKS = {"titles": ["AnimateDiff"], "seen": None, "pictures": 2, "asked": False, "tab_is_taken": True}
THEIRS_WORKS = {
    "titles": ["AnimateDiff", "AnimateDiff (standing aside)"],
    "pictures": 1,
    "asked": True,
    "setting": "Theirs",
    "tab_is_taken": False,
}


def other_at(folder):
    """The made-up extension, in a folder of extensions."""
    for name, text in OTHER.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    return folder


def started(tmp_path, tiny, ours, other, *disabled):
    """What a host with both extensions does with each of these disabled in turn, and what its log says."""
    arguments = [
        ROOT / "pocket",
        f"{ours}|{other}",
        tiny["checkpoint"],
        tmp_path / "data",
        tiny["v1"].parent,
        *disabled,
    ]
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    reports = [json.loads(part.splitlines()[0]) for part in done.stdout.split("RESULT ")[1:]]
    assert len(reports) == len(disabled), done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr
    return reports, [line for line in done.stderr.splitlines() if "standing" in line or "does nothing" in line]


@pytest.fixture
def ours(tmp_path):
    """Our folder as a link, as people who develop have it."""
    folder = tmp_path / "extensions" / "animatediff"
    folder.parent.mkdir()
    folder.symlink_to(ROOT, target_is_directory=True)
    return folder


def test_beside_one_that_loads_first_ours_stands_aside_until_that_is_disabled(tmp_path, tiny, ours):
    other = other_at(ours.parent / "a-webui-animatediff")
    (first, then), (line,) = started(tmp_path, tiny, ours, other, "", other.name)
    assert THEIRS_WORKS.items() <= first.items() and first["seen"][:2] == ["the other", "the other"]
    assert OURS_WORKS.items() <= then.items() and then["setting"] != "Theirs"
    assert line == (
        "AnimateDiff in animatediff does nothing, because a-webui-animatediff is enabled, too, and only one of the two "
        'can work; to use animatediff, turn a-webui-animatediff off under "Extensions" and restart the WebUI (motion '
        "modules in its folder are still found)."
    )


def test_beside_one_that_loads_later_ours_works_until_that_is_enabled(tmp_path, tiny, ours):
    """Python keeps the first module of a name: what ours has imported must not be what the other one gets."""
    other = other_at(ours.parent / "sd-webui-animatediff")
    (first, then), (line,) = started(tmp_path, tiny, ours, other, other.name, "")
    assert OURS_WORKS.items() <= first.items() and first["setting"] != "Theirs"
    assert THEIRS_WORKS.items() <= then.items() and then["seen"][:2] == ["the other", "the other"]
    assert "because sd-webui-animatediff is enabled" in line


@pytest.fixture
def enabled(pocket, monkeypatch):
    """Have the host say that the extensions in these folders are enabled, in this order.

    What is then forgotten of this extension's modules is known again afterwards.
    """
    import scripts
    from modules import extensions

    def active(*folders):
        found = [SimpleNamespace(path=str(folder)) for folder in folders]
        monkeypatch.setattr(extensions, "active", lambda: found)

    with mock.patch.dict(sys.modules), mock.patch.dict(vars(scripts)):
        yield active


def reason_of(folder):
    import animatediff_aside

    return animatediff_aside.reason(str(folder / "scripts" / "animatediff.py"))


def copy_at(folder):
    """A copy of ours, as far as it is told by."""
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "animatediff_aside.py", folder)
    shutil.copy(ROOT / "scripts" / "animatediff.py", folder / "scripts")
    return folder


@pytest.mark.parametrize("name", ["zz", "AnimateDiff (1)", "sd-webui-animatediff", "sd-webui-animatediff-main"])
def test_our_folder_may_have_any_name(enabled, tmp_path, name):
    own, other = copy_at(tmp_path / name), other_at(tmp_path / "sd-webui-animatediff-old")
    lora = tmp_path / "Lora" / "scripts"
    lora.mkdir(parents=True)
    (lora / "animatediff_presets.py").touch()  # of some other kind
    enabled(lora.parent, own)
    assert reason_of(own) is None
    for folders in ([own, other], [other, own]):
        enabled(*folders)
        assert reason_of(own).startswith(f"AnimateDiff in {name} does nothing, because {other.name} is enabled")


def test_of_two_copies_the_first_works(enabled, tmp_path):
    first, second = copy_at(tmp_path / "first"), copy_at(tmp_path / "second")
    enabled(first, second)
    assert reason_of(first) is None
    assert reason_of(second) == (
        f"AnimateDiff is installed twice, in {first} and in {second}, so the one in second does nothing; remove one of "
        "the two and restart the WebUI."
    )
    link = tmp_path / "third"
    link.symlink_to(first, target_is_directory=True)
    enabled(first, link)
    assert reason_of(first) is None and "installed twice" in reason_of(link)


def test_the_panel_says_it_and_has_nothing_else(enabled, tmp_path):
    import gradio as gr

    import animatediff_aside

    own, other = copy_at(tmp_path / "own"), other_at(tmp_path / "<b>other")
    enabled(own, other)
    script = animatediff_aside.StandingAside()
    script.filename = str(own / "scripts" / "animatediff.py")
    script.is_txt2img, script.is_img2img = True, False
    with gr.Blocks() as page:
        assert script.ui(False) == []
    (shown,) = [block for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert "because &lt;b&gt;other is enabled" in shown.value


def test_a_kind_of_forge_that_is_not_served_gets_a_sentence(enabled, tmp_path, monkeypatch):
    """Those have a package of their own; what is on the path is found without being loaded."""
    import animatediff_aside

    ours = copy_at(tmp_path / "ours")
    enabled(ours)
    script = str(ours / "scripts" / "animatediff.py")
    assert not animatediff_aside.stands_aside(script) and reason_of(ours) is None
    (tmp_path / "webui" / "ldm_patched").mkdir(parents=True)
    (tmp_path / "webui" / "ldm_patched" / "__init__.py").write_text("raise RuntimeError('loaded')")
    monkeypatch.syspath_prepend(tmp_path / "webui")
    assert reason_of(ours) is None, "another extension has brought it along"
    monkeypatch.setattr(animatediff_aside.scripts, "__file__", str(tmp_path / "webui" / "modules" / "scripts.py"))
    assert animatediff_aside.stands_aside(script)
    assert "reForge" in reason_of(ours) and "Forge Neo" in reason_of(ours)


def test_links_are_followed_once_for_each_folder(pocket, monkeypatch):
    """The host waits for it at each of our scripts, and there are some 200 modules in some 20 folders."""
    import animatediff_aside

    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("motion_module", "scripts")]
    folders = {os.path.dirname(module.__file__) for module in modules if getattr(module, "__file__", None)}
    followed = []
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: followed.append(path) or real(path))
    assert not animatediff_aside.stands_aside(str(ROOT / "scripts" / "animatediff.py"))
    assert len(folders) > 10 and len(followed) <= len(folders) + 1
    assert "motion_module.params" in sys.modules, "nothing of ours is forgotten"
