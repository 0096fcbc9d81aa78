"""Whether a real Forge is as our stand-in for it: to be run inside of it, once a checkpoint is loaded.

Any way of running code there will do: an extension with a route of its own that runs what it is sent, say. Prints a
line for each check of tests/webui/forge_facts.py and forge_facts_beside.py; that folder has to be on `sys.path`.
"""

import sys
import tempfile
import traceback
from types import SimpleNamespace

import forge_facts
import forge_facts_beside
import torch
from backend import attention, memory_management
from backend.patcher import controlnet
from backend.sampling import sampling_function
from modules_forge import main_thread

from modules import extra_networks, shared


def real_forge(folder):
    """What the checks ask for."""
    kind = extra_networks.extra_network_registry["lora"]
    return SimpleNamespace(
        sd_model=shared.sd_model,
        attention=attention,
        memory=memory_management,
        sampling=sampling_function,
        networks=sys.modules[type(kind).__module__].networks,
        main_thread=main_thread,
        units=sys.modules["lib_controlnet.external_code"],
        folder=folder,
        controlnet=controlnet.ControlNet,
        new_controlnet=lambda model: controlnet.ControlNet(model, load_device=memory_management.get_torch_device()),
        patch=lambda up, down, alpha: ("lora", (up, down, alpha, None, None, None)),
        kind_of_network=kind.name,
    )


def tell():
    """Print how each check ends."""
    for module in (forge_facts, forge_facts_beside):
        for name, check in vars(module).items():
            if name.startswith("check_"):
                print(name, _outcome(check))


def _outcome(check):
    try:
        with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            check(real_forge(folder))
    except Exception:
        return f"FAILS: {traceback.format_exc(limit=-2)}"
    return "as in the stand-in"


tell()
