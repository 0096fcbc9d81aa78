"""The same pictures and frames as the real WebUI with AnimateDiff and ControlNet, over HTTP, with the same seeded weights.

With the address of a real WebUI in WEBUI_URL its answers are compared instead (tests/reference/README.md).
"""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from http_client import Client, set_folder
from PIL import Image
from regression import CASES, FILE
from runs import frames
from safetensors.torch import load_file

from motion_module.core.module.checkpoint import read_motion_weights
from tests.reference.reference_weights import make_all
from tests.running import webui

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
REQUESTS = {
    group: [path for path in sorted((REFERENCE / group).glob("*.json")) if not path.stem.endswith("-info")]
    for group in ("plain", "schedules", "video", "few_steps")
}
OTHERS_SINCE = {"Euler_Beta", "LCM_Beta"}  # after 1.10.1 the WebUI's schedule "Beta" has other noise levels
AFTER_RELEASE = re.compile(r"-\d+-g[0-9a-f]+$")
SAME = 0.05  # mean difference in 8-bit steps; a second run of the real WebUI differs by up to 0.011
BY_ROUNDING = {  # what the processor's rounding decides, in the real WebUI, too
    "LCM_i2i": 0.5,  # one of its timesteps, 509, lies just between two of those that the sampler knows
    "DPM_adaptive": 0.1,  # chooses its steps by an error that it estimates
}


