"""Runs that broke off: where what is noted of them lies, how long, and whether a request is the same as one of them."""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules import infotext_utils, paths_internal
from motion_module.errors import ParamError
from motion_module.media.placing import replace
from motion_module.params import VideoParams
from motion_module.webui.settings import settings_of
from motion_module.wording import for_client, mention, value_text

NAME = "resume"
CALL = "{video:03}-{call:05}.safetensors"
"""The file of one call of the denoiser; the videos of a run and the calls of a video count from 0."""

_ABOUT = "run.json"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_ID_FORM = "%Y%m%d-%H%M%S"
_DAY_S, _GB = 86400, 1_000_000_000
_MOST_LISTED = 3
# What is done with the frames, or how many windows share a call: after too little memory people set these lower.
_AFTERWARDS = {"format", "fps", "loop_number", "reverse", "interp", "interp_x", "returned", "keep_sound"}
_WITHOUT_EFFECT = {NAME, "enable", "windows_per_call", *_AFTERWARDS}
_FOLLOWING = (
    "fields",
    "model_calls",
)  # entries of `Plan.asked` that are compared in another way, or follow from others
_UNHEEDED = ("AnimateDiff", "Version", "AnimateDiff unfinished")  # of an infotext
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """A run that broke off.

    Attributes:
        id: as requests name it.
        asked: what it was to make, `Plan.asked`.
        infotext: the host's of its first frame, before anything was sampled.
        seeds: name of the host's field -> what was drawn for the first frame, where the request left that open.
        random: the states of torch's own random numbers when it began, see `generators_as_text`: with them the host
            encodes the pictures of img2img.
        calls: of the denoiser that a whole video takes, as far as its sampler told.
    """

    id: str
    asked: Mapping[str, Any]
    infotext: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)
    random: Mapping[str, str] = field(default_factory=dict)
    calls: int = 0

    @property
    def folder(self) -> Path:
        """What is noted of it."""
        return root() / self.id

    @property
    def all_calls(self) -> int:
        """Of the denoiser, for all of its videos; one that was stopped early has fewer."""
        return self.calls * int(self.asked.get("videos", 1))

    @property
    def goes_on(self) -> str:
        """How it is resumed, with mentions; "" where nothing is noted."""
        noted = self.noted
        said = f"the same request with {mention(NAME)}: {self.id} goes on after call {noted} of {self.all_calls}"
        return said if noted else ""

    @property
    def noted(self) -> int:
        """How many answers are noted."""
        return sum(1 for _ in self.folder.glob("*.safetensors"))


def root() -> Path:
    """Where all of them lie."""
    return Path(paths_internal.data_path) / "cache" / "animatediff-unfinished"


def new_id() -> str:
    """A name that no other run has."""
    return f"{time.strftime(_ID_FORM)}-{secrets.token_hex(2)}"


