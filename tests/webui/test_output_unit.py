"""The last step of a run: on stand-ins for the host's objects, and on the pocket host."""

import base64
import io
import json
import re
import tempfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageSequence
from read_back import read_infotext

from motion_module.errors import HostError
from motion_module.media.errors import WriterError
from motion_module.media.writing import WRITERS, saving
from motion_module.params import VideoParams
from motion_module.webui import host_counters, settings
from motion_module.webui.output import previews, response, saved_video, videos, write
from motion_module.webui.request import interpolation

FRAMES = 4


def picture(number, size=(32, 24)):
    return Image.fromarray(np.full((*size[::-1], 3), number * 8, np.uint8))


def number_of(image):
    return round(np.asarray(image.convert("RGB")).mean() / 8)


class Host:
    """`p`, `processed` and the host's settings of one run."""

    def __init__(self, folder, monkeypatch):
        self.opts = SimpleNamespace()
        self.state = SimpleNamespace(textinfo=None)
        for module in (host_counters, saved_video, response, write, settings, previews):
            monkeypatch.setattr(module, "shared", SimpleNamespace(opts=self.opts, state=self.state))
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(folder / "temp"))
        self.samples = folder / "samples"
        self.p = SimpleNamespace(is_api=True, outpath_samples=str(self.samples), extra_generation_params={"a": 1})
        self.processed = SimpleNamespace(extra_generation_params=self.p.extra_generation_params, comments="", seed=100)
        self.results(videos=1)

    def results(self, videos, grid=False, masks=0):
        frames = videos * FRAMES
        pictures = [picture(number) for number in range(frames)]
        for number, frame in enumerate(pictures):
            frame.info["parameters"] = f"info {number}"
        with_masks = [image for frame in pictures for image in [frame, *[Image.new("RGB", (32, 24))] * masks]]
        self.processed.images = [Image.new("RGB", (9, 9))] * grid + with_masks
        self.processed.infotexts = ["grid"] * grid + [f"info {number}" for number in range(frames)]
        self.processed.index_of_first_image = int(grid)
        self.processed.all_seeds = [100 + number for number in range(frames)]

    def save(self, *formats, **fields):
        params = VideoParams(format=list(formats), **fields)
        return videos.save_videos(self.p, self.processed, params, FRAMES)

    def folder(self):
        return self.samples / "AnimateDiff" / date.today().isoformat()

    def saved(self):
        return sorted(path.name for path in self.folder().iterdir())

    def kinds(self):
        """What `processed.images` holds, in short."""
        return [kind(image) for image in self.processed.images]


def kind(image):
    if isinstance(image, str):
        data = base64.b64decode(image)
        return "MP4" if data[4:8] == b"ftyp" else Image.open(io.BytesIO(data)).format
    return Path(getattr(image, "already_saved_as", "picture")).suffix or "picture"


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("formats", "kinds"),
    [
        (["GIF"], ["GIF"] * 2),
        (["PNG", "GIF"], ["GIF"] * 2),
        (["MP4", "GIF", "TXT"], ["GIF", "MP4"] * 2),
        (["MP4"], ["MP4"] * 2),
        (["PNG"], [".png"] * 8),
        (["Frame"], ["picture"] * 8),
        (["Frame", "TXT"], ["picture"] * 8),
        (["Frame", "MP4", "GIF"], ["GIF", "MP4"] * 2 + ["picture"] * 8),
        (["Frame", "PNG"], [".png"] * 8),
    ],
)
def test_what_api_clients_get(host, formats, kinds):
    host.results(videos=2)
    host.save(*formats)
    assert host.kinds() == kinds
    assert len(host.processed.infotexts) == len(kinds)
    json.dumps([image for image in host.processed.images if isinstance(image, str)])


@pytest.mark.parametrize(
    ("formats", "kinds"),
    [
        (["GIF", "PNG"], [".gif"] * 2),
        (["MP4", "GIF"], [".gif"] * 2),
        (["MP4"], [".gif"] * 2),
        (["PNG"], [".png"] * 8),
        (["GIF", "Frame"], [".gif"] * 2 + ["picture"] * 8),
    ],
)
def test_what_the_gallery_shows(host, formats, kinds):
    host.p.is_api = False
    host.results(videos=2)
    host.save(*formats)
    assert host.kinds() == kinds
    assert len(host.processed.infotexts) == len(kinds)
    for image in host.processed.images:
        assert isinstance(image, Image.Image)
        assert Path(getattr(image, "already_saved_as", host.samples)).exists()


