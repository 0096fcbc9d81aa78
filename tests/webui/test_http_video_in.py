"""Videos in, over HTTP: the source's rate and sound in what is made, and refusals that change nothing."""

from pathlib import Path

import pytest
import snapshot
from control_videos import unit
from http_client import SMALL, Client, gif_frames, mp4_frames, set_folder
from test_video_in import wrong
from video_files import DUPLICATES, film, folder_of, sound_of, streams

from motion_module.formats import WITH_SOUND, listed
from motion_module.webui.plan import infotext

ONE_STEP = {**SMALL, "steps": 1}
SHORT = {"video_length": 4, "batch_size": 4, "format": ["PNG"]}


class Watching(Client):
    """In every run a ControlNet unit looks at the source's frames; without one they would be refused."""

    def run(self, video, **fields):
        scripts = {"ControlNet": {"args": [unit()]}, "AnimateDiff": {"args": [{"enable": True, **video}]}}
        reply = self.post("txt2img", {**SMALL, "steps": 1, "alwayson_scripts": scripts, **fields})
        assert reply.status == 200, reply.body
        return reply


@pytest.fixture
def client(pocket, tmp_path):
    client = Watching(pocket)
    set_folder("animatediff_frame_extract_path", str(tmp_path / "extracted"))
    client.post("options", {"control_net_no_detectmap": True})  # its pictures would stand beside ours
    return client


def entry(reply):
    """Our entry in the generation parameters, parsed by the host."""
    from modules import infotext_utils

    return infotext_utils.parse_generation_parameters(reply.info["infotexts"][0])["AnimateDiff"]


def test_15_rate_and_sound_of_the_source_are_taken_over(client, tmp_path):
    path = film(tmp_path / "my clip.mp4", DUPLICATES, sound=True)
    fields = {"video_source": str(path), "keep_sound": True, "format": ["MP4", "WEBM", "GIF"], "fps": 8}
    reply = client.run({**SHORT, **fields})
    (paths,) = reply.paths
    for name in ("MP4", "WEBM"):
        count, fps, _ = mp4_frames(paths[name])
        assert (count, fps) == (4, 25), name
        assert any("Audio" in line for line in streams(paths[name])), name
        assert len(sound_of(paths[name])) / 8000 == pytest.approx(4 / 25, abs=0.06)
    assert sum(gif_frames(Path(paths["GIF"]).read_bytes())[1]) == 160
    written = entry(reply)
    assert "fps: 25," in written and "source: my clip.mp4" in written and "keep_sound: true" in written
    assert str(tmp_path) not in written
    assert "AnimateDiff messages" not in reply.info["extra_generation_params"]


def test_every_nth_slows_the_rate_and_is_recorded(client, tmp_path):
    path = film(tmp_path / "v.webm", range(20))
    reply = client.run({**SHORT, "video_source": str(path), "every_nth": 2, "video_start": 3})
    read = infotext.read(entry(reply))
    assert (read["fps"], read["every_nth"], read["video_start"]) == (12.5, 2, 3)


def test_a_folder_is_recorded_and_keeps_the_fields_rate(client, tmp_path):
    folder = folder_of(tmp_path / "frames, of: mine", range(1, 9))
    folder_of(tmp_path / "masks", [1])
    fields = {"video_path": str(folder), "mask_path": str(tmp_path / "masks"), "fps": 7}
    read = infotext.read(entry(client.run({**SHORT, **fields})))
    assert {name: read[name] for name in fields} == fields


SILENT = [
    ({"reverse": [0]}, "play backwards"),
    ({"closed_loop": "A"}, "play backwards"),
    ({"format": ["GIF"]}, f"{listed(WITH_SOUND)} only"),
]


@pytest.mark.parametrize(("fields", "says"), SILENT, ids=[str(case[0]) for case in SILENT])
def test_where_sound_makes_no_sense_the_reason_is_told(client, tmp_path, fields, says):
    path = film(tmp_path / "v.mp4", range(20), sound=True)
    asked = {**SHORT, "video_source": str(path), "keep_sound": True, "format": ["MP4"], **fields}
    reply = client.run(asked)
    (message,) = reply.info["extra_generation_params"]["AnimateDiff messages"]
    assert "keep_sound" in message and says in message
    for file in reply.paths[0].values():
        assert not any("Audio" in line for line in streams(file))


