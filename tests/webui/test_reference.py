"""The same pictures and frames as the real WebUI with AnimateDiff and ControlNet, over HTTP, with the same seeded weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from regression import CASES, FILE
from runs import frames

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference"
GROUPS = {
    "plain": (19, "cn_,v1_,v2_,v3_"),  # how many, and what is skipped
    "video": (8, "AND,DDIM,DPM,Euler,Heun,LMS,PLMS,UniPC,cfg1,hires,i2i,long,niter2,padded,subseed,uneven"),
}


@pytest.fixture(scope="session")
def reference_weights(tmp_path_factory):
    if not REFERENCE.is_dir():
        pytest.skip("the real WebUI's pictures (../shared/reference) are not here")
    folder = tmp_path_factory.mktemp("reference")
    run = subprocess.run([sys.executable, REFERENCE / "weights.py", folder], capture_output=True, text=True, check=True)
    assert "DIFFERS" not in run.stdout
    return folder


@pytest.fixture
def reference_host(pocket, reference_weights):
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
    yield pocket["url"]
    initialize_pocket.reset_options()
    sd_models.reload_model_weights()
    shared.cmd_opts.controlnet_dir = own_models
    global_state.update_cn_models()


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_same_as_the_real_webui(reference_host, group):
    count, skipped = GROUPS[group]
    command = [sys.executable, REFERENCE / "compare.py", "--url", reference_host, "--bound", "0.1", "--skip", skipped]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("same ") == count


@pytest.mark.parametrize("case", CASES)
def test_the_same_frames_as_ever(pocket, case):
    """Small cases of our own, for where the reference folder is missing."""
    want = np.load(FILE)[case].astype(int)
    got = frames(**CASES[case]).astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() < 0.5
