"""What of the host must be the same before and after a run: identities and values."""

import hashlib

import torch


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
    """The whole host: model, callbacks, options, the functions of its modules, methods of its classes."""
    from modules import (
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
        shared,
    )

    changeable = (
        extra_networks,
        img2img,
        masking,
        processing,
        prompt_parser,
        rng,
        sd_models,
        sd_samplers,
        sd_samplers_cfg_denoiser,
    )
    seen = of_model(shared.sd_model, values)
    seen["callbacks"] = {name: [id(c.callback) for c in found] for name, found in script_callbacks.callback_map.items()}
    seen["options"] = {name: repr(value) for name, value in shared.opts.data.items()}
    for module in changeable:
        seen[f"functions of {module.__name__}"] = {n: id(v) for n, v in vars(module).items() if callable(v)}
    for owner in (torch.nn.GroupNorm, torch.nn.Linear, torch.nn.LayerNorm, sd_samplers_cfg_denoiser.CFGDenoiser):
        seen[f"methods of {owner.__name__}"] = {name: id(value) for name, value in vars(owner).items()}
    return seen


def of_p(p):
    """What a run of ours changes on `p`."""
    names = ("batch_size", "do_not_save_grid", "do_not_save_samples", "extra_generation_params")
    own = {name: id(vars(p)[name]) for name in names}
    ours = {
        name: name in vars(p)
        for name in ("animatediff_session", "close", "init", "sample", "setup_prompts", "setup_conds")
    }
    return {**own, **ours}


def differences(before, after):
    """The names of what is not the same."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _own(module):
    stores = {"_parameters", "_buffers", "_modules"}
    return {name: id(value) for name, value in vars(module).items() if name not in stores and callable(value)}


def _digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes()).hexdigest()
