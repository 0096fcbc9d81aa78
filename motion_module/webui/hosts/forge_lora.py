"""What Forge's built-in LoRA extension is for a video; see `Host` for what each method is for.

Forge matches the keys of a file with the weights of UNet and text encoder while it loads it, and merges them when it
moves the UNet to where it samples. So it is given the file without what is for motion layers, and they add that
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from backend.patcher import lora
from torch import Tensor, nn

from modules import sd_models, shared
from motion_module.core.module.frame_lora import added_always
from motion_module.core.module.lora import LowRank, motion_low_ranks
from motion_module.core.module.lora_names import IN_HOST, MOTION
from motion_module.errors import CheckpointError
from motion_module.patching import assign, replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Wrapped
from motion_module.webui.hosts.lora_tables import LoraTables

_PACKED = ("bnb_quantized", "gguf_cls")  # by which Forge knows weights in few bits, whose sizes are others
_OUT_OF_DATE = "AnimateDiff"  # no list of files and weights, as Forge's own values are


class ForgeLora(LoraTables):
    """The part of the host that networks are."""

    @contextmanager
    def lora_files(
        self, layers: Mapping[str, nn.Module], read: Wrapped, build: Wrapped, anew: Callable[[Any], bool]
    ) -> Iterator[Mapping[str, nn.Module]]:
        """Forge keeps what it has read, and reads nothing where files and weights are those of the last time."""
        networks = self.networks()
        if networks is None:
            yield {}
            return
        motion: dict[str, dict[str, LowRank]] = {}

        def read_rest(original: Wrapped, filename: str) -> dict[str, Tensor]:
            state: dict[str, Tensor] = read(original, filename)
            motion[filename] = motion_low_ranks(state, Path(filename).stem)
            return {key: value for key, value in state.items() if MOTION not in key}

        def load(original: Wrapped, names: list[str], te: list[float], unet: list[float], *of: Any) -> None:
            assign(shared.sd_model, current_lora_hash=_OUT_OF_DATE)
            with _hash_of_what_is_loaded():
                original(names, te, unet, *of)
            of_tags = list(zip(names, te, unet, strict=True))
            for net in networks.loaded_networks:
                place = next(i for i, (name, *_) in enumerate(of_tags) if name == net.mentioned_name)
                _, *weights = of_tags.pop(place)  # a network that could not be loaded is not among them
                _note(net, weights, motion.get(net.network_on_disk.filename, {}))
                with suppress(CheckpointError):  # which is kept, as it is where networks are built one by one
                    build(lambda name, net=net: net, net.mentioned_name)

        def add(original: Wrapped, model: Any, clip: Any, state: Mapping[str, Any], *of: Any, **how: Any) -> Any:
            return original(model, clip, state, *of, **how) if state else (model, clip)

        with ExitStack() as stack:
            stack.enter_context(replaced_call(networks, "load_lora_state_dict", given_original(read_rest)))
            stack.enter_context(replaced_call(networks, "load_lora_for_models", given_original(add)))
            stack.enter_context(replaced_call(networks, "load_networks", given_original(load)))
            yield _Weights()

    def forget_lora(self, net: Any, layers: Iterable[str]) -> None:
        """By the list of files and weights it knows what it has loaded."""
        assign(shared.sd_model, current_lora_hash=_OUT_OF_DATE)
        self.apply_lora_anew(net)

    @contextmanager
    def lora_changes(self, layer: nn.Module, name: str) -> Iterator[None]:
        """What is for this layer in each network."""
        with ExitStack() as stack:
            for net in self.lora_in_use():
                low_rank = net.modules.get(name)
                if isinstance(low_rank, LowRank) and net.unet_multiplier:
                    stack.enter_context(added_always(layer, low_rank, net.unet_multiplier))
            yield

    def apply_lora_anew(self, net: Any) -> None:
        """It merges anew where the list of files and weights is another one than the last time."""
        self.merge_anew()

    def merge_anew(self) -> None:
        """Have Forge put its weights back, and merge what is to be merged, the next time it loads its models; a merge
        that fails in the middle leaves weights of the one before."""
        objects = getattr(sd_models.model_data.sd_model, "forge_objects", None)
        for patcher in (objects.unet, objects.clip.patcher) if objects is not None else ():
            if hasattr(patcher, "lora_loader"):  # Neo merges anew whatever it loads
                assign(patcher.lora_loader, loaded_hash=_OUT_OF_DATE)


def _note(net: Any, weights: Sequence[float], motion: Mapping[str, LowRank]) -> None:
    """What Forge itself does not note on a network: its weights, and what it has for which layer."""
    objects, file = shared.sd_model.forge_objects_after_applying_lora, net.network_on_disk.filename
    own = {key: part for patcher in (objects.unet, objects.clip.patcher) for key, part in _merged_by(patcher, file)}
    te, unet = weights
    assign(net, te_multiplier=te, unet_multiplier=unet)
    assign(net, modules={**own, **{IN_HOST + layer: low_rank for layer, low_rank in motion.items()}})


@dataclass(frozen=True)
class _Merged:
    """What Forge would add to one of its own weights."""

    patches: Any

    def calc_updown(self, weight: Tensor) -> tuple[Tensor]:
        """The weight with it; fails where sizes do not fit, which Forge finds out in the middle of merging, and then
        does not put right."""
        return (lora.merge_lora_to_weight(self.patches, weight),)


class _Weights(Mapping[str, Any]):
    """Forge's own weights, by the names of its tables; each as a layer with that one weight."""

    def __getitem__(self, name: str) -> Any:
        objects = shared.sd_model.forge_objects
        for patcher in (objects.unet, objects.clip.patcher):
            layer, _, last = name.rpartition(".")
            try:
                weight = getattr(patcher.model.get_submodule(layer), last)
            except AttributeError:
                continue
            if any(hasattr(weight, name) for name in _PACKED) or not weight.is_floating_point():
                break
            return SimpleNamespace(weight=weight)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _merged_by(patcher: Any, file: str) -> list[tuple[Any, Any]]:
    """The weights that a patcher changes for a file, and how; Neo does not know for which."""
    if not hasattr(patcher, "lora_patches"):
        return [(key, None) for key in patcher.patches]
    of_file = [patches for (name, *_), patches in patcher.lora_patches.items() if name == file]
    return [(key, _Merged(parts)) for patches in of_file for key, parts in patches.items()]


@contextmanager
def _hash_of_what_is_loaded() -> Iterator[None]:
    """Forge notes what it will load before it does; where that fails, nothing is loaded."""
    try:
        yield
    except Exception:
        assign(shared.sd_model, current_lora_hash=_OUT_OF_DATE)
        raise
