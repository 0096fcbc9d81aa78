"""`<lora:NAME:WEIGHT>` for the motion module: the host's own LoRA extension reads, weighs and applies it.

The host matches the keys of a LoRA file with the layers that it knows by name. So, while it does so for a run of ours,
files are read under the names it knows, and the motion module's layers are among those layers; while it samples, the
layers that a LoRA changes carry the name by which the host finds what to add. All of that is taken back.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modules import extra_networks, sd_models, shared
from motion_module.core.lora import check_fits, host_keys, linear_layers, motion_low_ranks
from motion_module.core.model import MotionModel
from motion_module.errors import CheckpointError
from motion_module.patching import replaced, replaced_item

_IN_FILES = "lora_unet_"
_IN_HOST = "diffusion_model_"  # what the host makes of it
_MOTION = "motion_modules"
_OUT_OF_DATE = ("AnimateDiff",)  # never the host's: its names are tuples
_ON_LAYERS = ("network_layer_name", "network_current_names", "network_weights_backup", "network_bias_backup")


class Networks:
    """The host's networks (LoRA) in one run, which may change the layers of a motion module.

    Args:
        p: whose run it is; the networks of other runs are left alone.
        model: the motion module, whose weights are the same again after `sampling`.
    """

    def __init__(self, p: Any, model: MotionModel) -> None:
        self._p = p
        self._model = model
        self._layers = {_IN_HOST + name: layer for name, layer in linear_layers(model).items()}
        self._files: set[str] = set()  # those that the host would have read differently
        self._read_by_us: list[Any] = []  # the host's networks of this run
        self._error: CheckpointError | None = None
        self._sampling = False
        self._activation = ExitStack()
        self._names = ExitStack()

    def expect(self) -> None:
        """The prompts of a batch are there: from now on until `end` the host may load networks for it.

        What is wrong with a LoRA file is raised by the host's `extra_networks.activate`, as a CheckpointError.
        """
        self._activation.close()
        change = functools.partial(self._activate, extra_networks.activate)
        self._activation.enter_context(replaced(extra_networks, "activate", change))

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
            read = functools.partial(self._read, sd_models.read_state_dict)
            stack.enter_context(replaced(sd_models, "read_state_dict", read))
            for name, layer in self._layers.items():
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

    def _read(self, original: Callable[..., Any], filename: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The host's reading of a network's file, under the names that the host knows.

        The host prints and forgets what is raised here, so an error waits until all networks are loaded.
        """
        name = Path(filename).stem
        try:
            state = original(filename, *args, **kwargs)
        except Exception:  # what a damaged file makes of its reader; the host says it in the log, and forgets it
            self._fail(CheckpointError(f"AnimateDiff: the LoRA {name} cannot be read; the WebUI's log says why."))
            raise
        converted = host_keys(state)
        if converted.keys() != state.keys() or any(_MOTION in key for key in converted):
            self._files.add(filename)
        try:
            self._check(converted, name)
        except CheckpointError as error:
            self._fail(error)
            return {}
        return converted

    def _fail(self, error: CheckpointError) -> None:
        self._error = self._error or error

    def _check(self, state: Mapping[str, Tensor], name: str) -> None:
        """Every key that means a motion module must find its place.

        Raises:
            CheckpointError: names the LoRA, the motion module, and what has no place.
        """
        try:
            check_fits(motion_low_ranks(state, name), self._model, name)
        except CheckpointError as error:
            raise CheckpointError(f"AnimateDiff: {error.sentence}") from None
        for key in state:
            layer = _IN_HOST + key.partition(".")[0].removeprefix(_IN_FILES)
            if _MOTION in key and layer not in self._layers:
                raise CheckpointError(
                    f"AnimateDiff: {name} is no LoRA for {self._model.name} ({self._model.spec.kind.name}), "
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
    needed = ("loaded_networks", "networks_in_memory", "network_restore_weights_from_backup")
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
