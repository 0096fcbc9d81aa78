"""Forge's built-in LoRA extension: it matches a file's keys with the names of weights while it loads it."""

import functools
import os
import sys
from types import SimpleNamespace

from safetensors.torch import load_file

from modules import extra_networks, sd_models

_MOST_UNKNOWN = 12  # a file with more keys that it does not know is for another model, and nothing of it is used
_HALVES = ("lora_up.weight", "lora_down.weight")

folder = None
available_networks = {}
available_network_aliases = {}
loaded_networks = []
networks_in_memory = {}  # which nobody fills


class NetworkOnDisk:
    """A file."""

    def __init__(self, name, filename):
        self.name = self.alias = name
        self.filename = str(filename)


network = SimpleNamespace(NetworkOnDisk=NetworkOnDisk)
networks = sys.modules[__name__]  # of another module, which the kind of network is of


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    """The kind of network by which others find this module."""

    def __init__(self):
        super().__init__("lora")

    def activate(self, p, params_list):
        names = [params.positional[0] for params in params_list]
        te = [float(params.named.get("te", [*params.positional, 1.0][1])) for params in params_list]
        unet = [float(params.named.get("unet", weight)) for params, weight in zip(params_list, te, strict=True)]
        load_networks(names, te, unet, [None] * len(names))

    def deactivate(self, p):
        """Nothing is taken back."""


def list_available_networks():
    available_networks.clear()
    available_network_aliases.clear()
    for path in sorted(folder.glob("*.safetensors")) if folder else []:
        available_networks[path.stem] = available_network_aliases[path.stem] = NetworkOnDisk(path.stem, path)


def load_network(name, network_on_disk):
    mtime = os.path.getmtime(network_on_disk.filename)
    return SimpleNamespace(
        name=name, network_on_disk=network_on_disk, mtime=mtime, te_multiplier=1.0, unet_multiplier=1.0, modules={}
    )


@functools.lru_cache(maxsize=5)
def load_lora_state_dict(filename):
    return load_file(filename)


def load_networks(names, te_multipliers=None, unet_multipliers=None, dyn_dims=None):
    """For the prompts of a batch; nothing is read where files and weights are those of the last time."""
    sd_model = sd_models.model_data.get_sd_model()
    loaded_networks.clear()
    if any(name not in available_network_aliases for name in names):
        list_available_networks()
    files = [available_network_aliases.get(name) for name in names]
    for name, file in zip(names, files, strict=True):
        net = load_network(name, file)  # of an unknown name an AttributeError
        net.mentioned_name = name
        loaded_networks.append(net)
    targets = [[a.filename, b, c, False] for a, b, c in zip(files, unet_multipliers, te_multipliers, strict=True)]
    if sd_model.current_lora_hash == str(targets):
        return
    sd_model.current_lora_hash = str(targets)  # before anything is read
    objects, original = sd_model.forge_objects, sd_model.forge_objects_original
    objects.unet, objects.clip = original.unet, original.clip
    for filename, unet, te, _ in targets:
        state = load_lora_state_dict(filename)
        objects.unet, objects.clip = load_lora_for_models(objects.unet, objects.clip, state, unet, te, filename)
    sd_model.forge_objects_after_applying_lora = objects.shallow_copy()


def load_lora_for_models(model, clip, lora, strength_model, strength_clip, filename="default", online_mode=False):
    of_unet = _patches(lora, model.model, "diffusion_model.", "lora_unet_")
    of_clip = _patches(lora, clip.cond_stage_model, "", "lora_te_")
    known = {layer for patches in (of_unet, of_clip) for layer, _ in patches.values()}
    if len([key for key in lora if key.partition(".")[0] not in known]) > _MOST_UNKNOWN:
        return model, clip
    made = []
    for own, patches, strength in ((model, of_unet, strength_model), (clip, of_clip, strength_clip)):
        new = own.clone()
        if patches:
            weights = {key: patch for key, (_, patch) in patches.items()}
            new.add_patches(filename=filename, patches=weights, strength_patch=strength, online_mode=online_mode)
        made.append(new if patches else own)
    return tuple(made)


def _patches(lora, model, below, prefix):
    """Name of a weight as it is now -> (layer as the file has it, what is added)."""
    found = {}
    for key in model.state_dict():
        layer = prefix + key.removeprefix(below).removesuffix(".weight").replace(".", "_")
        up, down = (lora.get(f"{layer}.{half}") for half in _HALVES)
        if key.startswith(below) and key.endswith(".weight") and up is not None and down is not None:
            alpha = lora.get(f"{layer}.alpha")
            found[key] = layer, ("lora", (up, down, None if alpha is None else float(alpha), None, None, None))
    return found
