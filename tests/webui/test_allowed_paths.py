"""Which files a request may name, over HTTP and before any of them is looked at."""

import builtins
import io
import os
import tempfile
from pathlib import Path

import pytest
import snapshot
from control_videos import unit
from http_client import SMALL, Client, gradient, png_base64, set_folder
from PIL import Image
from video_files import film, folder_of

from motion_module.errors import ParamError, UserError
from motion_module.params import VideoParams
from motion_module.webui.page import settings
from motion_module.webui.request import allowed_paths, motion_modules, video_source
from motion_module.webui.request.allowed_paths import PATH_SETTINGS, SETTING, is_limited, is_reachable, permitted

LOCAL = [
    {},
    {"server_name": "127.0.0.1"},
    {"server_name": "localhost"},
    {"server_name": "::1"},
    {"server_name": "127.9.9.9"},
]
REACHABLE = [
    {"share": True},
    {"listen": True},
    {"ngrok": "token"},
    {"nowebui": True},
    {"server_name": "0.0.0.0"},
    {"server_name": "192.168.1.7"},
    {"server_name": "::"},
    {"server_name": "my-server"},
    {"server_name": "127.0.0.1.example.com"},
    {"listen": True, "server_name": "127.0.0.1"},
]


@pytest.fixture
def options(pocket, monkeypatch):
    """Sets options of the command line for the test."""
    from modules import shared

    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)

    def set_options(**values):
        for name, value in values.items():
            monkeypatch.setattr(shared.cmd_opts, name, value, raising=False)

    return set_options


@pytest.fixture
def server(options, pocket, tmp_path):
    """A host that other machines reach, and a client of it."""
    options(listen=True)
    return Client(pocket)


def ask(client, path="txt2img", control=None, **fields):
    scripts = {"AnimateDiff": {"args": [{"enable": True, "video_length": 2, "format": ["PNG"], **fields}]}}
    if control is not None:
        scripts["ControlNet"] = {"args": [control]}
    return client.post(path, {**SMALL, "steps": 1, "alwayson_scripts": scripts})


@pytest.mark.parametrize("given", LOCAL, ids=str)
def test_where_only_this_machine_reaches_it_everything_is_allowed(options, given, tmp_path):
    options(**given)
    assert not is_reachable() and not is_limited()
    assert permitted("video_path", "/etc") == "/etc" and permitted("video_path", "") == ""
    set_folder(SETTING, str(tmp_path))
    assert not is_reachable() and is_limited()  # whoever names folders means these
    assert permitted("video_path", str(tmp_path / "a")) == str(tmp_path / "a")
    with pytest.raises(ParamError):
        permitted("video_path", "/etc")


@pytest.mark.parametrize("given", REACHABLE, ids=str)
def test_a_server_that_others_reach_reads_its_own_folders_only(options, given):
    options(**given)
    assert is_reachable() and is_limited()
    with pytest.raises(ParamError):
        permitted("video_path", "/etc")


def test_what_gradio_does_by_itself_counts(options, monkeypatch):
    from modules import shared

    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert is_reachable()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert not is_reachable()
    monkeypatch.setattr(shared.demo, "share", True)
    assert is_reachable()


def test_the_folders_of_the_webui_are_allowed(options, pocket, tmp_path, monkeypatch):
    from modules import shared

    options(listen=True, gradio_allowed_path=[str(tmp_path / "served")])
    monkeypatch.setattr(shared.demo, "allowed_paths", [str(tmp_path / "shown")])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    for name in ("outdir_samples", "outdir_txt2img_samples", "outdir_grids", "outdir_save", "temp_dir"):
        shared.opts.data[name] = str(tmp_path / name)
    shared.opts.data[SETTING] = f'"{tmp_path / "my, films"}"\n{tmp_path / "c"}, {tmp_path / "d"}'
    inside = [
        "served",
        "shown",
        "temp/gradio",
        "outdir_samples",
        "outdir_txt2img_samples",
        "outdir_grids",
        "outdir_save",
    ]
    for name in (*inside, "temp_dir", "my, films", "c", "d"):
        path = str(tmp_path / name / "clip.mp4")
        assert permitted("video_source", path) == path, name
    path = str(pocket["data"] / "outputs" / "a.mp4")
    assert permitted("video_source", path) == path
    for name in ("temp", "temp/AnimateDiff frames", "served2", "my", "films", "outdir_samples/../x", ""):
        with pytest.raises(ParamError):
            permitted("video_source", f"{tmp_path}/{name}")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    assert permitted("video_source", str(tmp_path / "uploads" / "a.mp4"))


