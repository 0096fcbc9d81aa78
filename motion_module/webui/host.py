"""The host that this runs in, as one object; which kind it is, is told by what it has."""

from __future__ import annotations

import importlib
import importlib.util

from motion_module.webui.host_kind import Host

_FORGE = "backend.sampling.sampling_function"  # its own way through a step, in the place of ldm's and k-diffusion's


def kind_of_host() -> str:
    """The name of the module of `hosts` for the WebUI that this runs in."""
    return "forge" if _exists(_FORGE) else "a1111"


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it would be in
        return False


host: Host = importlib.import_module(f"motion_module.webui.hosts.{kind_of_host()}").HOST
