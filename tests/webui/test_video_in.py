"""What a request's video, folder and masks become, and every way in which they can be wrong."""

import errno
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image
from video_files import DUPLICATES, ffmpeg, film, folder_of, gif, numbers_of

from motion_module.errors import HostError, UserError
from motion_module.params import VideoParams
from motion_module.webui.request import listening, sources, video_source
from motion_module.webui.request.video_source import opened


@pytest.fixture
def host(pocket, tmp_path):
    """The host, with a folder of this test for frames."""
    from modules import shared

    shared.opts.data["animatediff_frame_extract_path"] = str(tmp_path / "extracted")
    return shared


def open_video(**fields):
    return opened(
        VideoParams.from_json(
            {"enable": True, **{name: str(v) if isinstance(v, Path) else v for name, v in fields.items()}}
        )
    )


def test_nothing_is_asked_for(host):
    with open_video() as video:
        assert video is None


def test_15_a_file(host, tmp_path):
    path = film(tmp_path / "clip.mp4", DUPLICATES, sound=True)
    with open_video(video_source=path) as video:
        assert (video.name, video.title, video.fps, len(video.files)) == ("video_source", "clip.mp4", 25, 37)
        assert video.masks == () and video.sound is None and video.messages == ()
        assert all(file.is_file() and tmp_path / "extracted" in file.parents for file in video.files)
    with open_video(video_source=path, drop_duplicates=True) as video:
        assert len(video.files) == len(set(DUPLICATES)) and 27 / video.fps == pytest.approx(37 / 25, abs=0.01)
    with open_video(video_source=f' "{path}" ', video_length=5, every_nth=2, video_start=1) as video:
        assert len(video.files) == 5 and video.fps == 12.5


def test_15_a_folder(host, tmp_path):
    folder = folder_of(tmp_path / "frames", range(1, 201))
    with open_video(video_path=folder) as video:
        assert (video.name, video.title, video.fps) == ("video_path", "frames", None)
        assert numbers_of(video.files) == list(range(1, 201))
    with open_video(video_path=folder, video_start=9, video_end=20, every_nth=5) as video:
        assert numbers_of(video.files) == [10, 15, 20]
    with open_video(video_path=folder, video_length=16) as video:
        assert numbers_of(video.files) == list(range(1, 17))
    with open_video(video_path=folder, drop_duplicates=True, video_end=6) as video:
        assert [file.name for file in video.files] == ["1.png"]  # these differ by less than a sensor's noise


@pytest.mark.parametrize("masks", [1, 9, 3])
def test_masks_go_with_their_frames(host, tmp_path, masks):
    """One for all, one for each frame of the source, or one for each frame that is taken."""
    folder_of(tmp_path / "f" / "image", range(9))
    folder_of(tmp_path / "f" / "mask", range(masks))
    path = film(tmp_path / "clip.mp4", range(9))
    trim = {"video_start": 2, "every_nth": 3}
    expected = {1: [0], 9: [2, 5, 8], 3: [0, 1, 2]}[masks]
    with open_video(video_path=tmp_path / "f", **trim) as video:
        assert numbers_of(video.files) == [2, 5, 8] and numbers_of(video.masks) == expected
    with open_video(video_source=path, mask_path=tmp_path / "f" / "mask", **trim) as video:
        assert len(video.files) == 3 and numbers_of(video.masks) == expected
    with open_video(mask_path=tmp_path / "f" / "mask") as video:
        assert (video.name, video.files) == ("mask_path", ()) and len(video.masks) == masks


def test_mask_path_goes_before_the_masks_beside_the_frames(host, tmp_path):
    folder_of(tmp_path / "image", range(4))
    folder_of(tmp_path / "mask", range(4))
    folder_of(tmp_path / "better", range(10, 14))
    with open_video(video_path=tmp_path, mask_path=tmp_path / "better") as video:
        assert numbers_of(video.masks) == [10, 11, 12, 13]


def test_masks_of_a_film_that_is_not_read_to_its_end(host, tmp_path):
    path, masks = film(tmp_path / "clip.mp4", range(30)), folder_of(tmp_path / "m", range(30))
    with open_video(video_source=path, mask_path=masks, video_length=4, video_start=3) as video:
        assert numbers_of(video.masks) == [3, 4, 5, 6]


def test_sound_is_found_or_missed(host, tmp_path):
    path = film(tmp_path / "clip.mp4", range(30), sound=True)
    with open_video(video_source=path, keep_sound=True, video_start=10) as video:
        assert (video.sound, video.sound_start, video.messages) == (path, pytest.approx(0.4), ())
    for silent in (film(tmp_path / "silent.mp4", range(9)), gif(tmp_path / "a.gif", range(3), 100)):
        with open_video(video_source=silent, keep_sound=True) as video:
            assert video.sound is None and len(video.messages) == 1 and "no sound" in video.messages[0]


