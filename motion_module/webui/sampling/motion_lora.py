"""`<lora:NAME:WEIGHT>` for the motion module: the host's own LoRA extension reads, weighs and applies it.

The host matches the keys of a LoRA file with the layers that it knows by name. So, while it does so for a run of ours,
files are read under the names it knows, and the motion module's layers are among those layers; while it samples, the
layers that a LoRA changes carry the name by which the host finds what to add. All of that is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.lora import (
    LowRank,
    check_archive,
    check_fits,
    check_weights,
    host_keys,
    linear_layers,
    motion_low_ranks,
)
from motion_module.core.module.lora_names import IN_HOST, UNET
from motion_module.core.module.model import MotionModel
from motion_module.errors import CheckpointError
from motion_module.memory import is_out_of_memory
from motion_module.stand_in import given_original
from motion_module.webui.answers import add_message
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.webui.sampling import lora_travel
from motion_module.webui.sampling.lora_faults import misfit, unused_tag
from motion_module.webui.sampling.lora_files import known_beside_modules

_MOTION = "motion_modules"


class Networks:
    """The host's networks (LoRA) in one run, which may change the layers of a motion module.

    Args:
        p: whose run it is; the networks of other runs are left alone.
    """

    def __init__(self, p: Processing) -> None:
        self._p = p
        self._model: MotionModel
        self._layers: dict[str, nn.Module] = {}
        self._known: Mapping[str, nn.Module] = {}  # every layer that the host knows while it reads networks
        self._files: set[str] = set()  # those that the host would have read differently
        self._read_by_us: list[Any] = []  # the host's networks of this run
        self._asked = ""  # the network that the host is loading, as the prompt names it
        self._error: Exception | None = None
        self._low_ranks: dict[str, dict[str, LowRank]] = {}  # of motion layers, by file
        self._travels: tuple[lora_travel.Travels, lora_travel.Travels] = ({}, {})  # of both passes
        self._changing: list[str] = []
        self._call: CallFrames | None = None  # while the host samples
        self._activation = ExitStack()
        self._names = ExitStack()

    def change(self, model: MotionModel) -> None:
        """This is the motion module of the run; its weights are the same again after `sampling`."""
        self._model = model
        self._layers = {IN_HOST + name: layer for name, layer in linear_layers(model).items()}

    def expect(self, first: lora_travel.Travels | None = None, hires: lora_travel.Travels | None = None) -> None:
        """The prompts of a batch are there: from now on until `end` the host may load networks for it.

        Args:
            first, hires: the LoRA that keys name in the prompts of the two passes.

        What is wrong with a LoRA file is raised by the host's `extra_networks.activate`, as a CheckpointError.
        """
        self._activation.close()
        self._travels = first or {}, hires or {}
        self._activation.enter_context(host.lora_loads(given_original(self._activate)))

    @contextmanager
    def sampling(self, call: CallFrames) -> Iterator[None]:
        """While the host samples, its networks change the motion module's layers, which share `call`."""
        self._call = call
        try:
            self._name_layers(call)
            yield
        finally:
            self._call = None
            self._names.close()
            self._activation.close()

    def end(self) -> None:
        """Undo everything, and have the host read our files anew the next time; may be called any number of times."""
        self._names.close()
        self._activation.close()
        for net in self._converted(self._read_by_us):
            host.forget_lora(net, self._layers)
        self._read_by_us.clear()

    def _activate(self, original: Callable[..., Any], p: Processing, data: Any) -> None:
        if p is not self._p:  # XYZ plot goes on with other copies of p if a run fails before it samples
            self._activation.close()
            original(p, data)
            return
        self._names.close()
        self._error = None
        data = lora_travel.told_to_host(data, self._of_pass)
        with self._reading(), known_beside_modules(data):
            original(p, data)
        unused = unused_tag(data)
        if unused:
            self._fail(CheckpointError(unused))
        self._settle()
        if self._error is not None:
            self.end()
            raise self._error
        if self._call is not None:
            self._name_layers(self._call)

    @property
    def _of_pass(self) -> lora_travel.Travels:
        return self._travels[bool(getattr(self._p, "is_hr_pass", False))]

    def _settle(self) -> None:
        """The networks are loaded; which of them change from frame to frame depends on what they are for."""
        try:
            self._changing, everywhere = lora_travel.settled(self._of_pass, self._low_ranks, self._layers)
        except CheckpointError as error:
            self._fail(error)
            return
        for name in everywhere:
            add_message(
                self._p, f"The LoRA {name} counts in all frames: only those for motion modules change on the way."
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """While the host loads networks: files are converted, and it knows the motion module's layers."""
        with host.lora_files(self._layers, self._read, self._load, self._is_new) as self._known:
            try:
                yield
            finally:
                self._known = {}
                new = list(filter(self._is_new, host.lora_in_use()))
                self._read_by_us += new
                for net in self._converted(new):
                    host.apply_lora_anew(net)

    def _is_new(self, net: Any) -> bool:
        return not any(net is other for other in self._read_by_us)

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
            if is_out_of_memory(error):
                self._error = self._error or error
                raise
            self._fail(CheckpointError(f"The LoRA {name} cannot be used: {str(error).rstrip('.'):.300}"))
            raise
        fault = misfit(net, self._known)
        if fault:
            raise self._fail(CheckpointError(f"The LoRA {name} {fault}"))
        return net

    def _read(self, original: Callable[..., Any], filename: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The host's reading of a network's file, under the names that the host knows; errors wait as in `_load`."""
        name = Path(filename).stem
        if self._asked and name != self._asked:  # by an alias
            name = f"{self._asked} ({name})"
        try:
            check_archive(filename, name)
            state = original(filename, *args, **kwargs)
        except CheckpointError as error:
            raise self._fail(error) from None
        except Exception as error:  # what a damaged file makes of its reader; the host logs it, and forgets it
            if is_out_of_memory(error):
                raise
            self._fail(CheckpointError(f"the LoRA {name} cannot be read; the WebUI's log says why"))
            raise
        try:
            self._check(state, name, filename)
        except CheckpointError as error:
            raise self._fail(error) from None
        converted = host_keys(state)
        if converted.keys() != state.keys() or any(_MOTION in key for key in converted):
            self._files.add(filename)
        return converted

    def _fail(self, error: CheckpointError) -> CheckpointError:
        """Keep the first error."""
        self._error = self._error or CheckpointError(error.sentence)
        return error

    def _check(self, state: Any, name: str, filename: Any) -> None:
        """The file holds weights, and every key that means a motion module finds its place.

        Raises:
            CheckpointError: names the LoRA, and the motion module that has no place for a key.
        """
        if not isinstance(state, Mapping):
            raise CheckpointError(f"The LoRA {name} cannot be used: it holds no weights by name")
        check_weights(state, name)
        low_ranks = motion_low_ranks(state, name)
        check_fits(low_ranks, self._model, name)
        self._low_ranks[filename] = low_ranks
        for key in host_keys(state):
            layer = IN_HOST + key.partition(".")[0].removeprefix(UNET)
            if _MOTION in key and layer not in self._layers:
                raise CheckpointError(
                    f"{name} is not a LoRA for {self._model.name} ({self._model.spec.kind.name}), "
                    f"which has no place for its {key:.200}"
                )

    def _name_layers(self, call: CallFrames) -> None:
        changed = {name for net in host.lora_in_use() for name in net.modules} & self._layers.keys()
        for name in sorted(changed):
            self._names.enter_context(host.lora_changes(self._layers[name], name))
        added = lora_travel.adding(self._changing, self._of_pass, self._low_ranks, self._layers, IN_HOST, call)
        self._names.enter_context(added)
