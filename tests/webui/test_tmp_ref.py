import sys, json, base64, io
sys.path.insert(0, "/work/wt/cnglue/tests/webui")
import numpy as np, pytest
from PIL import Image
from test_reference import REFERENCE, reference_weights, reference_host
from http_client import Client
def test_it(reference_host, reference_weights, pocket, monkeypatch):
    from modules import shared
    gs = sys.modules["scripts.global_state"]
    monkeypatch.setattr(shared.cmd_opts, "controlnet_dir", str(reference_weights/"controlnet"))
    gs.update_cn_models(); print(gs.cn_models)
    req = json.load(open(REFERENCE/"video/cn_vpath.json"))
    ad = req["alwayson_scripts"]["AnimateDiff"]["args"][0]; ad.pop("video_path")
    req["alwayson_scripts"]["ControlNet"]["args"][0].update(input_mode="batch", batch_images=str(REFERENCE/"inputs/frames16"))
    ad.update(format=["Frame","GIF"], blend="overwrite")
    r = Client(pocket).post("txt2img", req)
    assert r.status == 200, r.body
    want = np.load(REFERENCE/"video/cn_vpath.npz")["frames"].astype(int)
    got = r.pictures[:16].astype(int)
    print(np.abs(got-want).mean(), np.abs(got-want).max(), len(r.pictures))
    gs.update_cn_models()
    assert np.abs(got-want).mean() < 0.1
