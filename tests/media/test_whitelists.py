"""Every input of every ffmpeg that is started names the protocols and formats that it may open."""

import ast
import subprocess
from pathlib import Path

import pytest
from media_clips import numbered_clip, numbered_frame
from read_back import read_infotext
from video_files import film

from motion_module.formats import WRITTEN
from motion_module.media.reading.reader import extract, sound_in
from motion_module.media.reading.timing import Selection
from motion_module.media.writing.clip import Sound
from motion_module.media.writing.interpolation import motion_compensated

MEDIA = Path(__file__).parents[2] / "motion_module" / "media"
WHITELISTS = ("-protocol_whitelist", "-format_whitelist")


@pytest.fixture
def started(monkeypatch):
    """The command line of every program that is started in the test; they run as ever."""
    commands = []
    popen = subprocess.Popen

    class Recorded(popen):
        def __init__(self, args, *rest, **more):
            commands.append([str(word) for word in args])
            super().__init__(args, *rest, **more)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return commands


def inputs_of(command):
    """The options of each input: what stands before its `-i`, behind the one before."""
    ends = [place for place, word in enumerate(command) if word == "-i"]
    return [command[start:end] for start, end in zip([0, *(end + 2 for end in ends)], ends, strict=False)]


def unguarded(commands):
    return [
        " ".join(command)
        for command in commands
        for options in inputs_of(command)
        if not all(name in options for name in WHITELISTS)
    ]


def test_every_input_has_both_whitelists(started, save, tmp_path):
    path = film(tmp_path / "source.mp4", range(9), sound=True)
    started.clear()  # that one was the test's own
    (tmp_path / "frames").mkdir()
    extract(path, Selection(), tmp_path / "frames", 100, lambda kept, met: None)
    assert sound_in(path, 0, 0.3)
    clip = numbered_clip(4, infotext="a cat", sound=Sound(path, 0, 0.3))
    report = save(clip, WRITTEN)
    assert not report.failures
    assert [read_infotext(report.files[name][0]) for name in ("MP4", "WEBM")] == ["a cat"] * 2
    list(motion_compensated([numbered_frame(number, (64, 48)) for number in range(3)], 1))
    sources = {
        Path(command[place + 1]).name for command in started for place, word in enumerate(command) if word == "-i"
    }
    assert sources >= {"source.mp4", "pipe:0"} and any(name.endswith(".txt") for name in sources)
    assert unguarded(started) == []


def test_no_input_is_named_but_where_the_whitelists_are():
    """A function that writes `-i` writes them as well."""
    found = []
    for file in MEDIA.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf8"))):
            if isinstance(node, ast.FunctionDef):
                words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                if "-i" in words:
                    found.append((file.name, node.name, words.issuperset(WHITELISTS)))
    assert found and all(guarded for *_, guarded in found), found


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_playlist_under_a_videos_name_is_not_followed(tmp_path, suffix, save):
    """Else its infotext would be what another file says, which it names."""
    (secret,) = save(numbered_clip(2, infotext="secret"), ["MP4"]).files["MP4"]
    playlist = secret.with_name(f"innocent{suffix}")
    for text in (
        f"ffconcat version 1.0\nfile {secret.name}\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n",
    ):
        playlist.write_text(text)
        with pytest.raises(subprocess.CalledProcessError):
            read_infotext(playlist)
