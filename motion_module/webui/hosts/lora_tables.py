"""The tables in which the built-in LoRA extension of AUTOMATIC1111's WebUI and of Forge keeps its networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from modules import extra_networks
from motion_module.patching import replaced_call, replaced_item
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Loads

_TABLES = ("loaded_networks", "available_networks", "available_network_aliases", "load_network")


class LoraTables:
    """The part of `Host` that reads them."""

    def lora_loads(self, wrap: Callable[[Loads], Loads]) -> AbstractContextManager[Any]:
        """It loads networks of all kinds by this function."""
        return replaced_call(extra_networks, "activate", wrap)

    def lora_in_use(self) -> list[Any]:
        """Its list of networks for the prompt of the moment."""
        networks = self.networks()
        return list(networks.loaded_networks) if networks is not None else []

    def lora_exists(self, name: str) -> bool:
        """By the name of its file, or one that its file holds."""
        networks = self.networks()
        return networks is not None and (
            name in networks.available_network_aliases or name in networks.available_networks
        )

    def unknown_lora(self, data: dict[str, Any] | None) -> set[str]:
        """Of all kinds of networks, it looks for those that have no kind of their own among LoRA."""
        networks = self.networks()
        if networks is None:
            return set()
        tags = extra_networks.lookup_extra_networks(data or {}).get(extra_networks.extra_network_registry["lora"], [])
        return {str(tag.positional[0]) for tag in tags if tag.positional} - networks.available_network_aliases.keys()

    @contextmanager
    def more_lora(self, files: Mapping[str, Path]) -> Iterator[None]:
        """It lists its files anew where a prompt names one that it does not know."""
        networks = self.networks()
        with ExitStack() as stack:

            def list_with_ours(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
                original(*args, **kwargs)
                _add_files(networks, files, stack)

            if files and networks is not None:
                stack.enter_context(replaced_call(networks, "list_available_networks", given_original(list_with_ours)))
                networks.list_available_networks()  # its own may be new
            yield

    def networks(self) -> Any | None:
        """The module of the LoRA extension that holds the networks; None where there is none. Extensions are not
        importable by name, but the kind of network that this one registers knows it."""
        kind = extra_networks.extra_network_registry.get("lora")
        networks = getattr(sys.modules.get(type(kind).__module__), "networks", None)
        return networks if all(hasattr(networks, name) for name in _TABLES) else None


def _add_files(networks: Any, files: Mapping[str, Path], stack: ExitStack) -> None:
    for name, path in files.items():
        if name not in networks.available_network_aliases:
            known = networks.network.NetworkOnDisk(name, str(path))
            for table in (networks.available_networks, networks.available_network_aliases):
                stack.enter_context(replaced_item(table, name, known))