@pytest.mark.parametrize("folder", ["/", "//", "/tmp/..", "", " "])
def test_no_client_opens_the_whole_disk_with_the_folder_for_pictures(server, folder):
    """The host lets clients change these folders; the whole disk is none to save pictures in."""
    server.post("options", {"outdir_samples": folder, "outdir_txt2img_samples": folder})
    with pytest.raises(ParamError):
        permitted("video_path", "/etc")


def test_who_names_the_whole_disk_in_the_setting_means_it(options):
    options(listen=True)
    set_folder(SETTING, "/")
    assert permitted("video_path", "/etc") == "/etc"


def trees(base):
    """The same names twice: once they are there, once they are not."""
    there, missing = base / "there" / "x", base / "miss" / "x"
    there.parent.mkdir()
    film(there.parent / "x.mp4", range(3))
    folder_of(there / "image", range(3))
    folder_of(there / "mask", range(3))
    return there, missing


@pytest.mark.parametrize("field", ["video_source", "video_path", "mask_path", "batch_images", "mask:"])
def test_outside_is_one_sentence_whether_it_exists_or_not(server, field, tmp_path, monkeypatch):
    there, missing = trees(tmp_path)
    kinds = {"video_source": ".mp4", "video_path": "", "mask_path": "/mask", "batch_images": "/image", "mask:": "/mask"}
    inside = folder_of(server.pocket["data"] / "outputs" / "frames", range(3))
    before, sentences = snapshot.of_host(), []
    for tree in (there, missing):
        path = f"{tree}{kinds[field]}"
        looked = watch(monkeypatch, path)
        if field in ("batch_images", "mask:"):
            text = path if field == "batch_images" else f"{inside}\nmask:{path}"
            reply = ask(server, control={**unit(), "input_mode": "batch", "batch_images": text})
        else:
            reply = ask(server, **{field: path})
        monkeypatch.undo_watch()
        assert reply.status == 422, reply.body
        assert SETTING in reply.sentence and path in reply.sentence and reply.sentence.count(".") >= 1
        assert looked == [], "nothing but the links in it is looked at"
        sentences.append(reply.sentence.replace(path, "PATH"))
    assert sentences[0] == sentences[1]
    assert snapshot.differences(before, snapshot.of_host()) == []


@pytest.fixture
def monkeypatch(monkeypatch):
    """pytest's own, with one block that can be undone by itself."""
    inner = pytest.MonkeyPatch()
    monkeypatch.inner, monkeypatch.undo_watch = inner, inner.undo
    yield monkeypatch
    inner.undo()


def watch(monkeypatch, path):
    """The calls that find out about a path, besides lstat and readlink, by which links are followed."""
    looked = []

    def watched(module, name):
        original = getattr(module, name)

        def call(first, *args, **kwargs):
            if isinstance(first, (str, os.PathLike)) and os.fspath(first).startswith(path):
                looked.append((name, os.fspath(first)))
            return original(first, *args, **kwargs)

        monkeypatch.inner.setattr(module, name, call)

    for module, name in (
        (os, "stat"),
        (os, "scandir"),
        (os, "listdir"),
        (os, "open"),
        (os, "access"),
        (builtins, "open"),
    ):
        watched(module, name)
    watched(io, "open")
    return looked


