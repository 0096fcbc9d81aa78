"""A travelling prompt as a small timeline: which text counts from which frame on, and what is wrong beside its line."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence

from motion_module.travel import Line, outline
from motion_module.webui.plan.prompts import ON_PAGE

_ROW = '<li class="{kind}" style="--from: {start:.2f}%; --to: {end:.2f}%"><b>{frames}</b> <span>{text}</span></li>'


def timelines(read: Mapping[str, tuple[str, ...]], frames: int) -> str:
    """HTML with a list for each prompt that travels; "" where none does.

    Args:
        read: prompts as they will be read, by the host's name of the field; each has one text.
        frames: N, frames of the video.
    """
    outlines = {name: outline(texts[0], frames) for name, texts in read.items()}
    return "".join(_list(ON_PAGE[name], lines, frames) for name, lines in outlines.items() if lines)


def _list(title: str, lines: Sequence[Line], frames: int) -> str:
    rows = "".join(_rows(lines, frames))
    return f'<ol class="animatediff-travel" aria-label="{title} of each frame">{rows}</ol>'


def _rows(lines: Sequence[Line], frames: int) -> Iterator[str]:
    ends = _ends(lines, frames)
    for number, (text, key, fault) in enumerate(lines):
        if key is None and not fault:
            continue  # a blank line, brackets
        wrong = f' <em role="alert">{html.escape(fault)}</em>' if fault else ""
        start, end = (key.frame, ends[number]) if key is not None and number in ends else (0, 0)
        yield _ROW.format(
            kind="animatediff-refused" if fault else "",
            start=100 * start / frames,
            end=100 * end / frames,
            frames=_frames(start, end) if end else "" if key is None else key.frame,
            text=html.escape(key.text if key is not None else text) + wrong,
        )


def _ends(lines: Sequence[Line], frames: int) -> dict[int, int]:
    """For the lines that count: at which frame the next one takes over."""
    keyed = {key.frame: number for number, (_, key, fault) in enumerate(lines) if key is not None and not fault}
    starts = sorted(keyed)
    return {keyed[start]: end for start, end in zip(starts, [*starts[1:], frames], strict=True)}


def _frames(start: int, end: int) -> str:
    return f"{start}\u2013{end - 1}" if end - start > 1 else str(start)
