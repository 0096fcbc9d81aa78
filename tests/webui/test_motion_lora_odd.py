"""LoRA that cannot be used or that the host does not use: one sentence that names the LoRA, and nothing else stops."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from loras import SPATIAL, differ, lora_host, low_ranks, shot, spatial, unharmed, write
from odd_loras import DOWN, FILES, PLACES, VALUES
from runs import array, make, pictures, run, video
from safetensors.torch import load_file, save_file
from snapshot import differences, of_host

from tests.core.lora_layouts import LAYOUTS, in_layout, kohya


@pytest.fixture
def host(pocket, tiny):
    with lora_host(pocket, tiny) as made:
        yield made


def refused(prompt, monkeypatch, **request):
    """The sentence that a request for a video ends with; nothing is sampled."""
    from modules import sd_samplers_kdiffusion

    with monkeypatch.context() as patch:
        patch.setattr(sd_samplers_kdiffusion, "KDiffusionSampler", None)
        with pytest.raises(Exception) as caught:
            run(make("txt2img", video(), prompt=prompt, **request))
    assert caught.value.status_code == 422, caught.value
    assert caught.value.detail == str(caught.value)
    caught.value.detail.encode()
    return caught.value.detail


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("files", [FILES, VALUES, PLACES], ids=["files", "values", "places"])
def test_odd_files(host, files, monkeypatch):
    """All of them lie in the folder at once: each is refused by name where it is asked for, and only there."""

    write(host, "good", low_ranks())
    before, host_before = shot("a cat <lora:good:1>"), of_host()
    for name, (make_file, _) in files.items():
        make_file(host["lora"], name)
    if os.name == "posix":
        os.mkfifo(host["lora"] / "pipe.safetensors")
        (host["lora"] / "nowhere.safetensors").symlink_to("nothing")
    host["networks"].list_available_networks()
    assert {"good", *files} == host["networks"].available_networks.keys()
    for name, (_, sentence) in files.items():
        said = refused(f"a cat <lora:good:1><lora:{name}:0>", monkeypatch)
        assert re.search(rf"^AnimateDiff: .*\b{name}\b.*{sentence}", said), (name, said)
        assert host["networks"].networks_in_memory.get(name) is None
        assert not [net for net in host["networks"].loaded_networks if net.name == name]
    unharmed()
    assert np.array_equal(before, shot("a cat <lora:good:1>"))
    assert differences(host_before, of_host()) == []


def test_over_http(host, client):
    """The API's answer, and the next good one."""
    from http_client import SMALL

    def post(prompt):
        fields = {"enable": True, "video_length": 4, "model": "mm_tiny_v2.safetensors", "format": ["GIF"]}
        return client.post(
            "txt2img", {**SMALL, "prompt": prompt, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}}
        )

    for name in ("nan", "renamed"):
        {**FILES, **VALUES}[name][0](host["lora"], name)
        reply = post(f"a cat <lora:{name}:1>")
        assert reply.status == 422 and f"LoRA {name} " in reply.sentence
    assert post("a cat").status == 200
    if os.name == "posix":
        Path(os.fsdecode(os.fsencode(host["lora"]) + b"/caf\xe9.safetensors")).write_bytes(b"")
    host["networks"].list_available_networks()
    assert {"nan", "renamed", *(["caf?"] if os.name == "posix" else [])} <= {
        lora["name"] for lora in client.get("loras")
    }


@pytest.mark.parametrize("layout", ["AnimateDiff-MotionDirector", "diffusers, older", "below base_model.model."])
def test_layouts_of_trainers(host, layout):
    """Spatial layers beside those of the motion module, and feed-forward layers, in one file."""
    spatial(host)
    beside = load_file(host["lora"] / "spatial.safetensors")
    stem = f"lora_unet_{SPATIAL.replace('.', '_')}_to_v.lora"
    parts = {(f"{SPATIAL}.to_v", half): beside[f"{stem}_{half}.weight"] for half in ("down", "up")}
    generator = torch.Generator().manual_seed(3)
    for layer, (out, width) in {"ff.net.0.proj": (256, 32), "ff.net.2": (32, 128)}.items():
        path = f"down_blocks.0.motion_modules.1.temporal_transformer.transformer_blocks.0.{layer}"
        parts[path, "down"] = torch.randn(4, width, generator=generator) * 0.3
        parts[path, "up"] = torch.randn(out, 4, generator=generator) * 0.3
    save_file(in_layout(parts, LAYOUTS[layout]), host["lora"] / "trained.safetensors")
    save_file(in_layout(dict(list(parts.items())[2:]), kohya), host["lora"] / "motion.safetensors")
    trained = shot("a cat <lora:trained:1>")
    assert np.array_equal(trained, shot("a cat <lora:motion:1><lora:spatial:1>"))
    assert differ(trained, shot("a cat <lora:spatial:1>")) and differ(trained, shot("a cat <lora:motion:1>"))


