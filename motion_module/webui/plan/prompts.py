"""The prompts of a run, spread over the frames of its videos."""

from __future__ import annotations

import functools
import logging
from typing import Any

from modules import shared
from modules.styles import merge_prompts
from motion_module.errors import ParamError
from motion_module.patching import assign
from motion_module.travel import Between, Travel, parse, with_style
from motion_module.travel_lines import key_lines, looks_like_key, without_comments
from motion_module.wording import either

_log = logging.getLogger(__name__)
_PROMPTS = {  # of the first pass and the hires pass: as typed -> for each picture
    "prompt": "all_prompts",
    "negative_prompt": "all_negative_prompts",
    "hr_prompt": "all_hr_prompts",
    "hr_negative_prompt": "all_hr_negative_prompts",
}
_FIRST_PASS = ("prompts", "negative_prompts")
_HIRES_PASS = ("hr_prompts", "hr_negative_prompts")
_LABELS_ON_PAGE = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "hr_prompt": "Hires prompt",
    "hr_negative_prompt": "Hires negative prompt",
}
_LABELS = {  # in the infotext
    "prompts": "Prompt travel",
    "negative_prompts": "Negative prompt travel",
    "hr_prompts": "Hires prompt travel",
    "hr_negative_prompts": "Hires negative prompt travel",
}


class Route:
    """Which prompt each frame has, in the first pass and in the hires pass.

    Args:
        frames: N, frames of a video.
        closed: whether prompt travel leads back to its start.
    """

    def __init__(self, frames: int, closed: bool) -> None:
        self._frames = frames
        self._closed = closed
        self._travels: dict[str, Travel | None] = {}

    def check(self, p: Any) -> list[str]:
        """Refuse an impossible prompt travel before anything is touched.

        Returns:
            Sentences for the person: what is no frame number, but may have been meant as one.

        Raises:
            ParamError: names the line.
        """
        strange: list[str] = []
        for name in _PROMPTS:
            for text in _texts(getattr(p, name, "")):
                _check_characters(name, text)
                read = _with_styles(p, name, text)
                parse(read, self._frames, self._closed)
                strange += [line.strip()[:40] for line in read.splitlines() if looks_like_key(line)]
        if not strange:
            return []
        lines = ", ".join(map(repr, dict.fromkeys(strange)))
        return [
            f"Prompt travel: {lines:.200} is read as ordinary text; a key is written as the frame, a colon, the text."
        ]

    def travels(self, p: Any) -> bool:
        """Whether a prompt of `p`, or a style of it, has keys."""
        texts = ((name, text) for name in _PROMPTS for text in _texts(getattr(p, name, "")))
        return any(key_lines(_with_styles(p, name, text).splitlines()) for name, text in texts)

    def give_styles(self, p: Any) -> None:
        """Merge the styles of `p` into its prompts, of which the host has made the lists without styles."""
        for name, of_pictures in _PROMPTS.items():
            texts = getattr(p, of_pictures, None) or []
            styled = {text: _styled(p, name, text) for text in texts}
            if texts:
                assign(p, **{of_pictures: [styled[text] for text in texts]})
        assign(p, main_prompt=p.all_prompts[0], main_negative_prompt=p.all_negative_prompts[0])

    def check_all(self, p: Any) -> None:
        """Refuse an impossible prompt travel that another script has made of the prompts.

        Raises:
            ParamError: names the line.
        """
        for of_pictures in _PROMPTS.values():
            for text in dict.fromkeys(getattr(p, of_pictures, None) or []):
                parse(text, self._frames, self._closed)

    def spread(self, p: Any) -> None:
        """Set the prompts of the coming batch of `p`, one for each frame.

        The host encodes the prompt of each frame; `of_call` says how the conditionings are mixed then. The infotext
        keeps the prompts as typed, and has the schedule as it was understood beside them.
        """
        for name in _FIRST_PASS + _HIRES_PASS:
            texts = getattr(p, name, None)
            if isinstance(texts, list) and texts:
                travel = self._travels[name] = parse(texts[0], self._frames, self._closed, with_tags=False)
                texts[:] = travel.prompts() if travel else texts[:1] * len(texts)
                if travel:
                    _log.info("%s: %s", name, travel)
                    p.extra_generation_params[_LABELS[name]] = str(travel)

    def of_call(self, hires: bool) -> tuple[list[Between] | None, list[Between] | None]:
        """How the conditionings of prompt and negative prompt travel in a pass, None for one that does not."""
        travels = [self._travels.get(name) for name in (_HIRES_PASS if hires else _FIRST_PASS)]
        way, negative_way = (travel.places() if travel else None for travel in travels)
        return way, negative_way


def _texts(prompt: Any) -> list[str]:
    return prompt if isinstance(prompt, list) else [prompt or ""]


def _check_characters(name: str, text: str) -> None:
    half = next((sign for sign in text if "\ud800" <= sign <= "\udfff"), None)
    if half is not None:
        field = either(name, _LABELS_ON_PAGE[name])
        raise ParamError(f"AnimateDiff: {field} holds {half!r}, which is half a character; send whole characters.")


def _styled(p: Any, name: str, text: str) -> str:
    """A prompt with the styles of `p`, as the host makes it unless it travels."""
    read = _with_styles(p, name, text)
    if key_lines(read.splitlines()):
        return read
    return functools.reduce(lambda prompt, style: merge_prompts(style, prompt), _style_texts(p, name), text)


def _with_styles(p: Any, name: str, text: str) -> str:
    """A prompt as it will be read: without comments, with the styles of `p` on each of its keys."""
    own_way = functools.partial(with_style, merge=merge_prompts)
    return functools.reduce(own_way, map(_without_comments, _style_texts(p, name)), _without_comments(text))


def _style_texts(p: Any, name: str) -> list[str]:
    """The texts of the styles of `p` for one of its prompts."""
    database = shared.prompt_styles
    of_names = database.get_negative_style_prompts if "negative" in name else database.get_style_prompts
    return [text or "" for text in of_names(p.styles or [])]


def _without_comments(text: str) -> str:
    return without_comments(text) if getattr(shared.opts, "enable_prompt_comments", False) else text