def test_the_page_may_load_the_files_wherever_they_lie(host, monkeypatch):
    page = SimpleNamespace(temp_file_sets=[set()])
    monkeypatch.setattr(response.shared, "demo", page, raising=False)
    host.p.is_api = False
    (video,) = host.save("GIF", "MP4", "PNG", "TXT")
    assert page.temp_file_sets[0] == {str(video.files[name][0]) for name in ("GIF", "MP4", "TXT")}


def test_a_preview_is_no_result(host):
    """The gallery cannot play MP4; the GIF it shows instead lies among the temporary files."""
    host.p.is_api = False
    host.save("MP4")
    shown = Path(host.processed.images[0].already_saved_as)
    assert host.saved() == ["00000-100.mp4"]
    assert host.folder() not in shown.parents
    assert not any(part.startswith(".") for part in shown.parts)  # gradio serves no hidden file
    assert ".gif" not in host.processed.comments


@pytest.mark.parametrize(("fields", "frames"), [({}, 4), ({"interp": "FFMPEG", "interp_x": 1}, 7)])
def test_a_preview_lasts_as_long_as_the_video(host, fields, frames):
    host.p.is_api = False
    host.save("MP4", "Frame", fps=4, **fields)
    with Image.open(host.processed.images[0].already_saved_as) as image:
        seconds = sum(frame.info["duration"] for frame in ImageSequence.Iterator(image)) / 1000
        assert (image.n_frames, seconds) == (frames, pytest.approx(frames / (2 * 4 if fields else 4), abs=0.01))


def test_old_previews_go_and_those_of_a_run_stay(host, monkeypatch):
    monkeypatch.setattr(previews.forget_old, "__defaults__", (3,))
    host.p.is_api = False
    host.results(videos=5)
    host.save("MP4")
    shown = [Path(image.already_saved_as) for image in host.processed.images]
    folder = shown[0].parent
    (folder / "other.txt").write_text("not ours")
    assert sorted(folder.glob("*.gif")) == sorted(shown)
    host.results(videos=1)
    host.save("MP4")
    left = sorted(folder.iterdir())
    assert left == sorted([*shown[2:], Path(host.processed.images[0].already_saved_as), folder / "other.txt"])


def test_infotexts_belong_to_their_pictures(host):
    host.results(videos=2)
    host.save("GIF", "MP4", "Frame")
    firsts = ["info 0", "info 0", "info 4", "info 4"]
    assert host.processed.infotexts == firsts + [f"info {number}" for number in range(8)]
    assert host.processed.index_of_first_image == 0


def test_a_grid_and_masks_are_no_frames(host):
    host.results(videos=2, grid=True, masks=2)
    first, second = host.save("PNG")
    assert [number_of(frame) for frame in first.frames + second.frames] == list(range(8))
    assert (first.infotext, second.infotext) == ("info 0", "info 4")
    assert host.saved() == ["00000-100", "00001-104"]


def test_nothing_was_made(host):
    """Interrupted before the first picture, the host leaves an empty list and one infotext."""
    host.processed.images, host.processed.infotexts = [], ["info"]
    assert host.save("GIF") == []
    assert host.processed.images == []
    assert not host.samples.exists()


def test_names_and_folders(host):
    host.save("GIF", "MP4", "PNG", "TXT", request_id="job-7")
    assert host.saved() == [f"00000-100-job-7{suffix}" for suffix in ("", ".gif", ".mp4", ".txt")]
    assert sorted(path.name for path in (host.folder() / "00000-100-job-7").iterdir()) == [
        f"{n:05}.png" for n in range(4)
    ]


def test_paths_are_in_the_result_and_only_there(host):
    host.save("GIF", "PNG")
    base = str(host.folder() / "00000-100")
    assert host.processed.extra_generation_params == {"a": 1, response.FILES_KEY: [{"GIF": base + ".gif", "PNG": base}]}
    assert host.p.extra_generation_params == {"a": 1}
    assert host.processed.comments == f"4 frames, 0.5 s, 8 FPS, made in 1 s; in {host.folder()}\n"
    json.dumps(host.processed.extra_generation_params)


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"reverse": [0]}, [0, 1, 2, 3, 3, 2, 1, 0]),
        ({"reverse": [0, 1, 2]}, [0, 1, 2, 3, 2, 1]),
        ({"closed_loop": "A"}, [0, 1, 2, 3, 2, 1]),
        ({"closed_loop": "A", "batch_size": 4}, [0, 1, 2, 3, 2, 1]),
        ({"closed_loop": "A", "batch_size": 3}, [0, 1, 2, 3]),
        ({"closed_loop": "A", "reverse": [0]}, [0, 1, 2, 3, 3, 2, 1, 0]),
        ({"closed_loop": "R+P"}, [0, 1, 2, 3]),
    ],
)
def test_reverse_and_closed_loop(host, fields, numbers):
    (video,) = host.save("GIF", "PNG", **fields)
    assert [number_of(Image.open(path)) for path in video.files["PNG"]] == numbers
    with Image.open(video.files["GIF"][0]) as image:
        assert image.n_frames == len(numbers)


