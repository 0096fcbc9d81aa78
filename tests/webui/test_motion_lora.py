"""`<lora:NAME:WEIGHT>` for motion modules: the files as published, and what they add."""

import numpy as np
import pytest
import torch
from loras import (
    RANK,
    close,
    differ,
    lora_host,
    low_ranks,
    merged,
    shot,
    spatial,
    unharmed,
    write,
)
from runs import array, make, pictures, run, video
from safetensors.torch import load_file
from snapshot import differences, of_host

from tests.core.lora_layouts import LAYOUTS, kohya, peft


@pytest.fixture
def host(pocket, tiny):
    with lora_host(pocket, tiny) as made:
        yield made


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_what_a_motion_lora_adds(host, version):
    before, host_before = shot(version=version), of_host()
    ranks = low_ranks(version)
    write(host, "zoom", ranks)
    with_lora = shot("a cat <lora:zoom:1>", version)
    assert differ(before, with_lora)
    assert np.array_equal(before, shot(version=version))
    assert differences(host_before, of_host()) == []
    assert close(with_lora, shot(model=merged(host, version, (ranks, 1.0))))


@pytest.mark.parametrize("weight", [0.5, -0.7])
def test_weights(host, weight):
    ranks = low_ranks()
    write(host, "zoom", ranks)
    assert close(shot(f"a cat <lora:zoom:{weight}>"), shot(model=merged(host, "v2", (ranks, weight))))


def test_a_weight_of_nought_changes_nothing(host):
    write(host, "zoom", low_ranks())
    assert np.array_equal(shot("a cat <lora:zoom:0>"), shot("a cat "))


def test_every_layout_gives_the_same_frames(host):
    ranks, made = low_ranks(), []
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        write(host, f"layout{number}", ranks, layout)
        made.append(shot(f"a cat <lora:layout{number}:1>"))
        assert np.array_equal(made[0], made[-1]), name
    state = load_file(host["lora"] / "layout0.safetensors")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, host["lora"] / "pickled.ckpt")
    assert np.array_equal(made[0], shot("a cat <lora:pickled:1>"))
    assert differ(made[0], shot())


def test_alpha(host):
    ranks = low_ranks()
    write(host, "half", ranks, kohya, alpha=RANK / 2)
    assert close(shot("a cat <lora:half:1>"), shot(model=merged(host, "v2", (ranks, 0.5))))


def test_two_at_once_and_a_spatial_one_beside(host):
    one, two = low_ranks(seed=1), low_ranks(seed=2)
    write(host, "one", one)
    write(host, "two", two, peft)
    spatial(host)
    with_both = shot("a cat <lora:one:0.5> <lora:two:0.8>")
    with_all = shot("a cat <lora:one:0.5> <lora:spatial:1> <lora:two:0.8>")
    assert differ(with_both, with_all)
    model = merged(host, "v2", (one, 0.5), (two, 0.8))
    assert close(with_both, shot("a cat  ", model=model))
    assert close(with_all, shot("a cat  <lora:spatial:1> ", model=model))


def test_the_adapter_of_v3_is_a_spatial_lora(host):
    spatial(host)
    spatial(host, "adapter", layout="guoyww")
    by_host = shot("a cat <lora:spatial:0.7>", "v3")
    assert differ(by_host, shot("a cat", "v3"))
    assert np.array_equal(by_host, shot("a cat <lora:adapter:0.7>", "v3"))


@pytest.mark.parametrize("kept", [0, 5])
def test_without_animatediff_the_host_is_as_it_was(host, kept):
    from modules import shared

    shared.opts.set("lora_in_memory_limit", kept)
    spatial(host)
    spatial(host, "adapter", layout="guoyww")
    write(host, "zoom", low_ranks(), kohya)
    prompts = ["a cat", "a cat <lora:spatial:1>", "a cat <lora:adapter:1>", "a cat <lora:zoom:1>"]
    before = [pictures(prompt=prompt) for prompt in prompts]
    video_before = [shot(prompt) for prompt in prompts]  # the host has them in memory, read without motion layers
    assert all(differ(video_before[0], other) for other in video_before[1:])
    for prompt, picture, clip in zip(prompts, before, video_before, strict=True):
        assert np.array_equal(picture, pictures(prompt=prompt)), prompt
        assert np.array_equal(clip, shot(prompt)), prompt
        assert np.array_equal(picture, pictures(prompt=prompt)), prompt
    assert differ(before[0], before[1])
    assert np.array_equal(before[0], before[2])


