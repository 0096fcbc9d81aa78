"""Whether a request is the one of a run that broke off: a resumed run never mixes the answers of two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modules import infotext_utils
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.request.unfinished import NAME, Unfinished
from motion_module.windows import resolve_overlap, resolve_schedule
from motion_module.wording import mention, value_text

# What is done with the frames, or how many windows share a call: after too little memory people set these lower.
_AFTERWARDS = {"format", "fps", "loop_number", "reverse", "interp", "interp_x", "returned", "keep_sound"}
# A preset is what it has set in other fields, and a request's own id is of its client's.
_WITHOUT_EFFECT = {NAME, "enable", "windows_per_call", "request_id", "preset", *_AFTERWARDS}
# Entries of `Plan.asked` that are compared in another way, or follow from others.
_FOLLOWING = ("fields", "model_calls")
_UNHEEDED = ("AnimateDiff", "Version", "AnimateDiff unfinished")  # of an infotext
_GIVEN = {  # what `given.given_to` notes of files and pictures -> how it is called where that is another
    "pictures": "other pictures",
    "masks": "another inpaint mask",
    "control": "other ControlNet pictures",
    "source_file": "another video or folder of that name",
    "module_file": "another file of that motion module",
}
_WINDOWS = ("schedule", "blend", "closed_loop", "stride", "overlap", "batch_size")


def check_same(run: Unfinished, asked: Mapping[str, Any]) -> None:
    """See that a request is the one that broke off.

    Args:
        run: the one that broke off.
        asked: `Plan.asked`, and what `given.given_to` notes; entries of the latter that either lacks are not compared.

    Raises:
        ParamError: names what differs.
    """
    then, now = _comparable(run.asked), _comparable(asked)
    meant_then, meant_now = _meant(then), _meant(now)
    differing = [name for name in now if meant_then.get(name) != meant_now[name]]
    heeded = [name for name in differing if name in then or name not in _GIVEN]
    _refuse(run, [_difference(name, then.get(name), now[name]) for name in heeded])


def check_same_infotext(run: Unfinished, infotext: str) -> None:
    """The same for what the host and other extensions do for it, as far as that is in the infotext.

    Raises:
        ParamError: names what differs.
    """
    then, now = (_meant(infotext_utils.parse_generation_parameters(text)) for text in (run.infotext, infotext))
    names = [name for name in {**now, **then} if name not in _UNHEEDED and then.get(name) != now.get(name)]
    _refuse(run, [_difference(name, then.get(name), now.get(name)) for name in names])


def _comparable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the frames depend on: fields by their mentions, which an older version may not have had, and all else."""
    own = asked.get("fields", {})
    fields = {name: own.get(name, VideoParams.left_out(name, own)) for name in VideoParams.table()}
    heeded = {mention(name): value for name, value in fields.items() if name not in _WITHOUT_EFFECT}
    values = {**heeded, **{name: value for name, value in asked.items() if name not in _FOLLOWING}}
    return {name: json.loads(json.dumps(value, default=str)) for name, value in values.items()}


def _meant(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what different spellings mean: an infotext has the schedule that `auto` was, and no blanks around
    prompts."""
    meant = {name: _stripped(value) for name, value in values.items()}
    schedule, blend, closed_loop, stride, overlap, context = (values.get(mention(name)) for name in _WINDOWS)
    if isinstance(overlap, int) and isinstance(context, int) and isinstance(stride, int):
        meant[mention("overlap")] = resolve_overlap(overlap, context)
        meant[mention("schedule")] = resolve_schedule(str(schedule), str(blend), str(closed_loop), stride)
    return meant


def _stripped(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return {name: _stripped(item) for name, item in value.items()} if isinstance(value, dict) else value


def _difference(name: str, then: Any, now: Any) -> str:
    if name in _GIVEN:
        return _GIVEN[name]
    if isinstance(now, dict) and isinstance(then, dict):
        parts = {**now, **then}
        return f"another {next(part for part in parts if _stripped(then.get(part)) != _stripped(now.get(part)))}"
    return f"{name} {value_text(then)} (here {value_text(now)})"


def _refuse(run: Unfinished, differences: list[str]) -> None:
    if differences:
        raise ParamError(
            f"{mention(NAME)} is {run.id}, a run with {', '.join(differences)}; ask for the same, "
            f"or leave {mention(NAME)} empty"
        )
