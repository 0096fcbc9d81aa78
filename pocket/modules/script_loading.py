"""Executing a Python file by its path, the way extensions' scripts are loaded."""

import importlib.util
import os
from argparse import ArgumentParser
from collections.abc import Iterable
from types import ModuleType

from modules import errors

loaded_scripts: dict[str, ModuleType] = {}


def load_module(path: str) -> ModuleType:
    """Execute the file at `path` as a module of its own, named after the file and not put into `sys.modules`.

    A later `import scripts.name` of the same file therefore makes a second module.
    """
    spec = importlib.util.spec_from_file_location(os.path.basename(path), path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded_scripts[path] = module
    return module


def preload_extensions(
    extensions_dir: str, parser: ArgumentParser, extension_list: Iterable[str] | None = None
) -> None:
    """Let each extension's `preload.py` add its own command-line arguments to `parser`."""
    if not os.path.isdir(extensions_dir):
        return
    for name in sorted(os.listdir(extensions_dir) if extension_list is None else extension_list):
        path = os.path.join(extensions_dir, name, "preload.py")
        if os.path.isfile(path):
            with errors.swallowed(f"Error running preload() for {path}"):
                preload = getattr(load_module(path), "preload", None)
                if preload is not None:
                    preload(parser)
