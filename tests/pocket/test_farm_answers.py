"""What a farm makes of hosts' answers: only whole results count, and no request leaves anything to the next."""

import argparse
import contextlib
import json
import os
from types import SimpleNamespace

import pytest

import cli
import farm.run
from commands import farm as farm_command
from farm.answers import UNFINISHED
from farm.host_worker import BROKEN, Host, _run
from farm.outcomes import Outcome
from motion_module.webui.output import interrupted

GIF = "R0lGODlh"
CLIENT = contextlib.nullcontext()


def answer(images=(GIF,), info="{}", **params):
    if params:
        info = json.dumps(
            {"extra_generation_params": {name.replace("_", " "): value for name, value in params.items()}}
        )
    return {"images": list(images), "info": info, "parameters": {}}


WHERE = "interrupted in step 3 of 20"
MESSAGE = f"AnimateDiff: the video is unfinished, {WHERE}."
STOPPED = f"somebody stopped it at the host ({WHERE}); run the command again to make it."
NO_PICTURES = "the host's answer holds no pictures, though it says that all is well."
NO_ANSWER = "the host's answer cannot be read, though it says that all is well."


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The entries of a farm whose hosts answer so, and the bodies that they got."""

    def made(*answers, line='{"seed": 1}'):
        bodies = []

        class Stub:
            def outcomes(self, requests, body_of):
                for request, response in zip(requests, answers, strict=True):
                    bodies.append(body_of(request))
                    yield Outcome(request, "made", response)

        monkeypatch.setattr(farm.run, "_hosts", lambda *args: contextlib.nullcontext(Stub()))
        (tmp_path / "a.jsonl").write_text(f"{line}\n" * len(answers))
        farm_command.run(cli.parse(["farm", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")]))
        return json.loads((tmp_path / "out" / "index.json").read_text())["requests"], bodies

    return made


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (answer(images=[]), NO_PICTURES),
        (answer(AnimateDiff_unfinished=WHERE), STOPPED),
        (answer(AnimateDiff_messages=["other", MESSAGE]), STOPPED.replace(WHERE, MESSAGE.rstrip("."))),
        (answer(images=[None]), NO_ANSWER),
        ({"images": None, "info": "{}"}, NO_ANSWER),
        ([], NO_ANSWER),
        (answer(images=["R0lGOD"]), "the host's answer cannot be read: Incorrect padding."),
    ],
)
def test_only_a_whole_result_counts(made, tmp_path, wrong, sentence):
    entries, _ = made(wrong, answer())
    assert [(one["status"], one["sentence"]) for one in entries] == [("failed", sentence), ("made", "")]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_the_mark_of_a_stopped_video_is_the_extensions():
    assert interrupted.LABEL == UNFINISHED
    assert "the video is unfinished" in interrupted.sentence(WHERE)


@pytest.mark.parametrize(
    "info",
    [
        '{"extra_generation_params": null}',
        '{"extra_generation_params": {"AnimateDiff files": ["x"]}}',
        '{"extra_generation_params": {"AnimateDiff files": {"GIF": "x"}}}',
        '{"extra_generation_params": {"AnimateDiff files": [{"GIF": 1}], "AnimateDiff messages": 1}}',
        '{"prompt": "\\ud800"}',
        "[]",
        "\ud800",
    ],
)
def test_an_odd_answer_costs_nothing(made, tmp_path, info):
    entries, _ = made(answer(info=info), answer())
    assert [one["status"] for one in entries] == ["made", "made"]
    response = (tmp_path / "out" / entries[0]["folder"] / "response.json").read_text(encoding="utf-8")
    assert json.loads(response)["images"] == ["00000.gif"]


def test_whatever_goes_wrong_with_one_answer_costs_the_others_nothing(made):
    entries, _ = made(answer(info="[" * 100_000), answer())
    assert [one["status"] for one in entries] == ["failed", "made"]


def test_files_are_asked_for_and_settings_are_to_be_put_back(made):
    entries, bodies = made(
        answer(), line='{"send_images": false, "override_settings_restore_afterwards": false, "seed": 5}'
    )
    assert bodies == [{"send_images": True, "override_settings_restore_afterwards": True, "seed": 5}]
    assert entries[0]["status"] == "made"


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_a_request_sets_in_a_worker_ends_with_it(pocket, ends_well):
    from modules import shared

    def endpoint(request):
        shared.opts.data.update(CLIP_stop_at_last_layers=2, of_a_script="x")
        if not ends_well:
            raise ValueError("no")
        return SimpleNamespace(dict=dict)

    before = dict(shared.opts.data)
    _run(SimpleNamespace(text2imgapi=endpoint, img2imgapi=None), {"prompt": "x"}, False)
    assert shared.opts.data == before


@pytest.mark.parametrize("option", ["motion_modules", "lora_dir", "controlnet_dir"])
def test_a_changed_model_makes_other_results(tmp_path, option):
    folder = tmp_path / "models" / "sd15"
    folder.mkdir(parents=True)
    names = ("checkpoint", "config", "motion_modules", "lora_dir", "controlnet_dir", "data_dir")
    args = argparse.Namespace(**{**dict.fromkeys(names), option: tmp_path / "models"})

    def identity():
        return json.dumps(farm.run._identity(args, []))

    seen = {identity()}
    (folder / "a.safetensors").write_bytes(b"1")
    seen.add(identity())
    assert identity() in seen
    (folder / "a.safetensors").write_bytes(b"12")
    seen.add(identity())
    os.utime(folder / "a.safetensors", (1, 1))
    seen.add(identity())
    (folder / "a.safetensors").rename(folder / "b.safetensors")
    seen.add(identity())
    assert len(seen) == 5


def test_other_settings_make_other_results(tmp_path):
    args = argparse.Namespace(**dict.fromkeys(("checkpoint", "config", "motion_modules", "lora_dir", "controlnet_dir")))
    args.data_dir = tmp_path

    def identity():
        return json.dumps(farm.run._identity(args, []))

    seen = {identity()}
    for text in ("", "[" * 100_000, '{"CLIP_stop_at_last_layers": 1}', '{"CLIP_stop_at_last_layers": 2}'):
        (tmp_path / "config.json").write_text(text)
        seen.add(identity())
    assert len(seen) == 3  # without settings, as the host starts with a file that it cannot read, too


def test_what_is_no_model_makes_no_other_results(tmp_path):
    args = argparse.Namespace(**dict.fromkeys(("checkpoint", "config", "motion_modules", "controlnet_dir", "data_dir")))
    args.lora_dir = tmp_path
    before = farm.run._identity(args, [])
    (tmp_path / "README.md").write_text("about these")
    (tmp_path / "preview.png").write_bytes(b"1")
    assert farm.run._identity(args, []) == before


def test_a_host_that_cannot_start_for_whatever_reason_is_broken(pocket, monkeypatch):
    def fails(options):
        raise KeyError("no such\nkey")

    monkeypatch.setattr("commands.host.start_host", fails)
    host = Host(argparse.Namespace())
    host.setup(None)
    assert host.make({}, False) == (BROKEN, "a worker's host cannot be started: 'no such\\nkey'", 0.0)


def test_no_more_workers_are_started_than_there_are_requests(monkeypatch, tmp_path):
    counts = []
    monkeypatch.setattr("farm.cluster.workers", lambda count, *more, **how: counts.append(count) or CLIENT)
    monkeypatch.setattr("farm.worker_hosts.WorkerHosts", lambda *args: None)
    args = cli.parse(["farm", "a.jsonl", "--out", str(tmp_path), "--workers", "3"])
    for missing in (2, 5):
        with farm.run._hosts(args, [], None, missing):
            pass
    assert counts == [2, 3]
