"""demo, generate and serve: what they write, and what they say when something is wrong."""

import argparse
import base64
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from interpreter import PocketError
from PIL import Image
from safetensors import SafetensorError

import bootstrap
import cli
from commands import demo, generate, host, model_files, serve
from modules import web_app

POCKET = Path(bootstrap.__file__).parent
SMALL = {"prompt": "a red circle", "steps": 2, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler"}


@pytest.fixture
def started(pocket, monkeypatch):
    """The host that runs already stands for the one that a command would start."""
    monkeypatch.setattr(generate, "start_host", lambda args: None)
    monkeypatch.setattr(demo, "start_host", lambda args: None)
    return pocket


def run_generate(folder, body, *options):
    path = folder / "request.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return generate.run(cli.parse(["generate", str(path), "--out", str(folder / "out"), *options]))


def test_generate_writes_pictures_and_the_response(started, tmp_path, capsys):
    assert run_generate(tmp_path, {**SMALL, "batch_size": 2}) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png", "response.json"]
    response = json.loads((out / "response.json").read_text())
    assert response["images"] == ["00000.png", "00001.png"]
    assert response["info"]["all_seeds"] == [5, 6]
    assert Image.open(out / "00001.png").text["parameters"] == response["info"]["infotexts"][1]
    assert str(out / "00000.png") in capsys.readouterr().out


def test_generate_is_what_the_server_gives(started, tmp_path):
    run_generate(tmp_path, SMALL)
    answer = requests.post(f"{started['url']}/sdapi/v1/txt2img", json=SMALL, timeout=300).json()
    served = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    assert served.tobytes() == Image.open(tmp_path / "out" / "00000.png").tobytes()


def test_generate_img2img(started, tmp_path):
    with io.BytesIO() as buffer:
        Image.new("RGB", (64, 64), "red").save(buffer, format="PNG")
        image = base64.b64encode(buffer.getvalue()).decode()
    run_generate(tmp_path, {**SMALL, "init_images": [image], "denoising_strength": 0.5}, "--img2img")
    assert Image.open(tmp_path / "out" / "00000.png").size == (64, 64)


@pytest.mark.parametrize(
    ("body", "options", "sentence"),
    [
        ("no json", [], "is not JSON"),
        ("[1]", [], "must hold one JSON object"),
        ({"steps": "many"}, [], "steps: value is not a valid integer"),
        ({"alwayson_scripts": {"Nothing": {"args": []}}}, [], "Script 'Nothing' not found"),
        ({}, ["--img2img"], "Init image not found"),
        ({"init_images": ["words"]}, ["--img2img"], "Invalid encoded image"),
    ],
)
def test_wrong_request_is_one_sentence(started, tmp_path, body, options, sentence):
    with pytest.raises(PocketError) as caught:
        run_generate(tmp_path, body, *options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_request_file_is_one_sentence(tmp_path):
    with pytest.raises(PocketError, match="cannot be read: No such file"):
        generate.read_request(tmp_path / "missing.json")


@pytest.mark.parametrize("option", ["--checkpoint", "--config", "--motion-modules", "--lora-dir", "--controlnet-dir"])
def test_missing_file_is_named(tmp_path, option):
    args = cli.parse(["serve", option, str(tmp_path / "missing")])
    with pytest.raises(PocketError, match=f"{option} .*missing: there is no such"):
        host.start_host(args)


@pytest.mark.parametrize(
    "error", [OSError("no such thing"), ValueError("SDXL's refiner"), SafetensorError("HeaderTooSmall")]
)
def test_a_checkpoint_that_cannot_be_loaded_is_one_sentence(tmp_path, monkeypatch, error):
    def fails(**options):
        raise error

    monkeypatch.setattr(host.initialize_pocket, "start", fails)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(PocketError, match=rf"a\.safetensors cannot be loaded: {error}"):
        host.start_host(cli.parse(["serve", "--checkpoint", str(tmp_path / "a.safetensors")]))


def test_demo_writes_both_files(started, tmp_path, capsys):
    args = cli.parse(["demo", "--frames", "5", "--seed", "3", "--out", str(tmp_path)])
    assert demo.run(args) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.gif", "00000.mp4"]
    assert demo.count_frames(tmp_path / "00000.gif") == 5
    assert demo.count_frames(tmp_path / "00000.mp4") == 5
    said = capsys.readouterr().out
    assert f"{tmp_path / '00000.gif'}: 5 frames" in said
    assert "made in" in said


def test_demo_does_not_hide_missing_frames(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(PocketError, match=r"\.mp4 has 0 frames, but 3 were asked for"):
        demo.check([tmp_path / "a.gif"], 3)
    with pytest.raises(PocketError, match=r"\.gif has 3 frames and \.mp4 has 0 frames"):
        demo.check([tmp_path / "a.gif"], 4)


def test_bundled_model_is_the_one_with_a_config(tmp_path):
    assert model_files.bundled(tmp_path) is None
    (tmp_path / "a_motion.safetensors").touch()
    assert model_files.bundled(tmp_path) is None
    (tmp_path / "pocket.safetensors").touch()
    (tmp_path / "pocket.yaml").touch()
    expected = model_files.ModelFiles(tmp_path / "pocket.safetensors", tmp_path, trained=True)
    assert model_files.bundled(tmp_path) == expected


@pytest.fixture
def fake_weights(monkeypatch):
    """A `weights` that writes empty files, or is interrupted in the middle."""
    made = argparse.Namespace(calls=0, interrupted=False)

    def make_set(folder, seed):
        made.calls += 1
        folder.mkdir(parents=True)
        (folder / "mm.safetensors").touch()
        if made.interrupted:
            raise KeyboardInterrupt
        (folder / "tiny.safetensors").touch()
        (folder / "tiny.yaml").touch()

    monkeypatch.setitem(sys.modules, "weights", argparse.Namespace(make_set=make_set))
    return made


def test_random_weights_are_made_once_and_said_so(tmp_path, fake_weights, monkeypatch, capsys):
    monkeypatch.setattr(model_files, "bundled", lambda: None)
    monkeypatch.setattr(model_files.seeded, "__defaults__", (tmp_path, 1))
    first, second = model_files.default_model(), model_files.default_model()
    assert first == second
    assert first.checkpoint == tmp_path / "seed-1" / "tiny.safetensors"
    assert fake_weights.calls == 1
    assert capsys.readouterr().out.count("using random weights") == 2


def test_interrupted_weights_are_made_anew(tmp_path, fake_weights):
    fake_weights.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        model_files.seeded(tmp_path)
    assert list(tmp_path.iterdir()) == []
    fake_weights.interrupted = False
    assert model_files.seeded(tmp_path).checkpoint.exists()


def test_busy_port_is_one_sentence():
    with web_app.listen(0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(PocketError, match=f"port {port} .* choose another with --port"):
            serve.run(cli.parse(["serve", "--port", str(port)]))


def test_serve_says_when_it_is_ready_and_stops(tiny, tmp_path):
    options = ["--checkpoint", tiny["checkpoint"], "--motion-modules", tiny["v1"].parent, "--data-dir", tmp_path]
    environment = {**os.environ, "POCKET_PYTHON": "current"}
    command = [sys.executable, POCKET, "serve", "--port", "0", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        ready = next(line for line in server.stdout if "ready at" in line)
        url = ready.split()[3]
        assert requests.get(f"{url}/internal/ping", timeout=300).json() == {}
        server.send_signal(signal.SIGINT)
        assert server.wait(120) == 130
    finally:
        server.kill()
        server.stdout.close()
        server.wait()
