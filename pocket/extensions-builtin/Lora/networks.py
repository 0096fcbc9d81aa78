"""Which networks there are, which are in use, and putting them into the model's layers.

A layer takes the networks in use into its weights the next time it is called, and gets its own weights back,
bit by bit, the next time it is called after they have gone.
"""

import logging
import os
import re
from typing import Any

import network
import torch
from network_names import ldm_names

from modules import errors, sd_hijack, sd_models, shared

log = logging.getLogger(__name__)

FILES = (".pt", ".ckpt", ".safetensors")
Q_K_V = ("_q_proj", "_k_proj", "_v_proj")
PROJECTION = re.compile("(.*)_(?:[qkv]|out)_proj$")

available_networks: dict[str, network.NetworkOnDisk] = {}
available_network_aliases: dict[str, network.NetworkOnDisk] = {}
available_network_hash_lookup: dict[str, network.NetworkOnDisk] = {}
loaded_networks: list[network.Network] = []
networks_in_memory: dict[str, network.Network] = {}
layer_errors: dict[str, int] = {}
"""For each network, how many layers it did not fit."""


def assign_network_names_to_compvis_modules(sd_model: Any) -> None:
    """Name every layer of the model after its path, with underscores, and keep them by name in the model."""
    mapping: dict[str, torch.nn.Module] = {}
    for prefix, owner in _named_parts(sd_model):
        for path, module in owner.named_modules():
            name = prefix + path.replace(".", "_")
            mapping[name] = module
            module.network_layer_name = name
    sd_model.network_layer_mapping = mapping


def _named_parts(sd_model: Any) -> list[tuple[str, torch.nn.Module]]:
    """Text encoders and UNet, and what comes before their layers' names: an SDXL model has its encoders by number."""
    if sd_model.is_sdxl:
        embedders = enumerate(sd_model.conditioner.embedders)
        texts = [(f"{place}_", each.wrapped) for place, each in embedders if hasattr(each, "wrapped")]
    else:
        texts = [("", getattr(sd_model.cond_stage_model, "wrapped", sd_model.cond_stage_model))]
    return [*texts, ("", sd_model.model)]


def list_available_networks() -> None:
    """Look for files in `--lora-dir` again; a network is known by its file's name and its own."""
    available_networks.clear()
    available_network_aliases.clear()
    os.makedirs(shared.cmd_opts.lora_dir, exist_ok=True)
    for filename in shared.walk_files(shared.cmd_opts.lora_dir, allowed_extensions=FILES):
        if not os.path.isfile(filename):  # a pipe would be waited for, a link may lead nowhere
            continue
        name = os.path.splitext(os.path.basename(filename))[0]
        on_disk = network.NetworkOnDisk(name, filename)
        available_networks[name] = on_disk
        available_network_aliases.setdefault(on_disk.alias, on_disk)
    available_network_aliases.update(available_networks)


def _find_layer(file_name: str) -> str | None:
    """The name of the layer that a file means; parts of a MultiheadAttention keep their own name."""
    mapping = shared.sd_model.network_layer_mapping
    for name in ldm_names(file_name):
        part = PROJECTION.match(name)
        if name in mapping or (part and isinstance(mapping.get(part[1]), torch.nn.MultiheadAttention)):
            return name
    return None


def load_network(name: str, network_on_disk: network.NetworkOnDisk) -> network.Network:
    """Read a network and match its keys with the layers of the model in use; keys without a layer are left out.

    Raises:
        NotModelledError: it is of a kind that this host does not have.
    """
    if not hasattr(shared.sd_model, "network_layer_mapping"):
        assign_network_names_to_compvis_modules(shared.sd_model)
    net = network.Network(name, network_on_disk, os.path.getmtime(network_on_disk.filename))
    matched: dict[str, network.Weights] = {}
    unmatched = []
    for key, weight in sd_models.read_state_dict(network_on_disk.filename).items():
        file_name, _, part = key.partition(".")
        layer = _find_layer(file_name)
        if layer is None:
            unmatched.append(key)
        else:
            matched.setdefault(layer, {})[part] = weight
    net.modules = {layer: network.create_module(net, layer, weights) for layer, weights in matched.items()}
    if unmatched:
        log.debug("%s has %d keys without a layer: %s", network_on_disk.filename, len(unmatched), unmatched)
    return net


def _on_disk(names: list[str]) -> list[network.NetworkOnDisk | None]:
    return [available_network_aliases.get(name) for name in names]


def _loaded(name: str, on_disk: network.NetworkOnDisk, known: network.Network | None) -> network.Network | None:
    """The network from memory if its file has not changed since, else from the file; None if that fails."""
    net = known or networks_in_memory.get(name)
    if net is None or os.path.getmtime(on_disk.filename) > net.mtime:
        net = None
        with errors.swallowed(f"loading network {on_disk.filename}"):
            net = networks_in_memory[name] = load_network(name, on_disk)
    return net


