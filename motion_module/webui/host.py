"""The host that this runs in, as one object. Another kind of host is another class like this, in a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from torch import nn

from modules import devices, extra_networks, sd_models, shared
from motion_module.core.denoising.row_order import Announced
from motion_module.core.denoising.schedule import lent_schedule, put_schedule_right
from motion_module.core.denoising.sliding import LayoutOf
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel
from motion_module.core.module.norm import norms_named
from motion_module.core.module.placement import mounted
from motion_module.patching import assign, drop_items, preserved, replaced_call, replaced_item, replaced_option
from motion_module.webui.host_types import Checkpoint, DenoiserCall, Host, Model

_SCHEDULE = ("alphas_cumprod", "alphas_cumprod_original")  # samplers read the first, which is reset from the second
_NORM = "GroupNorm32"  # of ldm and of sgm, which are two classes; used in their ResBlocks and before the last layer
_OUT_OF_DATE = ("AnimateDiff",)  # no value of the host's, whose entries are tuples of names and weights
_OF_LORA = ("network_layer_name", "network_current_names", "network_weights_backup", "network_bias_backup")


class A1111:
    """AUTOMATIC1111's WebUI, 1.10.1 and its branch `dev`; see `Host` for what each method is for."""

    def unet(self, sd_model: Checkpoint) -> nn.Module:
        """That of ldm or sgm itself."""
        return sd_model.model.diffusion_model

    def motion_layers(self, sd_model: Checkpoint, model: MotionModel, call: CallFrames) -> AbstractContextManager[None]:
        """The spatial transformers have norms of another class, which stay as they are."""
        unet = self.unet(sd_model)
        return mounted(unet, model, call, norms_named(unet, _NORM))

    def row_layout(self, frames: int, parts: int, announced: DenoiserCall, moved_rows: tuple[int, ...]) -> LayoutOf:
        """The prompts of frame 0, of frame 1, ..., then the negative prompt of each frame; read from the rows, because
        the host may leave the negative prompt out, and other extensions stand between."""
        return Announced(frames, parts, announced.x, announced.text_cond, announced.text_uncond, moved_rows).layout_of

    def branches_share_calls(self) -> bool:
        """A setting of the host's."""
        return bool(shared.opts.batch_cond_uncond)

    def whole_calls(self, lasting: bool | None) -> AbstractContextManager[None]:
        """Without that setting the host would cut the rows in pieces that mix frames and AND parts."""
        if self.branches_share_calls():
            return nullcontext()
        return replaced_option(shared.opts.data, "batch_cond_uncond", True, lasting)

    def noise_schedule(self, sd_model: Checkpoint, schedule: str) -> AbstractContextManager[None]:
        """In the model itself, from which samplers copy it."""
        return lent_schedule(sd_model, _SCHEDULE, schedule)

    def last_alpha(self, sd_model: Checkpoint) -> float:
        """As it is now, which may be a schedule that is lent."""
        return float(getattr(sd_model, _SCHEDULE[0])[-1])

    def put_schedule_right(self) -> None:
        """Of the model that is loaded; `shared.sd_model` would load one."""
        put_schedule_right(sd_models.model_data.sd_model, _SCHEDULE)

    @contextmanager
    def in_memory(self, model: MotionModel) -> Iterator[MotionModel]:
        """The host's device, which --use-cpu decides, too."""
        try:
            yield model.to(devices.device)
        finally:
            model.to("cpu")

    def lora(self) -> Any | None:
        """Extensions are not importable by name, but the kind of network that this one registers knows it."""
        kind = extra_networks.extra_network_registry.get("lora")
        networks = getattr(sys.modules.get(type(kind).__module__), "networks", None)
        needed = ("loaded_networks", "networks_in_memory", "load_network", "network_restore_weights_from_backup")
        return networks if all(hasattr(networks, name) for name in needed) else None

    @contextmanager
    def lora_layers(self, layers: Mapping[str, nn.Module]) -> Iterator[Mapping[str, nn.Module]]:
        """The host matches the keys of a file with the names in a table on the model."""
        networks, sd_model = self.lora(), shared.sd_model
        if networks is not None and not hasattr(sd_model, "network_layer_mapping"):
            networks.assign_network_names_to_compvis_modules(sd_model)
        table = sd_model.network_layer_mapping
        drop_items(table, layers)  # there if somebody has put back a former run's
        with ExitStack() as stack:
            for name, layer in layers.items():
                stack.enter_context(replaced_item(table, name, layer))
            yield table

    @contextmanager
    def lora_changes(self, layer: nn.Module, name: str) -> Iterator[None]:
        """The host changes weights when it calls a layer, by the name that the layer bears."""
        networks = self.lora()
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

    def model_calls(self, sd_model: Checkpoint, wrap: Callable[[Model], Model]) -> AbstractContextManager[Any]:
        """All samplers come to the model through this method."""
        return replaced_call(sd_model, "apply_model", wrap)


host: Host = A1111()
