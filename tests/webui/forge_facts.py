"""What `hosts/forge*.py` takes for granted of Forge, as checks that run in the stand-in and in the real one alike.

tests/running/forge_real.py runs them in a real one; forge_facts_beside.py has those of LoRA and ControlNet. Each takes what there is: `sd_model`, and Forge's modules `attention`, `memory`, `sampling`, `networks`, `units`, and
`controlnet`, a class of ControlNets, of which
`new_controlnet` makes one for a model, and `folder`, an empty one.
"""

import inspect
import math
import traceback
from types import SimpleNamespace

import torch
from torch import nn

FRAMES = 3
STEP = ("model", "x", "timestep", "uncond", "cond", "cond_scale", "model_options", "seed", "return_full")
BATCH = ("model", "cond", "uncond", "x_in", "timestep", "model_options")
CALL = ("x", "t", "c_concat", "c_crossattn", "control", "transformer_options", "kwargs")
TOLD = {"cond_or_uncond", "sigmas", "cond_mark", "cond_indices", "uncond_indices"}


def names(function):
    return tuple(inspect.signature(function).parameters)


def kmodel_of(of):
    return of.sd_model.forge_objects.unet.model


def width_of(unet):
    return next(part.to_k.in_features for name, part in unet.named_modules() if name.endswith("attn2"))


def calls_of(of, parts=1, uncond=True, scale=2.0, tokens=(5, 5), free=None):
    """The calls of the model in one step of a video, which answers each row with its own number, and the step's result."""
    kmodel, calls = kmodel_of(of), []

    def answer(x, t, **conds):
        calls.append((x, t, conds, dict(conds["transformer_options"])))
        return x * 0 + conds["c_crossattn"][:, :1, 0].view(-1, 1, 1, 1)

    width, frames = width_of(kmodel.diffusion_model), torch.arange(1.0, FRAMES * parts + 1)
    params = SimpleNamespace(
        x=torch.randn(FRAMES, 4, 8, 8),
        sigma=torch.tensor([3.0, 2.0, 1.0]),
        text_cond=frames.view(-1, 1, 1).expand(-1, tokens[0], width),
        text_uncond=-torch.arange(1.0, FRAMES + 1).view(-1, 1, 1).expand(-1, tokens[1], width) if uncond else None,
        image_cond=None,
    )
    of_frames = [[(frame * parts + part, 1.0) for part in range(parts)] for frame in range(FRAMES)]
    denoiser = SimpleNamespace(
        inner_model=SimpleNamespace(inner_model=of.sd_model), p=SimpleNamespace(seeds=[1] * FRAMES)
    )
    own_memory = of.memory.get_free_memory
    kmodel.apply_model = answer
    of.memory.get_free_memory = own_memory if free is None else lambda *of, **how: free(kmodel)
    try:
        with torch.inference_mode():
            made = of.sampling.sampling_function(denoiser, params, scale, of_frames)[0]
    finally:
        del kmodel.apply_model
        of.memory.get_free_memory = own_memory
    return params, calls, made


def check_attention(of):
    ways = [getattr(of.attention, f"attention_{name}") for name in ("xformers", "pytorch", "split", "sub_quad")]
    assert of.attention.attention_function in ways


def check_errors(of):
    """Python's own function prints those of the page's runs, looked up in the thread's own module."""
    assert of.main_thread.traceback.print_exc is traceback.print_exc


def check_memory(of):
    assert isinstance(of.memory.get_torch_device(), torch.device)
    assert of.memory.minimum_inference_memory() > 0
    assert names(of.memory.free_memory)[:2] == ("memory_required", "device")
    assert names(kmodel_of(of).memory_required) == ("input_shape",)
    sizes = [kmodel_of(of).memory_required([rows, 4, 8, 8]) for rows in (2, 4)]
    assert math.isclose(2 * sizes[0], sizes[1])