def test_sound_stays_with_frames_between_unless_they_slow_the_video(client, tmp_path):
    path = film(tmp_path / "v.mp4", range(20), sound=True)
    asked = {
        **SHORT,
        "video_source": str(path),
        "keep_sound": True,
        "format": ["MP4"],
        "interp": "FFMPEG",
        "interp_x": 1,
    }
    (paths,) = client.run(asked).paths
    assert mp4_frames(paths["MP4"])[:2] == (7, 50)
    assert len(sound_of(paths["MP4"])) / 8000 == pytest.approx(4 / 25, abs=0.06)
    client.post("options", {"animatediff_interp_slow": True})
    reply = client.run(asked)
    assert "plays slower" in reply.info["extra_generation_params"]["AnimateDiff messages"][0]
    assert not any("Audio" in line for line in streams(reply.paths[0]["MP4"]))


def test_a_source_without_sound_is_said_once(client, tmp_path):
    path = film(tmp_path / "v.mp4", range(20))
    reply = client.run({**SHORT, "video_source": str(path), "keep_sound": True, "format": ["MP4"]})
    (message,) = reply.info["extra_generation_params"]["AnimateDiff messages"]
    assert "keep_sound finds no sound" in message and reply.kinds == ["MP4"]
    assert not any("Audio" in line for line in streams(reply.paths[0]["MP4"]))


def test_16_no_ffmpeg_on_path_is_needed(client, tmp_path, monkeypatch):
    path = film(tmp_path / "v.mp4", range(20))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert client.run({**SHORT, "video_source": str(path)}).pictures.shape == (4, 64, 64, 3)


def test_temporary_frames_go_with_the_run_if_the_setting_says_so(client, tmp_path):
    path = film(tmp_path / "v.mp4", range(20))
    client.run({**SHORT, "video_source": str(path)})
    assert len(list((tmp_path / "extracted").rglob("*.png"))) == 4
    client.post("options", {"animatediff_frame_extract_remove": True})
    client.run({**SHORT, "video_source": str(path)})
    assert list((tmp_path / "extracted").iterdir()) == []
    bad = {"enable": True, "video_source": str(path), "model": "nowhere", "format": ["PNG"]}
    assert client.post("txt2img", {**ONE_STEP, "alwayson_scripts": {"AnimateDiff": {"args": [bad]}}}).status == 422
    assert list((tmp_path / "extracted").iterdir()) == []


def test_what_is_wrong_is_refused_and_changes_nothing(client, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "_digest", lambda tensor: (tensor.data_ptr(), tensor._version))
    before, files = snapshot.of_host(), client.written()
    for fields, *says in wrong(tmp_path):
        sent = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        video = {"enable": True, "format": ["GIF"], **SHORT, **sent, "video_length": 0}
        reply = client.post("txt2img", {**ONE_STEP, "alwayson_scripts": {"AnimateDiff": {"args": [video]}}})
        assert reply.status == 422, (fields, reply.body)
        # Nothing is read where nobody takes the frames; test_http_controlnet.py has a unit that does.
        by_reading = {"corrupt", "4.png", "9 frames"} & set(says) or ("one for each of the 9 frames" in says)
        if by_reading and "no ControlNet unit is enabled" in reply.sentence:
            continue
        assert all(words in reply.sentence for words in says), (says, reply.sentence)
        assert "images" not in reply.body
    assert client.written() == files
    assert snapshot.differences(before, snapshot.of_host()) == []
    picture = client.post("txt2img", ONE_STEP).pictures
    assert picture.shape == (1, 64, 64, 3)


def test_a_pasted_infotext_names_no_file_of_the_server(client):
    """What is pasted into a file or picture field of the panel would be shown, whatever file of the server it is."""
    text = 'enable: true, video_source: /etc/passwd, last_frame: "/etc/passwd", fps: 9'
    assert infotext.read(text) == {"enable": True, "fps": 9}


def test_the_panels_upload_is_a_path(client, tmp_path):
    """The page hands over an open temporary file."""
    from runs import script_of

    from motion_module.params import VideoParams

    path = film(tmp_path / "v.mp4", range(5))
    names = list(VideoParams.table())
    component = script_of("txt2img").infotext_fields[names.index("video_source")][0]
    upload = component.preprocess([{"name": str(path), "data": None, "is_file": True}])
    upload = upload[0] if isinstance(upload, list) else upload
    read = VideoParams.from_json({"enable": True, "video_source": upload}).video_source
    assert Path(read).read_bytes() == path.read_bytes()
    assert VideoParams.from_json({"enable": True, "video_source": component.preprocess(None)}).video_source is None
