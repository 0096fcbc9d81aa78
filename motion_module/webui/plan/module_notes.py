"""What is said of a motion module where a request does not suit it."""

from __future__ import annotations

from collections.abc import Iterator

from motion_module.webui.plan.request import Request
from motion_module.webui.request.few_steps import CFG, few_steps
from motion_module.webui.request.motion_modules import ModuleFile
from motion_module.wording import mention, number_text


def module_notes(module: ModuleFile, request: Request) -> Iterator[str]:
    """Sentences for the person, with mentions.

    Args:
        module: the one that is used.
        request: what is asked for.
    """
    yield from _of_context(module, request)
    yield from _of_stretch(module, request)
    yield from [*_of_steps(module, request)] or _of_guidance(module, request)


def _of_context(module: ModuleFile, request: Request) -> Iterator[str]:
    trained_on, asked = module.spec.kind.trained_on, request.params.batch_size
    context = min(request.frames or asked, asked)
    if trained_on is not None and context != trained_on and not 0 < request.params.pe_stretch <= trained_on:
        field = "video_length" if context < asked else "batch_size"
        yield (
            f"{module.name} ({module.spec.kind.name}) was trained on {trained_on} frames at once, and sees {context} "
            f"in this video; set {mention(field)} to {trained_on} for what it has learnt."
        )


def _of_stretch(module: ModuleFile, request: Request) -> Iterator[str]:
    asked, learnt = request.params.pe_stretch, module.spec.frames
    context = min(request.frames or request.params.batch_size, request.params.batch_size)
    if learnt < asked and learnt < context:
        yield f"{mention('pe_stretch')} is {asked}, but {module.name} has learnt {learnt} positions; all are spread."


def _of_steps(module: ModuleFile, request: Request) -> Iterator[str]:
    """Of the first pass; img2img does only a part of the steps that are set."""
    few, steps = few_steps(module), request.facts.steps[0]
    if few is not None and (steps > few.most or (steps < few.fewest and request.facts.tab == "txt2img")):
        yield f"{module.name} is made for {few.text} with {few.others}, but this run uses {steps}."


def _of_guidance(module: ModuleFile, request: Request) -> Iterator[str]:
    """A module for few steps has learnt the guidance: with that of the sampler besides, pictures burn out."""
    few = few_steps(module)
    travelling = request.params.values_of("cfg_travel", request.frames) if request.frames else ()
    cfg = max(travelling, default=request.facts.cfg)
    if few is not None and cfg > few.cfg[1]:
        made_for = f"{module.name} is made for {CFG} {few.cfg_text}"
        yield f"{made_for}, but this run uses {number_text(cfg)}: pictures may burn out."
