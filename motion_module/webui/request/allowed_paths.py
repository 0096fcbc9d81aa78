"""Which files a request may name: those in the WebUI's own folders and in the folders of a setting.

The rule holds for every path that is typed, by an API client and on the page alike: whoever reaches the page of a
server may type there, too. What the page uploads lies in one of the folders. Everything is allowed where only this
machine reaches the server, and the setting is empty.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path
from typing import Any

from modules import paths_internal, shared
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.patching import assign
from motion_module.paths import Folders, split_folders
from motion_module.settings import Settings
from motion_module.webui.host_types import Processing
from motion_module.webui.settings import settings_of
from motion_module.wording import either, mention

SETTING = Settings.allowed_folders.name
_ON_PAGE = "the setting for allowed folders (Settings, AnimateDiff)"
PATH_SETTINGS = tuple(row.name for row in Settings.rows() if row.names_folders)
"""The settings that name folders: nobody changes them through the API, nor where `--hide-ui-dir-config` hides them."""


def permitted(name: str, text: str) -> str:
    """The absolute path that was typed, once it is known that it may be read; "" for "".

    It is judged by its name (and the links in it) before anything else is found out about it, so that the sentence is
    the same whether it exists or not.

    Args:
        name: the field, or what to call it in a sentence.
        text: the path, without quotes.

    Raises:
        ParamError: it lies in no folder that may be read.
    """
    if not text:
        return ""
    if is_limited() and not Folders(roots()).hold(text):
        raise _refusal(name, text)
    return os.path.abspath(text)


def check_fields(params: VideoParams) -> None:
    """See that every path in a request may be read, before any of them is looked at.

    Raises:
        ParamError: as `permitted`.
    """
    for name, field in VideoParams.table().items():
        if field.kind in ("path", "video"):
            permitted(mention(name), getattr(params, name) or "")
        elif field.kind == "held":
            for _, picture in getattr(params, name):
                if isinstance(picture, str) and is_path(picture):
                    permitted(mention(name), picture)


def is_path(text: str) -> bool:
    """Whether a text that may be a picture in base64, which has no full stop, names a file of the server instead."""
    return "." in text and not text.lower().startswith("data:")


def check_inside(name: str, folder: Path) -> None:
    """See that nothing in a folder that may be read is a link to what may not, before any of it is looked at.

    Args:
        name: the field, or what to call it in a sentence.
        folder: of pictures, or with folders `image` and `mask` of them inside.

    Raises:
        ParamError: one is.
    """
    if not is_limited():
        return
    allowed = Folders(roots())
    for part in (folder, folder / "image", folder / "mask"):
        for entry in _entries(part):
            if not allowed.hold(str(entry)):
                raise _refusal(name, str(entry))


def check_overrides(p: Processing) -> None:
    """See that a request changes no setting that names a folder. The host would ignore it, without a word.

    Raises:
        ParamError: it does. Its `override_settings` are without that setting then, because a host that hides it can
            neither set it nor put it back.
    """
    overrides = getattr(p, "override_settings", None) or {}
    names = [name for name in PATH_SETTINGS if name in overrides]
    if names:
        assign(p, override_settings={name: value for name, value in overrides.items() if name not in names})
        raise ParamError(
            f"override_settings has {', '.join(names)}; which folders are read is decided in the server's "
            f"settings, and no request may change it"
        )


def is_limited() -> bool:
    """Whether only some folders may be read: the setting names some, or other machines reach the server."""
    return bool(_chosen()) or is_reachable()


def is_reachable() -> bool:
    """Whether the host listens, or is passed on, to other machines than its own."""
    options = shared.cmd_opts
    server = getattr(options, "server_name", None)
    if any(getattr(options, name, None) for name in ("share", "listen", "ngrok")):
        return True
    if not server and getattr(options, "nowebui", False):
        return True  # without a page the host leaves the address to uvicorn, which then takes all there are
    launched = getattr(shared.demo, "share", False)  # gradio also shares by itself, in notebooks
    return bool(launched) or not _is_loopback(server or os.environ.get("GRADIO_SERVER_NAME") or "localhost")


def roots() -> list[str]:
    """The folders that may be read, as they are written in settings and options."""
    served = [*_listed(shared.cmd_opts, "gradio_allowed_path"), *_listed(shared.demo, "allowed_paths")]
    written = [paths_internal.default_output_dir, *_outdirs()]
    return [str(folder) for folder in (*served, *written, _uploads(), *_chosen()) if str(folder).strip()]


def _uploads() -> str:
    """Where gradio puts what the page uploads."""
    return os.environ.get("GRADIO_TEMP_DIR") or os.path.join(tempfile.gettempdir(), "gradio")


def shown_path(path: str) -> str:
    """A path as a sentence has it: of what was uploaded the name alone, as the person knows no other."""
    return os.path.basename(path) if Folders([_uploads()]).hold(path) else path


def _outdirs() -> list[str]:
    """Where the host writes. A whole disk is no folder for pictures, but a way to have all of it read."""
    opts = shared.opts
    names = [name for name in {**opts.data_labels, **opts.data} if name.startswith("outdir_") or name == "temp_dir"]
    folders = [str(getattr(opts, name, "") or "").strip() for name in names]
    return [folder for folder in folders if folder and not _is_whole_disk(folder)]


def _is_whole_disk(folder: str) -> bool:
    real = os.path.realpath(folder)
    return os.path.dirname(real) == real


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # there is no such folder, or it cannot be read: its reader says so
        return []


def _chosen() -> list[str]:
    return split_folders(settings_of().allowed_folders)


def _listed(owner: Any, name: str) -> list[Any]:
    return list(getattr(owner, name, None) or [])


def _is_loopback(server: str) -> bool:
    if server.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(server.strip("[]")).is_loopback
    except ValueError:  # a name; whoever asks for one wants to be found by it
        return False


def _refusal(name: str, text: str) -> ParamError:
    return ParamError(
        f"{name} is {text!r:.200}; allowed are paths inside the WebUI's own output and temporary folders, "
        f"and inside those that {either(f'the setting {SETTING}', _ON_PAGE)} names"
    )
