"""The same pictures and frames as the real WebUI with an SDXL checkpoint, over HTTP, with the same seeded weights.

With the address of a real WebUI in WEBUI_URL its answers are compared instead (tests/reference/README.md).
"""

import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
from http_client import Client, set_folder
from test_reference import REFERENCE, SAME, expected, read_request

from motion_module.core.module.checkpoint import read_motion_weights
from tests.reference.reference_weights_xl import make_all
from tests.running import webui

REQUESTS = {
    group: [path for path in sorted((REFERENCE / "sdxl" / group).glob("*.json")) if not path.stem.endswith("-info")]
    for group in ("plain", "video")
}
SHA256 = {  # of the very files that the real WebUI had
    "sdxltiny.safetensors": "0a1933f0",
    "motion/mm_sdxl_beta_tiny.safetensors": "c59f0d32",
    "motion/hsxl_tiny.safetensors": "2e8e060a",
    "motion/hsxl_tiny_renamed.safetensors": "c7e79517",
    "lora/sdxltiny_lora.safetensors": "fd9d651e",
}


@pytest.fixture(scope="module")
def xl_weights(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("reference_xl"))


@pytest.fixture
def xl_pocket(pocket, xl_weights):
    """The host with the reference's checkpoint, motion modules, LoRA and settings."""
    from modules import initialize_pocket, sd_models, shared

    lora = shutil.copy(xl_weights / "lora" / "sdxltiny_lora.safetensors", pocket["lora"])
    info = sd_models.CheckpointInfo(str(xl_weights / "sdxltiny.safetensors"))
    info.register()
    shared.opts.data["sd_model_checkpoint"] = info.title
    shared.opts.data["animatediff_model_path"] = str(xl_weights / "motion")
    shared.opts.data["pad_cond_uncond"] = True
    sd_models.reload_model_weights()
    yield pocket
    os.remove(lora)
    initialize_pocket.reset_options()
    sd_models.reload_model_weights()


@pytest.fixture
def xl_client(pocket, request):
    """Requests to the host that is compared with the pictures."""
    if not webui.URL:
        return Client(request.getfixturevalue("xl_pocket"))
    set_folder("animatediff_model_path", str(pocket["data"] / "reference_xl" / "motion"))
    client = Client(pocket)
    client.post("options", {"sd_model_checkpoint": "sdxltiny.safetensors", "pad_cond_uncond": True})
    return client


def bare(infotext):
    """An infotext without the program's version, and without hashes, which were switched off there."""
    return re.sub(r', (Model hash: \w+|Lora hashes: "[^"]*"|Version: \S+)', "", infotext)


@pytest.mark.parametrize(("group", "count", "one_in"), [("plain", 22, 5), ("video", 10, 2)])
def test_the_same_as_the_real_webui(xl_client, picked, group, count, one_in):
    assert len(REQUESTS[group]) == count
    different = {}
    for path in picked(REQUESTS[group], one_in):
        body, tab = read_request(path)
        reply = xl_client.post(tab, body)
        assert reply.status == 200, (path.stem, reply.body)
        got, want = reply.pictures.astype(int), expected(path)
        assert got.shape == want.shape, path.stem
        difference = np.abs(got - want).mean()
        print(f"{path.stem}: {difference:.3f}")
        if difference > SAME:
            different[path.stem] = difference
        if group == "plain":
            theirs = json.loads(path.with_name(f"{path.stem}-info.json").read_text())
            assert [bare(text) for text in reply.info["infotexts"]] == [bare(text) for text in theirs["infotexts"]]
    assert not different


def test_the_weights_have_the_same_bits(xl_weights):
    for name, begins_with in SHA256.items():
        assert hashlib.sha256((xl_weights / name).read_bytes()).hexdigest().startswith(begins_with), name


def test_the_references_motion_modules_are_recognised(xl_weights):
    found = {path.stem: read_motion_weights(path)[0].kind.name for path in (xl_weights / "motion").iterdir()}
    assert found == {
        "mm_sdxl_beta_tiny": "AnimateDiff-SDXL",
        "hsxl_tiny": "HotShot-XL",
        "hsxl_tiny_renamed": "HotShot-XL",
    }


HOTSHOT = {"model": "hsxl_tiny.safetensors", "video_length": 4, "batch_size": 4}


def test_hotshot_keeps_the_schedule_of_its_checkpoint_unless_the_setting_picks_another(xl_pocket):
    """What others take for it, linear, is still offered; those pictures are the references."""

    def of(schedule):
        settings = {"override_settings": {"animatediff_alpha_schedule": schedule}} if schedule else {}
        return client.frames(HOTSHOT, steps=3, **settings)

    client = Client(xl_pocket)
    own = of("")
    assert np.array_equal(own, of("as the model"))
    assert np.abs(own - of("sqrt-linear")).max() <= 1, "Stable Diffusion's own, which SDXL has too"
    assert np.abs(own - of("linear")).mean() > 1


def test_hotshot_says_that_it_was_trained_on_eight_frames(xl_pocket):
    client = Client(xl_pocket)
    for frames, said in ((4, 1), (8, 0)):
        info = client.run({**HOTSHOT, "video_length": frames, "batch_size": frames}, steps=1).info
        messages = info["extra_generation_params"].get("AnimateDiff messages", [])
        assert sum("was trained on 8 frames at once" in message for message in messages) == said


def test_an_sdxl_checkpoint_that_is_not_loaded_is_known_by_its_header(xl_pocket, tiny):
    """Also the other way: what is asked for is judged, not what is loaded."""
    from modules import sd_models, shared

    client, other = Client(xl_pocket), {"override_settings": {"sd_model_checkpoint": "other.safetensors"}}
    body = {"alwayson_scripts": {"AnimateDiff": {"args": [{"enable": True, **HOTSHOT}]}}}
    refused, taken = client.plan({**body, **other}), client.plan(body)
    assert (taken.status, refused.status) == (200, 422)
    assert "made for SDXL" in refused.sentence and "checkpoint is SD1.5 with widths 32/64/64/64" in refused.sentence
    xl = shared.opts.sd_model_checkpoint
    shared.opts.data["sd_model_checkpoint"] = "other.safetensors"
    sd_models.reload_model_weights()
    beside = client.plan({**body, "override_settings": {"sd_model_checkpoint": xl}})
    assert not sd_models.model_data.sd_model.is_sdxl and beside.body == taken.body
    assert {each["fits"] for each in client.http.get("/animatediff/modules").json()} == {False}