def test_inside_is_read_as_ever(server):
    outputs = server.pocket["data"] / "outputs"
    (outputs / "clips").mkdir(parents=True, exist_ok=True)
    frames = folder_of(outputs / "clips" / "frames", range(3))
    clip = film(outputs / "clips" / "a.mp4", range(3))
    control = {**unit(), "input_mode": "batch", "batch_images": f" \"{frames}\" \nmask: '{frames}'"}
    assert ask(server, control=control).status == 200
    for fields in ({"video_source": f"“{clip}”"}, {"video_path": f"'{frames}'"}):
        assert ask(server, control=unit(), **fields).status == 200, fields
    missing = ask(server, video_path=f"{frames}/none")
    assert missing.status == 422 and "there is no folder" in missing.sentence and SETTING not in missing.sentence


def test_a_link_leads_nowhere_else(server, tmp_path):
    """Neither a folder nor one of the pictures in it."""
    secret = folder_of(tmp_path / "secret", range(3))
    outputs = server.pocket["data"] / "outputs" / "links"
    mixed = folder_of(outputs / "mixed", range(2))
    (mixed / "2.png").symlink_to(secret / "2.png")
    (outputs / "folder").symlink_to(secret)
    (outputs / "inner").mkdir()
    (outputs / "inner" / "image").symlink_to(secret)
    for name in ("mixed", "folder", "inner", "folder/../folder"):
        for field in ("video_path",) if name == "inner" else ("video_path", "mask_path"):
            reply = ask(server, **{field: f"{outputs}/{name}"})
            assert reply.status == 422 and SETTING in reply.sentence, (name, field, reply.body)
    control = {**unit(), "input_mode": "batch", "batch_images": str(mixed)}
    reply = ask(server, control=control)
    assert reply.status == 422 and SETTING in reply.sentence and str(secret) not in reply.sentence


def test_what_the_page_uploads_is_read(options, pocket):
    """It lies among gradio's temporary files."""
    options(listen=True)
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio") / "test-of-uploads"
    folder.mkdir(parents=True, exist_ok=True)
    path = film(folder / "clip.mp4", range(3))
    try:
        with open(path, "rb") as upload:
            params = VideoParams.from_json({"enable": True, "video_source": upload})
        with video_source.opened(params) as video:
            assert len(video.files) == 3
    finally:
        path.unlink()
        folder.rmdir()


def test_all_path_fields_are_judged_before_one_is_read(server, tmp_path):
    clip = film(server.pocket["data"] / "clip.mp4", range(3))
    reply = ask(server, video_source=str(clip), mask_path="/etc")
    assert reply.status == 422 and "mask_path" in reply.sentence and SETTING in reply.sentence


@pytest.mark.parametrize("place", ["input", "masks", "infotext"])
def test_the_batch_tab_reads_the_same_folders(options, pocket, tmp_path, place):
    """Its own fields: what AnimateDiff makes of them obeys the same rule."""
    from runs import make, video

    from motion_module.webui.request.batch_tab import animatediff_i2i_batch

    options(listen=True)
    good, bad = folder_of(pocket["data"] / "outputs" / "batch", range(2)), folder_of(tmp_path / "batch", range(2))
    p = make("img2img", animatediff=video(video_length=0))
    with pytest.raises(UserError, match=SETTING):
        animatediff_i2i_batch(
            p,
            f'"{bad if place == "input" else good}"',
            "",
            str(bad) if place == "masks" else "",
            [],
            use_png_info=place == "infotext",
            png_info_dir=str(bad),
        )


