"""Every example of the README is run as it stands there, with the models that are here and in a small size."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from control_videos import CONTROL, folder_of
from http_client import SMALL, Client, mp4_frames

README = (Path(__file__).parents[2] / "README.md").read_text("utf8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PROMPT = re.search(r"^### Prompt travel$.*?^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]
SCRIPTS = [text for kind, text in BLOCKS if kind == "python"]
REQUESTS = [text for kind, text in BLOCKS if kind == "json"]
(LIST,) = [text for kind, text in BLOCKS if kind == "jsonl"]
(TABLE,) = [text for kind, text in BLOCKS if kind == "text"]
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
MODULE = "mm_tiny_v2.safetensors"


@pytest.fixture
def client(pocket):
    return Client(pocket)


@pytest.fixture
def here(pocket, tmp_path):
    """An example with what is here in the place of what people have, and a size in which it takes a second."""
    url = urlsplit(pocket["url"])
    changes = {
        "512": "64",
        '"steps": 20': '"steps": 1',
        "steps=20": "steps=1",
        "127.0.0.1:7860": url.netloc,
        'host="127.0.0.1", port=7860': f'host="{url.hostname}", port={url.port}',
        "control_v11p_sd15_canny": CONTROL,
        "pocket_mm_v2": MODULE.removesuffix(".safetensors"),
        "mm_sd_v15_v2.ckpt": MODULE,
        "/videos/cat": str(folder_of(tmp_path / "cat", 5)),
        "/pictures/first.png": str(sorted(folder_of(tmp_path / "pictures", 2).iterdir())[0]),
        "/pictures/last.png": str(sorted((tmp_path / "pictures").iterdir())[1]),
    }

    def changed(text):
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    return changed


def test_every_block_is_of_a_kind_that_is_run():
    others = [text for kind, text in BLOCKS if not kind and text != PROMPT]
    assert {kind for kind, _ in BLOCKS} == {"", "python", "json", "jsonl", "text", "sh"}
    lines = [line for text in others for line in text.splitlines()]
    commands = {path.stem for path in (Path(__file__).parents[2] / "pocket" / "commands").glob("*.py")}
    assert all(line.split()[:2] == ["python3", "pocket"] and line.split()[2] in commands for line in lines), lines
    assert (len(SCRIPTS), len(REQUESTS), len(SHELL)) == (2, 8, 1), "give a new example what it needs above"


@pytest.mark.parametrize("place", range(len(SCRIPTS)))
def test_a_script_makes_its_video(here, tmp_path, place):
    done = subprocess.run(
        [sys.executable, "-c", here(SCRIPTS[place])], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (video,) = [*tmp_path.glob("*.mp4")] or [Path(done.stdout.strip())]
    assert mp4_frames(video) == (16, 8, (64, 64))


@pytest.mark.parametrize(
    ("place", "kinds", "frames"),
    [
        *((0, ["MP4"], 16), (1, ["MP4"], 24), (2, ["MP4"], 32), (3, ["MP4"], 48), (4, ["MP4"], 16)),
        *((6, ["GIF", "MP4"], 5), (7, ["MP4"], 5)),
    ],
)
def test_a_request_is_served(client, here, place, kinds, frames):
    reply = client.post("txt2img", json.loads(here(REQUESTS[place])))
    assert reply.status == 200, reply.body
    assert reply.kinds[: len(kinds)] == kinds and mp4_frames(reply.paths[0]["MP4"])[0] == frames


def test_the_farms_list_is_made_as_its_table_says(client, here):
    rows = re.findall(r"^ +\d+  (made|refused) +(.*)$", TABLE, re.MULTILINE)
    assert len(rows) == 3
    for line, (status, rest) in zip(LIST.splitlines(), rows, strict=True):
        reply = client.post("txt2img", json.loads(here(line)))
        if status == "made":
            assert reply.status == 200 and reply.kinds[:2] == ["GIF", "MP4"]
            assert mp4_frames(reply.paths[0]["MP4"])[0] == int(rest.split()[0])
        else:
            assert reply.status == 422 and reply.body["detail"] == rest


def test_a_run_that_broke_off_goes_on(client, here, monkeypatch):
    from modules import shared
    from motion_module.webui.request import unfinished
    from motion_module.webui.sampling.record import Record

    resumed = json.loads(here(REQUESTS[5]))
    (args,) = resumed["alwayson_scripts"]["AnimateDiff"]["args"]
    first = json.loads(here(REQUESTS[5]).replace(f', "resume": "{args["resume"]}"', ""))
    shared.opts.data["animatediff_resume_after"] = 1e-9
    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "new_id", lambda: args["resume"])
        patch.setattr(Record, "is_over", lambda self: None)  # as if the process had ended just before
        whole = client.post("txt2img", {**SMALL, **first})
    reply = client.post("txt2img", {**SMALL, **resumed})
    assert reply.status == whole.status == 200, reply.body
    assert mp4_frames(reply.paths[0]["MP4"])[0] == 16 and reply.info["seed"] == whole.info["seed"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_what_scripts_ask_is_answered(here, tmp_path):
    done = subprocess.run(["sh", "-ec", here(SHELL[0])], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    modules, end = json.JSONDecoder().raw_decode(done.stdout)
    plan = json.loads(done.stdout[end:])
    assert MODULE in [module["name"] for module in modules]
    assert (plan["frames"], plan["seeds"], plan["fields"]["format"]) == (48, [1], ["MP4"])
    assert "video_length" in json.loads((tmp_path / "animatediff.schema.json").read_text("utf8"))["properties"]


def test_the_prompt_travels(client):
    video = {"video_length": 9, "batch_size": 9, "model": MODULE, "effect": 0.0, "same_noise": True}
    frames = client.frames(video, **{**SMALL, "prompt": PROMPT, "steps": 1, "subseed_strength": 0})
    away = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert away == sorted(away) and away[8] > away[4] > away[1] > 0