def test_speed_and_loop_number(host):
    (video,) = host.save("GIF", fps=4, loop_number=3)
    with Image.open(video.files["GIF"][0]) as image:
        assert (image.info["duration"], image.info["loop"]) == (250, 3)


def test_a_gif_that_holds_fewer_frames_is_told(host):
    (video,) = host.save("GIF", "MP4", fps=60, reverse=[0])
    with Image.open(video.files["GIF"][0]) as image:
        assert image.n_frames == 6
    told = "AnimateDiff saved GIF, but it holds 6 of the 8 frames, because browsers slow down more than 50 a second."
    assert host.processed.comments.startswith(f"{told}\n")
    assert host.processed.extra_generation_params[response.MESSAGES_KEY] == [told]


def test_infotext_is_embedded(host):
    (video,) = host.save("GIF", "MP4", "PNG", "TXT")
    assert {read_infotext(files[0]) for files in video.files.values()} == {"info 0"}
    assert read_infotext(video.files["PNG"][2]) == "info 2"


def test_no_infotext_where_the_person_wants_none(host):
    host.opts.enable_pnginfo = False
    for frame in host.processed.images:
        del frame.info["parameters"]
    (video,) = host.save("GIF", "MP4", "PNG")
    assert {read_infotext(files[0]) for files in video.files.values()} == {None}
    assert host.processed.infotexts == ["info 0", "info 0"]


def test_settings_reach_the_writers(host, monkeypatch):
    seen = []
    monkeypatch.setattr(write, "write_clip", lambda *args: seen.append(args[3]) or saving.write_clip(*args))
    host.save("GIF")
    host.opts.animatediff_mp4_crf, host.opts.animatediff_mp4_preset = 30.0, "fast"
    host.opts.animatediff_mp4_tune, host.opts.animatediff_optimize_gif_palette = None, True
    host.results(videos=1)
    host.save("GIF")
    before, after = seen
    assert (before.mp4_crf, before.mp4_preset, before.mp4_tune, before.optimize_gif_palette) == (23, "", "", False)
    assert (after.mp4_crf, after.mp4_preset, after.mp4_tune, after.optimize_gif_palette) == (30, "fast", "", True)


def test_frames_in_the_hosts_own_place(host):
    assert not saved_video.host_saves_frames(VideoParams(format=["PNG"]))
    host.opts.animatediff_save_to_custom = False
    assert saved_video.host_saves_frames(VideoParams(format=["PNG"]))
    assert not saved_video.host_saves_frames(VideoParams(format=["GIF"]))
    host.save("PNG", "GIF")
    assert host.saved() == ["00000-100.gif"]


def test_progress_is_told(host):
    seconds = iter((5.0, 5.1, 5.25, 5.35))
    progress = write.Progress(4, clock=lambda: next(seconds))
    told = []
    for done in (1, 2, 3):
        progress(done)
        told.append(host.state.textinfo)
    assert told == [
        "AnimateDiff: saving frame 1 of 4, 10 frames/s",
        "AnimateDiff: saving frame 2 of 4, 8 frames/s",
        "AnimateDiff: saving frame 3 of 4, 8.6 frames/s",
    ]


@pytest.mark.parametrize(("interp", "frames"), [("Off", 4), ("FFMPEG", 13)])
def test_progress_counts_every_frame(host, interp, frames):
    host.save("GIF", interp=interp, interp_x=3)
    assert host.state.textinfo.startswith(f"AnimateDiff: saving frame {frames} of {frames}, ")


