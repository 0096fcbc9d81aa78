"""The house rules, read from the code: who may import whom, and what no file does."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "motion_module"
NUMBERS, PICTURES = {"torch", "einops", "safetensors"}, {"PIL", "numpy", "imageio_ffmpeg"}
HOST = {"torch", "PIL", "numpy", "gradio", "fastapi", "pydantic", "modules"}
# Room -> the third-party packages and the other rooms that its files may import. "" is the package's own top.
ALLOWED = {
    "": (set(), set()),
    "core/module": (NUMBERS, {""}),
    "core/denoising": (NUMBERS, {"", "core/module"}),
    "core": (NUMBERS, {"", "core/module"}),
    "media": (PICTURES, {""}),
    "media/reading": (PICTURES, {"", "media"}),
    "media/writing": (PICTURES | {"cv2"}, {"", "media", "media/reading"}),
}
_BELOW = {*ALLOWED, "webui"}
ALLOWED["webui"] = (HOST, {""})
ALLOWED["webui/hosts"] = (HOST | {"backend", "modules_forge"}, {"", "core/module", "core/denoising", "webui"})
ALLOWED["webui/request"] = (HOST, _BELOW)
ALLOWED["webui/plan"] = (HOST, _BELOW | {"webui/request"})
for _room in ("page", "sampling", "controlnet", "output"):
    ALLOWED[f"webui/{_room}"] = (HOST, _BELOW | {"webui/request", "webui/plan"})
ALLOWED["webui/run"] = (HOST, set(ALLOWED))
ALLOWED["webui/routes"] = (HOST, set(ALLOWED))
ALLOWED["scripts"] = (
    {"animatediff_aside", "modules", "scripts"},
    {"webui", "webui/run", "webui/page", "webui/request", "webui/routes"},
)
ALLOWED["aside"] = ({"gradio", "modules"}, set())
OPEN = {
    "compat": {"webui/run", "webui/request", "core/denoising", "core/module"},
    "host": {"webui/hosts"},
    "host_kind": {"core/denoising", "core/module"},
}  # files whose door is wider than their room's
KEPT_CHANGES = {"assign", "assign_items", "refill", "drop_items", "take_out"}
STARTS = {*(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")), "os.system"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
ASIDE = ROOT / "animatediff_aside.py"  # which a script asks before it imports anything of the package
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ASIDE])


def room_of(path):
    if path == ASIDE:
        return "aside"
    return "scripts" if path.parent == ROOT / "scripts" else path.parent.relative_to(PACKAGE).as_posix().strip(".")


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_named(name):
    """The room of a module of ours, of which the dotted name may go on to what is in it."""
    place = PACKAGE
    for part in name.split(".")[1:]:
        if not (place / part).is_dir():
            break
        place /= part
    return place.relative_to(PACKAGE).as_posix().strip(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_point_one_way(path):
    room = room_of(path)
    packages, rooms = ALLOWED[room]
    rooms = rooms | {room} | OPEN.get(path.stem, set())
    for name in imports(ast.parse(path.read_text("utf8"))):
        top = name.split(".")[0]
        if top == "motion_module":
            assert room_named(name) in rooms, f"{path.name} imports {name}"
        else:
            assert top in sys.stdlib_module_names | packages | {"__future__"}, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_hosts_api_is_not_imported_while_scripts_load(path):
    """It lists the options that there are when it is imported: those of later scripts would be missing in its answers."""
    tree = ast.parse(path.read_text("utf8"))
    early = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    assert not [name for name in imports(early) if name.startswith("modules.api")]


def test_every_room_has_its_rule():
    assert {room_of(path) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_global_no_assert_no_bare_except(path):
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        assert not isinstance(node, (ast.Global, ast.Assert)), f"line {node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}"


OF_ONE_HOST = {
    "apply_model",
    "batch_cond_uncond",
    "alphas_cumprod",
    "alphas_cumprod_original",
    "network_layer_mapping",
    "loaded_networks",
    "networks_in_memory",
    "available_networks",
    "available_network_aliases",
    "load_network",
    "mtime",
    "reload_model_weights",
    "cfg_denoiser_callback",
    "reconstruct_cond_batch",
    "GroupNorm32",
    "combine_denoised",
    "cond_scale_miltiplier",
    *(
        "forge_objects",
        "forge_objects_after_applying_lora",
        "current_lora_hash",
        "forge_model_reload",
        "memory_required",
    ),
    *("load_lora_state_dict", "sampling_function_inner", "transformer_options"),
}
MATHS = {"core/denoising/schedule.py": {"alphas_cumprod"}}  # where it is a number of the field's, and no host's


@pytest.mark.parametrize("path", [file for file in FILES if file.parent.name != "hosts"], ids=str)
def test_only_the_host_knows_what_one_kind_of_host_has(path):
    """Files for another kind of host beside these are then all that it needs."""
    own = MATHS.get(path.relative_to(ROOT / "motion_module").as_posix(), set()) if PACKAGE in path.parents else set()
    assert (OF_ONE_HOST - own).isdisjoint(words(ast.parse(path.read_text("utf8"))))


def words(tree):
    """Every name and every text of a file, but for docstrings."""
    said = [ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in said:
            yield from node.value.split()
        yield from (getattr(node, field, None) for field in ("id", "attr", "arg", "name"))


def test_words_are_found_wherever_they_stand():
    found = set(words(ast.parse("def a(b): 'no docs'\nc.d('e', f=g)\nfrom h import i\nclass j: pass")))
    assert {*"abcdefgij"} <= found and "docs" not in found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_used_of_a_run_is_said(path):
    """`p` is a `Processing`, of which the pocket WebUI is known to have everything; never anything."""
    tree = ast.parse(path.read_text("utf8"))
    for found in (node.args for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
        for arg in [*found.posonlyargs, *found.args, *found.kwonlyargs]:
            assert arg.arg != "p" or (arg.annotation is not None and "Any" not in ast.unparse(arg.annotation)), (
                arg.lineno
            )


SET_DIRECTLY = {  # whose attributes are set otherwise than through `patching`, outside of their own class
    "settings": "a copy of a ControlNet unit that is this run's",
    "unit": "the same",
    "processed": "the host's result, which its hook hands over to be changed",
    "record": "a line of the log",
    **dict.fromkeys(
        (
            "answer",
            "failure",
            "layer",
            "line",
            "named",
            "picture",
            "samples",
            "results[0].messages",
            "saved",
            "video",
            "work",
        ),
        "ours",
    ),
    "component": "of our panel",
    "run.work": "ours",
}


@pytest.mark.parametrize(
    "path", [file for file in FILES if PACKAGE in file.parents], ids=lambda path: str(path.relative_to(ROOT))
)
def test_who_changes_the_host_does_it_through_patching(path):
    if room_of(path) in ("", "media", "media/reading", "media/writing"):
        return  # which know no host
    tree = ast.parse(path.read_text("utf8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            owner = ast.unparse(node.value)
            assert owner in {"self", *SET_DIRECTLY}, f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            of = ast.unparse(node.value) if isinstance(node.value, ast.Attribute) else "self."
            assert of.startswith("self.") or of in SET_DIRECTLY, f"line {node.lineno}: {of}"
        assert not (isinstance(node, ast.Name) and node.id in ("setattr", "delattr")), f"line {node.lineno}"


NOT_TAKEN_BACK = {  # (file, whose) -> why what `assign` and its like set there may stay
    **dict.fromkeys(
        [("batch_tab", "shared.state"), ("host_counters", "state"), ("host_counters", "shared.state")],
        "the host's counters, which its next job begins anew",
    ),
    ("listening", "shared.state"): "a skip of the run before",
    ("allowed_paths", "p"): "settings that the host could not put back",
    ("read", "p"): "a cell of a plot",
    **dict.fromkeys([("asked_p", "p"), ("planned", "p")], "made here, and never run"),
    ("control", "script"): "ControlNet's own last act, which it has not come to",
    ("script_runs", "processed"): "the result of the run",
    ("forge", "sd_model"): "inside of `preserved`",
    ("forge", "predictor"): "taken back in the same function, from wherever Forge has moved it to",
    ("forge_control", "controlnet"): "inside of `preserved`",
    **dict.fromkeys(
        [("forge_lora", "shared.sd_model"), ("forge_lora", "patcher.lora_loader")],
        "out of date, so that Forge loads and merges its networks anew",
    ),
    ("forge_lora", "net"): "what Forge makes anew whenever it loads networks",
    ("a1111_lora", "layer"): "inside of `preserved`, or for the host to apply its networks anew",
    **dict.fromkeys(
        [("a1111_lora", "table"), ("a1111_lora", "net"), ("a1111_lora", "net.modules")], "clears up what is ours"
    ),
    **dict.fromkeys(
        [("prompt_travel", "p"), ("host_init", "p"), ("init_pictures", "self._p")],
        "what the host makes anew for each batch",
    ),
    **dict.fromkeys(
        [("prompt_travel", "texts"), ("prompt_travel", "p.extra_generation_params")], "of this run, which copies them"
    ),
    ("lora_travel", "net"): "weights that the host sets anew whenever it loads networks",
    **dict.fromkeys(
        [("interrupted", "p.extra_generation_params"), ("replay", "self.p.extra_generation_params")],
        "of this run, which copies them",
    ),
    **dict.fromkeys([("init_pictures", "args"), ("loan", "params")], "what a hook is handed to change"),
    **dict.fromkeys(
        [("frozen_frames", "sampler"), ("replay", "denoiser"), ("replay", "denoiser.sampler")],
        "what the host notes anew in each step",
    ),
    ("kept_rows", "self._owners[owner]"): "what another extension keeps, and replaces in each call",
    ("control", "p"): "what ControlNet has copied of ours",
    ("borrowed_p", "copy"): "the same in copies of p",
}


def test_what_is_not_taken_back_has_a_reason():
    found = {
        (path.stem, ast.unparse(node.args[0]))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in KEPT_CHANGES
    }
    assert found == NOT_TAKEN_BACK.keys()


def test_the_errors_of_media_stand_at_one_place():
    for path in (PACKAGE / "media").rglob("*.py"):
        classes = [node for node in ast.walk(ast.parse(path.read_text("utf8"))) if isinstance(node, ast.ClassDef)]
        errors = [
            node.name
            for node in classes
            if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
        ]
        assert bool(errors) == (path.name == "errors.py"), f"{path.name}: {errors}"


def test_programs_are_started_at_one_place():
    """Which gives them nothing to read and no window, and ends those that hang."""
    starts = {
        path.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS
    }
    assert starts == {"child.py"}


def test_functions_and_files_are_small():
    """Lines of a function as they stand, decorators and docstring included."""
    for path in FILES:
        text = path.read_text("utf8")
        assert len(text.splitlines()) <= 300, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                assert node.end_lineno - first < 40, f"{path.name}: {node.name}"


def test_a_session_does_little_itself():
    tree = ast.parse((PACKAGE / "webui" / "run" / "session.py").read_text("utf8"))
    (session,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Session")
    assert len([node for node in session.body if isinstance(node, ast.FunctionDef)]) <= 8


def test_scripts_hold_no_state():
    for path in (ROOT / "scripts").glob("*.py"):
        tree = ast.parse(path.read_text("utf8"))
        assert not [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))], path.name
        assert len(path.read_text("utf8").splitlines()) <= 100
