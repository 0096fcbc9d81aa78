"""Runs that broke off: where what is noted of them lies, and how long."""

from __future__ import annotations

import dataclasses
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

from modules import paths_internal
from motion_module.core.denoising.noted_calls import generators_of_text
from motion_module.errors import ParamError
from motion_module.media.placing import replace
from motion_module.params import VideoParams
from motion_module.webui.request import owner
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
        below_script: it was a part of what a script (X/Y/Z plot, loopback) makes.
        interrupted: somebody has stopped it on purpose.
        owner: the process that is sampling it, see `owner.this_process`; empty where that has put it down.
    """

    id: str
    asked: Mapping[str, Any]
    infotext: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)
    random: Mapping[str, str] = field(default_factory=dict)
    calls: int = 0
    below_script: bool = False
    interrupted: bool = False
    owner: Mapping[str, Any] = field(default_factory=dict)

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
        noted, same = self.noted, "the same request"
        if self.below_script:
            same = "the request of this one video, without the script,"
        said = f"{same} with {mention(NAME)}: {self.id} goes on after call {noted} of {self.all_calls}"
        return said if noted else ""

    @property
    def is_sampled(self) -> bool:
        """Whether a process is making it right now."""
        return owner.is_running(self.owner)

    @property
    def size(self) -> int:
        """Bytes of the answers that are noted."""
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

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
    about = {name: value for name, value in vars(run).items() if name != "id"}
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


def put_down(run: Unfinished, interrupted: bool) -> None:
    """A run of which something may be noted is no longer sampled.

    Raises:
        OSError: that cannot be written.
    """
    if (run.folder / _ABOUT).exists():
        write(dataclasses.replace(run, owner={}, interrupted=interrupted))


def all_of_them() -> list[Unfinished]:
    """Every run that broke off, the latest first; none that is being sampled."""
    try:
        names = sorted((entry.name for entry in root().iterdir() if _ID.fullmatch(entry.name)), reverse=True)
    except OSError:
        return []
    return [run for run in map(_read, names) if run is not None and not run.is_sampled]


def tell(*_: Any) -> None:
    """Say in the log how the run goes on that broke off last: a process that was killed has told nobody.

    Of one that somebody has stopped, and that may be resumed as well, nobody has to be told.
    """
    for run in [run for run in all_of_them() if not run.interrupted][:1]:
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
        raise ParamError(
            f"{mention(NAME)} is {value_text(name)}, which is no unfinished run; {there}; leave {mention(NAME)} "
            f"empty to begin anew"
        )
    return found


def tidy(keep: str, coming: int) -> None:
    """Remove what is too old, and the oldest of what is too much, as the settings say; nothing that is being sampled.

    Args:
        keep: id of the run that goes on, which stays.
        coming: bytes that it will write.
    """
    settings, total = settings_of(), coming
    oldest = time.time() - settings.resume_days * _DAY_S if settings.resume_days else 0.0
    most = settings.resume_gb * _GB or float("inf")
    for run, used, size in sorted(_sizes(), key=lambda found: -found[1]):
        total += size
        about = _read(run)
        stays = run == keep or (about is not None and about.is_sampled)
        if not stays and (used < oldest or total > most):
            remove(run)


def _sizes() -> Iterator[tuple[str, float, int]]:
    """Id, time of the last file and bytes of each run, also of one of which nothing can be read."""
    for folder in root().iterdir():
        if _ID.fullmatch(folder.name):
            states = [file.stat() for file in folder.iterdir()]
            last = max((state.st_mtime for state in states), default=folder.stat().st_mtime)
            yield folder.name, last, sum(state.st_size for state in states)


def _read(id_: str) -> Unfinished | None:
    """The run of this name; None for none, and where what is noted of it is damaged."""
    try:
        about = json.loads((root() / id_ / _ABOUT).read_bytes())
        given = {item.name: about[item.name] for item in dataclasses.fields(Unfinished) if item.name in about}
        run = Unfinished(**{**given, "id": id_})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return run if _is_sound(run) else None


def _is_sound(run: Unfinished) -> bool:
    """Whether everything is of its kind."""
    kinds = ((run.infotext, str), (run.calls, int), (run.asked, dict), (run.owner, dict))
    if not all(isinstance(value, kind) for value, kind in (*kinds, (run.seeds, dict), (run.random, dict))):
        return False
    parts = [(run.asked.get("fields"), dict), (run.asked.get("videos", 1), int)]
    parts += [(seed, int) for seed in run.seeds.values()]
    return all(isinstance(value, kind) for value, kind in parts) and _are_states(run.random)


def _are_states(texts: Mapping[str, Any]) -> bool:
    try:
        generators_of_text(texts)
    except (ValueError, TypeError):
        return False
    return True