def write(run: Unfinished) -> None:
    """Note what a run is to make.

    Raises:
        OSError: it cannot be written.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    about = {
        "asked": run.asked,
        "infotext": run.infotext,
        "seeds": run.seeds,
        "random": run.random,
        "calls": run.calls,
    }
    put(run.folder / _ABOUT, json.dumps(about).encode())


def put(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    replace(part, file)


def remove(id_: str) -> None:
    """Nobody needs it any more."""
    shutil.rmtree(root() / id_, ignore_errors=True)


def all_of_them() -> list[Unfinished]:
    """Every run that broke off, the latest first."""
    try:
        names = sorted((entry.name for entry in root().iterdir() if _ID.fullmatch(entry.name)), reverse=True)
    except OSError:
        return []
    return [run for run in map(_read, names) if run is not None]


def tell(*_: Any) -> None:
    """Say in the log how the run goes on that broke off last: a process that was killed has told nobody."""
    for run in all_of_them()[:1]:
        if run.goes_on:
            _log.warning("AnimateDiff: a video broke off; %s.", for_client(run.goes_on))


def named(params: VideoParams) -> Unfinished | None:
    """The run that a request resumes; None for none.

    Raises:
        ParamError: there is none of that name.
    """
    name = params.resume.strip()  # it may be copied with a space
    if not name:
        return None
    found = _read(name) if _ID.fullmatch(name) else None
    if found is None:
        others = [run.id for run in all_of_them()[:_MOST_LISTED]]
        there = f"those that broke off are {', '.join(others)}" if others else "none broke off"
        raise ParamError(f"{mention(NAME)} is {value_text(name)}, which is no unfinished run; {there}")
    return found


def check_same(run: Unfinished, asked: Mapping[str, Any]) -> None:
    """See that a request is the one that broke off.

    Raises:
        ParamError: names what differs.
    """
    then, now = _comparable(run.asked), _comparable(asked)
    _refuse(run, [_difference(name, then.get(name), now.get(name)) for name in now if then.get(name) != now[name]])


def check_same_infotext(run: Unfinished, infotext: str) -> None:
    """The same for what the host and other extensions do for it, as far as that is in the infotext.

    Raises:
        ParamError: names what differs.
    """
    then, now = (infotext_utils.parse_generation_parameters(text) for text in (run.infotext, infotext))
    names = [name for name in {**now, **then} if name not in _UNHEEDED and then.get(name) != now.get(name)]
    _refuse(run, [_difference(name, then.get(name), now.get(name)) for name in names])


def tidy(keep: str, coming: int) -> None:
    """Remove what is too old, and the oldest of what is too much, as the settings say.

    Args:
        keep: id of the run that goes on, which stays.
        coming: bytes that it will write.
    """
    settings, total = settings_of(), coming
    oldest = time.time() - settings.resume_days * _DAY_S if settings.resume_days else 0.0
    most = settings.resume_gb * _GB or float("inf")
    for run, used, size in sorted(_sizes(), key=lambda found: -found[1]):
        total += size
        if run != keep and (used < oldest or total > most):
            remove(run)


def _sizes() -> Iterator[tuple[str, float, int]]:
    """Id, time of the last file and bytes of each run, also of one of which nothing can be read."""
    for folder in root().iterdir():
        if _ID.fullmatch(folder.name):
            states = [file.stat() for file in folder.iterdir()]
            last = max((state.st_mtime for state in states), default=folder.stat().st_mtime)
            yield folder.name, last, sum(state.st_size for state in states)


def _read(id_: str) -> Unfinished | None:
    try:
        about = json.loads((root() / id_ / _ABOUT).read_bytes())
        asked, infotext, calls = dict(about["asked"]), str(about["infotext"]), int(about["calls"])
        return Unfinished(id_, asked, infotext, dict(about["seeds"]), dict(about.get("random", {})), calls)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _comparable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the frames depend on: fields by their mentions, which an older version may not have had, and all else."""
    own = asked.get("fields", {})
    fields = {name: own.get(name, VideoParams.left_out(name, own)) for name in VideoParams.table()}
    heeded = {mention(name): value for name, value in fields.items() if name not in _WITHOUT_EFFECT}
    values = {**heeded, **{name: value for name, value in asked.items() if name not in _FOLLOWING}}
    return {name: json.loads(json.dumps(value, default=str)) for name, value in values.items()}


def _difference(name: str, then: Any, now: Any) -> str:
    if name == "pictures":
        return "other pictures"
    if isinstance(now, dict) and isinstance(then, dict):
        return f"another {next(part for part in {**now, **then} if then.get(part) != now.get(part))}"
    return f"{name} {value_text(then)} (here {value_text(now)})"


def _refuse(run: Unfinished, differences: list[str]) -> None:
    if differences:
        raise ParamError(
            f"{mention(NAME)} is {run.id}, a run with {', '.join(differences)}; ask for the same, "
            f"or leave {mention(NAME)} empty"
        )
