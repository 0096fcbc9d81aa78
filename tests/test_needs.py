"""Which tests need no host: they are collected with nothing but the packages that CONTRIBUTING.md names for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS = {  # what is run -> the packages that it imports besides pytest and hypothesis
    "tests/test_*.py": "",
    "tests/media": "numpy PIL imageio_ffmpeg piexif",
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
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[3:]]))
"""


@pytest.mark.parametrize("tests", NEEDS)
def test_they_are_collected_with_these_packages_alone(tests):
    paths = sorted(map(str, ROOT.glob(tests)))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", GUARDED, str(ROOT), NEEDS[tests], *paths]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
