"""What is sent to a host for a line of the list, and whether its answer is the whole result."""

from __future__ import annotations

from typing import Any

from commands.results import extra_params

UNFINISHED = "AnimateDiff unfinished"
"""Key in an answer's `extra_generation_params`: the last of its videos was stopped, and where."""

_MESSAGES, _STOPPED = "AnimateDiff messages", "the video is unfinished"


class NoResultError(ValueError):
    """An answer is no whole result; the message is a sentence for the person."""


def as_sent(body: dict[str, Any]) -> dict[str, Any]:
    """The body with what a farm cannot do without: the files come back, and nothing stays for the next request."""
    return {**body, "send_images": True, "override_settings_restore_afterwards": True}


def require_whole(answer: Any) -> None:
    """See that an answer that a host calls good has pictures, and that nobody stopped it in the middle.

    Raises:
        NoResultError: it is no such answer.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("info"), str) or not _texts(answer.get("images")):
        raise NoResultError("the host's answer cannot be read, though it says that all is well.")
    if not answer["images"]:
        raise NoResultError("the host's answer holds no pictures, though it says that all is well.")
    if where := _stopped(extra_params(answer)):
        raise NoResultError(f"somebody stopped it at the host ({where}); run the command again to make it.")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _stopped(params: dict[str, Any]) -> str:
    """Where a video of the run was stopped. The key is of the last one; one that was skipped before has its message."""
    if params.get(UNFINISHED):
        return str(params[UNFINISHED])
    messages = params.get(_MESSAGES)
    said = [message for message in messages if _STOPPED in str(message)] if isinstance(messages, list) else []
    return str(said[0]).rstrip(".") if said else ""