def check_checkpoint(of):
    assert not isinstance(of.sd_model, nn.Module)
    for name in ("forge_objects", "forge_objects_original", "forge_objects_after_applying_lora", "current_lora_hash"):
        assert hasattr(of.sd_model, name)
    for name in ("model", "apply_model", "parameterization", "network_layer_mapping", "cond_stage_model_empty_prompt"):
        assert not hasattr(of.sd_model, name)
    assert of.sd_model.forge_objects.shallow_copy().unet is of.sd_model.forge_objects.unet
    assert of.sd_model.sd_checkpoint_info.name_for_extra


def check_unet(of):
    unet = kmodel_of(of).diffusion_model
    assert not hasattr(unet, "dtype")
    assert names(unet.forward)[:5] == ("x", "timesteps", "context", "y", "control")
    assert [len(blocks) for blocks in (unet.input_blocks, unet.middle_block, unet.output_blocks)] == [12, 3, 12]
    assert [type(unet.output_blocks[number][-1]).__name__ for number in (2, 5, 8)] == ["Upsample"] * 3
    assert all(
        isinstance(block, nn.Sequential) for block in [*unet.input_blocks, unet.middle_block, *unet.output_blocks]
    )
    kinds = {type(part) for part in unet.modules() if isinstance(part, nn.GroupNorm)}
    assert len(kinds) == 1
    blocks = [part for part in unet.modules() if hasattr(part, "in_layers")]
    assert (
        {type(norm) for block in blocks for norm in (block.in_layers[0], block.out_layers[0])}
        == kinds
        == {type(unet.out[0])}
    )
    assert kmodel_of(of).computation_dtype.is_floating_point


def check_call_of_the_unet(of):
    """It calls layers that it does not know, notes in the options where it is, and uses ControlNet's lists up."""
    unet, seen = kmodel_of(of).diffusion_model, []

    class Layer(nn.Module):
        def forward(self, x):
            seen.append((x.shape[0], dict(options)))
            return x

    block, options = unet.output_blocks[2], {}
    width = block[0].out_channels
    x, text = torch.randn(2, 4, 16, 16), torch.randn(2, 5, width_of(unet))
    control = {"input": [], "middle": [torch.zeros(2, width, 2, 2)], "output": []}
    own = list(block._modules)
    block.add_module("between", Layer())
    block._modules[own[-1]] = block._modules.pop(own[-1])
    try:
        with torch.inference_mode():
            t = torch.tensor([500.0, 500.0])
            out = unet(x, t, context=text, control=control, transformer_options=options, control_model=None)
            again = unet.forward(x, t, context=text, transformer_options={})
    finally:
        del block._modules["between"]
    assert seen[0][0] == 2
    assert (seen[0][1]["block"], seen[0][1]["original_shape"]) == (("output", 2), [2, 4, 16, 16])
    assert "transformer_index" in seen[0][1]
    assert control == {"input": [], "middle": [], "output": []}
    torch.testing.assert_close(out, again)
    assert list(block._modules) == own


def check_model(of):
    kmodel = kmodel_of(of)
    assert names(kmodel.apply_model) == CALL
    handed, own = [], kmodel.diffusion_model.forward

    def forward(x, timesteps, **conds):
        handed.append((x, timesteps, conds))
        return torch.ones_like(x)

    kmodel.diffusion_model.forward = forward
    x, sigmas, text = torch.randn(2, 4, 8, 8), kmodel.predictor.sigmas[[100, 900]], torch.randn(2, 5, 8)
    try:
        out = kmodel.apply_model(x, sigmas, c_crossattn=text, transformer_options={"a": 1}, control=None, more=2)
    finally:
        del kmodel.diffusion_model.forward
    assert kmodel.diffusion_model.forward == own
    scaled, timesteps, conds = handed[0]
    each = sigmas.view(-1, 1, 1, 1)
    torch.testing.assert_close(scaled, x / (each**2 + 1).sqrt())
    assert timesteps.tolist() == [100.0, 900.0]
    assert (conds["transformer_options"], conds["control"], conds["more"]) == ({"a": 1}, None, 2)
    torch.testing.assert_close(conds["context"], text)
    torch.testing.assert_close(out, x - each)


