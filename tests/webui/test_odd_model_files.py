"""Odd files among the motion modules: each is one that cannot be used, and everything else goes on."""

import os
import shutil

import numpy as np
import pytest
from http_client import set_folder

from tests.core.odd_files import ODD, WRONG_VALUES

NOT_LISTED = {"folder.safetensors", "pipe.safetensors", "socket.ckpt", "device.pt", "nowhere.safetensors"} | {
    "circle.safetensors"
}


@pytest.fixture
def use(client, tmp_path):
    """Makes a folder of odd files the folder of motion modules."""

    def put(*names, good=None):
        folder = tmp_path / "modules"
        folder.mkdir()
        for name in names:
            ODD[name][0](folder / name)
        if good:
            shutil.copy(good, folder / "zz_good.safetensors")
        set_folder("animatediff_model_path", str(folder))
        return folder

    return put


def model_of(reply):
    return reply.info["extra_generation_params"]["AnimateDiff"].split("model: ")[1].split(",")[0]


def refused(client, name):
    reply = client.post(
        "txt2img", {"steps": 1, "alwayson_scripts": {"AnimateDiff": {"args": [{"enable": True, "model": name}]}}}
    )
    assert reply.status == 422, reply.body
    assert "\n" not in reply.sentence
    return reply.sentence


def test_all_odd_files_together_hold_nothing_up(client, use, tiny, monkeypatch):
    import gradio as gr

    from motion_module.webui.page import panel
    from motion_module.webui.request import motion_modules

    use(*ODD, good=tiny["v1"])
    assert "zz_good.safetensors" in motion_modules.names()
    assert set(motion_modules.names()) - {"mm_tiny_v1.safetensors"} <= {"zz_good.safetensors", *WRONG_VALUES}
    listed, files = [], motion_modules.files
    monkeypatch.setattr(motion_modules, "files", lambda: listed.append(files()) or listed[-1])
    with gr.Blocks():
        shown = panel.build(False, "odd_{}".format).fields[1]
    assert len(listed) == 1, "the panel lists the folder once"
    assert "zz_good.safetensors" in shown.choices and shown.value == shown.choices[0]
    reply = client.run({"video_length": 2}, steps=1)
    assert model_of(reply) == "zz_good.safetensors"


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_by_its_name(client, use, tiny, name):
    use(name, good=tiny["v1"])
    sentence = refused(client, name)
    assert name in sentence
    assert (ODD[name][1] in sentence) or name in NOT_LISTED


def test_a_module_whose_values_are_wrong_is_passed_over_from_then_on(client, use, tiny, caplog):
    from motion_module.webui.request import motion_modules

    use("not_a_number.safetensors", good=tiny["v1"])
    assert motion_modules.names()[0] == "not_a_number.safetensors"  # nothing but its header has been read
    for _ in range(2):
        reply = client.run({"video_length": 2}, steps=1)
        assert model_of(reply) == "zz_good.safetensors"
    assert motion_modules.names()[0] == "zz_good.safetensors"
    assert "not_a_number.safetensors is damaged" in refused(client, "not_a_number.safetensors")


def test_where_nothing_can_be_used_the_sentence_says_why(client, use, tmp_path, monkeypatch):
    from motion_module.webui.request import motion_modules

    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", tmp_path / "own")
    use("not_a_number.safetensors")
    for _ in range(2):
        sentence = refused(client, "")
        assert "no motion module" in sentence and "not_a_number.safetensors is damaged" in sentence


def test_a_file_that_was_mended_is_read_again(client, use, tiny):
    folder = use("not_a_number.safetensors")
    assert "is damaged" in refused(client, "not_a_number.safetensors")
    shutil.copy(tiny["v1"], folder / "not_a_number.safetensors")
    assert client.run({"video_length": 2, "model": "not_a_number"}, steps=1).status == 200


def test_links_in_circles_come_to_an_end(client, use, tiny):
    from motion_module.webui.request import motion_modules

    folder = use(good=tiny["v1"])
    for name in ("a", "b", "c"):
        (folder / name).symlink_to(".", target_is_directory=True)
    (folder / "d").mkdir()
    (folder / "d" / "up").symlink_to("..", target_is_directory=True)
    assert [name for name in motion_modules.files() if "zz_good" in name] == ["zz_good.safetensors"]


def test_many_links_to_each_other_come_to_an_end(client, use, tiny, monkeypatch, caplog):
    from motion_module.webui.request import motion_modules

    monkeypatch.setattr(motion_modules, "_MOST_FOLDERS", 50)
    folder = use(good=tiny["v1"])
    for one in range(5):
        (folder / f"{one}").mkdir()
        for other in range(5):
            (folder / f"{one}" / f"to_{other}").symlink_to(f"../{other}", target_is_directory=True)
    assert "zz_good.safetensors" in motion_modules.files()
    assert "more than 50 folders" in caplog.text


def test_a_name_that_is_no_utf_8_is_listed_and_can_be_used(client, use, tiny):
    from motion_module.webui.request import motion_modules

    folder = use()
    shutil.copy(tiny["v1"], os.fsencode(folder) + b"/mm_\xff\xe4.safetensors")
    listed = "mm_\\udcff\\udce4.safetensors"
    assert listed in motion_modules.names()
    one, other = (client.run({"video_length": 2, "model": name}, steps=1) for name in (listed, ""))
    assert np.array_equal(one.pictures, other.pictures)
    assert "udcff" in one.info["extra_generation_params"]["AnimateDiff"]


def test_a_damaged_file_whose_name_is_no_utf_8(client, use):
    folder = use()
    with open(os.fsencode(folder) + b"/half_\xff.ckpt", "wb") as file:
        file.write(b"PK\3\4 cut off")
    assert "half_\\udcff.ckpt is damaged" in refused(client, "half_\\udcff.ckpt")


@pytest.mark.parametrize("name", ["\ud800", "mm_\udcff.safetensors", "\udfff" * 1000])
def test_half_a_sign_in_a_request_is_refused(client, name):
    sentence = refused(client, name)
    assert "model is" in sentence and "surrogate" in sentence


def test_a_reader_that_fails_otherwise_stops_nothing(client, use, tiny, monkeypatch, caplog):
    from motion_module.webui.request import motion_modules

    use("bytes.ckpt", good=tiny["v1"])
    read = motion_modules.inspect_motion_file

    def fail(path):
        if path.name == "bytes.ckpt":
            raise AssertionError("nobody thought of this")
        return read(path)

    monkeypatch.setattr(motion_modules, "inspect_motion_file", fail)
    assert "zz_good.safetensors" in motion_modules.names()
    assert "bytes.ckpt cannot be read (AssertionError: nobody thought of this)" in refused(client, "bytes.ckpt")
    assert "reading bytes.ckpt failed unexpectedly" in caplog.text


def test_without_a_hash_the_video_is_made_all_the_same(client, use, tiny, monkeypatch):
    """The host prints the name of a file that it reads, which fails where the name is no text."""
    from motion_module.webui.request import motion_modules

    def fail(*args, **kwargs):
        raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")

    use(good=tiny["v1"])
    monkeypatch.setattr(motion_modules.hashes, "sha256", fail)
    reply = client.run({"video_length": 2}, steps=1)
    assert "mm_hash" not in reply.info["extra_generation_params"]["AnimateDiff"]
