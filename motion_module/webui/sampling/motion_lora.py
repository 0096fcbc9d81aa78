"""`<lora:NAME:WEIGHT>` for the motion module: the host's own LoRA extension reads, weighs and applies it.

The host matches the keys of a LoRA file with the layers that it knows by name. So, while it does so for a run of ours,
files are read under the names it knows, and the motion module's layers are among those layers; while it samples, the
layers that a LoRA changes carry the name by which the host finds what to add. All of that is taken back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modules import extra_networks, sd_models, shared
from motion_module.core.module.lora import (
    check_archive,
    check_fits,
    check_weights,
    host_keys,
    linear_layers,
    motion_low_ranks,
)
from motion_module.core.module.lora_names import UNET
from motion_module.core.module.model import MotionModel
from motion_module.errors import CheckpointError
from motion_module.patching import replaced, replaced_call, replaced_item
from motion_module.stand_in import given_original
from motion_module.webui.sampling.lora_faults import misfit, unused_tag

_IN_HOST = "diffusion_model_"  # what the host makes of it
_MOTION = "motion_modules"
_OUT_OF_DATE = ("AnimateDiff",)  # never the host's: its names are tuples
_ON_LAYERS = ("network_layer_name", "network_current_names", "network_weights_backup", "network_bias_backup")


class Networks:
    """The host's networks (LoRA) in one run, which may change the layers of a motion module.

    Args:
        p: whose run it is; the networks of other runs are left alone.
    """

    def __init__(self, p: Any) -> None:
        self._p = p
        self._model: MotionModel
        self._layers: dict[str, nn.Module] = {}
        self._files: set[str] = set()  # those that the host would have read differently
        self._read_by_us: list[Any] = []  # the host's networks of this run
        self._asked = ""  # the network that the host is loading, as the prompt names it
        self._error: CheckpointError | None = None
        self._sampling = False
        self._activation = ExitStack()
        self._names = ExitStack()

    def change(self, model: MotionModel) -> None:
        """This is the motion module of the run; its weights are the same again after `sampling`."""
        self._model = model
        self._layers = {_IN_HOST + name: layer for name, layer in linear_layers(model).items()}

    def expect(self) -> None:
        """The prompts of a batch are there: from now on until `end` the host may load networks for it.

        What is wrong with a LoRA file is raised by the host's `extra_networks.activate`, as a CheckpointError.
        """
        self._activation.close()
        self._activation.enter_context(replaced_call(extra_networks, "activate", given_original(self._activate)))

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """While the host samples, its networks change the motion module's layers."""
        self._sampling = True
        try:
            self._name_layers()
            yield
        finally:
            self._sampling = False
            self._names.close()
            self._activation.close()

    def end(self) -> None:
        """Undo everything, and have the host read our files anew the next time; may be called any number of times."""
        self._names.close()
        self._activation.close()
        for net in self._converted(self._read_by_us):
            net.mtime = 0.0
            for key in self._layers.keys() & net.modules.keys():
                del net.modules[key]
            _apply_anew(net)
        self._read_by_us.clear()

    def _activate(self, original: Callable[..., Any], p: Any, data: Any) -> None:
        if p is not self._p:  # XYZ plot goes on with other copies of p if a run fails before it samples
            self._activation.close()
            original(p, data)
            return
        self._names.close()
        self._error = None
        with self._reading():
            original(p, data)
        networks = host_networks()
        unused = unused_tag(networks, data) if networks else None
        if unused:
            self._fail(CheckpointError(unused))
        if self._error is not None:
            self.end()
            raise self._error
        if self._sampling:
            self._name_layers()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """While the host loads networks: files are converted, and it knows the motion module's layers."""
        networks = host_networks()
        if networks is None:
            yield
            return
        if not hasattr(shared.sd_model, "network_layer_mapping"):
            networks.assign_network_names_to_compvis_modules(shared.sd_model)
        with ExitStack() as stack:
            stack.enter_context(replaced_call(sd_models, "read_state_dict", given_original(self._read)))
            stack.enter_context(replaced_call(networks, "load_network", given_original(self._load)))
            for name, layer in self._layers.items():
                shared.sd_model.network_layer_mapping.pop(name, None)  # there if somebody has put back a former run's
                stack.enter_context(replaced_item(shared.sd_model.network_layer_mapping, name, layer))
            for net in _in_memory(networks):
                if not _among(net, self._read_by_us):
                    stack.enter_context(replaced(net, "mtime", 0.0))  # older than its file: it is read again
            try:
                yield
            finally:
                new = [net for net in networks.loaded_networks if not _among(net, self._read_by_us)]
                self._read_by_us += new
                for net in self._converted(new):
                    _apply_anew(net)

    def _converted(self, nets: Sequence[Any]) -> list[Any]:
        return [net for net in nets if net.network_on_disk.filename in self._files]

    def _load(self, original: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        """The host's building of a network, which finds out whether it can be used.

        The host prints and forgets what is raised here, so an error waits until all networks are loaded.
        """
        self._asked = name
        try:
            net = original(name, *args, **kwargs)
        except Exception as error:  # of whatever kind of network
            self._fail(CheckpointError(f"The LoRA {name} cannot be used: {str(error).rstrip('.'):.300}."))
            raise
        fault = misfit(net, shared.sd_model.network_layer_mapping)
        if fault:
            raise self._fail(CheckpointError(f"The LoRA {name} {fault}."))
        return net

    def _read(self, original: Callable[..., Any], filename: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The host's reading of a network's file, under the names that the host knows; errors wait as in `_load`."""
        name = Path(filename).stem
        if name != self._asked:  # by an alias
            name = f"{self._asked} ({name})"
        try:
            check_archive(filename, name)
            state = original(filename, *args, **kwargs)
        except CheckpointError as error:
            raise self._fail(error) from None
        except Exception:  # what a damaged file makes of its reader; the host says it in the log, and forgets it
            self._fail(CheckpointError(f"the LoRA {name} cannot be read; the WebUI's log says why."))
            raise
        try:
            self._check(state, name)
        except CheckpointError as error:
            raise self._fail(error) from None
        converted = host_keys(state)
        if converted.keys() != state.keys() or any(_MOTION in key for key in converted):
            self._files.add(filename)
        return converted

    def _fail(self, error: CheckpointError) -> CheckpointError:
        """Keep the first error."""
        self._error = self._error or CheckpointError(f"AnimateDiff: {error.sentence}")
        return error

    def _check(self, state: Any, name: str) -> None:
        """The file holds weights, and every key that means a motion module finds its place.

        Raises:
            CheckpointError: names the LoRA, and the motion module that has no place for a key.
        """
        if not isinstance(state, Mapping):
            raise CheckpointError(f"The LoRA {name} cannot be used: it holds no weights by name.")
        check_weights(state, name)
        check_fits(motion_low_ranks(state, name), self._model, name)
        for key in host_keys(state):
            layer = _IN_HOST + key.partition(".")[0].removeprefix(UNET)
            if _MOTION in key and layer not in self._layers:
                raise CheckpointError(
                    f"{name} is no LoRA for {self._model.name} ({self._model.spec.kind.name}), "
                    f"which has no place for its {key:.200}."
                )

    def _name_layers(self) -> None:
        networks = host_networks()
        if networks is None:
            return
        changed = {name for net in networks.loaded_networks for name in net.modules} & self._layers.keys()
        for name in sorted(changed):
            self._names.enter_context(_named(self._layers[name], name, networks))


def host_networks() -> Any | None:
    """The module of the host's LoRA extension that holds the networks in use; None where there is no such extension.

    Extensions are not importable by name, but the kind of network that this one registers knows it.
    """
    kind = extra_networks.extra_network_registry.get("lora")
    networks = getattr(sys.modules.get(type(kind).__module__), "networks", None)
    needed = ("loaded_networks", "networks_in_memory", "load_network", "network_restore_weights_from_backup")
    return networks if all(hasattr(networks, name) for name in needed) else None


def _in_memory(networks: Any) -> list[Any]:
    """Every network that the host need not read again, once each."""
    nets = [*networks.loaded_networks, *networks.networks_in_memory.values()]
    return list({id(net): net for net in nets}.values())


def _among(net: Any, nets: Sequence[Any]) -> bool:
    return any(net is other for other in nets)


def _apply_anew(net: Any) -> None:
    """The host tells networks apart by name and weight alone, but this one adds something else than it did before."""
    mapping = getattr(shared.sd_model, "network_layer_mapping", {})
    for layer in (mapping[key] for key in net.modules if key in mapping):
        if getattr(layer, "network_current_names", ()):
            layer.network_current_names = _OUT_OF_DATE


@contextmanager
def _named(layer: nn.Module, name: str, networks: Any) -> Iterator[None]:
    """Let the host find what its networks add to a layer; afterwards the weights are back to the last bit."""
    own = vars(layer)
    before = {key: own[key] for key in _ON_LAYERS if key in own}
    layer.network_layer_name = name  # type: ignore[assignment]
    try:
        yield
    finally:
        networks.network_restore_weights_from_backup(layer)
        for key in _ON_LAYERS:
            own.pop(key, None)
        own.update(before)
