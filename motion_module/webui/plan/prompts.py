"""The prompts of a run as they are typed and as they will be read, and whether they are a possible prompt travel."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from modules import shared
from motion_module.errors import ParamError
from motion_module.travel import parse, with_style
from motion_module.travel_lines import key_lines, looks_like_key, without_comments
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.wording import either

OF_PICTURES = {  # of the first pass and the hires pass: as typed -> for each picture
    "prompt": "all_prompts",
    "negative_prompt": "all_negative_prompts",
    "hr_prompt": "all_hr_prompts",
    "hr_negative_prompt": "all_hr_negative_prompts",
}
ON_PAGE = {  # what the page calls them
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "hr_prompt": "Hires prompt",
    "hr_negative_prompt": "Hires negative prompt",
}
Texts = Mapping[str, tuple[str, ...]]


def texts_of(p: Processing) -> dict[str, tuple[str, ...]]:
    """The prompts of `p` as typed, by the host's name of the field; each has one text, or one for each picture."""
    prompts = {name: getattr(p, name, "") for name in OF_PICTURES}
    return {name: tuple(text) if isinstance(text, list) else (text or "",) for name, text in prompts.items()}


def texts_as_read(p: Processing) -> dict[str, tuple[str, ...]]:
    """The same without comments, with the styles of `p` on each of their keys."""
    return {name: tuple(as_read(name, text, p.styles or []) for text in texts) for name, texts in texts_of(p).items()}


def check(typed: Texts, read: Texts, frames: int, closed: bool) -> list[str]:
    """Refuse an impossible prompt travel before anything is touched.

    Args:
        typed, read: see `texts_of` and `texts_as_read`.
        frames: N, frames of a video; 0 where nobody knows yet.
        closed: whether prompt travel leads back to its start.

    Returns:
        Sentences for the person: what is no frame number, but may have been meant as one.

    Raises:
        ParamError: names the line.
    """
    for name, texts in typed.items():
        for text in texts:
            _check_characters(name, text)
    every = [text for texts in read.values() for text in texts]
    for text in every if frames else ():
        parse(text, frames, closed)
    strange = [line.strip()[:40] for text in every for line in text.splitlines() if looks_like_key(line)]
    if not strange:
        return []
    lines = ", ".join(map(repr, dict.fromkeys(strange)))
    return [f"Prompt travel: {lines:.200} is read as ordinary text; a key is written as the frame, a colon, the text."]


def travels(p: Processing) -> bool:
    """Whether a prompt of `p`, or a style of it, has keys."""
    return any_travels(texts_as_read(p))


def any_travels(read: Texts) -> bool:
    """Whether one of these prompts has keys."""
    return any(key_lines(text.splitlines()) for texts in read.values() for text in texts)


def styled(p: Processing, name: str, text: str) -> str:
    """A prompt with the styles of `p`, as the host makes it unless it travels."""
    styles = p.styles or []
    read = as_read(name, text, styles)
    if key_lines(read.splitlines()):
        return read
    return functools.reduce(lambda prompt, style: host.with_style(style, prompt), _style_texts(name, styles), text)


def _check_characters(name: str, text: str) -> None:
    half = next((sign for sign in text if "\ud800" <= sign <= "\udfff"), None)
    if half is not None:
        field = either(name, ON_PAGE[name])
        raise ParamError(f"{field} holds {half!r}, half of a surrogate pair; send whole characters")


def as_read(name: str, text: str, styles: Sequence[str]) -> str:
    """One prompt without comments, with styles on each of its keys.

    Args:
        name: the host's name of the field.
        text: as typed.
        styles: their names.
    """
    own_way = functools.partial(with_style, merge=host.with_style)
    return functools.reduce(own_way, map(_without_comments, _style_texts(name, styles)), _without_comments(text))


def _style_texts(name: str, styles: Sequence[str]) -> list[str]:
    """The texts of styles for one of the prompts."""
    database = shared.prompt_styles
    of_names = database.get_negative_style_prompts if "negative" in name else database.get_style_prompts
    return [text or "" for text in of_names(list(styles))]


def _without_comments(text: str) -> str:
    return without_comments(text) if getattr(shared.opts, "enable_prompt_comments", False) else text