def wrong(base):
    """What may be asked for and cannot be: fields, and what the sentence says."""
    good, frames = film(base / "good.mp4", range(9)), folder_of(base / "frames", range(9))
    (base / "empty").mkdir()
    (base / "others").mkdir()
    (base / "others" / "notes.txt").write_text("x")
    (base / "empty.mp4").touch()
    (base / "corrupt.mp4").write_bytes(good.read_bytes()[:900])
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", base / "sound.m4a")
    for name, content in (("hole", b""), ("torn", (frames / "3.png").read_bytes()[:50]), ("text", b"hello")):
        shutil.copytree(frames, base / name)
        (base / name / "4.png").write_bytes(content)
    folder_of(base / "uneven" / "image", range(9))
    folder_of(base / "uneven" / "mask", range(4))
    folder_of(base / "maskless" / "image", range(9))
    (base / "maskless" / "mask").mkdir()
    source, path, masks = "video_source", "video_path", "mask_path"
    return [
        ({source: base / "nowhere.mp4"}, "video_source", "nowhere.mp4", "there is none"),
        ({source: frames}, "video_source", "frames", "it is a folder"),
        ({source: base / "empty.mp4"}, "video_source", "empty.mp4", "it is empty"),
        ({source: base / "corrupt.mp4"}, "video_source", "corrupt.mp4", "not a readable video"),
        ({source: base / "sound.m4a"}, "video_source", "sound.m4a", "only sound"),
        ({source: frames / "3.txt"}, "video_source", "3.txt", "there is none"),
        ({source: base / "others" / "notes.txt"}, "video_source", "notes.txt", "not a readable video"),
        ({source: "data:video/mp4;base64," + "A" * 9000}, "video_source", "path of a video file on the server"),
        ({source: "AAAA" * 3000}, "video_source", "path of a video file on the server"),
        ({source: good, "video_start": 9}, "video_source", "good.mp4", "9 frames", "nothing is left", "video_start"),
        ({source: good, path: frames}, "video_source", "video_path", "one of them"),
        ({source: good, "video_start": 5, "video_end": 2}, "video_end", "2", "video_start", "5"),
        ({source: good, masks: base / "uneven" / "mask"}, "mask_path", "4 masks", "one for each of the 9 frames"),
        ({source: good, masks: base / "empty"}, "mask_path", "empty", "has no pictures"),
        ({path: base / "nowhere"}, "video_path", "nowhere", "there is no folder"),
        ({path: base / ("long" * 1500)}, "video_path", "long", "there is no folder"),
        ({path: good}, "video_path", "good.mp4", "is a file, not a folder"),
        ({path: base / "empty"}, "video_path", "empty", "has no pictures"),
        ({path: base / "others"}, "video_path", "others", "has no pictures"),
        ({path: base / "hole"}, "video_path", "4.png", "is empty"),
        ({path: base / "torn"}, "video_path", "4.png", "cannot be read"),
        ({path: base / "text"}, "video_path", "4.png", "it is not a picture"),
        ({path: base / "uneven"}, "video_path", "4 masks", "one for each of the 9 frames"),
        ({path: base / "maskless"}, "video_path", "mask", "has no pictures"),
        ({path: frames, "video_start": 9}, "video_path", "9 pictures", "nothing is left"),
        ({masks: base / "nowhere"}, "mask_path", "nowhere", "there is no folder"),
        ({masks: base / "hole"}, "mask_path", "4.png", "is empty"),
    ]


def test_what_is_wrong_is_said_in_a_sentence(host, tmp_path):
    for fields, *says in wrong(tmp_path):
        with pytest.raises(UserError) as caught, open_video(**fields):
            pass
        sentence = str(caught.value)
        assert caught.value.status_code == 422 and sentence.startswith("AnimateDiff: "), fields
        assert all(words in sentence for words in says), (says, sentence)
        assert "\n" not in sentence and len(sentence) < 700, sentence
    assert (tmp_path / "extracted").is_dir() and not list((tmp_path / "extracted").rglob("*.part"))


