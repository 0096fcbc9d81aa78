"""The house rules, read from the code: who may import whom, and what no file does."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "motion_module"
BOTTOM = {
    "errors",
    "idle",
    "knobs",
    "params",
    "patching",
    "paths",
    "stand_in",
    "travel",
    "travel_lines",
    "windows",
    "wording",
}
ALLOWED = {  # layer -> the third-party packages and the layers of ours it may import
    "bottom": (set(), set()),
    "core": ({"torch", "einops", "safetensors"}, {"core"}),
    "media": ({"PIL", "numpy", "imageio", "imageio_ffmpeg"}, {"media"}),
    "webui": ({"torch", "PIL", "numpy", "gradio", "fastapi", "modules"}, {"core", "media", "webui"}),
    "scripts": ({"gradio", "modules", "scripts"}, {"webui"}),
}
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")])


def layer_of(path):
    if path.parent == ROOT / "scripts":
        return "scripts"
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "bottom"


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name):
    parts = name.split(".")[1:] or [""]
    return "bottom" if parts[0] in BOTTOM | {"__version__", ""} else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_point_one_way(path):
    packages, layers = ALLOWED[layer_of(path)]
    for name in imports(ast.parse(path.read_text("utf8"))):
        top = name.split(".")[0]
        if top == "motion_module":
            assert ours(name) in layers | {"bottom"}, f"{path.name} imports {name}"
        else:
            assert top in sys.stdlib_module_names | packages | {"__future__"}, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_global_no_assert_no_bare_except(path):
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        assert not isinstance(node, (ast.Global, ast.Assert)), f"line {node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}"


def test_scripts_hold_no_state():
    for path in (ROOT / "scripts").glob("*.py"):
        tree = ast.parse(path.read_text("utf8"))
        assert not [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))], path.name
        assert len(path.read_text("utf8").splitlines()) <= 100
