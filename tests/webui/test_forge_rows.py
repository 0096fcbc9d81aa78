"""What Forge tells the layers of its UNet about a call is true of the rows of a window."""

from types import SimpleNamespace

import pytest
import torch
from forge_videos import FRAMES, STEP, denoised, each_frame, noise, plan, texts, tiles_stacked, video

from tests.core.builders import motion_model

WAYS = {
    "one window": {},
    "windows": {"windows": plan()},
    "branches apart": {"windows": plan(), "together": False},
    "one window, apart": {"together": False},
    "two windows a call": {"windows": plan(windows_per_call=2)},
    "two windows a call, apart": {"windows": plan(windows_per_call=2), "together": False},
    "as many rows as the whole call has, of one branch": {
        "windows": plan(context=3, overlap=1, closed_loop="A", schedule="uniform", windows_per_call=4, stride=2),
        "together": False,
    },
    "windows in another order": {
        "windows": plan(context=3, overlap=0, schedule="uniform", windows_per_call=2),
        "step": 1,
    },
    "every second frame": {"windows": plan(context=3, overlap=0, stride=2, closed_loop="A", schedule="uniform")},
}


def told_texts():
    """Texts that say of themselves whose they are: frame 0 has 1, 2, ...; those of the negative prompt are below 0."""
    numbers = torch.arange(1.0, FRAMES + 1)
    cond = numbers.repeat_interleave(2).view(-1, 1, 1).expand(-1, 5, 64)
    return {"cond": cond / 10, "uncond": -numbers.view(-1, 1, 1).expand(-1, 5, 64) / 10}


def check(call, sigmas, x):
    """By the texts of its rows: who they are, and that all that is told is of them."""
    told, marks = call["told"], call["context"][:, 0, 0]
    frames, sides = (marks.abs() * 10).round().long() - 1, (marks < 0).long()
    branches = len(told["cond_or_uncond"])
    assert len(marks) % branches == 0
    assert [part.unique().tolist() for part in sides.chunk(branches)] == [[side] for side in told["cond_or_uncond"]]
    assert torch.equal(told["sigmas"].repeat(branches), sigmas[frames])
    assert torch.equal(told["cond_mark"], sides.float())
    assert told["cond_indices"] == (sides == 0).nonzero()[:, 0].tolist()
    assert told["uncond_indices"] == (sides == 1).nonzero()[:, 0].tolist()
    torch.testing.assert_close(call["x"] * (sigmas[frames].view(-1, 1, 1, 1) ** 2 + 1).sqrt(), x[frames])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("free", [100, 1])
def test_the_layers_are_told_of_the_rows_of_their_call(forge, way, free):
    """Each frame has a sigma of its own here, so that none can stand for another."""
    forge.patch.setattr(forge.memory, "free", free)
    sigmas, x = forge.kmodel.predictor.sigmas[STEP : STEP + FRAMES], noise()
    with video(forge, motion_model("v2"), parts=2, **WAYS[way]):
        denoised(forge, x, **told_texts(), composition=each_frame((1.0, 1.0)), sigma=sigmas)
    assert forge.unet.calls
    for call in forge.unet.calls:
        check(call, sigmas, x)


def test_tiles_are_told_of_the_rows_of_their_call(forge):
    forge.patch.setitem(forge.sd_model.forge_objects.unet.model_options, "model_function_wrapper", tiles_stacked)
    sigmas, x = forge.kmodel.predictor.sigmas[STEP : STEP + FRAMES], noise(size=16)
    with video(forge, motion_model("v2"), plan()):
        denoised(
            forge, x.repeat(1, 1, 1, 2), cond=told_texts()["cond"][::2], uncond=told_texts()["uncond"], sigma=sigmas
        )
    assert [call["told"]["cond_or_uncond"] for call in forge.unet.calls] == [[1, 0, 1, 0]] * 2
    for call in forge.unet.calls:
        check(call, sigmas, x)


def test_a_whole_call_is_forges_own(forge):
    """In a video of one window nothing of what Forge hands over is another object, and it hears what the UNet says."""
    seen = {}

    def look(apply_model, args):
        seen.update(options=args["c"]["transformer_options"], told=dict(args["c"]["transformer_options"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    forge.patch.setitem(forge.sd_model.forge_objects.unet.model_options, "model_function_wrapper", look)
    with video(forge, motion_model("v2")):
        denoised(forge)
    (call,) = forge.unet.calls
    assert call["options"] is seen["options"]
    assert call["told"] == seen["told"]
    assert seen["options"]["block"] == ("last", 0)


def test_a_call_without_anything_told_gets_through(forge):
    """Somebody calls the model without a step around it."""
    x, sigmas = noise(2 * FRAMES), forge.kmodel.predictor.sigmas[STEP].expand(2 * FRAMES)
    with torch.no_grad(), video(forge, motion_model("v2"), plan()):
        out = forge.kmodel.apply_model(x, sigmas, c_crossattn=texts(2 * FRAMES))
    assert out.shape == x.shape
    assert "cond_or_uncond" not in forge.unet.calls[-1]["told"]


def test_callbacks_may_change_latents_but_not_their_number(forge):
    from motion_module.core.denoising.row_order import Snapshot, UnknownRowsError

    before, fewer = Snapshot.of(noise(), texts()), Snapshot.of(noise(FRAMES - 1), texts())
    assert forge.host.moved_rows(before, Snapshot.of(noise(seed=8), texts()), FRAMES, 1) == ()
    for after in (fewer, Snapshot.of(noise(), texts(2 * FRAMES))):
        with pytest.raises(UnknownRowsError):
            forge.host.moved_rows(before, after, FRAMES, 1)


def test_texts_of_different_lengths_come_to_one_length_as_forge_has_it(forge):
    """Prompt and negative prompt are left to Forge; negative prompts of the frames are repeated, as Forge repeats."""
    cond, uncond = texts(tokens=6), texts(tokens=3, seed=9)
    assert forge.host.texts_for_call(cond, uncond, True) == (cond, uncond)
    with video(forge, motion_model("v2"), plan()):
        different = denoised(forge, cond=cond, uncond=uncond)
        repeated = denoised(forge, cond=cond, uncond=uncond.repeat(1, 2, 1))
    assert torch.equal(different, repeated)
    from modules import prompt_parser

    schedules = [[prompt_parser.ScheduledPromptConditioning(10, text)] for text in (uncond[0], cond[0])]
    with forge.host.negatives_of_one_length():
        made = prompt_parser.reconstruct_cond_batch(schedules, 0)
    assert torch.equal(made, torch.stack([uncond[0].repeat(2, 1), cond[0]]))


def test_every_branch_may_share_a_call_and_none_is_cut(forge):
    assert forge.host.branches_share_calls()
    with forge.host.whole_calls(None) as nothing:
        assert nothing is None
    assert forge.host.row_layout(FRAMES, 2, SimpleNamespace(), ())(noise(3 * FRAMES), None).copies == 3