def test_outside_of_the_keys_of_a_prompt_travel(host):
    ranks = low_ranks()
    write(host, "zoom", ranks)
    travel = "a cat{}\n0: walking\n2: running\nin the sun"
    made = shot(travel.format(" <lora:zoom:1>"))
    assert close(made, shot(travel.format(""), model=merged(host, "v2", (ranks, 1.0))))
    assert differ(made, shot(travel.format("")))


def test_windows_batches_and_freeinit(host):
    ranks = low_ranks()
    write(host, "zoom", ranks)
    fields = {"video_length": 6, "batch_size": 4, "freeinit_enable": True, "freeinit_iters": 2}
    made = shot("a cat <lora:zoom:1>", fields=fields, n_iter=2)
    assert close(made, shot("a cat ", fields=fields, n_iter=2, model=merged(host, "v2", (ranks, 1.0))))


def test_another_one_in_every_batch(host):
    """As wildcards make it."""
    from modules import shared

    shared.opts.set("lora_in_memory_limit", 5)
    for seed, name in enumerate(("one", "two")):
        write(host, name, low_ranks(seed=seed))
    expected = [shot("a cat <lora:one:1>"), shot("a cat <lora:two:1>", seed=46)]
    p = make("txt2img", video(format=["Frame"]), prompt="a cat <lora:one:1>", n_iter=2)
    setup = p.setup_prompts

    def setup_prompts():
        setup()
        p.all_prompts[4:] = ["a cat <lora:two:1>"] * 4

    p.setup_prompts = setup_prompts
    assert np.array_equal(np.concatenate(expected), array(run(p).images))
    unharmed()


@pytest.mark.parametrize("switch", ["none", "hires", "refiner"])
def test_hires_and_another_checkpoint_on_the_way(host, switch):
    ranks = low_ranks()
    write(host, "zoom", ranks)
    request = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.6, "hr_upscaler": "Latent"}
    if switch == "hires":
        request["hr_checkpoint_name"] = "other"
    if switch == "refiner":
        request = {"refiner_checkpoint": "other", "refiner_switch_at": 0.5, "steps": 4}
    made = shot("a cat <lora:zoom:1>", **request)
    assert differ(made, shot("a cat ", **request))
    assert close(made, shot("a cat ", model=merged(host, "v2", (ranks, 1.0)), **request))


def test_only_in_the_hires_prompt(host):
    write(host, "zoom", low_ranks())
    request = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.9, "hr_upscaler": "Latent"}
    plain = shot("a cat ", **request)
    assert differ(plain, shot("a cat ", hr_prompt="a cat <lora:zoom:1>", **request))
    assert np.array_equal(plain, shot("a cat ", **request))


def test_of_the_settings(host):
    from modules import shared

    write(host, "zoom", low_ranks())
    expected = shot("a cat <lora:zoom:1>")
    host["networks"].list_available_networks()
    shared.opts.set("sd_lora", "zoom")
    shared.opts.set("extra_networks_default_multiplier", 1.0)
    assert np.array_equal(expected, shot("a cat "))


def test_without_the_hosts_lora_extension(host, monkeypatch):
    from modules import extra_networks

    write(host, "zoom", low_ranks())
    before = shot("a cat ")
    with monkeypatch.context() as patch:
        patch.delitem(extra_networks.extra_network_registry, "lora")
        patch.setattr(extra_networks, "extra_network_aliases", {})
        assert np.array_equal(before, shot("a cat <lora:zoom:1>"))


def test_the_infotext_names_it(host):
    write(host, "zoom", low_ranks())
    result = run(make("txt2img", video(format=["Frame"]), prompt="a cat <lora:zoom:1>"))
    assert "a cat <lora:zoom:1>" in result.infotexts[0]
    assert len(array(result.images)) == 4


def test_a_motion_lora_that_lies_beside_motion_modules_is_found(host):
    """Where people of other extensions keep some; videos alone know it, and the host's own folder comes first."""
    before, host_before = shot(), of_host()
    write({**host, "lora": host["motion"]}, "merged_zoom", low_ranks())
    with_lora = shot("a cat <lora:merged_zoom:1>")
    assert differ(before, with_lora)
    assert close(shot("a cat <lora:merged_zoom:1> <lora:unknown:1>"), with_lora)  # which has the host list its files
    assert close(with_lora, shot(model=merged(host, "v2", (low_ranks(), 1.0))))
    assert differences(host_before, of_host()) == []
    tables = (host["networks"].available_networks, host["networks"].available_network_aliases)
    assert all("merged_zoom" not in table for table in tables)
    write(host, "merged_zoom", low_ranks(seed=5))
    assert close(shot("a cat <lora:merged_zoom:1>"), shot(model=merged(host, "v2", (low_ranks(seed=5), 1.0))))
