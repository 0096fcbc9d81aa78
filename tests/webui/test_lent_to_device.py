"""On a device of its own, and with the host's --lowvram and --medvram, the motion module's weights on the CPU stay the
very tensors that they were, to the bit, whatever is done in a run, and a run makes the same frames."""

import numpy as np
import pytest
from loras import lora_host, low_ranks, write
from runs import array, frames, make, run, video

from tests.core.copying_device import COPYING, Transfers

MODULE = "mm_tiny_v2.safetensors"
LORA = {"prompt": "a cat <lora:pan:0.7>"}


@pytest.fixture
def host(pocket, tiny):
    with lora_host(pocket, tiny) as found:
        write(found, "pan", low_ranks())
        yield found


def _model():
    from motion_module.webui.request import motion_modules

    return motion_modules._SHELF.model


def _tensors():
    model = _model()
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.fixture(params=["a device", "--medvram", "--lowvram", "least", "least, --lowvram"])
def device(request, host, monkeypatch):
    """The host samples on another device; with the two options it moves the UNet, or its blocks, there when called. With
    the setting for least memory we move one motion layer at a time, where the host does not."""
    from modules import devices, shared

    frames({"model": MODULE})  # the module is loaded
    monkeypatch.setattr(devices, "device", COPYING)
    unet, hooks, there = shared.sd_model.model.diffusion_model, [], []

    def send_me_to_gpu(module, _):
        if there[-1:] != [module]:
            if there:
                there.pop().to("cpu")
            module.to(devices.device)
            there.append(module)

    monkeypatch.setitem(shared.opts.data, "animatediff_least_memory", "least" in request.param)
    if "--lowvram" in request.param:
        monkeypatch.setattr(shared.cmd_opts, "lowvram", True)
        for block in (*unet.input_blocks, unet.middle_block, *unet.output_blocks):
            hooks.append(block.register_forward_pre_hook(send_me_to_gpu))
    elif request.param == "--medvram":
        monkeypatch.setattr(shared.cmd_opts, "medvram", True)
        hooks.append(shared.sd_model.model.register_forward_pre_hook(send_me_to_gpu))
    yield request.param
    for hook in hooks:
        hook.remove()
    if there:
        there.pop().to("cpu")


@pytest.fixture
def masters(device):
    """What is on the CPU; it is the same after the test."""
    tensors = _tensors()
    bits, places = {name: value.clone() for name, value in tensors.items()}, {}
    places = {name: value.data_ptr() for name, value in tensors.items()}
    yield
    now = _tensors()
    assert [name for name in tensors if now[name] is not tensors[name]] == []
    assert all(now[name].data_ptr() == places[name] for name in tensors)
    assert all((now[name] == bits[name]).all() for name in tensors)


def plainly(monkeypatch, **request):
    """The frames on the CPU itself."""
    from modules import devices, shared

    with monkeypatch.context() as patch:
        patch.setattr(devices, "device", devices.cpu)
        patch.setattr(shared.cmd_opts, "lowvram", False)
        return frames(**{"fields": {"model": MODULE}, **request})


def test_the_same_lora_twice_then_none(masters, monkeypatch):
    with_lora, without = plainly(monkeypatch, **LORA), plainly(monkeypatch)
    assert not np.array_equal(with_lora, without)
    for request, expected in ((LORA, with_lora), (LORA, with_lora), ({}, without), (LORA, with_lora)):
        assert np.array_equal(frames(fields={"model": MODULE}, **request), expected)


def test_two_videos_of_a_batch_count(masters, monkeypatch):
    expected = plainly(monkeypatch, n_iter=2, **LORA)
    assert np.array_equal(frames(fields={"model": MODULE}, n_iter=2, **LORA), expected)


def test_an_interrupt_and_an_error(masters, monkeypatch):
    from modules import shared
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    expected, forward = plainly(monkeypatch, **LORA), CFGDenoiser.forward

    def stopped(self, *args, **kwargs):
        shared.state.interrupted = True
        return forward(self, *args, **kwargs)

    def failing(self, *args, **kwargs):
        forward(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CFGDenoiser, "forward", stopped)
        run(make("txt2img", video(model=MODULE), **LORA))
        patch.setattr(CFGDenoiser, "forward", failing)
        with pytest.raises(KeyboardInterrupt):
            run(make("txt2img", video(model=MODULE), **LORA))
    assert np.array_equal(frames(fields={"model": MODULE}, **LORA), expected)


def test_the_refiner(masters, monkeypatch):
    refiner = {"refiner_checkpoint": "other.safetensors", "refiner_switch_at": 0.5, **LORA}
    expected = plainly(monkeypatch, **refiner)
    found = array(run(make("txt2img", video(model=MODULE, format=["Frame"]), **refiner)).images)
    assert np.array_equal(found, expected)


def test_what_is_copied(masters, device, monkeypatch):
    """Each tensor once to the device and none back, where the host does not move them itself."""
    tensors = len(_tensors())
    with Transfers() as of_plain:
        array(run(make("txt2img", None)).images)
    with Transfers() as of_video:
        frames(fields={"model": MODULE, "video_length": 1})
    if device == "a device":
        assert of_video.count - of_plain.count <= tensors + 12  # latents, windows' rows and their like
