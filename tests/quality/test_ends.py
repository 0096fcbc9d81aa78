"""A video that is to begin and to end with a picture does so, with the bundled model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not (HERE.parents[1] / "pocket" / "model" / "pocket.safetensors").exists(),
    reason="there is no bundled model in this checkout",
)


def test_a_video_begins_and_ends_with_its_pictures() -> None:
    """The bound has room: the encoder alone costs some of it."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "POCKET_PYTHON": "current"}
    run = subprocess.run([sys.executable, str(HERE / "ends.py")], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    print(found)
    bound = 0.75 * found["pictures"]
    assert found["first frame to first picture"] < bound < found["first frame to last picture"]
    assert found["last frame to last picture"] < bound < found["last frame to first picture"]
