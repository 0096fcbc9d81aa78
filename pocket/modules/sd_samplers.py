"""All samplers, and the one that a name means."""

from __future__ import annotations

import logging
from typing import Any

from modules import (
    sd_samplers_common,
    sd_samplers_kdiffusion,
    sd_samplers_lcm,
    sd_samplers_timesteps,
    sd_schedulers,
    shared,
)
from modules.sd_samplers_common import SamplerData, sample_to_image, samples_to_image_grid  # noqa: F401

log = logging.getLogger(__name__)

all_samplers: list[SamplerData] = [
    *sd_samplers_kdiffusion.samplers_data_k_diffusion,
    *sd_samplers_timesteps.samplers_data_timesteps,
    *sd_samplers_lcm.samplers_data_lcm,
]
all_samplers_map: dict[str, SamplerData] = {sampler.name: sampler for sampler in all_samplers}

# lists and sets below keep their identity: other modules hold them
samplers: list[SamplerData] = []
samplers_for_img2img: list[SamplerData] = []
samplers_map: dict[str, str] = {}
samplers_hidden: set[str] = set()


def find_sampler_config(name: str | None) -> SamplerData | None:
    """The sampler of that name, None if there is none; no name means the first."""
    return all_samplers[0] if name is None else all_samplers_map.get(name)


def create_sampler(name: str | None, model: Any) -> sd_samplers_common.Sampler:
    """A sampler for one run.

    Raises:
        ValueError: there is no sampler of that name.
    """
    config = find_sampler_config(name)
    if config is None:
        raise ValueError(f"There is no sampler {name!r}; there are {', '.join(all_samplers_map)}.")
    sampler = config.constructor(model)
    sampler.config = config
    return sampler


def set_samplers() -> None:
    """Reads again from the settings which samplers the menus show."""
    samplers[:] = all_samplers
    samplers_for_img2img[:] = all_samplers
    samplers_hidden.clear()
    samplers_hidden.update(shared.opts.hide_samplers)
    samplers_map.clear()
    for sampler in all_samplers:
        samplers_map.update({alias.lower(): sampler.name for alias in (sampler.name, *sampler.aliases)})


def visible_samplers() -> list[SamplerData]:
    """Samplers that the menus show."""
    return [sampler for sampler in samplers if sampler.name not in samplers_hidden]


def visible_sampler_names() -> list[str]:
    """Names of the samplers that the menus show."""
    return [sampler.name for sampler in visible_samplers()]


def _split(name: str) -> tuple[str, sd_schedulers.Scheduler | None]:
    """Takes schedules off the end of an old sampler name: "DPM++ 2M Karras" -> "DPM++ 2M", Karras."""
    found = None
    for scheduler in sd_schedulers.schedulers:
        for ending in (scheduler.label, scheduler.name, *(scheduler.aliases or [])):
            if name.endswith(" " + ending):
                name, found = name[: -len(ending) - 1], scheduler
                break
    return name, found


def get_sampler_and_scheduler(
    sampler_name: str | None, scheduler_name: str | None, *, convert_automatic: bool = True
) -> tuple[str, str]:
    """Sampler and schedule that two names mean; an old name may hold both.

    Args:
        sampler_name: e.g. "Euler" or "DPM++ 2M Karras"; an unknown one means the first sampler.
        scheduler_name: e.g. "Karras"; an unknown one means "Automatic".
        convert_automatic: the sampler's own schedule is called "Automatic".
    """
    default = samplers[0]
    name, in_name = _split(sampler_name or default.name)
    scheduler = in_name or sd_schedulers.schedulers_map.get(scheduler_name or "", sd_schedulers.schedulers[0])
    sampler = all_samplers_map.get(name, default)
    if convert_automatic and sampler.options.get("scheduler") == scheduler.name:
        scheduler = sd_schedulers.schedulers[0]
    return sampler.name, scheduler.label


def fix_p_invalid_sampler_and_scheduler(p: Any) -> None:
    """Replaces old or unknown names in a job by those of a sampler and a schedule."""
    asked = p.sampler_name, p.scheduler
    p.sampler_name, p.scheduler = get_sampler_and_scheduler(*asked, convert_automatic=False)
    if asked != (p.sampler_name, p.scheduler):
        log.warning('Sampler and schedule "%s", "%s" are taken as "%s", "%s"', *asked, p.sampler_name, p.scheduler)


def get_sampler_from_infotext(d: dict[str, Any]) -> str:
    """Sampler that an infotext names."""
    return get_sampler_and_scheduler(d.get("Sampler"), d.get("Schedule type"))[0]


def get_scheduler_from_infotext(d: dict[str, Any]) -> str:
    """Schedule that an infotext names."""
    return get_sampler_and_scheduler(d.get("Sampler"), d.get("Schedule type"))[1]


def get_hr_sampler_and_scheduler(d: dict[str, Any]) -> tuple[str, str]:
    """Sampler and schedule of the second pass that an infotext names; the first pass's are told by "Use same ..."."""
    own_sampler, own_schedule = d.get("Sampler"), d.get("Schedule type")
    asked_sampler = d.get("Hires sampler", "Use same sampler")
    asked_schedule = d.get("Hires schedule type", "Use same scheduler")
    sampler, schedule = get_sampler_and_scheduler(
        own_sampler if asked_sampler == "Use same sampler" else asked_sampler,
        own_schedule if asked_schedule == "Use same scheduler" else asked_schedule,
    )
    return (
        "Use same sampler" if sampler == own_sampler else sampler,
        "Use same scheduler" if schedule == own_schedule else schedule,
    )


def get_hr_sampler_from_infotext(d: dict[str, Any]) -> str:
    """Sampler of the second pass."""
    return get_hr_sampler_and_scheduler(d)[0]


def get_hr_scheduler_from_infotext(d: dict[str, Any]) -> str:
    """Schedule of the second pass."""
    return get_hr_sampler_and_scheduler(d)[1]


set_samplers()