def check_schedule(of):
    predictor = kmodel_of(of).predictor
    own, alphas = predictor.sigmas, predictor.alphas_cumprod
    assert {"sigmas", "log_sigmas"} <= set(dict(predictor.named_buffers()))
    assert predictor.prediction_type in ("epsilon", "v_prediction")
    torch.testing.assert_close(1 / (own**2 + 1), alphas)
    torch.testing.assert_close(own.log(), predictor.log_sigmas)
    try:
        predictor.set_sigmas(own * 2)
        torch.testing.assert_close(predictor.sigmas, own * 2)
        torch.testing.assert_close(predictor.log_sigmas, (own * 2).log())
        assert predictor.alphas_cumprod is alphas
    finally:
        predictor.set_sigmas(own)


def check_step(of):
    assert names(of.sampling.sampling_function_inner) == STEP
    assert names(of.sampling.calc_cond_uncond_batch) == BATCH
    assert "sampling_function_inner" in of.sampling.sampling_function.__code__.co_names
    assert "calc_cond_uncond_batch" in of.sampling.sampling_function_inner.__code__.co_names


def check_rows(of):
    """The negative prompt's first, then the last prompt of an AND, ...; frames of a branch behind each other."""
    params, calls, made = calls_of(of, parts=2)
    ((x, sigmas, conds, told),) = calls
    assert conds["c_crossattn"][:, 0, 0].tolist() == [-1, -2, -3, 2, 4, 6, 1, 3, 5]
    assert torch.equal(x, params.x.repeat(3, 1, 1, 1))
    assert torch.equal(sigmas, params.sigma.repeat(3))
    assert set(told) >= TOLD
    assert told["cond_or_uncond"] == [1, 0, 0]
    assert torch.equal(told["sigmas"], params.sigma)
    assert told["cond_mark"].tolist() == [1] * 3 + [0] * 6
    assert (told["cond_indices"], told["uncond_indices"]) == ([3, 4, 5, 6, 7, 8], [0, 1, 2])
    expected = [(-frame + (0.5 * (4 * frame - 1) + frame) * 2 * 2.0) for frame in (1, 2, 3)]
    torch.testing.assert_close(made[:, 0, 0, 0], torch.tensor(expected))


def check_split(of):
    """Branches that do not fit into the memory come in calls of their own; none is cut."""

    def for_so_many(branches):
        return lambda kmodel: kmodel.memory_required([branches * FRAMES, 4, 8, 8]) + 0.5

    assert [call[3]["cond_or_uncond"] for call in calls_of(of, parts=2, free=for_so_many(3))[1]] == [[1, 0, 0]]
    assert [call[3]["cond_or_uncond"] for call in calls_of(of, parts=2, free=for_so_many(2))[1]] == [[1], [0, 0]]
    assert [call[3]["cond_or_uncond"] for call in calls_of(of, parts=2, free=for_so_many(0))[1]] == [[1], [0], [0]]


def check_lengths(of):
    """The shorter text is repeated; one that would be repeated too often has a call of its own."""
    ((_, _, conds, _),) = calls_of(of, tokens=(6, 3))[1]
    assert conds["c_crossattn"].shape[:2] == (2 * FRAMES, 6)
    assert [len(call[0]) for call in calls_of(of, tokens=(10, 1))[1]] == [FRAMES] * 2


def check_scale_of_one(of):
    """The negative prompt is left out."""
    ((_, _, conds, told),) = calls_of(of, scale=1.0)[1]
    assert told["cond_or_uncond"] == [0]


def check_guidance_of_others(of):
    """Is told the noise of both sides, and not how strong the prompts are together."""
    options, seen = of.sd_model.forge_objects.unet.model_options, []

    def weigh(args):
        seen.append(args)
        return args["cond"]

    options["sampler_cfg_function"] = weigh
    try:
        _, _, made = calls_of(of, parts=2)
    finally:
        del options["sampler_cfg_function"]
    torch.testing.assert_close(seen[0]["cond"], seen[0]["input"] - seen[0]["cond_denoised"])
    torch.testing.assert_close(seen[0]["uncond"], seen[0]["input"] - seen[0]["uncond_denoised"])
    torch.testing.assert_close(made[:, 0, 0, 0], torch.tensor([1.5, 3.5, 5.5]))
