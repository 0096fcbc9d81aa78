"""Makes torchvision, k-diffusion and ldm importable beside a CPU-only torch. Import it before any of them.

* The registry's torchvision is linked against CUDA. Beside a CPU torch its operators are missing, and its import stops
  at the first of them (`torchvision::nms`); with the operators declared, the rest of the package works.
* `import k_diffusion` runs an `__init__` that pulls training tools (image augmentation, metrics) nobody samples with.
  Only `k_diffusion.{utils,sampling,external}` are wanted, so the package is registered without running that file.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings

import torch

_OPERATORS = ("nms", "qnms")
_SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[torch.library.Library] = []  # a schema lives as long as its Library object


def import_torchvision() -> None:
    """Imports torchvision; declares its missing operators and imports it again where the first try fails."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in _OPERATORS:
            library.define(_SCHEMA.format(name))
        _libraries.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")


def import_k_diffusion() -> None:
    """Registers the k_diffusion package without running its `__init__`, and imports the parts that sample.

    Raises:
        ModuleNotFoundError: k-diffusion is not installed.
    """
    if "k_diffusion" not in sys.modules:
        spec = importlib.util.find_spec("k_diffusion")
        if spec is None:
            raise ModuleNotFoundError("k-diffusion is not installed", name="k_diffusion")
        sys.modules["k_diffusion"] = importlib.util.module_from_spec(spec)
    importlib.import_module("k_diffusion.sampling")
    importlib.import_module("k_diffusion.external")


def import_lightning() -> None:
    """Imports pytorch_lightning, which ldm's models are made of, and silences its notice about a name ldm imports.

    The notice is switched on by the import itself, so it is switched off after it.
    """
    importlib.import_module("pytorch_lightning")
    warnings.filterwarnings("ignore", message=r".*rank_zero_only.* has been deprecated")


import_torchvision()
import_k_diffusion()
import_lightning()
