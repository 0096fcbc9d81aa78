"""A step: from what the denoiser is given to latents without noise."""

import math

import torch

from forge_stand_in import memory_management

COND, UNCOND = 0, 1
_MOST_REPEATED = 4  # how often a text may be repeated to come to one length with another


def sampling_prepare(unet, x):
    """Before the first step: asks for memory, merges LoRA."""
    memory_management.free_memory(unet.memory_required([x.shape[0] * 2, *x.shape[1:]]), x.device)
    unet.refresh_loras()
    for controlnet in unet.list_controlnets():
        controlnet.pre_run(unet.model, unet.model.predictor.percent_to_sigma)


def sampling_function(denoiser, denoiser_params, cond_scale, cond_composition):
    patcher, params = denoiser.inner_model.inner_model.forge_objects.unet, denoiser_params
    cond = _parts(params.text_cond, cond_composition)
    uncond = None if params.text_uncond is None else [_part(params.text_uncond)]
    if patcher.controlnet_linked_list is not None:
        for part in [*cond, *(uncond or [])]:
            part["control"] = patcher.controlnet_linked_list
    options = patcher.model_options
    return sampling_function_inner(
        patcher.model, params.x, params.sigma, uncond, cond, cond_scale, options, denoiser.p.seeds[0], return_full=True
    )


def _parts(texts, composition):
    """Prompts joined with AND, each for all frames; the last frame's weights count for all."""
    rows, weights = zip(*([*zip(*of, strict=True)] for of in composition), strict=True)
    return [_part(texts[list(index)], weights[-1][number]) for number, index in enumerate(zip(*rows, strict=True))]


def _part(texts, strength=1.0):
    return {"model_conds": {"c_crossattn": texts}, "strength": strength}


def sampling_function_inner(
    model, x, timestep, uncond, cond, cond_scale, model_options=None, seed=None, return_full=False
):
    if model_options is None:
        model_options = {}
    strength = sum(part.get("strength", 1) for part in cond)
    left_out = math.isclose(cond_scale, 1.0) and not model_options.get("disable_cfg1_optimization", False)
    cond_pred, uncond_pred = calc_cond_uncond_batch(
        model, cond, None if left_out else uncond, x, timestep, model_options
    )
    if "sampler_cfg_function" in model_options:
        told = {"cond": x - cond_pred, "uncond": x - uncond_pred, "cond_scale": cond_scale, "timestep": timestep}
        told |= {"input": x, "sigma": timestep, "cond_denoised": cond_pred, "uncond_denoised": uncond_pred}
        result = x - model_options["sampler_cfg_function"]({**told, "model": model, "model_options": model_options})
    else:
        result = uncond_pred + (cond_pred - uncond_pred) * cond_scale * strength
    return (result, cond_pred, uncond_pred) if return_full else result


def calc_cond_uncond_batch(model, cond, uncond, x_in, timestep, model_options):
    """Calls of the model with some branches each, the last branch first; a branch is never cut."""
    waiting = [(part, COND) for part in cond] + [(part, UNCOND) for part in uncond or []]
    totals, weights = torch.zeros(2, *x_in.shape), [1e-37, 1e-37]
    while waiting:
        chosen = [waiting.pop(place) for place in _of_one_call(model, waiting, x_in)]
        sides = [side for _, side in chosen]
        out = _call(model, [part for part, _ in chosen], sides, x_in, timestep, model_options)
        for (part, side), own in zip(chosen, out.chunk(len(sides)), strict=True):
            totals[side] += own * part["strength"]
            weights[side] += part["strength"]
    return totals[COND] / weights[COND], totals[UNCOND] / weights[UNCOND]


def _of_one_call(model, waiting, x_in):
    """The places of as many branches as there is memory for: all, a half, a third, ..., of those that fit together."""
    first = waiting[0][0]
    places = [place for place, (part, _) in enumerate(waiting) if _fit(part, first)][::-1]
    for pieces in range(1, len(places) + 1):
        some = places[: len(places) // pieces]
        if model.memory_required([len(some) * x_in.shape[0], *x_in.shape[1:]]) < memory_management.get_free_memory():
            return some
    return places[:1]  # whether there is memory for it or not


def _fit(one, other):
    lengths = [part["model_conds"]["c_crossattn"].shape[1] for part in (one, other)]
    repeats = math.lcm(*lengths) / min(lengths)
    return one.get("control") is other.get("control") and repeats <= _MOST_REPEATED


def _call(model, parts, sides, x_in, timestep, model_options):
    x, sigmas = torch.cat([x_in] * len(sides)), torch.cat([timestep] * len(sides))
    texts = [part["model_conds"]["c_crossattn"] for part in parts]
    tokens = math.lcm(*(text.shape[1] for text in texts))
    options = {**model_options.get("transformer_options", {}), **_told(sides, timestep)}
    text = torch.cat([text.repeat(1, tokens // text.shape[1], 1) for text in texts])
    conds = {"c_crossattn": text, "transformer_options": options}
    control = parts[0].get("control")
    if control is not None:
        at = control
        while at is not None:
            at.transformer_options, at = options, at.previous_controlnet
        conds |= {"control": control.get_control(x, sigmas, conds.copy(), len(sides)), "control_model": control}
    if "model_function_wrapper" in model_options:
        told = {"input": x, "timestep": sigmas, "c": conds, "cond_or_uncond": sides}
        return model_options["model_function_wrapper"](model.apply_model, told)
    return model.apply_model(x, sigmas, **conds)


def _told(sides, timestep):
    of_rows = [side for side in sides for _ in timestep]
    return {
        "cond_or_uncond": list(sides),
        "sigmas": timestep,  # of one branch
        "cond_mark": torch.tensor(of_rows, dtype=torch.float32),
        "cond_indices": [row for row, side in enumerate(of_rows) if side == COND],
        "uncond_indices": [row for row, side in enumerate(of_rows) if side == UNCOND],
    }