def test_frames_between_are_not_held(host, monkeypatch):
    """Only a result that returns frames holds those that were made."""
    (video,) = host.save("GIF", "PNG", interp="FFMPEG", interp_x=3)
    assert (len(video.frames), len(video.files["PNG"])) == (4, 13)
    host.results(videos=1)
    (video,) = host.save("PNG", interp="FFMPEG", interp_x=3)
    assert host.kinds() == [".png"] * 13 == [".png"] * len(video.files["PNG"])
    host.results(videos=1)
    host.save("Frame", interp="FFMPEG", interp_x=3)
    assert host.kinds() == ["picture"] * 13


@pytest.mark.parametrize(
    "error", [WriterError("It is broken."), HostError("It is broken."), MemoryError("there is not enough memory")]
)
@pytest.mark.parametrize("formats", [["GIF", "PNG"], ["Frame"]])
def test_interpolation_fails_and_the_frames_are_saved_as_they_are(host, monkeypatch, formats, error):
    def broken(self, frames):
        yield frames[0]
        raise error

    monkeypatch.setattr(interpolation.Interpolation, "frames", broken)
    (video,) = host.save(*formats, interp="FFMPEG", interp_x=3)
    assert [number_of(frame) for frame in video.frames] == [0, 1, 2, 3]
    (message,) = video.messages
    assert message.startswith("AnimateDiff could not interpolate the frames, so they stay as generated: ")
    assert getattr(error, "sentence", str(error)).rstrip(".") in message
    if "GIF" in formats:
        with Image.open(video.files["GIF"][0]) as image:
            assert (image.n_frames, image.info["duration"]) == (4, 120)
        assert host.saved() == ["00000-100", "00000-100.gif"]


def test_an_interrupt_ends_the_interpolation_and_saves_the_frames(host, monkeypatch):
    real = interpolation.Interpolation.frames

    def interrupted(self, frames):
        for number, frame in enumerate(real(self, frames)):
            host.state.interrupted = number >= 5
            yield frame

    monkeypatch.setattr(interpolation.Interpolation, "frames", interrupted)
    (video,) = host.save("GIF", interp="FFMPEG", interp_x=3)
    assert "as generated: interrupted." in host.processed.comments
    with Image.open(video.files["GIF"][0]) as image:
        assert image.n_frames == 4


def break_formats(monkeypatch, *names):
    for name in names:

        def fail(self):
            raise WriterError("It is broken.")

        monkeypatch.setattr(WRITERS[name], "open", fail)


def test_one_encoder_fails(host, monkeypatch):
    break_formats(monkeypatch, "MP4")
    host.save("MP4", "GIF", "PNG")
    assert host.kinds() == ["GIF"]
    assert host.saved() == ["00000-100", "00000-100.gif"]
    assert host.processed.comments.startswith("AnimateDiff could not save MP4: It is broken.\n")


def test_the_only_video_fails_but_frames_are_there(host, monkeypatch):
    break_formats(monkeypatch, "MP4")
    host.save("MP4", "PNG")
    assert host.kinds() == [".png"] * 4
    assert "could not save MP4" in host.processed.comments


@pytest.mark.parametrize("formats", [["MP4"], ["GIF", "MP4"], ["MP4", "TXT"]])
def test_all_fail_and_the_frames_are_saved(host, monkeypatch, formats):
    break_formats(monkeypatch, "GIF", "MP4")
    with pytest.raises(HostError, match="could not save the video") as caught:
        host.save(*formats)
    assert caught.value.status_code == 500
    folder = Path(re.search(r"Its frames are in (.*)\.$", caught.value.detail).group(1))
    assert [number_of(Image.open(path)) for path in sorted(folder.iterdir())] == [0, 1, 2, 3]


def test_everything_fails(host, monkeypatch):
    break_formats(monkeypatch, "GIF", "PNG")
    with pytest.raises(
        HostError, match=r"^AnimateDiff could not save the video \(GIF: It is broken; PNG: It is broken\)\.$"
    ):
        host.save("GIF", "PNG")
    assert host.saved() == []


def test_a_folder_that_cannot_be_written(host, tmp_path):
    """Root can write everywhere, so a file lies in the place of the folder."""
    host.samples.write_text("")
    (video,) = host.save("GIF", "PNG")
    rescue = tmp_path / "temp" / "AnimateDiff" / date.today().isoformat()
    assert video.paths == {"GIF": str(rescue / "00000-100.gif"), "PNG": str(rescue / "00000-100")}
    assert f"cannot write to {host.folder()}" in host.processed.comments
    assert host.kinds() == ["GIF"]


