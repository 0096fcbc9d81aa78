"""The one table of formats: what it says is so, and nothing else in the code lists formats."""

import ast
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from media_clips import numbered_clip
from PIL import Image
from video_files import film, streams

from motion_module import formats
from motion_module.formats import FORMATS, NAMES, WRITTEN, format_named
from motion_module.media.writing import WRITERS, Writer, gif
from motion_module.media.writing.clip import Clip, ClipInfo, Sound
from motion_module.params import VideoParams
from motion_module.settings import Setting, Settings

ROOT = Path(__file__).parents[2]
WRITING = ROOT / "motion_module" / "media" / "writing"
OF_PILLOW = ROOT / "motion_module" / "media" / "reading"  # whose names of what it reads stand there


def lists_in(source):
    """The lists in Python source that name two formats or more."""
    for node in ast.walk(ast.parse(source)):
        elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        named = [part.value for part in elements if isinstance(part, ast.Constant) and part.value in NAMES]
        if len(named) > 1:
            yield named


def test_every_row_that_is_written_has_a_file_and_every_file_a_row():
    files = {path.stem for path in WRITING.glob("*.py") if re.search(r"^WRITER = ", path.read_text("utf8"), re.M)}
    assert files == {name.lower() for name in WRITTEN}
    assert list(WRITERS) == list(WRITTEN) and all(issubclass(writer, Writer) for writer in WRITERS.values())


def test_no_two_formats_of_a_video_have_one_file():
    assert len({writer.suffix for writer in WRITERS.values()}) == len(WRITERS)


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES) == len(FORMATS)
    with pytest.raises(KeyError):
        format_named("BMP")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "motion_module").rglob("*.py")) if OF_PILLOW not in path.parents],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_other_file_lists_formats(path):
    assert list(lists_in(path.read_text("utf8"))) == []


def test_the_search_finds_what_it_looks_for():
    assert list(lists_in('A = ("GIF", "MP4")\nB = {"PNG": 1, "TXT": 2}\nC = ["PNG"]')) == [
        ["GIF", "MP4"],
        ["PNG", "TXT"],
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "javascript").glob("*.js")), ids=lambda path: path.name)
def test_no_script_of_the_page_names_formats(path):
    assert re.findall(rf"\b({'|'.join(NAMES[:-1])})\b", path.read_text("utf8")) == []


def test_what_is_shown_or_heard_is_a_video():
    for row in FORMATS:
        assert row.kind == "video" or not (row.in_img or row.in_video or row.sound or row.fastest), row.name
    assert gif._SHORTEST * format_named("GIF").fastest == 100


@pytest.mark.parametrize("name", WRITTEN)
def test_a_row_says_what_its_file_is(save, tmp_path, name):
    row = format_named(name)
    source = film(tmp_path / "source.mp4", range(9), sound=True)
    files = save(numbered_clip(3, sound=Sound(source, 0, 0.3)), [name]).files[name]
    assert len(files) == (3 if row.kind == "frames" else 1)
    if name != "AVIF" or ".avif" in Image.registered_extensions():  # which Pillow opens from 11.3 on
        opened = True
        try:
            Image.open(files[0]).close()
        except OSError:
            opened = False
        assert opened == row.picture
    if row.kind == "video":
        assert any("Audio: " in line for line in streams(files[0])) == row.sound


def test_help_texts_follow_the_table():
    table = VideoParams.table()
    assert table["format"].choices == NAMES and VideoParams().format == list(formats.DEFAULT)
    assert f"some are left out of {formats.limits_text()}." in table["fps"].more
    assert f"into {formats.listed(formats.WITH_SOUND)}." in table["keep_sound"].whole_help
    assert f"leaves {formats.listed(formats.NO_PICTURES)} out" in table["returned"].whole_help


@pytest.mark.parametrize(
    ("made", "so_far"),
    [
        (formats.VIDEOS, ["GIF", "MP4", "WEBP", "WEBM", "AVIF", "APNG"]),
        (formats.IN_IMG, ["GIF", "WEBP", "AVIF", "APNG"]),
        (formats.IN_VIDEO, ["MP4", "WEBM"]),
        (formats.WITH_SOUND, ["MP4", "WEBM"]),
        (formats.NO_PICTURES, ["MP4", "WEBM"]),
        (formats.FOLDERS, ["PNG"]),
        (formats.TEXTS, ["TXT"]),
        (formats.DEFAULT, ["GIF", "PNG"]),
    ],
)
def test_a_list_made_from_the_table_is_as_clients_know_it(made, so_far):
    """Rows that come later may stand between these."""
    known = {"GIF", "MP4", "WEBP", "WEBM", "AVIF", "APNG", "PNG", "TXT", "Frame"}
    assert [name for name in made if name in known] == so_far


def test_names_in_a_sentence():
    assert formats.listed(["A"]) == "A" and formats.listed(["A", "B", "C"]) == "A, B and C"
    for row in FORMATS:
        assert bool(re.search(rf"\b{row.name}\b[^\d]* above {row.fastest}\b", formats.limits_text())) == bool(
            row.fastest
        )


class _Watched(Settings):
    """Settings that note which of them a writer looks at."""

    def __getattribute__(self, name):
        if isinstance(vars(Settings).get(name), Setting):
            object.__getattribute__(self, "values").setdefault(name, vars(Settings)[name].default)
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("name", [row.name for row in FORMATS if row.written and row.kind == "video"])
def test_transparency_is_kept_where_the_row_says_so(save, name):
    frame = Image.new("RGBA", (32, 16), (200, 40, 40, 0))
    frame.paste((200, 40, 40, 255), (0, 0, 16, 16))
    (path,) = save(Clip([frame] * 2, ClipInfo()), [name]).files[name]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgba"]
    if name == "WEBP":  # which ffmpeg cannot read
        with Image.open(path) as image:
            pixels = image.convert("RGBA").tobytes()
    else:
        pixels = subprocess.run([*command, "-frames:v", "1", "-"], capture_output=True, check=True).stdout
    alpha = np.frombuffer(pixels, np.uint8).reshape(16, 32, 4)[..., 3]
    assert (alpha[:, :14] == 255).all() and (alpha[:, 18:] == (0 if format_named(name).alpha else 255)).all()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_writer_looks_at_no_setting_of_other_formats(save, name):
    """Else it would be found while saving that the setting is wrong."""
    watched = _Watched({})
    assert not save(numbered_clip(2), [name], watched).failures
    own = {row.key for row in Settings.rows() if name in row.formats} - {Settings.save_to_custom.key}  # not a writer's
    assert set(watched.values) == own
