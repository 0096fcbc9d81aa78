"""The model that goes to a worker: what arrives makes the same, and what cannot be sent is refused by name."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from loras import lora_host, spatial
from runs import frames
from torch import nn

from farm.sent_model import UnsentError, compact, packed, sent_rows, signature
from farm.shared_calls import given_to_worker
from motion_module.core.denoising.model_calls import windows_made_by
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.placement import mounted
from motion_module.patching import replaced_call
from motion_module.stand_in import given_original
from tests.core import builders

LONG = {"video_length": 20, "batch_size": 8, "overlap": 2}


class Looking:
    """An executor that makes every window twice: here, and by what would arrive at a worker."""

    def __init__(self):
        self.apart, self.size, self.keys = [], 0, []

    def __call__(self, calls, make, shared_frames):
        from modules import shared

        for call in calls:
            out = make(call)
            held = pickle.loads(pickle.dumps(packed(shared.sd_model.model, shared_frames)))
            there = held(*given_to_worker(call, shared_frames))
            self.apart.append(float((there - out).abs().max() / out.abs().max()))
            self.size, self.keys = held.size, [*self.keys, held.key]
            yield out

    def kept_here(self, reason):
        raise AssertionError(reason)


def looked_at(**options):
    looking = Looking()
    with windows_made_by(looking):
        frames(fields={**LONG, **options.pop("fields", {})}, **options)
    assert len(looking.apart) >= 3
    return looking


@pytest.mark.parametrize("module", ["mm_tiny_v1", "mm_tiny_v2"])
def test_a_worker_says_what_this_process_says(pocket, module):
    looking = looked_at(fields={"model": f"{module}.safetensors"}, steps=1)
    assert max(looking.apart) <= 1e-5 and len({*looking.keys}) == 1


def test_with_strengths_that_travel_and_and(pocket):
    fields = {"motion_scale_travel": "0: 0.5, 19: 1.5", "effect_travel": "0: 1, 19: 0.2"}
    assert max(looked_at(fields=fields, prompt="a cat AND a dog", steps=1).apart) <= 1e-5


def test_steps_without_motion_are_without_there_too(pocket):
    looking = looked_at(fields={"motion_start": 0.5}, steps=2)
    assert max(looking.apart) <= 1e-5 and len(looking.apart) >= 6


def test_an_image_to_image_video(pocket):
    assert max(looked_at(tab="img2img", steps=2).apart) <= 1e-5


def test_sdxl(pocket_xl):
    assert max(looked_at(fields={"model": pocket_xl["sdxl"].name}, steps=1).apart) <= 1e-5


def test_a_lora_goes_with_it_and_not_what_takes_it_back(pocket, tiny):
    with lora_host(pocket, tiny) as host:
        without = looked_at(steps=1)
        spatial(host)
        host["networks"].list_available_networks()
        with_it = looked_at(prompt="a cat <lora:spatial:1>", steps=1)
        assert max(with_it.apart) <= 1e-5 and without.keys[0] != with_it.keys[-1]
        assert with_it.size <= without.size * 1.01
        assert looked_at(steps=1).keys[-1] == without.keys[0]


class Holder(nn.Module):
    """What holds a UNet in the host's model."""

    def __init__(self):
        super().__init__()
        self.diffusion_model = builders.unet()

    def forward(self, x, t, c_crossattn):
        return self.diffusion_model(x, t, context=c_crossattn[0])


@pytest.fixture
def holder():
    call, holder = CallFrames(), Holder()
    unet = holder.diffusion_model
    with mounted(unet, builders.motion_model("v1"), call, builders.norms_of(unet)):
        yield holder, call


def test_what_others_have_put_into_the_unet_is_refused_by_name(holder):
    holder, call = holder
    attention = next(part for part in holder.modules() if type(part).__name__ == "CrossAttention")
    with replaced_call(attention, "forward", given_original(lambda original, *args: original(*args))):
        assert packed(holder, call).size  # ours, which changes memory alone
    own = attention.forward
    attention.forward = lambda *args, **kwargs: own(*args, **kwargs)
    with pytest.raises(UnsentError, match=r"^another extension stands in the UNet .forward of a CrossAttention.$"):
        packed(holder, call)
    below_ours = replaced_call(attention, "forward", given_original(lambda original, *args: original(*args)))
    with below_ours, pytest.raises(UnsentError, match="another extension stands"):
        packed(holder, call)
    del attention.forward
    handle = attention.register_forward_pre_hook(lambda module, args: None)
    with pytest.raises(UnsentError, match=r"a hook in the UNet .*pre_hooks of a CrossAttention"):
        packed(holder, call)
    handle.remove()
    attention.kept = lambda: None  # of a kind that no process but this one knows
    with pytest.raises(UnsentError, match=r"^a part of the UNet cannot be sent .*lambda"):
        packed(holder, call)
    del attention.kept
    assert packed(holder, call).key == packed(holder, call).key


