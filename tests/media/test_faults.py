"""Whatever goes wrong: the other formats are there, and no half file has a final name."""

import builtins
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from media_clips import INFOTEXT, decode_with_ffmpeg, decode_with_pillow, numbered_clip, numbered_frame
from PIL import Image, ImageSequence
from read_back import read_infotext

from motion_module.formats import WRITTEN
from motion_module.media import child, ffmpeg
from motion_module.media.writing import WRITERS, gif
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.encoded import VideoWriter
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip
from motion_module.settings import Settings

ROOT = Path(__file__).parents[2]
ALL = WRITTEN
BY_FFMPEG = {name: writer.encoder for name, writer in WRITERS.items() if issubclass(writer, VideoWriter)}
SUFFIXES = [writer.suffix for name, writer in WRITERS.items() if name not in BY_FFMPEG]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def check_only_ffmpeg_failed(report, folder, why, count=3):
    assert set(report.failures) == set(BY_FFMPEG)
    for name, reason in report.failures.items():
        assert why.replace("libx264", BY_FFMPEG[name]) in reason
    assert set(report.files) == set(ALL) - set(BY_FFMPEG)
    assert decode_with_pillow(report.files["GIF"][0]).numbers == list(range(count))
    assert len(report.files["PNG"]) == count
    assert names(folder) == sorted(f"00000-42{suffix}" for suffix in SUFFIXES)


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """An ffmpeg that lists its encoders and then does what `script` says."""

    encoders, containers = " ".join(BY_FFMPEG.values()), " ".join(WRITERS[name].container for name in BY_FFMPEG)

    def make(script):
        path = tmp_path / "fake-ffmpeg"
        lists = f'*-encoders*) printf "V %s x\\n" {encoders}; exit;; *-muxers*) printf "E %s x\\n" {containers}; exit;;'
        path.write_text(f'#!/bin/sh\ncase "$*" in {lists} esac\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    ffmpeg._listed.cache_clear()
    yield make
    ffmpeg._listed.cache_clear()


def test_the_encoder_refuses(save, tmp_path, monkeypatch):
    monkeypatch.setattr(WRITERS["MP4"], "arguments", lambda writer: ["-tune", "nonsense"])
    report = save(numbered_clip(3), ["MP4", "GIF"])
    assert "nonsense" in report.failures["MP4"]
    assert "exit code" in report.failures["MP4"]
    assert "0x" not in report.failures["MP4"]
    assert names(tmp_path / "out") == ["00000-42.gif"]


def test_ffmpegs_first_and_last_lines_are_told(save, fake_ffmpeg, tmp_path):
    fake_ffmpeg('echo "too hot" >&2; cat > /dev/null; echo "so" >&2; echo "disk on fire" >&2; exit 3')
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "ffmpeg failed with exit code 3: too hot; disk on fire")


def test_ffmpeg_dies_in_the_middle(save, fake_ffmpeg, tmp_path):
    fake_ffmpeg('head -c 9000 > /dev/null; echo "had enough" >&2; exit 1')
    report = save(numbered_clip(90), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "ffmpeg failed with exit code 1: had enough", 90)


def test_ffmpeg_is_killed(save, fake_ffmpeg, tmp_path):
    fake_ffmpeg("kill -9 $$")
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "ffmpeg was ended by signal 9: it gave no reason")


def test_a_talkative_ffmpeg_does_not_block(save, fake_ffmpeg):
    fake_ffmpeg("head -c 300000 /dev/zero | tr '\\0' 'x' | fold >&2; cat > /dev/null; exit 1")
    assert save(numbered_clip(3), ["MP4"]).failures["MP4"].endswith("xxx")


@pytest.mark.parametrize("script", ["exec sleep 99", "cat > /dev/null; exec sleep 99"], ids=["at once", "at the end"])
def test_an_ffmpeg_that_hangs_is_ended(save, fake_ffmpeg, monkeypatch, tmp_path, script):
    monkeypatch.setattr(child, "PATIENCE_S", 0.5)
    fake_ffmpeg(script)
    report = save(numbered_clip(90), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "ffmpeg did nothing for 0.5 seconds and was ended", 90)


def test_no_such_encoder(save, fake_ffmpeg, tmp_path):
    fake_ffmpeg("exit 1")
    script = Path(os.environ["IMAGEIO_FFMPEG_EXE"])
    script.write_text(script.read_text().replace(" ".join(BY_FFMPEG.values()), "other"))
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "no encoder libx264")


def test_an_ffmpeg_that_is_too_old(save, fake_ffmpeg):
    fake_ffmpeg("exit 1")
    script = Path(os.environ["IMAGEIO_FFMPEG_EXE"])
    script.write_text(script.read_text().replace("avif", "other"))
    report = save(numbered_clip(3), ["AVIF", "GIF"])
    assert report.failures["AVIF"].endswith("is too old for avif files: update imageio-ffmpeg")


def test_the_named_ffmpeg_is_not_there(save, monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "does not start")