def test_a_read_only_folder(host, read_only_folder, tmp_path):
    host.samples = read_only_folder
    host.p.outpath_samples = str(read_only_folder)
    (video,) = host.save("GIF", "PNG")
    rescue = tmp_path / "temp" / "AnimateDiff" / date.today().isoformat()
    assert video.paths == {"GIF": str(rescue / "00000-100.gif"), "PNG": str(rescue / "00000-100")}
    assert f"cannot write to {host.folder()}" in host.processed.comments
    assert "the disk is read-only" in host.processed.comments


@pytest.mark.parametrize("formats", [["APNG", "PNG"], ["APNG"]])
def test_a_full_disk_and_the_frames_are_saved_elsewhere(host, small_disk, tmp_path, formats):
    host.p.outpath_samples = str(small_disk)
    noise = [Image.effect_noise((600, 600), 99) for _ in range(3)]
    host.processed.images = [Image.merge("RGB", noise)] * FRAMES
    with pytest.raises(HostError, match="no space left on the disk") as caught:
        host.save(*formats)
    folder = Path(re.search(r"Its frames are in (.*)\.$", caught.value.detail).group(1))
    assert tmp_path / "temp" in folder.parents
    assert [Image.open(path).tobytes() for path in sorted(folder.iterdir())] == [host.processed.images[0].tobytes()] * 4
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_no_folder_at_all(host, tmp_path):
    host.samples.write_text("")
    (tmp_path / "temp").write_text("")
    with pytest.raises(HostError, match="neither to"):
        host.save("GIF", "PNG")


def test_a_relative_output_folder(host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host.p.outpath_samples = "outputs/txt2img-images"
    (video,) = host.save("GIF")
    assert video.paths["GIF"].startswith(str(tmp_path / "outputs/txt2img-images/AnimateDiff"))


# On the pocket host, through its own hooks.


@pytest.fixture
def run_video(pocket, tmp_path):
    import runs

    def run(*formats, settings=None, **fields):
        from modules import shared

        shared.opts.data.update({"outdir_txt2img_samples": str(tmp_path), **(settings or {})})
        p = runs.make(animatediff=runs.video(format=list(formats), **fields))
        return p, runs.run(p)

    return run


def test_a_run_on_the_host(run_video):
    _, processed = run_video("GIF", "MP4", "PNG", "TXT", "Frame", request_id="job7", reverse=[0], loop_number=2, fps=5)

    assert [kind(image) for image in processed.images] == ["GIF", "MP4"] + [".png"] * 8
    assert len(processed.infotexts) == 10
    (paths,) = json.loads(processed.js())["extra_generation_params"][response.FILES_KEY]
    assert list(paths) == ["GIF", "MP4", "PNG", "TXT"]
    assert all(Path(path).name.startswith("00000-42-job7") for path in paths.values())
    with Image.open(paths["GIF"]) as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (8, 2, 200)
    infotexts = {read_infotext(Path(path)) for path in paths.values()}
    assert len(infotexts) == 1
    assert infotexts.pop() == processed.infotexts[0]
    assert "AnimateDiff files" not in processed.infotexts[0]


def test_the_hosts_own_reader_knows_our_files(run_video):
    from modules import images

    _, processed = run_video("GIF", "WEBP", "APNG", "PNG")
    (paths,) = json.loads(processed.js())["extra_generation_params"][response.FILES_KEY]
    files = [Path(paths[name]) for name in ("GIF", "WEBP", "APNG")]
    for path in (*files, Path(paths["PNG"]) / "00000.png"):
        with Image.open(path) as image:
            text, _ = images.read_info_from_image(image)
        assert text == processed.infotexts[0]


def test_a_failing_encoder_does_not_end_the_run(run_video, monkeypatch):
    break_formats(monkeypatch, "MP4")
    _, processed = run_video("MP4", "GIF")
    assert [kind(image) for image in processed.images] == ["GIF"]
    assert "AnimateDiff could not save MP4" in processed.comments


def test_no_encoder_at_all_ends_the_run(run_video, monkeypatch):
    break_formats(monkeypatch, "MP4")
    with pytest.raises(HostError, match="Its frames are in"):
        run_video("MP4")


def test_frames_saved_by_the_host(run_video):
    p, processed = run_video("GIF", "PNG", settings={"animatediff_save_to_custom": False})
    (paths,) = json.loads(processed.js())["extra_generation_params"][response.FILES_KEY]
    assert list(paths) == ["GIF"]
    own = [path for path in Path(p.outpath_samples).rglob("*.png") if "AnimateDiff" not in path.parts]
    assert len(own) == 4
