"""Which tests need no host: what they import, also in functions, is there with nothing but the packages that
CONTRIBUTING.md names for them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS = {  # what is run -> the packages that it imports besides pytest and hypothesis
    "tests/test_*.py": "",
    "tests/media": "numpy PIL cv2 imageio_ffmpeg piexif",
    "tests/core": "torch einops safetensors numpy",
}
GUARDED = """
import sys
from importlib.machinery import PathFinder
root, allowed = sys.argv[1], {"pytest", "hypothesis", *sys.argv[2].split()}

class Guard:
    def find_spec(name, path=None, target=None):
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        ours = frame.f_code.co_filename.startswith(root) and "site-packages" not in frame.f_code.co_filename
        if not ours or name.partition(".")[0] in allowed:
            return
        found = PathFinder.find_spec(name, path)
        if found and found.origin and ("site-packages" in found.origin or found.origin.startswith(root + "/pocket/")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Guard)
import pytest
code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[4:]])
exec(compile(sys.argv[3], sys.argv[4], "exec"))  # as if they stood in the first of the tests
sys.exit(code)
"""


@pytest.mark.parametrize("tests", NEEDS)
def test_they_are_collected_with_these_packages_alone(tests):
    paths = sorted(map(str, ROOT.glob(tests)))
    late = "\n".join(imports_in_functions(tests))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", GUARDED, str(ROOT), NEEDS[tests], late, *paths]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]


def imports_in_functions(tests):
    """Lines that import when a test, or what stands beside it, is run."""
    for path in sorted(
        file for place in ROOT.glob(tests) for file in ([place] if place.is_file() else place.glob("*.py"))
    ):
        for function in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found = (node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom)))
                yield from map(ast.unparse, found)


def test_imports_in_functions_are_found():
    """Some do stand in functions, of which the test above would not know otherwise."""
    assert "from PIL import ImageOps" in list(imports_in_functions("tests/media"))
