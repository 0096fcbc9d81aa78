"""Extensions, scripts and callbacks: loading, order, arguments, and failures that stay where they happen."""

import sys
from contextlib import contextmanager

import pytest
from processing_runs import recorder, txt2img

pytestmark = pytest.mark.usefixtures("pocket")

SCRIPT = """
import sys
from modules import scripts
import helper_of_{name} as helper
base, path, loaded_as = scripts.basedir(), list(sys.path), __name__
class Own(scripts.Script):
    def title(self): return "{name}"
    def show(self, is_img2img): return {show}
"""


@contextmanager
def extensions_in(*folders):
    """The host's extensions and scripts are these folders', and afterwards what they were."""
    from modules import extensions, script_callbacks, scripts

    kept = [(one, type(one)(one)) for one in (extensions.directories, extensions.extensions, scripts.scripts_data)]
    kept += [(one, type(one)(one)) for one in (extensions.extension_paths, extensions.loaded_extensions)]
    callbacks = {name: list(one) for name, one in script_callbacks.callback_map.items()}
    runners = [(runner, dict(vars(runner))) for runner in (scripts.scripts_txt2img, scripts.scripts_img2img)]
    try:
        extensions.directories[:] = [str(folder) for folder in folders]
        extensions.list_extensions()
        yield
    finally:
        for owner, contents in kept:
            owner.clear()
            (owner.extend if isinstance(owner, list) else owner.update)(contents)
        for name, contents in callbacks.items():
            script_callbacks.callback_map[name][:] = contents
        script_callbacks.ordered_callbacks_map.clear()
        for runner, state in runners:
            vars(runner).clear()
            vars(runner).update(state)


def extension(folder, name, show="scripts.AlwaysVisible", metadata=None, script=None):
    path = folder / name
    (path / "scripts").mkdir(parents=True)
    (path / f"helper_of_{name}.py").write_text("")
    (path / "scripts" / f"{name}.py").write_text(script or SCRIPT.format(name=name, show=show))
    if metadata:
        (path / "metadata.ini").write_text(metadata)
    return path


def load_only(monkeypatch):
    """Load the extensions' scripts without the built-in ones, and say which."""
    from modules import paths_internal, scripts

    monkeypatch.setattr(paths_internal, "extensions_builtin_dir", "/nowhere")
    from modules import extensions

    extensions.list_extensions()
    monkeypatch.setattr(scripts, "_own_scripts", lambda folder: [])
    scripts.load_scripts()
    return [data.module for data in scripts.scripts_data]


def test_a_script_is_executed_by_path_with_its_folder_first_on_sys_path(tmp_path, monkeypatch):
    from modules import paths_internal, scripts

    path = extension(tmp_path, "alpha")
    before = list(sys.path)
    with extensions_in(path):
        (module,) = load_only(monkeypatch)
        assert module.base == str(path) and module.path[0] == str(path)
        assert module.loaded_as == "alpha.py" and "alpha.py" not in sys.modules
    assert sys.path == before and scripts.basedir() == paths_internal.script_path


def test_scripts_load_in_alphabetical_order_unless_their_metadata_ask_otherwise(tmp_path, monkeypatch):
    folders = [extension(tmp_path, name) for name in ("beta", "alpha")]
    folders.append(extension(tmp_path, "omega", metadata="[scripts]\nBefore = alpha\n"))
    folders.append(extension(tmp_path, "aaa", metadata="[scripts/aaa.py]\nAfter = beta\n"))
    with extensions_in(*folders):
        assert [module.loaded_as for module in load_only(monkeypatch)] == ["beta.py", "aaa.py", "omega.py", "alpha.py"]


def test_a_script_that_fails_to_load_is_said_and_left_out(tmp_path, monkeypatch, capsys):
    folders = [extension(tmp_path, "bad", script="1 / 0"), extension(tmp_path, "good")]
    with extensions_in(*folders):
        assert [module.loaded_as for module in load_only(monkeypatch)] == ["good.py"]
    assert "*** Error loading script: bad.py" in capsys.readouterr().err


def test_extensions_may_be_switched_off_and_have_one_name_each(tmp_path, monkeypatch, capsys):
    from modules import extensions, shared

    folders = [extension(tmp_path, "alpha"), extension(tmp_path / "other", "alpha"), extension(tmp_path, "beta")]
    shared.opts.disabled_extensions = ["beta"]
    with extensions_in(*folders):
        assert [module.loaded_as for module in load_only(monkeypatch)] == ["alpha.py"]
        assert 'two extensions named "alpha"' in capsys.readouterr().err
        shared.opts.disable_all_extensions = "all"
        assert extensions.active() == []


def test_the_repository_is_the_extension_animatediff():
    from modules import extensions

    found = extensions.find_extension(f"{extensions.REPOSITORY}/scripts/animatediff.py")
    assert found is not None and found.canonical_name == "animatediff"
    assert extensions.find_extension(extensions.__file__) is None


