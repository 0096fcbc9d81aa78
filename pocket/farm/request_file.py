"""A file with one request a line: what each line asks for, and by which hash its result is known again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpreter import PocketError

MODES = ("txt2img", "img2img")
FRAMES = 16
"""Of a video whose request does not say how many."""
_LONGEST_SHOWN = 60  # characters of a wrong value
_DEEPEST = 100  # brackets within each other: what sends requests follows them by recursion
_MOST = 10**9  # frames: what measures work need not count further


_TOO_DEEP = f"line {{}} cannot be read: its brackets are nested too deep; allowed are {_DEEPEST} within each other."


class WrongLineError(ValueError):
    """A line is no request; the message is a sentence for the person."""


@dataclass(frozen=True)
class Request:
    """One line that is not blank.

    Attributes:
        number: its place among the file's requests, from 1.
        line: its place in the file, from 1.
        place: where it begins in the file, in bytes.
        hash: of everything that the result depends on, for all that is known here.
        frames: how many it asks for, as a measure of work.
        wrong: why it is no request; empty for one that is.
    """

    number: int
    line: int
    place: int
    hash: str
    mode: str = MODES[0]
    frames: int = FRAMES
    wrong: str = ""

    @property
    def name(self) -> str:
        """Name of the folder of its result."""
        return f"{self.number:05}-{self.hash[:12]}"


class RequestFile:
    """The file, of which only what is known of each line is kept: bodies with pictures in them are long."""

    def __init__(self, path: Path, identity: Any) -> None:
        """Reads every line.

        Args:
            identity: what results depend on besides their requests, in JSON's types.

        Raises:
            PocketError: there is no such file, it cannot be read, or nothing is in it.
        """
        self.path, self._identity = path, identity
        if path.exists() and not path.is_file():
            raise PocketError(f"{path} is no file that can be read twice, as a farm does; write the lines to one.")
        try:
            self.requests = self._read()
        except OSError as error:
            raise PocketError(f"{path} cannot be read: {error.strerror}.") from error
        if not self.requests:
            raise PocketError(f"{path} holds no request; write the body of an /sdapi/v1/txt2img request in each line.")

    def body(self, request: Request) -> dict[str, Any]:
        """The body of one request, as the API takes it.

        Raises:
            WrongLineError: the line is another one than at first.
            PocketError: the file cannot be read any more.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(request.place)
                line = file.readline()
        except OSError as error:
            raise PocketError(f"{self.path} cannot be read any more: {error.strerror}.") from error
        changed = f"line {request.line} has been changed since the start; run the command again."
        try:
            mode, body = _parse(line, request.line)
        except WrongLineError as error:
            raise WrongLineError(changed) from error
        if self._hash(mode, body) != request.hash:
            raise WrongLineError(changed)
        return body

    def _read(self) -> list[Request]:
        found: list[Request] = []
        place = 0
        with self.path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                if text.strip():
                    found.append(self._request(text, len(found) + 1, line, place))
                place += len(text)
        return found

    def _request(self, text: bytes, number: int, line: int, place: int) -> Request:
        try:
            mode, body = _parse(text, line)
        except WrongLineError as error:
            return Request(number, line, place, hashlib.sha256(text.strip()).hexdigest(), wrong=str(error))
        return Request(number, line, place, self._hash(mode, body), mode, frames_of(body))

    def _hash(self, mode: str, body: dict[str, Any]) -> str:
        text = json.dumps([mode, body, self._identity], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _parse(text: bytes, line: int) -> tuple[str, dict[str, Any]]:
    try:
        body = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise WrongLineError(f"line {line} is not JSON: {error.msg} (at character {error.pos + 1}).") from error
    except RecursionError as error:
        raise WrongLineError(_TOO_DEEP.format(line)) from error
    except ValueError as error:
        raise WrongLineError(f"line {line} is not JSON: {error}.") from error
    if _is_deeper(body, _DEEPEST):
        raise WrongLineError(_TOO_DEEP.format(line))
    if b"\\u" in text and (half := _half_a_pair(body)):
        raise WrongLineError(f"line {line}: {half} is half of a pair of surrogates, which is no character; correct it.")
    if not isinstance(body, dict):
        raise WrongLineError(f"line {line} must hold one JSON object, as /sdapi/v1/txt2img takes it.")
    mode = body.pop("mode", MODES[0])
    if mode not in MODES:
        said = json.dumps(mode)
        said = said if len(said) <= _LONGEST_SHOWN else f"{said[:_LONGEST_SHOWN]}..."
        raise WrongLineError(f'line {line}: mode is {said}; allowed are "txt2img" and "img2img".')
    return mode, body


def _is_deeper(body: Any, levels: int) -> bool:
    """Whether lists and objects stand within each other in more levels."""
    level = [body]
    for _ in range(levels + 1):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [value for values in inner for value in values]
    return bool(level)


def _half_a_pair(body: Any) -> str:
    """An escape in a body that no file can hold as text; empty if there is none."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return ""


def frames_of(body: dict[str, Any]) -> int:
    """How many pictures a body asks for, those of videos included, as far as it says so."""
    scripts = body.get("alwayson_scripts")
    named = {str(name).lower(): value for name, value in scripts.items()} if isinstance(scripts, dict) else {}
    args = named.get("animatediff", {})
    args = args.get("args") if isinstance(args, dict) else None
    video = args[0] if isinstance(args, list) and args else args
    batches = _positive(body.get("n_iter"), 1)
    if not isinstance(video, dict) or video.get("enable") is not True:
        return min(_MOST, batches * _positive(body.get("batch_size"), 1))
    return min(_MOST, batches * _positive(video.get("video_length"), FRAMES))  # each video is a batch of its frames


def _positive(value: Any, otherwise: int) -> int:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value < float("inf")
    return int(min(value, _MOST)) if number else otherwise
