"""A video on Forge is A1111's, and leaves the UNet as it was; over a stand-in, whose facts are Forge's."""

import pytest
import torch
from forge_videos import (
    FRAMES,
    denoised,
    denoised_on_a1111,
    each_frame,
    noise,
    plan,
    sigma_of,
    texts,
    tiles_stacked,
    video,
)
from torch import nn

from motion_module.core.module.layers import LentLayer
from motion_module.core.module.norm import norms_of_blocks
from tests.core.builders import motion_model, photograph

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
PREFIX = "diffusion_model."


def close(one, other):
    torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize(
    ("kind", "windows", "weights"),
    [
        ("v1", None, (1.0,)),
        ("v2", plan(), (1.0,)),
        ("v3", plan(blend="overwrite"), (1.0, 0.5)),
        ("v1", plan(windows_per_call=2), (0.7, 0.3)),
        ("v2", plan(context=3, stride=2, closed_loop="A", schedule="uniform"), (1.0,)),
    ],
)
def test_a_video_is_the_same_as_on_a1111(forge, kind, windows, weights):
    model, parts = motion_model(kind), len(weights)
    cond, composition = texts(FRAMES * parts), each_frame(weights)
    still = denoised(forge, cond=cond, composition=composition)
    with video(forge, model, windows, parts):
        moving = denoised(forge, cond=cond, composition=composition)
    close(moving, denoised_on_a1111(model, sigma_of(forge, 1), windows, weights))
    assert (moving - still).abs().max() > 0.01
    assert torch.equal(denoised(forge, cond=cond, composition=composition), still)


def test_every_layer_is_called_and_the_unets_own_keep_their_names(forge):
    model, own, called = motion_model("v2"), list(forge.unet.state_dict()), []
    with video(forge, model):
        keys = list(forge.unet.state_dict())
        assert [key for key in keys if ".motion." not in key] == own
        assert len(keys) > len(own)
        lent = [part for part in forge.unet.modules() if isinstance(part, LentLayer)]
        for layer in lent:
            layer.register_forward_hook(lambda layer, *of: called.append(layer))
        denoised(forge)
    assert len(lent) == len(model.layers()) == 21
    assert {*called} == {*lent}
    assert [key for key in own if key.startswith("output_blocks.2.")][-1] == "output_blocks.2.1.conv.bias"


@pytest.mark.parametrize(("kind", "over_frames"), [("v1", True), ("v2", False)])
def test_norms_are_chosen_by_their_places(forge, kind, over_frames):
    """Forge has one class for all norms, those of the spatial transformers too."""
    own = {norm for norm in forge.unet.modules() if isinstance(norm, nn.GroupNorm)}
    of_blocks = {*norms_of_blocks(forge.unet)}
    of_text = {part.norm for part in forge.unet.modules() if hasattr(part, "transformer_blocks")}
    assert of_blocks | of_text == own
    assert of_blocks.isdisjoint(of_text)
    with video(forge, motion_model(kind)):
        changed = {norm for norm in own if "forward" in vars(norm)}
        assert changed == (of_blocks if over_frames else set())


@pytest.mark.parametrize("key", ["output_blocks.2.1.conv", "output_blocks.5.2.conv", "output_blocks.8.2.conv"])
@pytest.mark.parametrize("when", ["before", "while", "across"])
def test_lora_is_merged_into_the_layer_of_that_name(forge, key, when):
    """Forge merges by the names of the moment; a layer of ours stands right before these."""
    layer = forge.unet.get_submodule(key)
    weight, others = layer.weight, photograph(forge.unet)
    up, down = torch.randn(weight.shape[0], 2), torch.randn(2, weight[0].numel())
    patch = "lora", (up, down, 2.0, None, None, None)
    patcher, plain = forge.sd_model.forge_objects.unet.clone(), forge.sd_model.forge_objects.unet
    patcher.add_patches(filename="a", patches={f"{PREFIX}{key}.weight": patch}, strength_patch=0.5)
    merged = weight + 0.5 * (up @ down).reshape(weight.shape)
    if when == "before":
        patcher.refresh_loras()
    with video(forge, motion_model("v2")):
        if when != "before":
            patcher.refresh_loras()
        assert forge.unet.get_submodule(key) is layer
        close(layer.weight, merged)
        if when == "while":
            plain.refresh_loras()
    if when != "while":
        close(layer.weight, merged)
        plain.refresh_loras()
    assert layer.weight is weight
    assert photograph(forge.unet) == others


