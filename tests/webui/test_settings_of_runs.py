"""A setting that is wrong, by a request or on the disk: refused before anything is made, and only by runs that look at it."""

import logging

import pytest
import runs
import snapshot
from http_client import SMALL, Client, gradient, png_base64

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.settings import Settings
from motion_module.webui.page import widgets
from motion_module.webui.request import motion_modules
from motion_module.webui.settings import check_settings, settings_of

NAME = {row.key: row.name for row in Settings.rows()}
WRONG = [
    ("mp4_crf", "x", {"format": ["MP4"]}, "'x'; allowed is a whole number from 0 to 51."),
    ("mp4_crf", 51.5, {"format": ["MP4"]}, "51.5; allowed is a whole number from 0 to 51."),
    ("mp4_preset", "quick", {"format": ["MP4", "PNG"]}, "'quick'; allowed is one of '', veryslow"),
    ("mp4_for_editors", True, {"format": ["GIF", "MP4"]}, "true; allowed is one of '', 10 bit 4:2:2, lossless RGB."),
    ("webp_quality", None, {"format": ["WEBP"]}, "null; allowed is a whole number from 1 to 100."),
    ("webp_lossless", "yes", {"format": ["WEBP"]}, "'yes'; allowed is true or false."),
    ("optimize_gif_palette", 1, {"format": ["GIF"]}, "1; allowed is true or false."),
    ("save_to_custom", "", {"format": ["PNG"]}, "''; allowed is true or false."),
    ("interp_slow", "no", {"format": ["PNG"], "interp": "FFMPEG"}, "'no'; allowed is true or false."),
    ("alpha_schedule", "cosine", {"format": ["PNG"]}, "'cosine'; allowed is one of as the motion module was trained"),
    ("least_memory", "yes", {"format": ["PNG"]}, "'yes'; allowed is true or false."),
]
EACH = pytest.mark.parametrize(
    ("key", "value", "fields", "sentence"), WRONG, ids=[f"{key}={value!r}" for key, value, *_ in WRONG]
)


@pytest.fixture
def client(pocket):
    return Client(pocket)


def refused(client, monkeypatch, key, fields, sentence, **body):
    """The request is answered by one sentence, before a sampler is made; nothing of the host and no file has changed."""
    from modules import processing, sd_samplers

    def make_no_sampler(*args, **kwargs):
        raise RuntimeError("sampling has begun")

    for module in (processing.sd_samplers, sd_samplers):
        monkeypatch.setattr(module, "create_sampler", make_no_sampler)
    before, files = snapshot.of_host(), client.written()
    scripts = {"AnimateDiff": {"args": [{"enable": True, "video_length": 4, **fields}]}}
    reply = client.post("txt2img", {**SMALL, "alwayson_scripts": scripts, **body})
    assert reply.status == 422 and "images" not in reply.body, reply.body
    assert reply.sentence.startswith(f"AnimateDiff: the setting {NAME[key]} is {sentence}")
    assert reply.sentence.endswith(".") and "\n" not in reply.sentence
    assert (snapshot.differences(before, snapshot.of_host()), client.written()) == ([], files)


@EACH
def test_a_request_with_a_wrong_setting_is_refused_before_sampling(client, monkeypatch, key, value, fields, sentence):
    refused(client, monkeypatch, key, fields, sentence, override_settings={NAME[key]: value})


@EACH
def test_so_is_a_wrong_one_that_is_stored(client, monkeypatch, key, value, fields, sentence):
    from modules import shared

    monkeypatch.setitem(shared.opts.data, NAME[key], value)
    refused(client, monkeypatch, key, fields, sentence)


def test_other_runs_do_not_mind(client, monkeypatch):
    from modules import shared

    others = {"mp4_crf": "x", "webp_quality": None, "interp_slow": "no", "frame_extract_days": "x"}
    for key, value in {**others, "default_save_formats": 5}.items():
        monkeypatch.setitem(shared.opts.data, NAME[key], value)
    reply = client.run({"format": ["GIF", "WEBM", "TXT"]})
    assert reply.kinds == ["GIF", "WEBM"] and list(reply.paths[0]) == ["GIF", "WEBM", "TXT"]
    plain = client.plain(override_settings={NAME["alpha_schedule"]: "cosine"})
    assert plain.shape == (1, 64, 64, 3)


def test_img2img_and_the_next_run(client, monkeypatch):
    body = {"init_images": [png_base64(gradient())], "override_settings": {NAME["mp4_crf"]: "x"}, **SMALL}
    scripts = {"AnimateDiff": {"args": [{"enable": True, "video_length": 4, "format": ["MP4"]}]}}
    assert client.post("img2img", {**body, "alwayson_scripts": scripts}).status == 422
    good = {**body, "override_settings": {NAME["mp4_crf"]: 40, NAME["mp4_preset"]: "ultrafast"}}
    assert client.post("img2img", {**good, "alwayson_scripts": scripts}).status == 200


