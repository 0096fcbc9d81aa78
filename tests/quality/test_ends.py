"""A video that is to begin and to end with a picture does so, with the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest
from measuring import measured

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not (HERE.parents[1] / "pocket" / "model" / "pocket.safetensors").exists(),
    reason="there is no bundled model in this checkout",
)


def test_a_video_begins_and_ends_with_its_pictures(tmp_path: Path) -> None:
    """The bound has room: the encoder alone costs some of it."""
    found = measured("ends.py", tmp_path)
    bound = 0.75 * found["pictures"]
    assert found["first frame to first picture"] < bound < found["first frame to last picture"]
    assert found["last frame to last picture"] < bound < found["last frame to first picture"]
