"""Loading a motion module imports nothing more of torch, and takes little more memory than what stays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.builders import of_the_pocket

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench_loading.py"
SLACK = 24e6  # bytes that a process takes besides, whatever it loads


def loaded(*files):
    done = subprocess.run([sys.executable, BENCH, "--load", *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A module of 150 MB in half precision, and the same in full precision."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("loading")
    half, full = folder / "half.safetensors", folder / "full.safetensors"
    of_the_pocket("weights").make_motion_module(half, version="v2", widths=(320, 320, 640, 640), frames=32, seed=1)
    save_file({name: value.float() for name, value in load_file(half).items()}, full)
    return half, full


def test_hardly_anything_is_imported(files):
    """Sines on the device "meta" made torch import 800 modules."""
    assert loaded(files[0])["imported"] < 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell the peak of memory")
@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)], ids=["half", "full", "another one after it"])
def test_little_more_memory_is_taken_than_what_stays(files, places):
    found = loaded(*(files[place] for place in places))
    assert found["peak"] < 1.1 * found["stays"] + SLACK
