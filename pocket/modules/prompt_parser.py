"""Prompt languages of the WebUI: `[a:b:0.5]` over steps, `a AND b :0.7`, `(word:1.2)`, and their conditionings.

`prompt_schedule` and `prompt_attention` hold the two small languages; this module is the interface that processing,
samplers and extensions use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from modules.prompt_attention import parse_prompt_attention  # noqa: F401  (part of this module's interface)
from modules.prompt_schedule import schedule_of_prompt

Cond = torch.Tensor | Mapping[str, torch.Tensor]

_AND = re.compile(r"\bAND\b")
_WEIGHT_AT_END = re.compile(r"\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*\Z")


class ScheduledPromptConditioning(NamedTuple):
    """A conditioning and the last step (counted from 1) that uses it."""

    end_at_step: int
    cond: Cond


class SdConditioning(list[str]):
    """Prompts for the text encoder, with the picture's size and side (positive or negative)."""

    def __init__(
        self,
        prompts: Sequence[str],
        is_negative_prompt: bool = False,
        width: int | None = None,
        height: int | None = None,
        copy_from: Sequence[str] | None = None,
    ) -> None:
        super().__init__(prompts)
        origin = prompts if copy_from is None else copy_from
        self.is_negative_prompt: bool = is_negative_prompt or getattr(origin, "is_negative_prompt", False)
        self.width: int | None = width or getattr(origin, "width", None)
        self.height: int | None = height or getattr(origin, "height", None)


class ComposableScheduledPromptConditioning:
    """One part of an `AND` prompt: its schedule and weight."""

    def __init__(self, schedules: list[ScheduledPromptConditioning], weight: float = 1.0) -> None:
        self.schedules = schedules
        self.weight = weight


class MulticondLearnedConditioning:
    """Conditionings of a batch: for each image the parts of its `AND` prompt."""

    def __init__(self, shape: tuple[int, ...], batch: list[list[ComposableScheduledPromptConditioning]]) -> None:
        self.shape = shape
        self.batch = batch


class DictWithShape(dict[str, torch.Tensor]):
    """SDXL's conditioning; its shape is that of the cross-attention part."""

    def __init__(self, x: Mapping[str, torch.Tensor], shape: object = None) -> None:
        super().__init__(x)

    @property
    def shape(self) -> torch.Size:
        """Shape of "crossattn"."""
        return self["crossattn"].shape


def get_learned_conditioning_prompt_schedules(
    prompts: Sequence[str], base_steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[list[list[Any]]]:
    """For each prompt the texts it stands for: `[[last step, text], ...]`, steps counted from 1.

    Args:
        prompts: as typed.
        base_steps: steps of the first pass.
        hires_steps: steps of the second pass if that is the one asked for; times 1..2 then mean that pass.
        use_old_scheduling: numbers below 1 are fractions, all others are steps, in both passes.
    """
    return [
        [[end, text] for end, text in schedule_of_prompt(prompt, base_steps, hires_steps, use_old_scheduling)]
        for prompt in prompts
    ]


def get_learned_conditioning(
    model: Any,
    prompts: Sequence[str],
    steps: int,
    hires_steps: int | None = None,
    use_old_scheduling: bool = False,
) -> list[list[ScheduledPromptConditioning]]:
    """Encodes each prompt's texts; equal prompts are encoded once and share their schedule."""
    schedules = get_learned_conditioning_prompt_schedules(prompts, steps, hires_steps, use_old_scheduling)
    done: dict[str, list[ScheduledPromptConditioning]] = {}
    for prompt, schedule in zip(prompts, schedules, strict=True):
        if prompt not in done:
            texts = SdConditioning([text for _, text in schedule], copy_from=prompts)
            conds = model.get_learned_conditioning(texts)
            done[prompt] = [
                ScheduledPromptConditioning(end, _entry(conds, index)) for index, (end, _) in enumerate(schedule)
            ]
    return [done[prompt] for prompt in prompts]


def _entry(conds: Cond, index: int) -> Cond:
    if isinstance(conds, Mapping):
        return {key: value[index] for key, value in conds.items()}
    return conds[index]


def get_multicond_prompt_list(
    prompts: Sequence[str],
) -> tuple[list[list[tuple[int, float]]], SdConditioning, dict[str, int]]:
    """Splits prompts at `AND`.

    Returns:
        for each prompt its parts as (index of text, weight); the different texts; index of each text.
    """
    indexes: dict[str, int] = {}
    parts_of_prompts = []
    for prompt in prompts:
        parts = [_text_and_weight(part) for part in _AND.split(prompt)]
        parts_of_prompts.append([(indexes.setdefault(text, len(indexes)), weight) for text, weight in parts])
    return parts_of_prompts, SdConditioning(list(indexes), copy_from=prompts), indexes


def _text_and_weight(part: str) -> tuple[str, float]:
    """`"a dog :0.7"` -> `("a dog", 0.7)`; blanks at the end belong to the weight, those in front to the text."""
    found = _WEIGHT_AT_END.search(part)
    if found is None:
        return part.rstrip(), 1.0
    return part[: found.start()], float(found.group(1))


def get_multicond_learned_conditioning(
    model: Any,
    prompts: Sequence[str],
    steps: int,
    hires_steps: int | None = None,
    use_old_scheduling: bool = False,
) -> MulticondLearnedConditioning:
    """As `get_learned_conditioning`, for prompts that may have `AND` parts."""
    parts_of_prompts, texts, _ = get_multicond_prompt_list(prompts)
    learned = get_learned_conditioning(model, texts, steps, hires_steps, use_old_scheduling)
    batch = [
        [ComposableScheduledPromptConditioning(learned[index], weight) for index, weight in parts]
        for parts in parts_of_prompts
    ]
    return MulticondLearnedConditioning(shape=(len(prompts),), batch=batch)


def _at_step(schedule: Sequence[ScheduledPromptConditioning], current_step: int) -> Cond:
    """The first entry not yet over; past the last one the WebUI goes back to the first."""
    return next((entry.cond for entry in schedule if current_step <= entry.end_at_step), schedule[0].cond)


def reconstruct_cond_batch(c: Sequence[Sequence[ScheduledPromptConditioning]], current_step: int) -> Any:
    """Conditioning of all images at a step (counted from 0): (images, tokens, width), or a dict of such."""
    conds = [_at_step(schedule, current_step) for schedule in c]
    if isinstance(conds[0], Mapping):
        return DictWithShape({key: torch.stack([cond[key] for cond in conds]) for key in conds[0]})
    return torch.stack(conds)


def stack_conds(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stacks (tokens, width) of different lengths; shorter ones repeat their last vector."""
    longest = max(tensor.shape[0] for tensor in tensors)
    return torch.stack([torch.cat([t, t[-1:].expand(longest - t.shape[0], *t.shape[1:])]) for t in tensors])


def reconstruct_multicond_batch(
    c: MulticondLearnedConditioning, current_step: int
) -> tuple[list[list[tuple[int, float]]], Any]:
    """Rows of all parts of all images at a step (counted from 0).

    Returns:
        for each image its parts as (row, weight); the rows, (parts of all images, tokens, width) or a dict of such.
    """
    rows: list[Cond] = []
    layout = []
    for parts in c.batch:
        layout.append([(len(rows) + place, part.weight) for place, part in enumerate(parts)])
        rows.extend(_at_step(part.schedules, current_step) for part in parts)
    if isinstance(rows[0], Mapping):
        return layout, DictWithShape({key: stack_conds([row[key] for row in rows]) for key in rows[0]})
    return layout, stack_conds(rows)
