"""One farm from its file of requests to its index."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from interpreter import PocketError

from bootstrap import say
from commands.model_options import FILES, FOLDERS, ModelOptions, data_folder, model_options
from farm.answers import NoResultError, as_sent, require_whole
from farm.index import FAILED, MADE, THERE, Entry, Index
from farm.outcomes import BodyOf, Outcome, printable
from farm.progress import Progress
from farm.request_file import Request, RequestFile
from farm.result_folders import clear_unfinished, files_in, held, keep, renumber
from farm.webui import WebUI

INDEX, LOG = "index.json", "hosts.log"
_OF_MODELS = {".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".yaml"}
_MOST_WORKERS = 4  # each is a host of its own, with some 2 GB


class Hosts(Protocol):
    """Whoever makes videos."""

    def outcomes(self, requests: list[Request], body_of: BodyOf) -> Iterator[Outcome]:
        """The end of each request, in the order in which they come."""


def run_farm(args: argparse.Namespace) -> Index:
    """Makes what is missing, and returns what became of every request.

    Raises:
        PocketError: something is wrong with the options or the file, or no host can be had.
    """
    webuis = [WebUI(url) for url in args.webui or ()]
    identity = _identity(args, webuis)
    requests = RequestFile(args.requests, identity)
    with held(args.out):
        clear_unfinished(args.out)
        index = Index(args.out / INDEX, [Entry.of(request) for request in requests.requests])
        right = [request for request in requests.requests if not request.wrong]
        there = renumber(args.out, right)
        for request in right:
            if request.number in there:
                _found(index.entries[request.number - 1], args.out / request.name)
        index.write()
        missing = [request for request in right if request.number not in there]
        if missing:
            say(f"{len(missing)} of {len(index.entries)} requests to make")
            with _hosts(args, webuis, identity, len(missing)) as hosts:
                _make(hosts, missing, requests, index, args.out)
    return index


def _identity(args: argparse.Namespace, webuis: list[WebUI]) -> Any:
    """What results depend on besides their requests. Of WebUIs nothing is known."""
    if not webuis:
        return _of_files(model_options(args)) | {"settings": _settings(args)}
    for name in (*FILES, *FOLDERS, "data_dir"):
        if getattr(args, name) is not None:
            raise PocketError(
                f"--{name.replace('_', '-')} has no effect with --webui: a WebUI has its own. Leave it out."
            )
    return "webui"


def _of_files(options: ModelOptions) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in (*FILES, *FOLDERS):
        path = getattr(options, name)
        known[name] = None if path is None else [str(path.resolve())]
        if path is not None:
            known[name] += _stamp(path) if name in FILES else _stamps(path)
    return known


def _settings(args: argparse.Namespace) -> Any:
    """Those that a host takes from its data folder; nothing but a person's saving writes them there."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads((data_folder(args) / "config.json").read_text(encoding="utf-8"))
    return None


def _stamp(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _stamps(folder: Path) -> list[list[Any]]:
    """Name, size and time of each file in a folder of models: which of them a request takes is not known here."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in _OF_MODELS and path.is_file())
    return sorted([path.relative_to(folder).as_posix(), *_stamp(path)] for path in files)


@contextlib.contextmanager
def _hosts(args: argparse.Namespace, webuis: list[WebUI], identity: Any, missing: int) -> Iterator[Hosts]:
    if webuis:
        from farm.webui_hosts import WebUIHosts

        for webui in webuis:
            webui.check()
        yield WebUIHosts(webuis)
        return
    from dask.system import CPU_COUNT

    from farm.cluster import workers
    from farm.host_worker import Host
    from farm.worker_hosts import WorkerHosts

    count = min(args.workers or min(CPU_COUNT, _MOST_WORKERS), missing)
    options = _absolute(args)
    mark = hashlib.sha256(json.dumps([identity, str(options.data_dir)]).encode()).hexdigest()[:12]
    log = "" if args.scheduler else str((args.out / LOG).absolute())
    with workers(count, args.scheduler, tries=1) as client:  # WorkerHosts counts them
        yield WorkerHosts(client, Host(options, log), mark)


def _absolute(args: argparse.Namespace) -> argparse.Namespace:
    """The options that a host is started with, whatever folder its process is in."""
    paths = {name: getattr(args, name) for name in (*FILES, *FOLDERS, "data_dir")}
    return argparse.Namespace(command="farm", **{name: path and path.absolute() for name, path in paths.items()})


def _make(hosts: Hosts, missing: list[Request], requests: RequestFile, index: Index, out: Path) -> None:
    with contextlib.closing(Progress(len(missing), sum(request.frames for request in missing))) as progress:
        for outcome in hosts.outcomes(missing, lambda request: as_sent(requests.body(request))):
            entry = index.entries[outcome.request.number - 1]
            _note(entry, outcome, out)
            index.write()
            progress.done(entry)


def _note(entry: Entry, outcome: Outcome, out: Path) -> None:
    """Writes the result of one request, and what became of it into its entry."""
    entry.tries, entry.seconds = outcome.tries, round(outcome.seconds, 3)
    entry.status, entry.sentence = outcome.status, printable(outcome.sentence)
    if outcome.status != MADE:
        return
    try:
        require_whole(outcome.response)
        folder = keep(out, outcome.request, outcome.response or {})
    except PocketError:
        raise  # of the folder: the next answer would fare no better
    except NoResultError as error:
        entry.status, entry.sentence = FAILED, printable(str(error))
        return
    except Exception as error:  # noqa: BLE001 - whatever is odd in one answer costs the others nothing
        entry.status, entry.sentence = FAILED, printable(f"the host's answer cannot be read: {error}.")
        return
    _found(entry, folder)
    entry.status = MADE


def _found(entry: Entry, folder: Path) -> None:
    entry.status, entry.folder, entry.files = THERE, folder.name, files_in(folder)