def test_each_tab_makes_its_own_scripts(tmp_path, monkeypatch):
    from modules import scripts

    folders = [
        extension(tmp_path, "always"),
        extension(tmp_path, "chosen", show="True"),
        extension(tmp_path, "only_img2img", show="is_img2img"),
        extension(tmp_path, "broken", show="1 / 0"),
    ]
    with extensions_in(*folders):
        load_only(monkeypatch)
        text, image = scripts.scripts_txt2img, scripts.scripts_img2img
        text.initialize_scripts(False)
        image.initialize_scripts(True)
        assert [script.title() for script in text.scripts] == ["always", "chosen"]
        assert [script.title() for script in image.scripts] == ["always", "chosen", "only_img2img"]
        assert [script.title() for script in text.alwayson_scripts] == ["always"]
        assert (text.scripts[0].tabname, image.scripts[0].is_img2img) == ("txt2img", True)
        assert text.scripts[0] is not image.scripts[0]


def panels(*kinds):
    """A runner whose scripts' panels are made."""
    import gradio as gr

    from modules import scripts
    from modules.scripts import ScriptClassData

    runner = scripts.ScriptRunner()
    kept = list(scripts.scripts_data)
    scripts.scripts_data[:] = [ScriptClassData(kind, f"/x/{kind.__name__}.py", "/x", None) for kind in kinds]
    try:
        runner.initialize_scripts(False)
    finally:
        scripts.scripts_data[:] = kept
    with gr.Blocks():
        runner.prepare_ui()
        for section in dict.fromkeys(script.section for script in runner.scripts if script.section):
            runner.setup_ui_for_section(section)
        runner.setup_ui()
    return runner


def script_with(name, controls, shown=None, section=None, **members):
    """A script class whose panel has these numbers."""
    import gradio as gr

    from modules import scripts

    def ui(self, is_img2img):
        if isinstance(controls, Exception):
            raise controls
        self.infotext_fields = [(None, name)]
        self.paste_field_names = [name]
        return [gr.Number(label=f"{name} {value}", value=value, elem_id=f"{name}_{value}") for value in controls]

    always = scripts.AlwaysVisible if shown is None else shown
    body = {"title": lambda self: name, "show": lambda self, is_img2img: always, "ui": ui, "section": section}
    return type(name, (scripts.Script,), body | members)


def test_every_script_gets_its_own_part_of_the_arguments():
    got = {}

    def process(self, p, *args):
        got[self.title()] = args

    runner = panels(
        script_with("Two", [1, 2], process=process),
        script_with("None", [], process=process),
        script_with("Broken", ValueError("no panel"), process=process),
        script_with("Placed", [7], section="seed", process=process),
        script_with("Chosen", [5], shown=True),
    )
    p = txt2img(runner)
    p.script_args = [0, 70, 10, 20, 50]
    runner.process(p)
    assert got == {"Two": (10, 20), "None": (), "Broken": (), "Placed": (70,)}
    assert [control.label for control in runner.inputs[1:]] == ["Placed 7", "Two 1", "Two 2", "Chosen 5"]
    assert {"Two", "None", "Placed", "Chosen"} <= set(runner.paste_field_names)


def test_the_api_learns_about_every_script():
    info = panels(script_with("Two", [1, 2])).scripts[0].api_info
    assert (info.name, info.is_alwayson, info.is_img2img) == ("two", True, False)
    assert [(arg.label, arg.value) for arg in info.args] == [("Two 1", 1), ("Two 2", 2)]


def test_the_chosen_script_runs_instead_of_the_host():
    def run(self, p, *args):
        return p, args

    runner = panels(script_with("Always", [1]), script_with("Chosen", [5, 6], shown=True, run=run))
    p = object()
    assert runner.run(p, 1, 10, 50, 60) == (p, (50, 60))
    assert runner.run(p, 0, 10, 50, 60) is None and runner.run(p, None) is None
    assert runner.script("CHOSEN").title() == "Chosen" and runner.script("x") is None


def test_one_argument_can_be_set_by_its_components_id():
    runner = panels(script_with("Two", [1, 2]))
    assert runner.set_named_arg((0, 1, 2), "two", "Two_2", 9) == (0, 1, 9)
    args = [0, 1, 2]
    assert runner.set_named_arg(args, "two", "_1", 9, fuzzy=True) is args and args == [0, 9, 2]
    with pytest.raises(RuntimeError, match="script three not found"):
        runner.set_named_arg(args, "three", "x", 1)
    with pytest.raises(RuntimeError, match="arg_elem_id nothing not found"):
        runner.set_named_arg(args, "two", "nothing", 1)


