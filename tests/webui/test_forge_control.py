"""Forge's ControlNets are asked for the rows of a window, and add what they would add to all rows."""

from contextlib import nullcontext

import pytest
import torch
from forge_stand_in.control import ControlNet
from forge_videos import CONTEXT, FRAMES, denoised, each_frame, noise, plan, texts, tiles_stacked, video

from tests.core.builders import motion_model

CLOSE = {"atol": 1e-6, "rtol": 1e-5}
WAYS = {
    "windows": {"windows": plan()},
    "branches apart": {"windows": plan(), "together": False},
    "two windows a call": {"windows": plan(windows_per_call=2)},
    "as many rows as the whole call has, in another order": {
        "windows": plan(context=3, overlap=0, closed_loop="A", schedule="uniform", windows_per_call=2),
        "step": 1,
    },
    "as many rows as the whole call has, of one branch": {
        "windows": plan(context=3, overlap=1, closed_loop="A", schedule="uniform", windows_per_call=4, stride=2),
        "together": False,
    },
    "every second frame": {"windows": plan(context=3, overlap=0, stride=2, closed_loop="A", schedule="uniform")},
}


def hints(frames=FRAMES, seed=0, width=128):
    return torch.rand(frames, 3, 128, width, generator=torch.Generator().manual_seed(seed))


def chained(forge, *controlnets):
    """The checkpoint with these, as Forge has them when it begins to sample; the last one is the head."""
    patcher = forge.sd_model.forge_objects.unet.clone()
    for controlnet in controlnets:
        patcher.add_patched_controlnet(controlnet)
    forge.sampling.sampling_prepare(patcher, noise())
    forge.patch.setattr(forge.sd_model.forge_objects, "unet", patcher)
    return controlnets


def weighed(controlnet):
    controlnet.advanced_frame_weighting = [0.1 * frame for frame in range(FRAMES)]
    controlnet.advanced_mask_weighting = hints(seed=5)[:, :1]
    return controlnet


CHAINS = {
    "a picture for each frame": lambda: [ControlNet(hints())],
    "one for all": lambda: [ControlNet(hints(1))],
    "weights and masks": lambda: [weighed(ControlNet(hints()))],
    "two": lambda: [weighed(ControlNet(hints(), 0.7)), ControlNet(hints(seed=2), 0.5, seed=1)],
}


def made(forge, lazy, way, **of_call):
    """A step with ControlNets that are asked for each window, or for all rows before the UNet is called."""
    lazily = forge.hosts["forge_control"].lazily
    forge.patch.setattr(forge.hosts["forge"], "lazily", lazily if lazy else nullcontext)
    with video(forge, motion_model("v2"), **way):
        return denoised(forge, **of_call)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("chain", ["two", "weights and masks"])
def test_a_window_is_given_what_is_cut_from_the_whole(forge, way, chain):
    without = denoised(forge)
    chained(forge, *CHAINS[chain]())
    whole, cut = (made(forge, lazy, WAYS[way]) for lazy in (False, True))
    assert (whole - without).abs().max() > 0.01
    torch.testing.assert_close(cut, whole, **CLOSE)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_controlnet_never_sees_more_rows_than_a_window_has(forge, chain):
    controlnets = chained(forge, *CHAINS[chain]())
    whole = made(forge, False, WAYS["windows"])
    assert all(each.control_model.rows == [2 * FRAMES] for each in controlnets)
    for each in controlnets:
        each.control_model.rows.clear()
    cut = made(forge, True, WAYS["windows"])
    assert all(each.control_model.rows == [2 * CONTEXT] * 2 for each in controlnets)
    torch.testing.assert_close(cut, whole, **CLOSE)


@pytest.mark.parametrize("free", [100, 1])
def test_parts_and_splits(forge, free):
    forge.patch.setattr(forge.memory, "free", free)
    chained(forge, *CHAINS["two"]())
    call = {"cond": texts(2 * FRAMES), "composition": each_frame((1.0, 0.5))}
    whole, cut = (made(forge, lazy, {**WAYS["windows"], "parts": 2}, **call) for lazy in (False, True))
    torch.testing.assert_close(cut, whole, **CLOSE)


@pytest.mark.parametrize("chain", ["a picture for each frame", "weights and masks"])
def test_tiles_of_the_picture_have_tiles_of_the_hints(forge, chain):
    """Who cuts the picture cuts the hints alike before it asks, and puts them where Forge keeps them."""
    controlnets = CHAINS[chain]()
    controlnets[0].cond_hint_original = hints(width=256)
    chained(forge, *controlnets)
    forge.patch.setitem(forge.sd_model.forge_objects.unet.model_options, "model_function_wrapper", tiles_stacked)
    if chain == "weights and masks":
        controlnets[0].advanced_frame_weighting = None  # which Forge itself counts for one tile alone
    whole, cut = (made(forge, lazy, WAYS["windows"], x=noise(size=32)[:, :, :16]) for lazy in (False, True))
    torch.testing.assert_close(cut, whole, **CLOSE)


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_what_is_cut_is_put_back(forge, error):
    controlnets = chained(forge, *CHAINS["two"]())
    before = [{**vars(each)} for each in controlnets]
    if error:
        forge.patch.setattr(controlnets[0].control_model, "gains", None)
    try:
        made(forge, True, WAYS["windows"])
    except TypeError:
        assert error
    else:
        assert not error
    for each, was in zip(controlnets, before, strict=True):
        now = {**vars(each)}
        told = now.pop("transformer_options")
        assert len(told["cond_mark"]) == 2 * FRAMES  # Forge's own, of the whole call
        assert {name: value for name, value in was.items() if now.get(name) is not value} == {
            "transformer_options": was["transformer_options"]
        }


def test_one_window_is_forges_own_call(forge):
    (controlnet,) = chained(forge, ControlNet(hints()))
    with video(forge, motion_model("v2")):
        assert forge.sampling.calc_cond_uncond_batch.__module__ == forge.sampling.__name__
        denoised(forge)
        assert isinstance(forge.unet.calls[-1]["control"], dict)
    assert controlnet.control_model.rows == [2 * FRAMES]
    assert controlnet.cond_hint.shape[0] == 2 * FRAMES  # kept by Forge for the next step


def test_a_controlnet_that_is_not_yet_on_adds_nothing(forge):
    still = made(forge, True, WAYS["windows"])
    (controlnet,) = chained(forge, ControlNet(hints()))
    controlnet.timestep_range = (0.01, 0.0)
    assert torch.equal(made(forge, True, WAYS["windows"]), still)
    assert controlnet.control_model.rows == []
