"""`<lora:NAME:WEIGHT>` for motion modules: the files as published, what they add, and that nothing of it stays."""

import numpy as np
import pytest
import torch
from runs import array, frames, make, pictures, run, video
from safetensors.torch import load_file, save_file
from snapshot import differences, of_host

from weights import Sizes

RANK = 4
GUOYWW = "temporal_transformer.transformer_blocks.0.attention_blocks"
SPATIAL = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"


def guoyww(block, number, layer, half):
    name = layer.replace(".0", "")
    return f"{block}.{GUOYWW}.{number}.processor.{name}_lora.{half}.weight"


def peft(block, number, layer, half):
    return f"unet.{block}.transformer_blocks.0.attn{number + 1}.{layer}.lora_{'A' if half == 'down' else 'B'}.weight"


def processors(block, number, layer, half):
    name = layer.replace(".0", "")
    return f"unet.{block}.transformer_blocks.0.attn{number + 1}.processor.{name}_lora.{half}.weight"


def kohya(block, number, layer, half):
    return f"lora_unet_{f'{block}.{GUOYWW}.{number}.{layer}'.replace('.', '_')}.lora_{half}.weight"


def converted(block, number, layer, half):
    return f"{block}.{GUOYWW}.{number}.{layer}.lora_{half}.weight"


LAYOUTS = {"guoyww": guoyww, "PEFT": peft, "processors": processors, "kohya": kohya, "converted": converted}


@pytest.fixture
def host(pocket, tiny):
    """The host without any network in memory or on disk, and without modules of this test afterwards."""
    from motion_module.webui.lora import host_networks

    networks = host_networks()
    yield {**pocket, "motion": tiny["v1"].parent, "networks": networks, **tiny}
    for path in [*pocket["lora"].iterdir(), *tiny["v1"].parent.glob("merged*")]:
        path.unlink()
    networks.load_networks([])
    networks.networks_in_memory.clear()
    networks.list_available_networks()
    pictures(steps=1)  # every layer gives its networks back when it is called


def blocks_of(version):
    """Names of a module's blocks and their widths, of a few places only."""
    widths = Sizes().widths
    found = {f"down_blocks.{i}.motion_modules.1": width for i, width in enumerate(widths)}
    middle = {"mid_block.motion_modules.0": widths[-1]} if version == "v2" else {}
    return {**found, "up_blocks.3.motion_modules.2": widths[0], **middle}


def low_ranks(version="v2", seed=0, strength=0.3):
    """(block, attention, layer) -> (down, up)."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for block, width in blocks_of(version).items():
        for number in (0, 1):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                down, up = torch.randn(RANK, width, generator=generator), torch.randn(width, RANK, generator=generator)
                made[block, number, layer] = down * strength, up * strength
    return made


def write(host, name, ranks, layout=guoyww, alpha=None):
    state = {}
    for place, (down, up) in ranks.items():
        state[layout(*place, "down")], state[layout(*place, "up")] = down, up
        if alpha is not None:
            state[layout(*place, "down").replace("lora_down.weight", "alpha")] = torch.tensor(float(alpha))
    save_file(state, host["lora"] / f"{name}.safetensors")


def merged(host, version, *parts):
    """A motion module's file with W + weight * up @ down in the place of each W; its name."""
    state = {key: value.float() for key, value in load_file(host[version]).items()}
    for ranks, weight in parts:
        for (block, number, layer), (down, up) in ranks.items():
            state[f"{block}.{GUOYWW}.{number}.{layer}.weight"] += weight * up @ down
    save_file(state, host["motion"] / "merged.safetensors")
    return "merged.safetensors"


def spatial(host, name="spatial", layout="kohya"):
    """A LoRA for one attention of the UNet, in kohya's layout or in the one of the v3 adapter."""
    generator = torch.Generator().manual_seed(9)
    down, up = torch.randn(RANK, 64, generator=generator), torch.randn(64, RANK, generator=generator)
    stem = (
        f"{SPATIAL}.processor.to_v_lora" if layout == "guoyww" else f"lora_unet_{SPATIAL.replace('.', '_')}_to_v.lora"
    )
    joint = "." if layout == "guoyww" else "_"
    save_file({f"{stem}{joint}down.weight": down, f"{stem}{joint}up.weight": up}, host["lora"] / f"{name}.safetensors")


def shot(prompt="a cat", version="v2", model=None, fields=None, **request):
    model = model or f"mm_tiny_{version}.safetensors"
    made = frames(fields={"model": model, **(fields or {})}, prompt=prompt, **request)
    unharmed(model)
    return made


def unharmed(name="mm_tiny_v2.safetensors"):
    """The layers in memory are those of the file, without a trace of the host's networks, nor they in the host's."""
    from motion_module.webui import lora, models

    module = models.resolve(name)
    model, stored = models.load(module), load_file(module.path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, stored[key].to(value.dtype)), key
    for key, layer in model.named_modules():
        kept = {name: value for name, value in vars(layer).items() if name.startswith("network_")}
        assert all(value in ((), None) for value in kept.values()), (key, kept)  # what the host sets on loading
    networks = lora.host_networks()
    for net in [*networks.loaded_networks, *networks.networks_in_memory.values()] if networks else []:
        assert not [key for key in net.modules if "motion_modules" in key]


def close(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max() <= 1


def differ(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean() > 0.5


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
    for name, layout in LAYOUTS.items():
        write(host, name, ranks, layout)
        made.append(shot(f"a cat <lora:{name}:1>"))
        assert np.array_equal(made[0], made[-1]), name
    state = load_file(host["lora"] / "guoyww.safetensors")
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


def test_in_a_line_of_a_prompt_travel(host):
    ranks = low_ranks()
    write(host, "zoom", ranks)
    travel = "a cat\n0: walking\n2: running{}\nin the sun"
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


def strangers(host):
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

    write(host, name, strangers(host)[name])
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
        "module": "module is no LoRA for mm_tiny_v2",
        "half": "LoRA half is not whole",
        "torn": "the LoRA torn cannot be read",
    }[what]
    with pytest.raises(Exception, match=expected) as caught:
        run(make("txt2img", video(), prompt=f"a cat <lora:{what}:1>"))
    assert caught.value.status_code == 422


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 30])
def test_a_failure_while_sampling(host, error, call, monkeypatch):
    from motion_module.core.layers import MotionModule

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
    unharmed()
    assert differences(host_before, of_host()) == []
    assert np.array_equal(before, shot("a cat"))


def test_a_failure_at_every_change(host, monkeypatch):
    """Counted over the changes that this part makes: the reading of files, and every layer's place and name."""
    from motion_module.webui import lora

    write(host, "zoom", low_ranks())
    host_before, changes = of_host(values=False), []
    fields = {"prompt": "a cat <lora:zoom:1>", "steps": 1}

    def on_every_change(patch, hook):
        for name in ("replaced", "replaced_item", "_named"):
            change = getattr(lora, name)
            patch.setattr(lora, name, lambda *args, change=change: (hook(), change(*args))[1])

    with monkeypatch.context() as patch:
        on_every_change(patch, lambda: changes.append(1))
        run(make("txt2img", video(), **fields))
    assert len(changes) > 2 + 252 + len(low_ranks()) - 1
    for failing in (1, 2, 3, 150, len(changes) - 20, len(changes)):
        left = iter(range(failing - 1))

        def fail(left=left):
            if next(left, None) is None:
                raise RuntimeError("no memory for this")

        with monkeypatch.context() as patch:
            on_every_change(patch, fail)
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