def test_ids_of_components_name_the_tab_only_where_both_have_the_script():
    kind = script_with("My Script!", [])
    one = kind()
    assert one.elem_id("seed") == "script_txt2img_my_script_seed"
    one.is_img2img = True
    assert one.elem_id("seed") == "script_img2img_my_script_seed"
    one.show = lambda is_img2img: is_img2img
    assert one.elem_id("seed") == "script_my_script_seed"


def test_scripts_may_ask_for_one_component():
    calls = []

    def show(self, is_img2img):
        from modules import scripts

        self.on_before_component(lambda on: calls.append(("before", on.component)), elem_id="wanted")
        self.on_after_component(lambda on: calls.append(("after", on.component.elem_id)), elem_id="wanted")
        return scripts.AlwaysVisible

    kind = script_with("Asks", [], show=show)

    class Component:
        elem_id = "wanted"

    runner = panels(kind)
    runner.before_component(None, elem_id="wanted")
    runner.before_component(None, elem_id="other")
    runner.after_component(Component())
    assert calls == [("before", None), ("after", "wanted")]


def test_only_scripts_with_a_hook_are_called():
    from modules import scripts

    runner = recorder([])
    assert [type(script).__name__ for script in runner.ordered_scripts("process")] == ["Recorder"]
    plain = scripts.ScriptRunner()
    plain.alwayson_scripts.append(scripts.Script())
    assert plain.ordered_scripts("process") == []


def test_callbacks_are_called_in_order_and_their_failures_are_printed(capsys):
    from modules import script_callbacks

    calls = []

    def fail(model):
        raise RuntimeError("broken callback")

    functions = [lambda model: calls.append(1), fail, lambda model: calls.append(2)]
    for function in functions:
        script_callbacks.on_model_loaded(function)
    try:
        script_callbacks.model_loaded_callback(_NoModel())
    finally:
        for function in functions:
            script_callbacks.remove_callbacks_for_function(function)
    assert calls == [1, 2]
    printed = capsys.readouterr().err
    assert f"Error executing callback model_loaded for {__file__}" in printed and "broken callback" in printed
    script_callbacks.model_loaded_callback(_NoModel())
    assert calls == [1, 2]


class _NoModel:
    """As much of a model as the built-in callbacks touch."""

    class Empty:
        def named_modules(self):
            return []

    cond_stage_model = model = Empty()


def test_a_script_takes_all_its_callbacks_back():
    from modules import script_callbacks

    calls = []
    script_callbacks.on_before_ui(lambda: calls.append("ui"))
    script_callbacks.on_image_saved(lambda params: calls.append("saved"))
    script_callbacks.remove_current_script_callbacks()
    script_callbacks.image_saved_callback(None)
    assert all(one.script != __file__ for _, several in script_callbacks.enumerate_callbacks() for one in several)
    assert calls == []


def test_callbacks_have_names_of_their_own_and_may_be_preferred():
    from modules import script_callbacks, shared

    callbacks = []
    for name in (None, None, "named"):
        script_callbacks.add_callback(callbacks, print, name=name, category="kind")
    names = [one.name for one in callbacks]
    assert len(set(names)) == 3 and names[1] == f"{names[0]}-1" and names[2].endswith("/kind/named")
    shared.opts.prioritized_callbacks_kind = [names[2]]
    assert [one.name for one in script_callbacks.sort_callbacks("kind", callbacks)] == [names[2], *names[:2]]
    unsorted = script_callbacks.sort_callbacks("kind", callbacks, enable_user_sort=False)
    assert [one.name for one in unsorted] == names


def test_metadata_may_order_callbacks(tmp_path):
    from modules import script_callbacks

    folder = extension(tmp_path, "late")
    (folder / "metadata.ini").write_text("[callbacks/late/late.py/kind]\nAfter = base/first/kind\n")
    with extensions_in(folder):
        callbacks = []
        script = str(folder / "scripts" / "late.py")
        script_callbacks.add_callback(callbacks, print, category="kind", filename=script)
        script_callbacks.add_callback(callbacks, print, category="kind", filename="/elsewhere/first")
        ordered = [one.name for one in script_callbacks.sort_callbacks("kind", callbacks)]
    assert ordered == ["base/first/kind", "late/late.py/kind"]


def test_tabs_and_lists_are_collected():
    from modules import script_callbacks

    one, two = (lambda: [("blocks", "Title", "id")]), (lambda: None)
    adds = lambda found: found.append("unet")  # noqa: E731
    for function in (one, two):
        script_callbacks.on_ui_tabs(function)
    script_callbacks.on_list_unets(adds)
    try:
        assert ("blocks", "Title", "id") in script_callbacks.ui_tabs_callback()
        assert script_callbacks.list_unets_callback() == ["unet"]
    finally:
        for function in (one, two, adds):
            script_callbacks.remove_callbacks_for_function(function)