def test_too_many_frames(host, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST", 5)
    path, folder = film(tmp_path / "clip.mp4", range(9)), folder_of(tmp_path / "frames", range(9))
    for fields in ({"video_source": path}, {"video_path": folder}):
        with (
            pytest.raises(UserError, match=f"{next(iter(fields))} is .*9 (frames|pictures), 5 are allowed; take fewer"),
            open_video(**fields),
        ):
            pass
        with open_video(**fields, video_end=4) as video:
            assert len(video.files) == 5


@pytest.mark.parametrize("remove", [True, False])
def test_frames_stay_or_go_as_the_setting_says(host, tmp_path, remove):
    host.opts.data["animatediff_frame_extract_remove"] = remove
    path = film(tmp_path / "clip.mp4", range(9))
    with open_video(video_source=path) as video:
        written = {file: file.stat().st_mtime_ns for file in video.files}
    assert all(file.exists() is not remove for file in written)
    with open_video(video_source=path) as video:
        assert len(video.files) == 9
        if not remove:
            assert {file: file.stat().st_mtime_ns for file in video.files} == written


def test_without_a_setting_frames_go_to_the_systems_temporary_files(host, monkeypatch, tmp_path):
    host.opts.data["animatediff_frame_extract_path"] = ""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    with open_video(video_source=film(tmp_path / "clip.mp4", range(3))) as video:
        assert tmp_path / "temp" / "AnimateDiff frames" in video.files[0].parents


def test_a_full_disk_is_told(host, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = film(tmp_path / "clip.mp4", range(3))
    monkeypatch.setattr(Image.Image, "save", full)
    with (
        pytest.raises(HostError, match="cannot be written to .*extracted: there is no space left on the disk"),
        open_video(video_source=path),
    ):
        pass
    assert list((tmp_path / "extracted").iterdir()) == []


def test_a_folder_for_frames_that_is_a_file_is_told(host, tmp_path):
    (tmp_path / "extracted").touch()
    with (
        pytest.raises(HostError, match="frames cannot be written to"),
        open_video(video_source=film(tmp_path / "clip.mp4", range(3))),
    ):
        pass


def test_an_interrupt_ends_reading(host, tmp_path):
    path, folder = film(tmp_path / "clip.mp4", range(9)), folder_of(tmp_path / "frames", range(9))
    host.state.interrupted = True
    try:
        for fields in ({"video_source": path}, {"video_path": folder}):
            with pytest.raises(UserError, match="interrupted"), open_video(**fields):
                pass
    finally:
        host.state.interrupted = False
    assert not (tmp_path / "extracted").exists()


@pytest.fixture
def texts(host, monkeypatch):
    """What is told while something is read; a button may be pressed when so many texts were told."""
    told, press = [], {}
    tell = listening.show_frame

    def telling(*args, **kwargs):
        if len(told) == press.get("at"):
            getattr(host.state, press["button"])()
        tell(*args, **kwargs)
        told.append(host.state.textinfo)

    monkeypatch.setattr(listening, "show_frame", telling)
    told.append("")
    yield told, press
    host.state.interrupted = host.state.skipped = host.state.stopping_generation = False
    host.state.textinfo = None


@pytest.mark.parametrize(
    ("button", "says"), [("interrupt", "interrupted"), ("skip", "skipped"), ("stop_generating", "interrupted")]
)
@pytest.mark.parametrize("fields", [{"drop_duplicates": True}, {"video_start": 25}, {}], ids=str)
def test_buttons_are_heard_while_a_film_is_read(tmp_path, texts, button, says, fields):
    told, press = texts
    press.update(at=3 if fields != {"video_start": 25} else 1, button=button)
    path = film(tmp_path / "clip.mp4", [3] * 30)
    with (
        pytest.raises(UserError, match=f"reading the video source was {says}"),
        open_video(**fields, video_source=path),
    ):
        pass
    assert len(told) == press["at"] and list((tmp_path / "extracted").iterdir()) == []


@pytest.mark.parametrize("duplicates", [False, True])
def test_buttons_are_heard_while_a_folder_is_read(tmp_path, texts, duplicates):
    told, press = texts
    press.update(at=4, button="skip")
    folder = folder_of(tmp_path / "frames", range(9))
    with pytest.raises(UserError, match="was skipped"), open_video(video_path=folder, drop_duplicates=duplicates):
        pass
    assert told[1:] == [f"AnimateDiff: reading the video source, frame {number} of 9" for number in range(3)]


def test_it_is_told_how_far_reading_is(tmp_path, texts):
    told, _ = texts
    path, still = film(tmp_path / "clip.mp4", range(30)), film(tmp_path / "still.mp4", [3] * 30)
    with open_video(video_source=path, video_length=12):
        assert told[-1] == "AnimateDiff: reading the video source, frame 12 of 12"
    with open_video(video_source=path, video_start=25):
        assert all("searching" not in text for text in told if "frame 25" not in text)
        assert any(text.endswith(" (searching frame 25)") for text in told)
    with open_video(video_source=still, drop_duplicates=True):
        assert told[-1] == "AnimateDiff: reading the video source, frame 30 of 30"


def test_buttons_are_heard_while_masks_are_read(host, tmp_path, monkeypatch):
    masks = folder_of(tmp_path / "m", range(9))
    seen = []

    def check_picture(file):
        seen.append(file)
        host.state.skipped = len(seen) == 3

    monkeypatch.setattr(video_source, "check_picture", check_picture)
    with pytest.raises(UserError, match="reading the masks was skipped"), open_video(mask_path=masks):
        pass
    assert len(seen) == 3
    host.state.skipped = False


def test_a_skip_of_the_run_before_does_not_end_reading(host, tmp_path):
    """The host forgets it only when it samples."""
    path = film(tmp_path / "clip.mp4", range(3))
    host.state.skipped = True
    try:
        with open_video(video_source=path) as video:
            assert len(video.files) == 3
    finally:
        host.state.skipped = False


def test_a_damaged_video_is_read_as_far_as_it_goes_with_a_message(host, tmp_path):
    whole = film(tmp_path / "whole.webm", range(40), options=["-g", "5"]).read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) // 2])
    with open_video(video_source=tmp_path / "cut.webm") as video:
        (message,) = video.messages
        assert "cut.webm is damaged" in message and f"{len(video.files)} frames of it could be read" in message
