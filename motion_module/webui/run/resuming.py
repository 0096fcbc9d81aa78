"""A run that goes on where another one broke off, and a run that can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from modules import devices, processing
from motion_module.core.denoising.noted_calls import (
    generators_as_text,
    generators_of,
    generators_of_text,
    set_generators,
)
from motion_module.webui.answers import add_message
from motion_module.webui.host_types import Processing
from motion_module.webui.output.response import serves_script
from motion_module.webui.plan.plan import Plan
from motion_module.webui.plan.resumed import several_passes
from motion_module.webui.request import motion_modules, unfinished
from motion_module.webui.request.same_run import check_same
from motion_module.webui.request.unfinished import Unfinished
from motion_module.webui.run.given import is_wanted
from motion_module.webui.run.work import Run, Work
from motion_module.webui.sampling.record import Record
from motion_module.webui.settings import settings_of

_SEEDS = {"seed": "all_seeds", "subseed": "all_subseeds"}  # field of `p` -> where the host has what it drew
_DRAWN = (-1, "-1", "", None)  # a seed that the host draws


def seeds_then(p: Processing, run: Unfinished | None) -> dict[str, int]:
    """The seeds that were drawn for the run that broke off, where this request leaves them open, too."""
    drawn: Mapping[str, int] = {} if run is None else run.seeds
    return {name: seed for name, seed in drawn.items() if name in _SEEDS and getattr(p, name, None) in _DRAWN}


def record_of(p: Processing, plan: Plan, given: Mapping[str, Any]) -> Record | None:
    """What is to be noted of a run, and played back to it; None for nothing. Before `p.init`, which draws numbers.

    Args:
        p: the host's processing object.
        plan: what is done for it.
        given: what `given_to` notes.

    Raises:
        ParamError: it is to be resumed, and is another one.
    """
    found = plan.request.facts.resumes
    if several_passes(plan.params, plan.request.facts) or not is_wanted(found):
        return None
    asked = {**plan.asked, **given, "module_file": motion_modules.identity(plan.module)}
    if found is not None:
        check_same(found, asked)
        set_generators(generators_of_text(found.random), devices.device)
    seeds = {name: int(values[0]) for name, attr in _SEEDS.items() if (values := getattr(p, attr, None))}
    random = generators_as_text(generators_of(devices.device)) if settings_of().resume_after else {}
    run = found or Unfinished(unfinished.new_id(), asked, seeds=seeds, random=random)
    run = dataclasses.replace(run, below_script=serves_script(p))
    return Record.of(run, found is not None, plan.request.facts.batch_count)


def begin_video(p: Processing, work: Work) -> None:
    """A video is about to be sampled.

    Raises:
        ParamError: see `Record.begin`.
    """
    if work.record is not None:
        if p.iteration:
            work.record.begin(p.iteration, "")
            return
        every = (p.all_prompts, p.all_seeds, p.all_subseeds)
        text = processing.create_infotext(p, *every, index=0, all_negative_prompts=p.all_negative_prompts)
        work.record.begin(p.iteration, text)


def put_down(work: Work) -> None:
    """The run has ended, however that was."""
    if work.record is not None:
        work.record.put_down(bool(work.unfinished))


def say_how(p: Processing, work: Work) -> None:
    """Somebody may have stopped the video that is sampled, and want the rest after all."""
    if work.record is not None and p.iteration in work.unfinished and work.record.goes_on:
        add_message(p, f"the video can still be finished: {work.record.goes_on}.")


def is_over(work: Work) -> None:
    """All videos are saved."""
    if work.record is not None and not work.unfinished:
        work.record.is_over()


def goes_on(run: Run | None) -> str:
    """How a run that fails now is resumed, with mentions; "" where it cannot be."""
    record = run.work.record if run is not None else None
    return record.goes_on if record is not None else ""