def load_networks(
    names: list[str],
    te_multipliers: list[float] | None = None,
    unet_multipliers: list[float] | None = None,
    dyn_dims: list[int | None] | None = None,
) -> None:
    """Have exactly these networks in use, with these strengths for the text encoder and the UNet."""
    before = {net.name: net for net in loaded_networks if net.name in names}
    loaded_networks.clear()
    files = _on_disk(names)
    if None in files:
        list_available_networks()
        files = _on_disk(names)
    missing = [name for name, on_disk in zip(names, files, strict=True) if on_disk is None]
    for place, (name, on_disk) in enumerate(zip(names, files, strict=True)):
        net = None if on_disk is None else _loaded(name, on_disk, before.get(name))
        if net is None:
            continue
        net.network_on_disk.read_hash()
        available_network_hash_lookup[net.network_on_disk.shorthash] = net.network_on_disk
        net.mentioned_name = name
        net.te_multiplier = te_multipliers[place] if te_multipliers else 1.0
        net.unet_multiplier = unet_multipliers[place] if unet_multipliers else 1.0
        net.dyn_dim = dyn_dims[place] if dyn_dims else None
        loaded_networks.append(net)
    if missing:
        sd_hijack.model_hijack.comments.append(f"Lora not found: {', '.join(missing)}")
    purge_networks_from_memory()


def purge_networks_from_memory() -> None:
    """Keep no more networks than the settings say, besides those in use."""
    while len(networks_in_memory) > max(0, shared.opts.lora_in_memory_limit):
        networks_in_memory.pop(next(iter(networks_in_memory)))


def _parameters(layer: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters of a layer that networks may change."""
    if isinstance(layer, torch.nn.MultiheadAttention):
        found = (layer.in_proj_weight, layer.out_proj.weight, layer.out_proj.bias)
    else:
        found = (getattr(layer, "weight", None), getattr(layer, "bias", None))
    return [parameter for parameter in found if parameter is not None]


def network_reset_cached_weight(layer: Any) -> None:
    """Forget that the layer has networks in it, because it is about to get other weights."""
    layer.network_current_names = ()
    layer.network_weights_backup = None


@torch.no_grad()
def network_restore_weights_from_backup(layer: Any) -> None:
    """Give the layer its own weights back."""
    backup = getattr(layer, "network_weights_backup", None)
    if backup is not None:
        for parameter, own in zip(_parameters(layer), backup, strict=True):
            parameter.copy_(own)


def network_apply_weights(layer: Any) -> None:
    """Have exactly the networks in use in the layer's weights; does nothing if they are."""
    name = getattr(layer, "network_layer_name", None)
    if name is None:
        return
    wanted = tuple((net.name, net.te_multiplier, net.unet_multiplier, net.dyn_dim) for net in loaded_networks)
    if getattr(layer, "network_current_names", ()) != wanted:
        _change_networks(layer, name)
        layer.network_current_names = wanted


@torch.no_grad()
def _change_networks(layer: Any, name: str) -> None:
    if getattr(layer, "network_weights_backup", None) is None:
        layer.network_weights_backup = [parameter.detach().clone() for parameter in _parameters(layer)]
    network_restore_weights_from_backup(layer)
    for net in loaded_networks:
        try:
            _add(net, layer, name)
        except RuntimeError as error:  # a network for another model does not fit; the picture is made without it
            log.debug("network %s does not fit layer %s: %s", net.name, name, error)
            layer_errors[net.name] = layer_errors.get(net.name, 0) + 1


def _add(net: network.Network, layer: Any, name: str) -> None:
    """Add one network to the layer's weights."""
    module = net.modules.get(name)
    if module is not None and getattr(layer, "weight", None) is not None:
        _add_to(module, layer.weight, getattr(layer, "bias", None))
    if isinstance(layer, torch.nn.MultiheadAttention):
        parts = [net.modules.get(name + suffix) for suffix in (*Q_K_V, "_out_proj")]
        if all(parts):
            for part, weight in zip(parts, layer.in_proj_weight.chunk(3, 0), strict=False):
                _add_to(part, weight, None)
            _add_to(parts[-1], layer.out_proj.weight, layer.out_proj.bias)


def _add_to(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    update, bias_update = module.calc_updown(weight)
    if bias_update is not None and bias is None:
        raise RuntimeError("the network has a bias and the layer has none")
    weight.copy_((weight.float() + update).to(weight.dtype))
    if bias_update is not None:
        bias.copy_((bias.float() + bias_update).to(bias.dtype))