def test_no_request_changes_a_setting_that_names_folders(server, pocket, tmp_path):
    from modules import shared

    assert {
        name
        for name in shared.opts.data_labels
        if name.startswith("animatediff") and name.endswith(("path", "folders"))
    } == set(PATH_SETTINGS)
    before = {name: getattr(shared.opts, name) for name in PATH_SETTINGS}
    server.post("options", dict.fromkeys(PATH_SETTINGS, str(tmp_path)))
    assert {name: getattr(shared.opts, name) for name in PATH_SETTINGS} == before
    for name in PATH_SETTINGS:
        scripts = {"AnimateDiff": {"args": [{"enable": True, "video_length": 2}]}}
        body = {**SMALL, "override_settings": {name: str(tmp_path)}, "alwayson_scripts": scripts}
        for kept in (True, False):
            reply = server.post("txt2img", {**body, "override_settings_restore_afterwards": kept})
            assert reply.status == 422 and f"override_settings has {name};" in reply.sentence, reply.body
            plain = server.post("txt2img", {**body, "steps": 1, "alwayson_scripts": {}})
            assert plain.status == 200 and getattr(shared.opts, name) == before[name]


def test_folders_are_hidden_where_the_host_hides_its_own(pocket, monkeypatch):
    """With --hide-ui-dir-config the page neither shows nor takes them, and a request gets our sentence, not a 500."""
    from modules import shared

    labels = {name: shared.opts.data_labels[name] for name in PATH_SETTINGS}
    before = {name: getattr(shared.opts, name) for name in PATH_SETTINGS}
    monkeypatch.setattr(shared, "hide_dirs", {"visible": False})
    try:
        settings.register()
        for name in PATH_SETTINGS:
            info = shared.opts.data_labels[name]
            assert info.component_args["visible"] is False and info.restrict_api
            assert info.component(label="x", **info.component_args).visible is False
            assert shared.opts.set(name, "/etc") is False and getattr(shared.opts, name) == before[name]
        scripts = {"AnimateDiff": {"args": [{"enable": True}]}}
        body = {**SMALL, "override_settings": {PATH_SETTINGS[0]: "/etc"}, "alwayson_scripts": scripts}
        reply = Client(pocket).post("txt2img", body)
        assert reply.status == 422 and "override_settings" in reply.sentence
    finally:
        monkeypatch.undo()
        shared.opts.data_labels.update(labels)
    assert (
        "visible" not in labels[PATH_SETTINGS[0]].component_args or labels[PATH_SETTINGS[0]].component_args["visible"]
    )


def test_settings_take_pasted_quotes(pocket, tmp_path):
    (tmp_path / "motion").mkdir()
    set_folder("animatediff_model_path", f' "{tmp_path / "motion"}" ')
    assert tmp_path / "motion" in motion_modules.folders()
    set_folder("animatediff_frame_extract_path", f"“{tmp_path / 'frames'}”")
    assert video_source.frames_folder() == tmp_path / "frames"
    set_folder("animatediff_frame_extract_path", '""')
    assert video_source.frames_folder() == Path(tempfile.gettempdir()) / "AnimateDiff frames"


def test_the_setting_is_there(pocket):
    from modules import shared

    assert shared.opts.data_labels[SETTING].default == "" and allowed_paths.SETTING == "animatediff_allowed_folders"


@pytest.mark.parametrize("field", ["image", "input_image", "mask"])
def test_controlnets_own_fields_open_no_file_outside(server, tmp_path, field):
    """ControlNet reads a text that is the path of a file; nobody can tell by that which files there are."""
    there, missing = tmp_path / "private.png", tmp_path / "missing.png"
    Image.new("RGB", (64, 64)).save(there)
    said = []
    for path in (there, missing):
        fields = (
            {**unit(), "image": str(path)}
            if field != "mask"
            else {**unit(), "image": png_base64(gradient()), "mask": str(path)}
        )
        if field == "input_image":
            fields["input_image"] = fields.pop("image")
        reply = ask(server, control=fields)
        assert reply.status == 422, reply.body
        said.append(reply.sentence)
    assert said[0] == said[1] and "image of ControlNet unit 0 cannot be read" in said[0]


def test_controlnets_mask_folder_stays_inside(server, tmp_path):
    frames = folder_of(server.pocket["data"] / "outputs" / "in", range(3))
    fields = {**unit(), "input_mode": "batch", "batch_images": str(frames), "batch_mask_dir": str(tmp_path)}
    assert SETTING in ask(server, control=fields).sentence