def test_another_weight_is_another_key(holder):
    holder, call = holder
    before = packed(holder, call).key
    with torch.no_grad():
        next(holder.parameters()).view(-1)[0] += 1
    assert packed(holder, call).key != before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_weights_keep_their_dtype_and_bits(dtype):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-2, 2, 10).to(dtype), requires_grad=False)
            self.register_buffer("empty", torch.zeros(0, 3))
            self.register_buffer("none", None)

    globals()["Layer"], Layer.__qualname__ = Layer, "Layer"
    try:
        held = packed(Layer(), CallFrames())
        arrived = pickle.loads(held.head, buffers=held.parts)[0]
    finally:
        del globals()["Layer"]
    assert arrived.weight.dtype is dtype and isinstance(arrived.weight, nn.Parameter)
    assert torch.equal(arrived.weight.view(torch.uint8), Layer().weight.view(torch.uint8))
    assert arrived.empty.shape == (0, 3) and arrived.none is None


def test_a_prompt_that_all_frames_share_goes_over_once():
    text = torch.randn(2, 7, 5)
    cond = {"c_crossattn": [text[[0] * 6 + [1] * 6]], "c_concat": [torch.zeros(12, 5, 1, 1)]}
    sent = sent_rows(cond)
    (rows,) = sent["c_crossattn"]
    assert torch.equal(rows.values, text) and torch.equal(rows.values[rows.of_rows], cond["c_crossattn"][0])
    assert len(sent["c_concat"][0].values) == 1
    for nothing in (torch.zeros(0, 3), torch.zeros(6, 0, 2)):
        rows = sent_rows(nothing)
        assert rows.values[rows.of_rows].shape == nothing.shape


def test_a_part_of_something_large_goes_without_the_rest():
    large = torch.randn(8, 100)
    assert len(pickle.dumps(compact(large[:, :1]))) < 1000 < len(pickle.dumps(large))
    assert torch.equal(compact(large[2:4]), large[2:4]) and compact(large).data_ptr() == large.data_ptr()


def test_a_worker_with_several_threads_makes_one_at_a_time(holder):
    """Each window has its frames in the one `CallFrames` that all layers share."""
    holder, call = holder
    call.motion_scales = [0.2 + 0.2 * frame for frame in range(12)]
    held = packed(holder, call)
    x, t, text = builders.unet_inputs(4)
    given = [
        (4, [start, start + 1, start + 2, start + 3], False, x, t, {"c_crossattn": [sent_rows(text)]})
        for start in range(8)
    ]
    alone = [held(*call_of) for call_of in given]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda call_of: held(*call_of), given))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not torch.equal(alone[0], alone[7])


def test_whatever_is_changed_changes_the_signature(holder):
    holder, call = holder
    layer = next(part for part in holder.modules() if isinstance(part, nn.Conv2d))
    seen = [signature(holder, call)]
    assert signature(holder, call) == seen[0]
    seen.append(signature(holder, CallFrames()))
    call.motion_scale = 2.0
    seen.append(signature(holder, call))
    call.effects = [1.0, 0.5]
    seen.append(signature(holder, call))
    layer.padding_mode = "circular"
    seen.append(signature(holder, call))
    handle = layer.register_forward_hook(lambda *_: None)
    seen.append(signature(holder, call))
    handle.remove()
    layer.forward = lambda x: x
    seen.append(signature(holder, call))
    del layer.forward
    with torch.no_grad():
        layer.weight.mul_(2)
    seen.append(signature(holder, call))
    with call.lora("one", [0.0, 1.0]):
        seen.append(signature(holder, call))
    with torch.autocast("cpu", torch.bfloat16):
        seen.append(signature(holder, call))
    assert len(set(seen)) == len(seen)
