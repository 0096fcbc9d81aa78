"""A small ControlNet for tests: what sd-webui-controlnet 1.1.455 promises to the WebUI and to other extensions."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import gradio as gr
import numpy as np
from internal_controlnet.args import ControlNetUnit
from internal_controlnet.cldm import PlugableControlModel, load_control_model
from internal_controlnet.hints import as_tensor, make_hints, uses_hires_fix
from PIL import Image

from modules import devices, errors, script_callbacks, scripts, shared
from scripts import batch_hijack, external_code, global_state
from scripts.enums import ControlMode, ControlModelType, HiResFixOption, InputMode
from scripts.hook import ControlParams, UnetHook

SECTION = ("control_net", "ControlNet")


class Script(scripts.Script):
    """The units of a tab. `latest_network` guides the UNet from `process` until the run is over."""

    model_cache: OrderedDict[tuple[str, int], PlugableControlModel] = OrderedDict()

    def __init__(self) -> None:
        super().__init__()
        self.latest_network: UnetHook | None = None
        self.latest_model_hash = ""
        self.enabled_units: list[ControlNetUnit] = []
        self.detected_map: list[tuple[np.ndarray, str]] = []

    def title(self) -> str:
        """Its name in the API, in any case."""
        return "ControlNet"

    def show(self, is_img2img: bool) -> Any:
        """Always on."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        """One value for each unit. The page shows no controls for them: units come from the API and from tests."""
        self.infotext_fields, self.paste_field_names = [], []
        return [gr.State(ControlNetUnit()) for _ in range(external_code.get_max_models_num())]

    @classmethod
    def load_control_model(cls, unet: Any, name: str) -> PlugableControlModel:
        """The model of this name; the last two are kept."""
        path, heads = global_state.find_model(name), unet.num_heads
        if (path, heads) not in cls.model_cache:
            while len(cls.model_cache) >= shared.opts.data.get("control_net_model_cache_size", 2):
                cls.model_cache.popitem(last=False)
            cls.model_cache[path, heads] = load_control_model(path, heads).to(devices.dtype_unet)
        return cls.model_cache[path, heads]

    @staticmethod
    def get_enabled_units(p: Any) -> list[ControlNetUnit]:
        """The run's units that are on, one for each picture of a unit that merges several."""
        units = []
        for unit in external_code.get_all_units_in_processing(p):
            if unit.enabled:
                units.extend(_unmerged(unit))
        p.extra_generation_params.update({f"ControlNet {place}": unit.serialize() for place, unit in enumerate(units)})
        return units

    def process(self, p: Any, *args: Any) -> None:
        """Make the hints and guide the UNet.

        Raises:
            NotModelledError: the checkpoint is SDXL; all control models here are for SD1.x.
        """
        self._end()
        self.enabled_units = self.get_enabled_units(p)
        if not self.enabled_units:
            return
        if p.sd_model.is_sdxl:
            raise errors.NotModelledError(
                f"ControlNet model {self.enabled_units[0].model} is not compatible with sd model SDXL."
            )
        if self.latest_model_hash != p.sd_model.sd_model_hash:
            Script.model_cache.clear()
        self.latest_model_hash = p.sd_model.sd_model_hash
        unet = p.sd_model.model.diffusion_model
        params = [self._params(p, unet, unit) for unit in self.enabled_units]
        network = UnetHook(lowvram=any(unit.low_vram for unit in self.enabled_units))
        network.hook(model=unet, sd_ldm=p.sd_model, control_params=params, process=p)
        self.latest_network = network

    def _params(self, p: Any, unet: Any, unit: ControlNetUnit) -> ControlParams:
        model = self.load_control_model(unet, unit.model)
        hints = make_hints(p, unit)
        self.detected_map += [(shown, unit.module) for shown in hints.maps]
        region = unit.effective_region_mask
        return ControlParams(
            control_model=model,
            preprocessor={
                "name": unit.module,
                "preprocessor_resolution": unit.processor_res,
                "threshold_a": unit.threshold_a,
                "threshold_b": unit.threshold_b,
            },
            hint_cond=hints.first,
            weight=unit.weight,
            guidance_stopped=False,
            start_guidance_percent=unit.guidance_start,
            stop_guidance_percent=unit.guidance_end,
            advanced_weighting=unit.advanced_weighting,
            control_model_type=ControlModelType.ControlNet,
            hr_hint_cond=hints.hires,
            global_average_pooling=False,
            soft_injection=unit.control_mode is not ControlMode.BALANCED,
            cfg_injection=unit.control_mode is ControlMode.CONTROL,
            hr_option=unit.hr_option if uses_hires_fix(p) else HiResFixOption.BOTH,
            effective_region_mask=None if region is None else as_tensor(region)[:, :1],
        )

    def _end(self) -> None:
        if self.latest_network is not None:
            self.latest_network.restore()
        self.latest_network = None
        self.detected_map = []

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """Show the control pictures after the results, and give the UNet back."""
        if self.latest_network is not None and not shared.opts.data.get("control_net_no_detectmap", False):
            processed.images.extend(Image.fromarray(shown) for shown, _ in self.detected_map)
        self.enabled_units.clear()
        self._end()


def _unmerged(unit: ControlNetUnit) -> list[ControlNetUnit]:
    if unit.input_mode is not InputMode.MERGE:
        return [unit]
    share = {"input_mode": InputMode.SIMPLE, "weight": unit.weight / len(unit.image)}
    return [unit.copy(update={"image": [image], **share}) for image in unit.image]


def on_ui_settings() -> None:
    """The settings that this host models."""
    options = {
        "control_net_unit_count": shared.OptionInfo(3, "Multi-ControlNet: ControlNet unit number", section=SECTION),
        "control_net_model_cache_size": shared.OptionInfo(2, "Model cache size", section=SECTION),
        "control_net_no_detectmap": shared.OptionInfo(False, "Do not append detectmap to output", section=SECTION),
        "controlnet_ignore_noninpaint_mask": shared.OptionInfo(
            False, "Ignore mask on ControlNet input image if control type is not inpaint", section=SECTION
        ),
    }
    for name, option in options.items():
        shared.opts.add_option(name, option)


global_state.update_cn_models()
batch_hijack.do_hijack()
script_callbacks.on_ui_settings(on_ui_settings)
