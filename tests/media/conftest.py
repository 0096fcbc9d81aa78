import pytest

from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip


@pytest.fixture
def save(tmp_path):
    """Write a clip; returns the report."""

    def _save(clip, formats, options=None, folder=tmp_path / "out", seed=42, request_id=""):
        with claimed(folder, seed, request_id) as claim:
            return write_clip(clip, formats, claim, options)

    return _save
