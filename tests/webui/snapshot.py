"""What of the host must be the same before and after a run: identities and values."""

import hashlib
import sys

import torch

from tests.running import webui

PLAIN = (bool, int, float, str, type(None))
MOST_JOBS = 1_000  # of any test; job numbers beyond are parts of jobs
MADE_BY_THE_HOST = {  # on `p`, while it processes a plain picture
    *("all_hr_negative_prompts", "all_hr_prompts", "all_negative_prompts", "all_prompts", "all_seeds", "all_subseeds"),
    *("batch_index", "c", "cached_c", "cached_hr_c", "cached_hr_uc", "cached_uc", "color_corrections"),
    *("extra_network_data", "firstpass_steps", "hr_c", "hr_extra_network_data"),
    *("hr_negative_prompt", "hr_negative_prompts", "hr_prompt", "hr_prompts", "hr_scheduler", "hr_uc"),
    *("hr_upscale_to_x", "hr_upscale_to_y", "image_conditioning", "init_latent", "is_hr_pass"),
    *("is_using_inpainting_conditioning", "iteration", "latent_scale_mode", "lora_hashes", "main_negative_prompt"),
    *("main_prompt", "negative_prompts", "prompts", "restore_faces", "rng", "s_churn", "s_min_uncond", "s_noise"),
    *("s_tmax", "s_tmin", "sampler", "sd_model_hash", "sd_model_name", "sd_vae_hash", "sd_vae_name", "seeds"),
    *("step_multiplier", "subseeds", "tiling", "truncate_x", "truncate_y", "uc"),
}


class _Very:
    """Equal to the very same object alone, whatever that one says of itself; it is kept, so that no other gets its id."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Very) and self.value is other.value

    __hash__ = None


def of_model(sd_model, values=True):
    """Every module, own attribute, parameter and buffer of the model, by identity; weights also by value if asked."""
    seen = {"model": id(sd_model), "attributes": _own(sd_model)}
    for name, module in sd_model.named_modules():
        seen[f"module {name}"] = (id(module), type(module), _own(module), [id(child) for child in module.children()])
    for name, tensor in [*sd_model.named_parameters(), *sd_model.named_buffers()]:
        seen[f"tensor {name}"] = (id(tensor), tuple(tensor.shape), values and _digest(tensor))
    for name in ("alphas_cumprod", "alphas_cumprod_original"):
        if hasattr(sd_model, name):
            seen[name] = (id(getattr(sd_model, name)), _digest(getattr(sd_model, name)))
    return seen


def of_host(values=True):
    """The whole host: model, callbacks, options, counters, functions of its modules, methods of its classes, LoRA.

    Of a host that runs elsewhere, what is seen of it: a plain picture.
    """
    if webui.URL:
        return {"plain picture": webui.running().plain()}
    from modules import (
        errors,
        extra_networks,
        img2img,
        masking,
        processing,
        prompt_parser,
        rng,
        script_callbacks,
        sd_models,
        sd_samplers,
        sd_samplers_cfg_denoiser,
        sd_samplers_common,
        shared,
    )

    changeable = (
        errors,
        extra_networks,
        img2img,
        masking,
        processing,
        prompt_parser,
        rng,
        sd_models,
        sd_samplers,
        sd_samplers_cfg_denoiser,
        sd_samplers_common,
        *([sys.modules["networks"]] if "networks" in sys.modules else []),  # of the LoRA extension
    )
    seen = of_model(shared.sd_model, values)
    seen["callbacks"] = {name: [id(c.callback) for c in found] for name, found in script_callbacks.callback_map.items()}
    seen["options"] = {name: repr(value) for name, value in shared.opts.data.items()}
    for module in changeable:
        seen[f"functions of {module.__name__}"] = {n: id(v) for n, v in vars(module).items() if callable(v)}
    for owner in (torch.nn.GroupNorm, torch.nn.Linear, torch.nn.LayerNorm, sd_samplers_cfg_denoiser.CFGDenoiser):
        seen[f"methods of {owner.__name__}"] = {name: id(value) for name, value in vars(owner).items()}
    table = getattr(shared.sd_model, "network_layer_mapping", {})
    seen["layers that LoRA find"] = {name: id(layer) for name, layer in table.items()}
    return {**seen, **{f"counter {name}": value for name, value in of_counters().items()}}


def of_counters():
    """What the host counts and shows of its jobs: which functions do it, and the numbers that are the same when idle."""
    from modules import shared

    seen = {}
    for owner in (shared.state, shared.total_tqdm):
        for name, value in vars(owner).items():
            seen[name] = id(value) if callable(value) else True
    state = shared.state
    seen["job_count"] = (type(state.job_count), int(state.job_count))
    seen["job_no"] = state.job_no < MOST_JOBS
    seen["textinfo"] = state.textinfo
    return seen


def of_p(p):
    """Everything on `p`, but for what the host makes there itself."""
    return {name: _same(value) for name, value in vars(p).items() if name not in MADE_BY_THE_HOST}


def differences(before, after):
    """The names of what is not the same."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _same(value):
    """What is equal before and after only where it is the very same, and holds the very same."""
    if isinstance(value, dict):
        return _Very(value), {key: _same(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return _Very(value), [_same(each) for each in value]
    return (type(value), value) if isinstance(value, PLAIN) else _Very(value)


def _own(module):
    stores = {"_parameters", "_buffers", "_modules"}
    return {name: id(value) for name, value in vars(module).items() if name not in stores and callable(value)}


def _digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes()).hexdigest()