def test_what_is_loaded_is_compared_with_what_was_asked_for(host, monkeypatch):
    """Tags that the host passes over with a line in its log."""
    write(host, "zoom", low_ranks())
    host["networks"].list_available_networks()
    for tag, sentence in {
        "<lora:zoom:much>": "LoRA zoom was not loaded for <lora:zoom:much>.* a number as the WEIGHT",
        "<lyco:zoom:1:1:some>": "LoRA zoom was not loaded",
        "<lora:te=1>": "<lora:te=1> names no LoRA",
        "<lora:zoom:nan>": "<lora:zoom:nan> has no number as its weight",
        "<lora:zoom:1:unet=inf>": "has no number as its weight",
    }.items():
        said = refused(f"a cat {tag}", monkeypatch)
        assert re.search(f"^AnimateDiff: .*{sentence}", said), said
    unharmed()


def test_a_file_that_is_gone_since_it_was_listed(host, monkeypatch):
    write(host, "zoom", low_ranks())
    host["networks"].list_available_networks()
    (host["lora"] / "zoom.safetensors").unlink()
    assert "LoRA zoom " in refused("a cat <lora:zoom:1>", monkeypatch)


def test_names_that_mean_the_same_file(host):
    """An alias, the same LoRA twice and a weight of 0 are loaded, each under the name that was asked for."""
    write(host, "zoom", low_ranks())
    path = host["lora"] / "zoom.safetensors"
    save_file(load_file(path), path, metadata={"ss_output_name": "maker's zoom"})
    host["networks"].list_available_networks()
    expected = shot("a cat <lora:zoom:0.5>")
    assert np.array_equal(expected, shot("a cat <lora:maker's zoom:0.5>"))
    assert np.array_equal(expected, shot("a cat <lora:zoom:0.5><lora:maker's zoom:0>"))
    shot("a cat <lora:zoom:0.5><lora:zoom:0.5>")


def test_a_lora_that_does_not_exist_is_a_comment_as_for_pictures(host):
    result = run(make("txt2img", video(), prompt="a cat <lora:missing:1>"))
    assert "Lora not found: missing" in result.comments


def test_an_odd_file_of_the_settings(host, monkeypatch):
    from modules import shared

    VALUES["nan"][0](host["lora"], "nan")
    host["networks"].list_available_networks()
    shared.opts.set("sd_lora", "nan")
    assert "LoRA nan " in refused("a cat", monkeypatch)


def test_an_odd_file_by_its_makers_name(host, monkeypatch):
    """The sentence has the name in the prompt and the file's."""
    path = host["lora"] / "file.safetensors"
    save_file(
        {"emb_params": torch.full((2,), torch.nan), DOWN: torch.ones(4, 32)}, path, metadata={"ss_output_name": "maker"}
    )
    host["networks"].list_available_networks()
    assert "LoRA maker (file) is not whole" in refused("a cat <lora:maker:1>", monkeypatch)


def test_pictures_are_the_hosts_own_affair(host):
    """The same file in a picture's prompt, before and after a video was refused: as the host has it."""
    PLACES["wide"][0](host["lora"], "wide")
    host["networks"].list_available_networks()
    expected = run(make("txt2img", prompt="a cat <lora:wide:1>"))
    assert "Networks with errors: wide (1)" in expected.comments
    pictures(prompt="a cat")  # the host counts errors where a layer's networks change
    with pytest.raises(Exception, match="wide does not fit"):
        run(make("txt2img", video(), prompt="a cat <lora:wide:1>"))
    again = run(make("txt2img", prompt="a cat <lora:wide:1>"))
    assert again.comments == expected.comments
    assert np.array_equal(array(expected.images), array(again.images))
