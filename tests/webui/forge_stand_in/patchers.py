"""What Forge keeps of a checkpoint: a patcher for each of its models, of which clones share the model."""

import copy
from types import SimpleNamespace

import torch
from torch import nn

from forge_stand_in import lora
from forge_stand_in.model import KModel, forge_unet


class LoraLoader:
    """Merges what is patched into weights, and takes it back, both by the names that the weights have at that time."""

    def __init__(self, model):
        self.model, self.backup, self.loaded_hash = model, {}, str([])

    def refresh(self, lora_patches):
        hashes = str(list(lora_patches))
        if hashes == self.loaded_hash:
            return
        for key, weight in self.backup.items():
            self._put(key, weight)
        self.backup = {}
        for patches in lora_patches.values():
            for key, parts in patches.items():
                weight = self._weight(key)
                self.backup.setdefault(key, weight)
                self._put(key, nn.Parameter(lora.merge_lora_to_weight(parts, weight, key), requires_grad=False))
        self.loaded_hash = hashes

    def _weight(self, key):
        layer, _, name = key.rpartition(".")
        try:
            return getattr(self.model.get_submodule(layer), name)
        except AttributeError:
            raise ValueError(f"Wrong LoRA Key: {key}") from None

    def _put(self, key, weight):
        layer, _, name = key.rpartition(".")
        setattr(self.model.get_submodule(layer), name, weight)


class Patcher:
    """What stands between a model and those who change it."""

    def __init__(self, model):
        self.model, self.lora_patches, self.model_options = model, {}, {"transformer_options": {}}
        self.controlnet_linked_list = None
        if not hasattr(model, "lora_loader"):  # one for all clones
            model.lora_loader = LoraLoader(model)
        self.lora_loader = model.lora_loader

    def clone(self):
        other = type(self)(self.model)
        other.lora_patches, other.model_options = self.lora_patches.copy(), copy.deepcopy(self.model_options)
        other.controlnet_linked_list = self.controlnet_linked_list
        return other

    def add_patches(self, *, filename, patches, strength_patch=1.0, strength_model=1.0, online_mode=False):
        known = dict(self.model.named_parameters())
        own = {
            key: [[strength_patch, value, strength_model, None, None]] for key, value in patches.items() if key in known
        }
        self.lora_patches[filename, strength_patch, strength_model, online_mode] = own
        return set(own)

    def refresh_loras(self):
        self.lora_loader.refresh(self.lora_patches)

    def memory_required(self, input_shape):
        return self.model.memory_required(input_shape=input_shape)

    def add_patched_controlnet(self, controlnet):
        controlnet.previous_controlnet, self.controlnet_linked_list = self.controlnet_linked_list, controlnet

    def list_controlnets(self):
        found, at = [], self.controlnet_linked_list
        while at is not None:
            found.append(at)
            at = at.previous_controlnet
        return found


class Clip:
    """The text encoders, as one model with a patcher."""

    def __init__(self, patcher):
        self.patcher, self.cond_stage_model = patcher, patcher.model

    def clone(self):
        return Clip(self.patcher.clone())

    def add_patches(self, **how):
        return self.patcher.add_patches(**how)


class ForgeObjects:
    """The models of a checkpoint."""

    def __init__(self, unet, clip):
        self.unet, self.clip = unet, clip

    def shallow_copy(self):
        return ForgeObjects(self.unet, self.clip)


class TextEncoder(nn.Module):
    """One layer of it."""

    def __init__(self):
        super().__init__()
        self.clip_l = nn.Module()
        self.clip_l.fc1 = nn.Linear(8, 8)


def checkpoint(levels=4, prediction_type="epsilon"):
    """A checkpoint as `shared.sd_model` is one: no module, and without a noise schedule of its own."""
    torch.manual_seed(5)
    objects = ForgeObjects(Patcher(KModel(forge_unet(levels), prediction_type)), Clip(Patcher(TextEncoder())))
    return SimpleNamespace(
        forge_objects=objects,
        forge_objects_original=objects.shallow_copy(),
        forge_objects_after_applying_lora=objects.shallow_copy(),
        current_lora_hash=str([]),
        sd_checkpoint_info=SimpleNamespace(name_for_extra="tiny"),
    )
