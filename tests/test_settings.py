"""The one table of settings: every value is read through its row, or refused in one sentence by who needs it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.errors import ParamError
from motion_module.fields import Field
from motion_module.formats import WRITTEN
from motion_module.params import VideoParams
from motion_module.settings import PREFIX, Setting, Settings
from motion_module.wording import for_client

ROWS = Settings.rows()
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_every_row_is_complete(row):
    assert isinstance(row.field, Field) and row.field.label and row.name == PREFIX + row.key
    assert row.read(row.default) == row.default == getattr(Settings(), row.key)
    assert set(row.formats) <= set(WRITTEN) and set(row.needs) <= set(VideoParams.table())
    assert getattr(Settings, row.key) is row


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("mp4_crf", "x", "'x'; allowed is a whole number from 0 to 51."),
        ("mp4_crf", "23", "'23'; allowed is a whole number from 0 to 51."),
        ("mp4_crf", 52, "52; allowed is a whole number from 0 to 51."),
        ("webp_quality", None, "null; allowed is a whole number from 1 to 100."),
        ("webp_quality", True, "true; allowed is a whole number from 1 to 100."),
        ("webp_lossless", "false", "'false'; allowed is true or false."),
        ("mp4_tune", "nonsense", "'nonsense'; allowed is one of '', film, animation, grain."),
        ("frame_extract_days", -1, "-1; allowed is a number from 0 to 1,000,000."),
        ("default_save_formats", ["BMP"], '["BMP"]; allowed is a list of ' + ", ".join(WRITTEN) + "."),
        ("model_path", 5, "5; allowed is a text."),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(key, value, sentence):
    with pytest.raises(ParamError) as caught:
        getattr(Settings({key: value}), key)
    assert caught.value.detail == f"AnimateDiff: the setting animatediff_{key} is {sentence}"
    said = VideoParams.worded_for_page(caught.value.sentence)
    assert said.startswith(f'the setting "{getattr(Settings, key).field.label}" is ')


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("mp4_crf", 30.0, 30),
        ("mp4_preset", None, ""),
        ("mp4_tune", "film", "film"),
        ("model_path", ' "/motion modules" ', "/motion modules"),
        ("frame_extract_path", None, ""),
        ("frame_extract_gb", 2e-9, 2e-9),
        ("default_save_formats", ["MP4", "GIF"], ["GIF", "MP4"]),
    ],
)
def test_a_value_is_read_as_the_hosts_page_leaves_it(key, value, read):
    found = getattr(Settings({key: value}), key)
    assert found == read and type(found) is type(read)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(ROWS), JSON)
def test_any_json_is_read_or_refused_in_one_sentence(row, value):
    try:
        read = row.read(value)
    except ParamError as error:
        assert for_client(error.sentence).startswith(f"the setting {row.name} is ")
        assert error.detail.count("\n") == 0 and len(error.detail) < 600
    else:
        json.dumps(read)
        assert row.read(read) == read


def params(**fields):
    return VideoParams.from_json({"enable": True, **fields})


@pytest.mark.parametrize(
    ("wrong", "fields", "disturbed"),
    [
        ({"mp4_crf": "x"}, {"format": ["MP4"]}, True),
        ({"mp4_crf": "x"}, {"format": ["GIF", "WEBM", "PNG"]}, False),
        ({"webp_quality": None}, {"format": ["GIF", "WEBP"]}, True),
        ({"webp_quality": None}, {"format": ["AVIF"]}, False),
        ({"optimize_gif_palette": 1}, {"format": ["GIF"]}, True),
        ({"save_to_custom": "no"}, {"format": ["PNG"]}, True),
        ({"save_to_custom": "no"}, {"format": ["GIF"]}, False),
        ({"interp_slow": 0}, {"interp": "FFMPEG"}, True),
        ({"interp_slow": 0}, {}, False),
        ({"frame_extract_days": "x"}, {"video_source": "a.mp4"}, True),
        ({"frame_extract_days": "x"}, {"video_path": "frames"}, True),
        ({"frame_extract_gb": -1}, {"video_path": "frames"}, True),
        ({"frame_extract_remove": "x"}, {"video_path": "frames"}, False),
        ({"frame_extract_days": "x"}, {}, False),
        ({"alpha_schedule": "cosine"}, {}, True),
        ({"default_save_formats": "?"}, {}, False),
    ],
)
def test_a_wrong_setting_disturbs_only_who_looks_at_it(wrong, fields, disturbed):
    settings = Settings(wrong)
    if not disturbed:
        settings.check(params(**fields))
        return
    with pytest.raises(ParamError, match=next(iter(wrong))):
        settings.check(params(**fields))


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().mp4_crf = 3


def test_the_hosts_settings_are_read_at_one_place():
    """Else a default stands at two."""
    asked = re.compile(rf"opts\W+{PREFIX}|\b{PREFIX}({'|'.join(row.key for row in ROWS)})\b")
    files = [path for path in (ROOT / "motion_module").rglob("*.py") if asked.search(path.read_text("utf8"))]
    assert files == []
    assert isinstance(Settings.mp4_crf, Setting)


def test_a_list_that_may_stay_empty_says_what_that_means():
    """The page shows an empty box, and nothing else of it."""
    rows = [row for row in Settings.rows() if row.field.kind == "choice" and "" in row.field.choices]
    assert rows and all("empty: " in row.field.label for row in rows)
