"""The house rules, read from the code: who may import whom, and what no file does."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "motion_module"
NUMBERS, PICTURES = {"torch", "einops", "safetensors"}, {"PIL", "numpy", "imageio_ffmpeg"}
HOST = {"torch", "PIL", "numpy", "gradio", "fastapi", "modules"}
# Room -> the third-party packages and the other rooms that its files may import. "" is the package's own top.
ALLOWED = {
    "": (set(), set()),
    "core/module": (NUMBERS, {""}),
    "core/denoising": (NUMBERS, {"", "core/module"}),
    "core": (NUMBERS, {"", "core/module"}),
    "media": (PICTURES, {""}),
    "media/reading": (PICTURES, {"", "media"}),
    "media/writing": (PICTURES, {"", "media", "media/reading"}),
}
_BELOW = {*ALLOWED, "webui"}
ALLOWED["webui"] = (HOST, {""})
ALLOWED["webui/request"] = (HOST, _BELOW)
ALLOWED["webui/plan"] = (HOST, _BELOW | {"webui/request"})
for _room in ("page", "sampling", "controlnet", "output"):
    ALLOWED[f"webui/{_room}"] = (HOST, _BELOW | {"webui/request", "webui/plan"})
ALLOWED["webui/run"] = (HOST, set(ALLOWED))
ALLOWED["scripts"] = ({"gradio", "modules", "scripts"}, {"webui", "webui/run", "webui/page", "webui/request"})
OPEN = {
    "compat": {"webui/run", "webui/request", "core/denoising", "core/module"},
    "host": {"core/denoising", "core/module"},
    "host_types": {"core/denoising", "core/module"},
}  # files whose door is wider than their room's
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")])


def room_of(path):
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
    "GroupNorm32",
}
MATHS = {"core/denoising/schedule.py": {"alphas_cumprod"}}  # where it is a number of the field's, and no host's


@pytest.mark.parametrize("path", [file for file in FILES if file.name != "host.py"], ids=str)
def test_only_the_host_knows_what_one_kind_of_host_has(path):
    """A file for another kind of host beside `host.py` is then all that this one needs."""
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
    "shared.state": "what the host shows of a job while it runs",
    "record": "a line of the log",
    **dict.fromkeys(
        ("answer", "failure", "layer", "line", "named", "picture", "samples", "saved[-1]", "video"), "ours"
    ),
    "field": "a component of our panel",
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
        assert not (isinstance(node, ast.Name) and node.id in ("setattr", "delattr")), f"line {node.lineno}"


def test_the_errors_of_media_stand_at_one_place():
    for path in (PACKAGE / "media").rglob("*.py"):
        classes = [node for node in ast.walk(ast.parse(path.read_text("utf8"))) if isinstance(node, ast.ClassDef)]
        errors = [
            node.name
            for node in classes
            if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
        ]
        assert bool(errors) == (path.name == "errors.py"), f"{path.name}: {errors}"


def test_scripts_hold_no_state():
    for path in (ROOT / "scripts").glob("*.py"):
        tree = ast.parse(path.read_text("utf8"))
        assert not [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))], path.name
        assert len(path.read_text("utf8").splitlines()) <= 100
