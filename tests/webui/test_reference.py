"""The same pictures and frames as the real WebUI with AnimateDiff and ControlNet, over HTTP, with the same seeded weights.

With the address of a real WebUI in WEBUI_URL its answers are compared instead (tests/reference/README.md).
"""

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest
from http_client import Client
from PIL import Image
from regression import CASES, FILE
from runs import frames

from motion_module.core.module.checkpoint import read_motion_weights
from tests.reference.reference_weights import make_all

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
REQUESTS = {
    group: [path for path in sorted((REFERENCE / group).glob("*.json")) if not path.stem.endswith("-info")]
    for group in ("plain", "video")
}
SAME = 0.05  # mean difference in 8-bit steps; a second run of the real WebUI differs by up to 0.011


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
    sd_models.reload_model_weights()
    yield pocket
    initialize_pocket.reset_options()
    sd_models.reload_model_weights()
    shared.cmd_opts.controlnet_dir = own_models
    global_state.update_cn_models()


@pytest.fixture
def reference_client(request):
    """Requests to the host that is compared with the pictures."""
    url = os.environ.get("WEBUI_URL")
    return Client({"url": url.rstrip("/")} if url else request.getfixturevalue("reference_pocket"))


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
    if path.parent.name == "video":
        return np.load(path.with_suffix(".npz"))["frames"].astype(int)
    pictures = sorted(path.parent.glob(f"{path.stem}-[0-9].png"))
    return np.stack([np.asarray(Image.open(picture).convert("RGB")) for picture in pictures]).astype(int)


@pytest.mark.parametrize(("group", "count"), [("plain", 19), ("video", 8)])
def test_the_same_as_the_real_webui(reference_client, group, count):
    assert len(REQUESTS[group]) == count
    different = {}
    for path in REQUESTS[group]:
        body, tab = read_request(path)
        reply = reference_client.post(tab, body)
        assert reply.status == 200, (path.stem, reply.body)
        want = expected(path)
        got = reply.pictures[: len(want)].astype(int)  # a control unit's map comes after them
        assert got.shape == want.shape, path.stem
        difference = np.abs(got - want).mean()
        print(f"{path.stem}: {difference:.3f}")
        if difference > SAME:
            different[path.stem] = difference
    assert not different


def test_the_references_motion_modules_are_recognised(reference_weights):
    found = {path.stem: read_motion_weights(path)[0].kind.name for path in (reference_weights / "motion").iterdir()}
    assert found == {f"mm_sd15_v{i}_tiny": f"AnimateDiff v{i}" for i in (1, 2, 3)}


@pytest.mark.parametrize("case", CASES)
def test_the_same_frames_as_ever(pocket, case):
    """Small cases of our own."""
    want = np.load(FILE)[case].astype(int)
    got = frames(**CASES[case]).astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() < 0.5
