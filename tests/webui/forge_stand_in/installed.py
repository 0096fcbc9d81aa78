"""The stand-in in the place of Forge's modules, for the length of a block."""

import importlib
import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

import motion_module.webui.host  # noqa: F401  which looks at what it runs in: the pocket
from forge_stand_in import attention, lora, main_thread, memory_management, networks, patchers, sampling_function, units
from modules import extra_networks, sd_models

HOSTS = "motion_module.webui.hosts"
FRESH = [
    f"{HOSTS}.{name}" for name in ("forge", "forge_control", "forge_lora", "forge_rows")
]  # they import Forge's modules


def _package(name, **inside):
    package = ModuleType(name)
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    package.__path__ = []
    vars(package).update(inside)
    return package


def _modules():
    sampling = _package("backend.sampling", sampling_function=sampling_function)
    patcher = _package("backend.patcher", lora=lora)
    return {
        "backend": _package("backend", attention=attention, memory_management=memory_management, sampling=sampling),
        "backend.attention": attention,
        "backend.memory_management": memory_management,
        "backend.sampling": sampling,
        "backend.patcher": patcher,
        "backend.patcher.lora": lora,
        "backend.sampling.sampling_function": sampling_function,
        "modules_forge": _package("modules_forge", main_thread=main_thread),
        "modules_forge.main_thread": main_thread,
        "networks": networks,
        "lib_controlnet.external_code": units,
        "lib_controlnet.global_state": units.global_state,
    }


@contextmanager
def forge_installed(lora_folder=None, **of_checkpoint):
    """The Forge host, imported anew, with a checkpoint loaded; nothing of it is left afterwards.

    Yields:
        `host`, `hosts` (its modules by name), `sd_model`, `unet`, and the stand-in's modules.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("internal_controlnet.external_code", "scripts.external_code", *FRESH):
            patch.delitem(sys.modules, name, raising=False)
        for name, module in _modules().items():
            patch.setitem(sys.modules, name, module)
        sd_model = patchers.checkpoint(**of_checkpoint)
        patch.setattr(sd_models.model_data, "sd_model", sd_model)
        patch.setattr(sd_models, "forge_model_reload", lambda: (sd_model, False), raising=False)
        patch.setattr(networks, "folder", lora_folder)
        patch.setitem(extra_networks.extra_network_registry, "lora", networks.ExtraNetworkLora())
        patch.setattr(memory_management, "asked", [])
        networks.list_available_networks()
        try:
            found = {name.rpartition(".")[2]: importlib.import_module(name) for name in FRESH}
            yield SimpleNamespace(
                host=found["forge"].HOST, hosts=found, sd_model=sd_model, patch=patch, networks=networks,
                unet=sd_model.forge_objects.unet.model.diffusion_model, kmodel=sd_model.forge_objects.unet.model,
                memory=memory_management, attention=attention, sampling=sampling_function,
            )  # fmt: skip
        finally:
            for name in FRESH:
                sys.modules.pop(name, None)
                vars(sys.modules[HOSTS]).pop(name.rpartition(".")[2], None)
            networks.loaded_networks.clear()
            networks.load_lora_state_dict.cache_clear()
