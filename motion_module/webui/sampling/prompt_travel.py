"""The prompts of a run, spread over the frames of its videos."""

from __future__ import annotations

import logging

from motion_module.patching import assign, assign_items, refill
from motion_module.travel import KeyMix, Travel, parse
from motion_module.travel_loras import LoraTravel, lora_travels
from motion_module.webui.host_types import Processing
from motion_module.webui.plan.prompts import OF_PICTURES, styled

_log = logging.getLogger(__name__)
_FIRST_PASS = ("prompts", "negative_prompts")
_HIRES_PASS = ("hr_prompts", "hr_negative_prompts")
_LABELS = {  # in the infotext
    "prompts": "Prompt travel",
    "negative_prompts": "Negative prompt travel",
    "hr_prompts": "Hires prompt travel",
    "hr_negative_prompts": "Hires negative prompt travel",
}


def give_styles(p: Processing) -> None:
    """Merge the styles of `p` into its prompts, of which the host has made the lists without styles."""
    for name, of_pictures in OF_PICTURES.items():
        texts = getattr(p, of_pictures, None) or []
        merged = {text: styled(p, name, text) for text in texts}
        if texts:
            assign(p, **{of_pictures: [merged[text] for text in texts]})
    assign(p, main_prompt=p.all_prompts[0], main_negative_prompt=p.all_negative_prompts[0])


class FramePrompts:
    """Which prompt each frame has, in the first pass and in the hires pass.

    Args:
        frames: N, frames of a video.
        closed: whether prompt travel leads back to its start.
        hold: whether the prompt of each key holds until the next one.
    """

    def __init__(self, frames: int, closed: bool, hold: bool = False) -> None:
        self._frames = frames
        self._closed = closed
        self._hold = hold
        self._travels: dict[str, Travel | None] = {}

    def check_all(self, p: Processing) -> None:
        """Refuse an impossible prompt travel that another script has made of the prompts.

        Raises:
            ParamError: names the line.
        """
        for of_pictures in OF_PICTURES.values():
            for text in dict.fromkeys(getattr(p, of_pictures, None) or []):
                parse(text, self._frames, self._closed)

    def spread(self, p: Processing) -> None:
        """Set the prompts of the coming batch of `p`, one for each frame.

        The host encodes the prompt of each frame; `of_call` says how the conditionings are mixed then. The infotext
        keeps the prompts as typed, and has the keys as they were understood beside them.
        """
        for name in _FIRST_PASS + _HIRES_PASS:
            texts = getattr(p, name, None)
            if isinstance(texts, list) and texts:
                travel = parse(texts[0], self._frames, self._closed, with_tags=False, hold=self._hold)
                self._travels[name] = travel
                refill(texts, travel.prompts() if travel else texts[:1] * len(texts))
                if travel:
                    _log.info("%s: %s", name, travel)
                    assign_items(p.extra_generation_params, {_LABELS[name]: str(travel)})

    def lora_of(self, p: Processing, hires: bool) -> dict[str, LoraTravel]:
        """The LoRA that keys of the coming batch's prompts name, of a pass; the host has not taken the tags out yet."""
        if hires:  # the host makes their list for the batch where it takes the tags out
            texts = (getattr(p, "all_hr_prompts", None) or [])[p.iteration * p.batch_size :]
        else:
            texts = getattr(p, "prompts", None) or []
        return lora_travels(texts[0], self._frames, self._closed, self._hold) if texts else {}

    def of_call(self, hires: bool) -> tuple[list[KeyMix] | None, list[KeyMix] | None]:
        """How the conditionings of prompt and negative prompt travel in a pass, None for one that does not."""
        travels = [self._travels.get(name) for name in (_HIRES_PASS if hires else _FIRST_PASS)]
        way, negative_way = (travel.mixes() if travel else None for travel in travels)
        return way, negative_way
