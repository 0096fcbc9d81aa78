"""What A1111's built-in LoRA extension is for a video; see `Host` for what each method is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from modules import sd_models, shared
from motion_module.patching import assign, drop_items, preserved, replaced, replaced_call, replaced_item
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Wrapped
from motion_module.webui.hosts.lora_tables import LoraTables

_OUT_OF_DATE = ("AnimateDiff",)  # no value of the host's, whose entries are tuples of names and weights
_OF_LORA = ("network_layer_name", "network_current_names", "network_weights_backup", "network_bias_backup")


class A1111Lora(LoraTables):
    """The part of the host that networks are."""

    @contextmanager
    def lora_files(
        self, layers: Mapping[str, nn.Module], read: Wrapped, build: Wrapped, anew: Callable[[Any], bool]
    ) -> Iterator[Mapping[str, nn.Module]]:
        """A network that is older than its file is read again."""
        networks = self.networks()
        if networks is None:
            yield {}
            return
        with ExitStack() as stack:
            stack.enter_context(replaced_call(sd_models, "read_state_dict", given_original(read)))
            stack.enter_context(replaced_call(networks, "load_network", given_original(build)))
            known = stack.enter_context(_known_layers(networks, layers))
            nets = [*networks.loaded_networks, *networks.networks_in_memory.values()]
            for net in {id(net): net for net in nets}.values():
                if anew(net):
                    stack.enter_context(replaced(net, "mtime", 0.0))
            yield known

    def forget_lora(self, net: Any, layers: Iterable[str]) -> None:
        """It goes on with a network as long as that is as new as its file."""
        assign(net, mtime=0.0)
        drop_items(net.modules, layers)
        self.apply_lora_anew(net)

    @contextmanager
    def lora_changes(self, layer: nn.Module, name: str) -> Iterator[None]:
        """The host changes weights when it calls a layer, by the name that the layer bears."""
        networks = self.networks()
        with preserved(layer, *_OF_LORA), ExitStack() as stack:
            assign(layer, network_layer_name=name)
            if networks is not None:
                stack.callback(networks.network_restore_weights_from_backup, layer)
            yield

    def apply_lora_anew(self, net: Any) -> None:
        """Its layers bear the names and weights of the networks that are in their weights."""
        table = getattr(shared.sd_model, "network_layer_mapping", {})
        for layer in (table[key] for key in net.modules if key in table):
            if getattr(layer, "network_current_names", ()):
                assign(layer, network_current_names=_OUT_OF_DATE)


@contextmanager
def _known_layers(networks: Any, layers: Mapping[str, nn.Module]) -> Iterator[Mapping[str, nn.Module]]:
    """The host matches the keys of a file with the names in a table on the model; ours are among them."""
    sd_model = shared.sd_model
    if not hasattr(sd_model, "network_layer_mapping"):
        networks.assign_network_names_to_compvis_modules(sd_model)
    table = sd_model.network_layer_mapping
    drop_items(table, layers)  # there if somebody has put back a former run's
    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(replaced_item(table, name, layer))
        yield table