@pytest.fixture(scope="module")
def reference_weights(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def reference_pocket(pocket, reference_weights):
    """The host with the reference's checkpoint, motion modules and settings."""
    from modules import initialize_pocket, sd_models, shared
    from scripts import global_state

    own_models, shared.cmd_opts.controlnet_dir = shared.cmd_opts.controlnet_dir, str(reference_weights / "controlnet")
    global_state.update_cn_models()
    info = sd_models.CheckpointInfo(str(reference_weights / "sd15tiny.safetensors"))
    info.register()
    shared.opts.data["sd_model_checkpoint"] = info.title
    shared.opts.data["animatediff_model_path"] = str(reference_weights / "motion")
    shared.opts.data["pad_cond_uncond"] = True
    shutil.copy(reference_weights / "lora" / "lcm_tiny.safetensors", pocket["lora"])
    sd_models.reload_model_weights()
    yield pocket
    (pocket["lora"] / "lcm_tiny.safetensors").unlink()
    initialize_pocket.reset_options()
    sd_models.reload_model_weights()
    shared.cmd_opts.controlnet_dir = own_models
    global_state.update_cn_models()


@pytest.fixture
def reference_client(pocket, request):
    """Requests to the host that is compared with the pictures."""
    if not webui.URL:
        return Client(request.getfixturevalue("reference_pocket"))
    set_folder("animatediff_model_path", str(pocket["data"] / "reference" / "motion"))
    client = Client(pocket)
    client.post("options", {"sd_model_checkpoint": "sd15tiny.safetensors", "pad_cond_uncond": True})
    return client


def read_request(path):
    """The body of a reference request, and the tab it is for."""
    body = _with_inputs(json.loads(path.read_text()))
    body |= {"save_images": False, "do_not_save_grid": True}
    for video in body.get("alwayson_scripts", {}).get("AnimateDiff", {}).get("args", []):
        video.update(format=["Frame"], blend="overwrite")
    return body, "img2img" if "init_images" in body else "txt2img"


def _with_inputs(value):
    """The same JSON with `@inputs/...` as the path of what is there, and `<@inputs/...>` as its content."""
    if isinstance(value, dict):
        return {key: _with_inputs(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_inputs(each) for each in value]
    if isinstance(value, str) and value.startswith("<@inputs/"):
        return base64.b64encode((REFERENCE / value[2:-1]).read_bytes()).decode()
    return str(REFERENCE / value[1:]) if isinstance(value, str) and value.startswith("@inputs/") else value


def expected(path):
    """What the real WebUI made of a request: (N, H, W, 3)."""
    if path.with_suffix(".npz").exists():
        return np.load(path.with_suffix(".npz"))["frames"].astype(int)
    pictures = sorted(path.parent.glob(f"{path.stem}-[0-9].png"))
    return np.stack([np.asarray(Image.open(picture).convert("RGB")) for picture in pictures]).astype(int)


@pytest.mark.parametrize(
    ("group", "count", "one_in"), [("plain", 19, 4), ("schedules", 35, 3), ("video", 8, 1), ("few_steps", 9, 3)]
)
def test_the_same_as_the_real_webui(reference_client, picked, group, count, one_in):
    assert len(REQUESTS[group]) == count
    different = {}
    for path in picked(REQUESTS[group], one_in):
        body, tab = read_request(path)
        reply = reference_client.post(tab, body)
        assert reply.status == 200, (path.stem, reply.body)
        want = expected(path)
        got = reply.pictures.astype(int)
        if "ControlNet" in body.get("alwayson_scripts", {}):
            got = got[: len(want)]  # the units' maps come after them
        assert got.shape == want.shape, path.stem
        difference = np.abs(got - want).mean()
        print(f"{path.stem}: {difference:.3f}")
        if difference > BY_ROUNDING.get(path.stem, SAME) and not (
            path.stem in OTHERS_SINCE and AFTER_RELEASE.search(reply.info["version"])
        ):
            different[path.stem] = difference
    assert not different


def test_the_references_motion_modules_are_recognised(reference_weights):
    found = {path.stem: read_motion_weights(path)[0].kind.name for path in (reference_weights / "motion").iterdir()}
    lightning = {f"animatediff_lightning_4step_{layout}": "AnimateDiff v2" for layout in ("comfyui", "diffusers")}
    numbered = {f"mm_sd15_v{i}_tiny": f"AnimateDiff v{i}" for i in (1, 2, 3)}
    assert found == {**numbered, **lightning, "AnimateLCM_sd15_t2v_tiny": "AnimateLCM"}


def test_lightning_is_the_same_in_both_of_its_layouts(reference_weights):
    """And the second is what diffusers itself takes without a key too many or too few."""
    diffusers = pytest.importorskip("diffusers")
    files = [
        reference_weights / "motion" / f"animatediff_lightning_4step_{kind}.safetensors"
        for kind in ("comfyui", "diffusers")
    ]
    (spec, paper), (other, adapter) = map(read_motion_weights, files)
    assert spec == other and paper.keys() == adapter.keys()
    assert all(torch.equal(paper[key], adapter[key]) for key in paper)
    made = diffusers.MotionAdapter(block_out_channels=spec.widths, motion_num_attention_heads=spec.heads)
    made.load_state_dict(load_file(files[1]), strict=True)


def test_a_lora_of_an_lcm_changes_the_same_layers_with_motion_layers_beside_them(reference_pocket):
    """The WebUI names layers by their places, and a motion layer moves the convolution of an Upsample."""
    client = Client(reference_pocket)
    still = {"model": "AnimateLCM_sd15_t2v_tiny.safetensors", "effect": 0.0, "video_length": 3, "batch_size": 3}
    own = {"override_settings": {"animatediff_alpha_schedule": "as the model"}}
    asked = {"prompt": "a cat <lora:lcm_tiny:0.8>", "sampler_name": "LCM", "scheduler": "SGM Uniform", "cfg_scale": 2}
    plain = client.plain(batch_size=3, **asked)
    assert np.abs(client.frames(still, **asked, **own) - plain).max() <= 1
    assert np.abs(client.plain(batch_size=3, **{**asked, "prompt": "a cat"}) - plain).mean() > 1


@pytest.mark.parametrize("case", CASES)
def test_the_same_frames_as_ever(pocket, case):
    """Small cases of our own."""
    want = np.load(FILE)[case].astype(int)
    got = frames(**CASES[case]).astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() < 0.5