def test_the_packages_ffmpeg_is_gone_and_path_is_not_searched(save, monkeypatch, tmp_path):
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "ffmpeg")  # as found on PATH
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "imageio-ffmpeg is missing")


def test_no_ffmpeg_at_all(save, monkeypatch, tmp_path):
    def nothing():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", nothing)
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "missing")


def test_imageio_ffmpeg_is_not_installed(save, monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "imageio_ffmpeg":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    report = save(numbered_clip(3), ALL)
    check_only_ffmpeg_failed(report, tmp_path / "out", "install it again")


def test_pillow_fails_in_one_format(save, monkeypatch, tmp_path):
    def broken(image):
        raise OSError("encoder error -2 when writing image file")

    monkeypatch.setattr(gif, "_encoded", broken)
    report = save(numbered_clip(3), ALL)
    assert report.failures == {"GIF": "OSError: encoder error -2 when writing image file"}
    assert "00000-42.gif" not in names(tmp_path / "out")


DISK_FULL = """
import json, resource, sys
from pathlib import Path
import numpy as np
from PIL import Image
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip
from motion_module.formats import WRITTEN
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
rng = np.random.default_rng(0)
frames = [Image.fromarray(rng.integers(0, 256, (120, 120, 3), np.uint8)) for _ in range(12)]
with claimed(Path(sys.argv[1]), 1) as claim:
    report = write_clip(Clip(frames, ClipInfo()), WRITTEN, claim)
print(json.dumps([report.failures, {name: len(files) for name, files in report.files.items()}]))
"""


def test_disk_full(tmp_path):
    """Files above 60 kB cannot be written: the GIF and the MP4 do not fit, frames and text do."""
    done = subprocess.run([sys.executable, "-c", DISK_FULL, str(tmp_path)], cwd=ROOT, capture_output=True, check=True)
    failures, files = json.loads(done.stdout)
    assert files == {"PNG": 12, "TXT": 1}
    for name, why in failures.items():
        assert why.startswith("ffmpeg ") if name in BY_FFMPEG else why == "there is no space left on the disk"
    assert names(tmp_path) == ["00000-1", "00000-1.txt"]


def test_a_small_disk(save, small_disk):
    """On a real disk of 1 MB: what fits is there and whole, nothing is left of the rest."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)) for _ in range(12)]
    report = save(Clip(frames, ClipInfo()), ALL, folder=small_disk)
    assert {"PNG", "APNG"} <= set(report.failures), "1.4 MB each"
    for name, why in report.failures.items():
        assert "no space left on" in why.lower(), name
    assert sorted({*report.failures, *report.files}) == sorted(ALL)
    assert names(small_disk) == sorted(f"00000-42{WRITERS[name].suffix}" for name in report.files)
    for name, (path,) in report.files.items():
        if name != "TXT":
            decode = decode_with_ffmpeg if name in BY_FFMPEG else decode_with_pillow
            assert len(decode(path).numbers) == 12


def test_disk_full_at_the_end_of_the_gif(save, monkeypatch, tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gif, "_shrink", full)
    report = save(numbered_clip(2), ["GIF", "TXT"], Settings({"optimize_gif_gifsicle": True}))
    assert report.failures == {"GIF": "there is no space left on the disk"}
    assert names(tmp_path / "out") == ["00000-42.txt"]


KILLED = """
import sys
from pathlib import Path
from PIL import Image
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip
from motion_module.formats import WRITTEN
def frames():
    for number in range(20):
        yield Image.new("RGB", (64, 64), (number, 0, 0))
    print("ready", flush=True)
    sys.stdin.read()
with claimed(Path(sys.argv[1]), 1) as claim:
    write_clip(Clip(frames(), ClipInfo()), WRITTEN, claim)
"""


def test_killed_in_the_middle(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert names(tmp_path) == [".00000.part"]
    frames = sorted((tmp_path / ".00000.part" / "00000-1").iterdir())
    assert len(frames) >= 14, "but for the last and those that waited"
    assert [Image.open(path).getpixel((0, 0))[0] for path in frames[:-1]] == list(range(len(frames) - 1))

    with claimed(tmp_path, 1) as claim:
        report = write_clip(numbered_clip(2), ALL, claim)
    assert report.failures == {}
    assert claim.stem == "00001-1"


WRITING = """
import sys
from pathlib import Path
from PIL import Image
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip
for number in range(6):
    with claimed(Path(sys.argv[1]), 1) as claim:
        frames = [Image.new("RGB", (32, 32), (40 * number, shade, int(sys.argv[2]))) for shade in (0, 99, 200)]
        report = write_clip(Clip(frames, ClipInfo()), ["GIF", "WEBP", "MP4", "PNG"], claim)
        assert not report.failures, report.failures
"""


def test_two_processes_in_one_folder(tmp_path):
    """Every clip of both is there, whole, and none holds frames of another."""
    running = [
        subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path), blue], cwd=ROOT) for blue in ("50", "250")
    ]
    assert [process.wait() for process in running] == [0, 0]
    stems = [f"{number:05}-1" for number in range(12)]
    assert names(tmp_path) == sorted(stem + suffix for stem in stems for suffix in ("", ".gif", ".mp4", ".webp"))
    found = []
    for stem in stems:
        frames = [Image.open(path).getpixel((0, 0)) for path in sorted((tmp_path / stem).iterdir())]
        assert [frame[1] for frame in frames] == [0, 99, 200]
        (mark,) = {(frame[0], frame[2]) for frame in frames}
        found.append(mark)
        for suffix in (".gif", ".webp"):
            with Image.open(tmp_path / f"{stem}{suffix}") as image:
                assert image.n_frames == 3
                shown = image.convert("RGB").getpixel((0, 0))
                assert max(abs(shown[0] - mark[0]), abs(shown[2] - mark[1])) < 12
    assert sorted(found) == sorted((40 * number, blue) for number in range(6) for blue in (50, 250))


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_frames_that_end_early_leave_nothing(tmp_path, kind):
    def frames():
        yield numbered_frame(0, (64, 48))
        raise kind("no more")

    with pytest.raises(kind, match="no more"), claimed(tmp_path, 1) as claim:
        write_clip(Clip(frames(), ClipInfo()), ALL, claim)
    assert names(tmp_path) == []


def test_no_frames(save, tmp_path):
    report = save(Clip([], ClipInfo()), ALL)
    assert report.files == {}
    assert set(report.failures.values()) == {"There are no frames to write"}
    assert names(tmp_path / "out") == []


def test_a_frame_of_another_size(save):
    frames = [numbered_frame(0, (64, 48)), numbered_frame(1, (64, 40))]
    report = save(Clip(frames, ClipInfo()), ALL)
    assert set(report.files) == {"PNG", "TXT"}
    assert report.failures["GIF"] == "Frame 1 is 64x40, the frames before it are 64x48"


def test_an_unknown_format_is_refused(save, tmp_path):
    with pytest.raises(KeyError):
        save(numbered_clip(1), ["GIF", "BMP"])


def test_gifsicle_is_not_needed(save, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    report = save(numbered_clip(3), ["GIF"], Settings({"optimize_gif_gifsicle": True}))
    assert decode_with_pillow(report.files["GIF"][0]).numbers == [0, 1, 2]
    assert [record.message for record in caplog.records] == ["gifsicle is not installed: the GIF is saved without it."]


_FAILED = "gifsicle failed, the GIF is saved without it: no memory"


@pytest.mark.parametrize(
    ("script", "smaller"),
    [
        ('for last; do :; done; shift 4; cp "$last" "$1"; printf x >> "$1"', True),
        ("echo 'no memory' >&2; exit 1", False),
    ],
)
def test_gifsicle_is_used_where_it_is(save, tmp_path, monkeypatch, caplog, script, smaller):
    program = tmp_path / "bin" / "gifsicle"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    path = save(numbered_clip(3), ["GIF"], Settings({"optimize_gif_gifsicle": True})).files["GIF"][0]
    assert path.read_bytes().endswith(b"x") == smaller
    assert decode_with_pillow(path).numbers == [0, 1, 2]
    assert names(tmp_path / "out") == ["00000-42.gif"]
    assert [record.getMessage() for record in caplog.records] == [_FAILED][smaller:]


@pytest.mark.skipif(shutil.which("gifsicle") is None, reason="gifsicle is not installed")
@pytest.mark.parametrize("best", [False, True])
def test_the_real_gifsicle_keeps_everything(save, tmp_path, best):
    still = [Image.effect_noise((63, 48), 99).convert("RGB")] * 3
    info = ClipInfo(fps=12, loop=3, infotext=INFOTEXT)
    clip = Clip([*still, *numbered_clip(40, (63, 48)).frames], info)
    shown = []
    for gifsicle in (False, True):
        (path,) = save(
            clip, ["GIF"], Settings({"optimize_gif_gifsicle": gifsicle, "optimize_gif_palette": best})
        ).files["GIF"]
        with Image.open(path) as image:
            pictures = [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(image)]
        found = decode_with_pillow(path)
        shown.append((pictures, found.seconds, found.loop, read_infotext(path)))
        assert shown[-1][1:] == (pytest.approx(43 / 12, abs=0.005), 3, INFOTEXT)
    assert shown[0] == shown[1]
    small, large = (tmp_path / "out" / f"0000{number}-42.gif" for number in (1, 0))
    assert small.stat().st_size < large.stat().st_size


def test_progress_is_told(tmp_path):
    seen = []
    with claimed(tmp_path, 1) as claim:
        write_clip(numbered_clip(5), ["TXT"], claim, on_frame=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_pictures_on_disk_are_read_once(tmp_path, save):
    """Frames that Pillow has opened but not decoded are decoded before the writers share them."""
    for number in range(4):
        numbered_frame(number, (64, 48)).save(tmp_path / f"{number}.png")
    frames = [Image.open(tmp_path / f"{number}.png") for number in range(4)]
    report = save(Clip(frames, ClipInfo()), ALL)
    assert report.failures == {}
    assert decode_with_pillow(report.files["GIF"][0]).numbers == [0, 1, 2, 3]
