"""What a motion module wants of the host's own fields, where a request leaves that to it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from modules import sd_samplers
from motion_module.later_params import AUTO_PRESET
from motion_module.params import VideoParams
from motion_module.webui.host_types import Processing, has_hires
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.checkpoints import base_of_run
from motion_module.webui.request.few_steps import CFG, SAMPLER, SCHEDULE, STEPS, FewSteps, few_steps
from motion_module.wording import either, mention, value_text

_SAME = (None, "", "Use same sampler", "Use same scheduler")
_IN_WORDS = {
    "steps": STEPS,
    "cfg_scale": CFG,
    "sampler_name": SAMPLER,
    "scheduler": SCHEDULE,
    "hr_second_pass_steps": either("hr_second_pass_steps", "Hires steps"),
    "hr_sampler_name": either("hr_sampler_name", "Hires sampling method"),
    "hr_scheduler": either("hr_scheduler", "Hires schedule type"),
}


@dataclass(frozen=True)
class ModuleSettings:
    """What is set in a person's name.

    Attributes:
        params: the request's fields.
        of_host: attribute of `p` -> value, of those that are to be others than they are.
        message: what was changed, with mentions; "" for nothing.
    """

    params: VideoParams
    of_host: dict[str, Any] = field(default_factory=dict)
    message: str = ""


def module_settings(p: Processing, params: VideoParams) -> ModuleSettings:
    """The request as its motion module wants it, if it asks for that; what suits the module already stays.

    Raises:
        ParamError, CheckpointError: there is no such module, or it does not fit the checkpoint.
    """
    if params.preset != AUTO_PRESET:
        return ModuleSettings(params)
    module = module_choice.foreseen(params.model, motion_modules.files(), base_of_run(p.override_settings))
    few, trained_on = few_steps(module), module.spec.kind.trained_on
    wanted: dict[str, Any] = {}
    if few is not None:
        wanted = {"steps": few.steps_near(p.steps), "cfg_scale": few.cfg_near(p.cfg_scale)}
        if few.sampler in sd_samplers.all_samplers_map:
            wanted["sampler_name"] = few.sampler
        if hasattr(p, "scheduler"):  # before WebUI 1.9 it was a part of the sampler's name
            wanted["scheduler"] = few.scheduler
        wanted |= _of_hires(p, few)
    of_host = {name: value for name, value in wanted.items() if getattr(p, name) != value}
    changed = [_said(name, value, getattr(p, name)) for name, value in of_host.items()]
    if trained_on is not None and params.batch_size != trained_on and not 0 < params.pe_stretch <= trained_on:
        changed.append(f"{mention('batch_size')} is {trained_on} and not {params.batch_size}")
        params = dataclasses.replace(params, batch_size=trained_on)
    message = f"{', '.join(changed)}, as {module.name} wants it." if changed else ""
    return ModuleSettings(params, of_host, message)


def _said(name: str, value: Any, before: Any) -> str:
    """What is changed; an API client may have left it open."""
    told = f"{_IN_WORDS[name]} is {value_text(value)}"
    return told if before is None else f"{told} and not {value_text(before)}"


def _of_hires(p: Processing, few: FewSteps) -> dict[str, Any]:
    """The second pass, as far as it is not to be like the first one."""
    if not has_hires(p):
        return {}
    wanted: dict[str, Any] = {}
    if p.hr_second_pass_steps:
        wanted["hr_second_pass_steps"] = few.steps_near(p.hr_second_pass_steps)
    for name, value in (("hr_sampler_name", few.sampler), ("hr_scheduler", few.scheduler)):
        if getattr(p, name, None) not in _SAME:
            wanted[name] = value
    return wanted
