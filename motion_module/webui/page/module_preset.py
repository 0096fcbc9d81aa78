"""The preset that a motion module itself asks for."""

from __future__ import annotations

from typing import Any

from motion_module.presets import Preset
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.checkpoints import base_of_run
from motion_module.webui.request.few_steps import few_steps

NAME = "As this module wants it"


def preset_of_module(model: str) -> Preset:
    """What goes with the module that is chosen, or that a run would take where none is.

    Raises:
        UserError: there is none, or it does not fit the checkpoint.
    """
    module = module_choice.foreseen(model, motion_modules.files(), base_of_run())
    few, kind = few_steps(module), module.spec.kind
    fields: dict[str, Any] = {} if kind.trained_on is None else {"batch_size": kind.trained_on}
    if few is None:
        asks = "" if fields else f"{kind.name} works with any steps, sampler and CFG."
        return Preset(NAME, fields, then=asks)
    host = {
        "steps": few.steps_near(0),
        "cfg_scale": few.cfg_near(0),
        "sampler": few.sampler,
        "scheduler": few.scheduler,
    }
    return Preset(NAME, fields, host, then="Write the LoRA that came with it into the prompt, too." if few.lora else "")