def test_a_folder_of_frames_that_is_no_path(client, monkeypatch):
    from modules import shared

    monkeypatch.setitem(shared.opts.data, NAME["frame_extract_path"], 5)
    refused(client, monkeypatch, "frame_extract_path", {"format": ["GIF"]}, "5; allowed is a text.")


def test_people_on_the_page_read_the_settings_label(pocket):
    p = runs.make(animatediff=runs.video(format=["MP4"]), override_settings={NAME["mp4_crf"]: "x"})
    p.is_api = False
    with pytest.raises(ParamError) as caught:
        runs.run(p)
    assert "the setting \"MP4: quality (crf), lower is better\" is 'x'" in str(caught.value.detail)


def test_what_a_request_changes_counts_before_the_host_takes_it_over(pocket):
    p = runs.make(override_settings={NAME["mp4_crf"]: 30, NAME["model_path"]: "/etc"})
    assert settings_of().mp4_crf == 23
    assert settings_of(p).mp4_crf == 30
    assert settings_of(p).model_path == settings_of().model_path, "no request names folders"
    check_settings(p, VideoParams.from_json(runs.video(format=["MP4"])))


def test_the_page_comes_up_whatever_is_stored(pocket, monkeypatch, caplog):
    from modules import shared

    before = motion_modules.folders()
    with caplog.at_level(logging.WARNING):
        monkeypatch.setitem(shared.opts.data, NAME["default_save_formats"], ["BMP"])
        monkeypatch.setitem(shared.opts.data, NAME["model_path"], 5)
        assert widgets.default_of("format") == ["GIF", "PNG"]
        assert motion_modules.folders() == before[-1:]
    assert {record.getMessage().split(" is ")[0] for record in caplog.records} == {
        f"AnimateDiff: the setting {NAME[key]}" for key in ("default_save_formats", "model_path")
    }


def test_the_settings_page_has_every_row(pocket):
    """With the widgets that people know."""
    from modules import shared

    kinds = {row.key: shared.opts.data_labels[row.name].component.__name__ for row in Settings.rows()}
    assert kinds["alpha_schedule"] == "Radio" and kinds["default_save_formats"] == "CheckboxGroup"
    assert {kinds[key] for key in ("mp4_preset", "mp4_tune", "mp4_for_editors")} == {"Dropdown"}
    assert {kinds[key] for key in ("mp4_crf", "webp_quality")} == {"Slider"}
    assert {kinds[key] for key in ("frame_extract_days", "frame_extract_gb")} == {"Number"}
    assert {kinds[key] for key in ("model_path", "allowed_folders", "frame_extract_path")} == {"Textbox"}
    for row in Settings.rows():
        info = shared.opts.data_labels[row.name]
        assert (info.default, info.label) == (row.default, row.field.label)
        assert info.restrict_api == row.names_folders


def test_the_settings_stand_below_their_titles(pocket):
    from modules import shared

    shown, title = {}, None
    for key, info in shared.opts.data_labels.items():
        if info.section and info.section[0] == "animatediff":
            if info.do_not_save:
                title = info.default
            else:
                shown[key] = title
    assert shown == {row.name: f"<h3>{row.group}</h3>" for row in Settings.rows()}
    assert len(set(shown.values())) == 7
    asked = [row.key for row in Settings.rows() if "Reload UI" in shared.opts.data_labels[row.name].comment_after]
    assert asked == ["default_save_formats"], "all others count from the next video on"


@pytest.mark.parametrize(
    ("chosen", "of_host", "way"),
    [
        (None, "sdp", "sdp"),
        (None, "xformers", "xformers"),
        (None, "sub-quadratic", "sdp"),
        ("split", "xformers", "split"),
        ("sdp", "xformers", "sdp"),
    ],
)
def test_attention_is_that_of_the_webui_or_another_one(pocket, monkeypatch, chosen, of_host, way):
    from modules import sd_hijack, shared
    from motion_module.core.module import attention, attention_ways

    seen, real = set(), attention_ways.attended
    monkeypatch.setattr(attention, "attended", lambda *qkv: seen.add(attention_ways._CHOSEN.get()) or real(*qkv))
    monkeypatch.setattr(sd_hijack.model_hijack, "optimization_method", of_host)
    if chosen is not None:
        shared.opts.data["animatediff_attention"] = chosen
    runs.frames()
    assert seen == {way} and attention_ways._CHOSEN.get() == "sdp"