class InterruptedException(BaseException):
    """Of the kind that Forge raises where somebody stops a run."""


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("error", [None, RuntimeError, InterruptedException])
def test_everything_is_as_it_was(forge, kind, error):
    before, bits = photograph(forge.kmodel), {key: value.clone() for key, value in forge.kmodel.state_dict().items()}
    names = {owner: {**vars(owner)} for owner in (forge.sampling, forge.sd_model.forge_objects.unet)}
    still = denoised(forge)
    calls = iter([None, error])

    def fail(*of):
        failure = next(calls, None)
        if failure is not None:
            raise failure

    try:
        with video(forge, motion_model(kind), plan()):
            handle = forge.unet.out.register_forward_hook(fail)
            denoised(forge)
    except (RuntimeError, InterruptedException) as caught:
        assert type(caught) is error
    else:
        assert error is None
    handle.remove()
    assert photograph(forge.kmodel) == before
    assert all(torch.equal(bits[key], value) for key, value in forge.kmodel.state_dict().items())
    assert {owner: {**vars(owner)} for owner in names} == names
    assert torch.equal(denoised(forge), still)


def test_who_keeps_the_unets_call_calls_the_unet_itself_afterwards(forge):
    """Somebody takes `forward` while a video is made, and puts it back when that is over."""
    still = denoised(forge)
    with video(forge, motion_model("v2")):
        kept = forge.unet.forward
        assert not torch.equal(denoised(forge), still)
    forge.patch.setattr(forge.unet, "forward", kept, raising=False)
    assert torch.equal(denoised(forge), still)


@pytest.mark.parametrize("windows", [None, plan()])
@pytest.mark.parametrize("free", [100, 13, 9, 1])
def test_branches_may_come_in_any_calls(forge, windows, free):
    """Forge puts as many branches into a call as there is memory for; a byte is a row here."""
    model, cond, composition = motion_model("v2"), texts(2 * FRAMES), each_frame((1.0, 0.5))
    with video(forge, model, windows, parts=2):
        together = denoised(forge, cond=cond, composition=composition)
    whole = {len(call["x"]) for call in forge.unet.calls}
    forge.unet.calls.clear()
    forge.patch.setattr(forge.memory, "free", free)
    with video(forge, model, windows, parts=2):
        apart = denoised(forge, cond=cond, composition=composition)
    frames = FRAMES if windows is None else windows.context
    sizes = [len(call["x"]) // frames for call in forge.unet.calls][:: 1 if windows is None else 2]
    fitting = {
        None: {100: [3], 13: [1, 2], 9: [1, 1, 1], 1: [1, 1, 1]},
        4: {100: [3], 13: [3], 9: [1, 2], 1: [1, 1, 1]},
    }
    assert whole == {3 * frames}
    assert sizes == fitting[windows and windows.context][free]
    close(apart, together)


def test_tiles_of_the_picture_lie_behind_each_other(forge):
    """Each tile has its branches; a video of tiles is what each of them makes alone."""
    model, x, windows = motion_model("v2"), noise(size=32), plan()
    with video(forge, model, windows):
        alone = torch.cat([denoised(forge, half) for half in x.split(16, dim=3)], dim=3)
        forge.patch.setitem(forge.sd_model.forge_objects.unet.model_options, "model_function_wrapper", tiles_stacked)
        forge.unet.calls.clear()
        stacked = denoised(forge, x)
    assert [len(call["x"]) for call in forge.unet.calls] == [4 * windows.context] * 2
    close(stacked, alone)


def test_rows_that_are_no_whole_branches_are_refused(forge):
    from motion_module.errors import HostError

    with video(forge, motion_model("v2")), pytest.raises(HostError, match="14 rows"):
        denoised(forge, noise(7))
