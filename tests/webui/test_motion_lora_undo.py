"""Motion LoRA that do not fit, and runs with one that fail: a sentence, and nothing of it stays."""

import numpy as np
import pytest
import torch
from loras import RANK, lora_host, low_ranks, shot, spatial, unharmed, write
from neighbours import on_every_change
from runs import make, pictures, run, video
from safetensors.torch import load_file, save_file
from snapshot import differences, of_host


@pytest.fixture
def host(pocket, tiny):
    with lora_host(pocket, tiny) as made:
        yield made


def strangers():
    return {
        "mid": low_ranks("v2"),
        "wide": {place: (torch.ones(RANK, 48), torch.ones(48, RANK)) for place in list(low_ranks("v1"))[:1]},
        "deep": {("down_blocks.7.motion_modules.0", *place[1:]): pair for place, pair in low_ranks("v1").items()},
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mid", r"AnimateDiff: The motion LoRA mid changes mid_block_.*mm_tiny_v1.* has no such layer"),
        ("wide", r"AnimateDiff: The motion LoRA wide .*mm_tiny_v1.* one of another size \(32x32\)"),
        ("deep", r"AnimateDiff: The motion LoRA deep changes down_blocks_7.*mm_tiny_v1.* has no such layer"),
    ],
)
@pytest.mark.parametrize("place", ["prompt", "hires"])
def test_a_key_without_a_place(host, name, sentence, place, monkeypatch):
    from modules import sd_samplers_kdiffusion

    write(host, name, strangers()[name])
    spatial(host)
    before, host_before = pictures(prompt="a cat <lora:spatial:1>"), of_host()
    prompt = f"a cat <lora:spatial:1><lora:{name}:1>"
    request = {"prompt": prompt}
    if place == "hires":
        request = {"prompt": "a cat <lora:spatial:1>", "hr_prompt": prompt, "enable_hr": True, "hr_scale": 1.5}
        request |= {"denoising_strength": 0.6, "hr_upscaler": "Latent"}
    else:
        monkeypatch.setattr(sd_samplers_kdiffusion, "KDiffusionSampler", None)  # nothing must be sampled
    with pytest.raises(Exception, match=sentence) as caught:
        run(make("txt2img", video(model="mm_tiny_v1.safetensors"), **request))
    monkeypatch.undo()
    unharmed("mm_tiny_v1.safetensors")
    assert caught.value.status_code == 422
    assert caught.value.detail == str(caught.value)
    assert np.array_equal(before, pictures(prompt="a cat <lora:spatial:1>"))
    assert differences(host_before, of_host()) == []
    pictures(prompt=prompt)  # the host's own affair


@pytest.mark.parametrize("what", ["module", "half", "torn"])
def test_a_file_that_is_no_motion_lora(host, what):
    path = host["lora"] / f"{what}.safetensors"
    write(host, what, low_ranks())
    state = load_file(path)
    if what == "module":
        save_file(load_file(host["v2"]), path)
    elif what == "half":
        save_file({key: value for key, value in state.items() if "to_q_lora.up" not in key}, path)
    else:
        path.write_bytes(path.read_bytes()[:-9])
    expected = {
        "module": "module is not a LoRA for mm_tiny_v2",
        "half": "LoRA half is not whole",
        "torn": "the LoRA torn cannot be read",
    }[what]
    with pytest.raises(Exception, match=expected) as caught:
        run(make("txt2img", video(), prompt=f"a cat <lora:{what}:1>"))
    assert caught.value.status_code == 422


@pytest.mark.parametrize("error", [RuntimeError("this is broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 30])
def test_a_failure_while_sampling(host, error, call, monkeypatch):
    from motion_module.core.module.layers import MotionModule

    write(host, "zoom", low_ranks())
    before, host_before = shot("a cat"), of_host()
    forward, calls = MotionModule.forward, 0

    def failing(self, x):
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return forward(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(MotionModule, "forward", failing)
        with pytest.raises(type(error)):
            run(make("txt2img", video(), prompt="a cat <lora:zoom:1>"))
    error.with_traceback(None)  # it lives as long as all tests, and would hold the model
    unharmed()
    assert differences(host_before, of_host()) == []
    assert np.array_equal(before, shot("a cat"))


def test_a_failure_at_every_change(host, monkeypatch):
    """Counted over the changes that this part makes: the reading of files, and every layer's place and name."""
    write(host, "zoom", low_ranks())
    host_before, changes = of_host(values=False), []
    fields = {"prompt": "a cat <lora:zoom:1>", "steps": 1}

    def of_lora(patch, hook):
        for module in ("webui.sampling.motion_lora", "hosts.a1111", "hosts.a1111_lora", "hosts.lora_tables"):
            on_every_change(patch, hook, module)

    with monkeypatch.context() as patch:
        of_lora(patch, lambda: changes.append(1))
        run(make("txt2img", video(), **fields))
    assert len(changes) > 2 + 252 + len(low_ranks()) - 1
    for failing in (1, 2, 3, 150, len(changes) - 20, len(changes)):
        left = iter(range(failing - 1))

        def fail(left=left):
            if next(left, None) is None:
                raise RuntimeError("no memory for this")

        with monkeypatch.context() as patch:
            of_lora(patch, fail)
            with pytest.raises(RuntimeError, match="no memory for this"):
                run(make("txt2img", video(), **fields))
        unharmed()
        assert differences(host_before, of_host(values=False)) == [], failing


def test_a_copy_of_p_that_fails_before_it_samples_and_is_never_closed(host, monkeypatch):
    """XYZ plot does so."""
    from modules import extra_networks, processing

    write(host, "zoom", low_ranks())
    expected, host_before = shot("a cat <lora:zoom:1>"), of_host()
    activate = extra_networks.activate
    p = make("txt2img", video(), prompt="a cat <lora:zoom:1>")
    with monkeypatch.context() as patch:
        patch.setattr(p, "setup_conds", None)
        with pytest.raises(TypeError):
            processing.process_images(p)
    plain = pictures(prompt="a dog")
    assert extra_networks.activate is activate
    assert differences(host_before, of_host()) == []
    assert np.array_equal(expected, shot("a cat <lora:zoom:1>"))
    assert np.array_equal(plain, pictures(prompt="a dog"))
