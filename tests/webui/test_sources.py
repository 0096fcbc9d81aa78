"""What a request names is described before anything is decoded, and refused there if it cannot be."""

import sys

import imageio_ffmpeg
import pytest
from PIL import ImageFile
from test_video_in import wrong
from video_files import film, folder_of, gif, numbers_of

from motion_module.errors import UserError
from motion_module.media.reading import decode
from motion_module.params import VideoParams
from motion_module.webui.request import sources
from motion_module.webui.request.sources import described
from motion_module.webui.request.video_source import opened


def asked(**fields):
    return VideoParams.from_json(
        {"enable": True, **{name: v if isinstance(v, (int, bool)) else str(v) for name, v in fields.items()}}
    )


@pytest.fixture
def blind(pocket, monkeypatch):
    """From a call of this on, whoever decodes a picture or a film fails."""

    def no_more(*args, **kwargs):
        raise AssertionError("something is decoded")

    def shut():
        monkeypatch.setattr(ImageFile.ImageFile, "load", no_more)
        monkeypatch.setattr(decode, "Child", no_more)

    return shut


def test_nothing_is_asked_for(pocket):
    assert described(asked()) is None


def test_a_film_is_described(tmp_path, blind):
    path, masks = film(tmp_path / "clip.mp4", range(30), sound=True), folder_of(tmp_path / "m", range(30))
    blind()
    found = described(asked(video_source=path, mask_path=masks, every_nth=2, video_start=3))
    assert (found.name, found.path, found.title, found.size) == ("video_source", path, "clip.mp4", (64, 48))
    assert (found.count, found.fps, found.described.probe.sound, len(found.masks)) == (None, 12.5, True, 30)
    assert found.about == pytest.approx(14, abs=1)
    assert described(asked(video_source=path, video_length=5)).about == 5
    assert described(asked(video_source=path, drop_duplicates=True)).about is None


def test_a_gif_is_counted(tmp_path, blind):
    path = gif(tmp_path / "a.gif", range(9), 100)
    blind()
    for fields, count in (({}, 9), ({"video_start": 2, "every_nth": 3}, 3), ({"video_end": 4}, 5)):
        assert described(asked(video_source=path, **fields)).count == count
    assert described(asked(video_source=path, drop_duplicates=True)).count is None


def test_folders_are_described(tmp_path, blind):
    folder_of(tmp_path / "f" / "image", range(9))
    folder_of(tmp_path / "f" / "mask", range(9))
    better = folder_of(tmp_path / "better", range(3))
    blind()
    found = described(asked(video_path=tmp_path / "f", video_start=2, every_nth=3))
    assert (found.name, found.title, found.size, found.count) == ("video_path", "f", (16, 12), 3)
    assert (len(found.pictures), len(found.masks), found.fps) == (9, 9, None)
    found = described(asked(video_path=tmp_path / "f", video_start=2, every_nth=3, mask_path=better))
    assert [mask.parent for mask in found.masks] == [better] * 3
    alone = described(asked(mask_path=better))
    assert (alone.name, alone.title, alone.size, alone.count, len(alone.masks)) == (
        "mask_path",
        "better",
        None,
        None,
        3,
    )


def test_what_cannot_be_is_refused_in_the_words_of_reading(tmp_path, pocket):
    """Only damage inside of pictures, and where films end, is found later."""
    later = ("corrupt", "4.png", "9 frames", "one for each of the 9 frames")
    for fields, *says in wrong(tmp_path):
        try:
            params = asked(**fields)
        except UserError:
            continue  # the fields do not go together, whatever the files are
        with pytest.raises(UserError) as read, opened(params):
            pass
        try:
            described(params)
        except UserError as error:
            assert str(error) == str(read.value)
        else:
            assert any(word in said for word in later for said in says), fields


def test_without_ffmpeg_it_is_one_sentence(tmp_path, pocket, monkeypatch):
    """What the host did not install is named after the semicolon that the sentence goes on with."""
    path = film(tmp_path / "a.mp4", range(3))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "ffmpeg")  # as found on PATH
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    with pytest.raises(UserError, match=r"is '.*a\.mp4'; ffmpeg inside the package imageio-ffmpeg is missing: install"):
        described(asked(video_source=path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"is '.*a\.mp4'; imageio-ffmpeg, the package that brings ffmpeg, is missing"):
        described(asked(video_source=path))


def test_a_picture_of_89_million_pixels_is_not_decoded_to_be_described(tmp_path, blind):
    from test_odd_sources import gif_header

    (tmp_path / "large.gif").write_bytes(gif_header(9400, 9500))
    blind()
    found = described(asked(video_source=tmp_path / "large.gif"))
    assert (found.size, found.count) == ((9400, 9500), 1)


def test_too_many_frames_of_a_gif_are_refused_unseen(tmp_path, blind, monkeypatch):
    monkeypatch.setattr(sources, "MOST", 5)
    path = gif(tmp_path / "a.gif", range(9), 100)
    blind()
    with pytest.raises(UserError, match="video_source is .* has 9 frames, 5 are allowed; take fewer"):
        described(asked(video_source=path))


def test_masks_that_do_not_go_with_a_gif_are_refused_unseen(tmp_path, blind):
    path, masks = gif(tmp_path / "a.gif", range(9), 100), folder_of(tmp_path / "m", range(4))
    blind()
    with pytest.raises(UserError, match="mask_path is .* 4 masks; allowed is one, or one for each of the 9 frames"):
        described(asked(video_source=path, mask_path=masks))


def test_what_is_described_is_what_is_read(tmp_path, pocket):
    folder_of(tmp_path / "f", range(9))
    params = asked(video_path=tmp_path / "f", video_start=1, every_nth=2)
    source = described(params)
    with opened(params, source=source) as video:
        assert len(video.files) == source.count and numbers_of(video.files) == [1, 3, 5, 7]
