"""What pasted generation parameters do to the panel, and what is said where a value in them is not allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from motion_module.params import VideoParams
from motion_module.webui.plan import infotext


def value_of(name: str, generation: Mapping[str, Any]) -> Any:
    """A field's value from pasted parameters; what they do not name is as in a new panel, if they are a video's.

    Args:
        name: of the field.
        generation: the parameters, as the host has parsed them.
    """
    field = VideoParams.table()[name]
    value = infotext.field_of(name, generation)
    if value is None and infotext.LABEL in generation and field.recorded:
        value = VideoParams.left_out(name, infotext.read(str(generation[infotext.LABEL])))
    if value is not None and field.labels:
        return [field.labels[choice] for choice in value]
    return gr.update() if value is None else value


def left_out(generation: Mapping[str, Any]) -> str:
    """What `sentences` reads of pasted parameters: JSON, field -> why its value is not allowed."""
    return json.dumps(infotext.left_out(str(generation.get(infotext.LABEL, ""))))


def sentences(left_out: str, changed: Mapping[str, bool]) -> Iterator[str]:
    """What is to be said of values that were left out, each until the person has set its field.

    Args:
        left_out: by the function of this name; empty where nothing was pasted yet.
        changed: field -> it is not as in a new panel any more.
    """
    for name, sentence in json.loads(left_out or "{}").items():
        if not changed[name]:
            yield f"Left out of what was pasted: {sentence}."
