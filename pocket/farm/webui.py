"""One running WebUI as a host: a request is sent, and its answer is waited for however long it takes."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from interpreter import PocketError

_SECONDS_TO_CONNECT = 10.0
_AWAY = {502, 503, 504}
"""What a proxy says for a WebUI that is not there, and what one says that is being stopped."""

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Without them a machine that is gone would be waited for as long as for a long video."""


class WebUIAwayError(Exception):
    """The WebUI does not answer. `begun` says whether it may have begun with the request."""

    def __init__(self, begun: bool) -> None:
        super().__init__("the WebUI is away")
        self.begun = begun


class RefusedError(Exception):
    """The WebUI does not make the request; the message is its sentence."""


class SickError(Exception):
    """The WebUI fails, and not for the request's sake as far as it says; the message is its sentence."""


class WebUI:
    """A WebUI with its API, by its address."""

    def __init__(self, url: str) -> None:
        """Only looks at the address.

        Raises:
            PocketError: it is none.
        """
        self.url = url
        self._parts = _checked(url)
        self.name = f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}{self._parts.path.rstrip('/')}"

    def check(self) -> None:
        """Asks whether there is a WebUI with an API.

        Raises:
            PocketError: there is none.
        """
        try:
            status, text = self._ask("GET", "/sdapi/v1/progress?skip_current_image=true", None, _SECONDS_TO_CONNECT)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise PocketError(f"--webui {self.name}: no WebUI answers there ({reason}).") from error
        if status in (401, 403):
            raise PocketError(f"--webui {self.name}: it asks for a name and a password (http://NAME:PASSWORD@...).")
        if status != 200:
            raise PocketError(f"--webui {self.name}: no API answers there ({status}); start the WebUI with --api.")
        answer = _json(text)
        if not isinstance(answer, dict) or not {"progress", "state"} <= set(answer):
            raise PocketError(f"--webui {self.name}: what answers there is no WebUI; correct the address.")

    def comes_back(self, patience: float) -> bool:
        """Whether the WebUI answers again within some seconds."""
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(PocketError):
                self.check()
                return True
            if time.monotonic() > end:
                return False
            time.sleep(min(1.0, patience / 10))

    def make(self, mode: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            RefusedError: the WebUI does not make it, for a reason in the request.
            SickError: it fails (without memory, say), or its answer is none of a WebUI.
            WebUIAwayError: there was no answer.
        """
        try:
            status, text = self._ask("POST", f"/sdapi/v1/{mode}", json.dumps(body).encode(), None)
        except (ConnectionRefusedError, socket.gaierror, TimeoutError) as error:
            raise WebUIAwayError(begun=False) from error
        except (OSError, HTTPException) as error:
            raise WebUIAwayError(begun=True) from error
        if status in _AWAY:
            raise WebUIAwayError(begun=True)
        answer = _json(text)
        if status != 200:
            kind = SickError if status >= 500 and not _detail(answer) else RefusedError
            raise kind(_sentence(answer, status))
        if not isinstance(answer, dict) or "images" not in answer:
            raise SickError("the WebUI's answer is none to a request, though it says that all is well.")
        return answer

    def _ask(self, method: str, path: str, body: bytes | None, seconds: float | None) -> tuple[int, bytes]:
        """Status and text of an answer; `seconds` is how long to wait for it, None for ever."""
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=_SECONDS_TO_CONNECT)
        with contextlib.closing(connection):
            connection.connect()
            _keep_alive(connection.sock, seconds)
            connection.request(method, f"{self._parts.path.rstrip('/')}{path}", body, self._headers())
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._parts.username is not None:
            who = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(who.encode()).decode()}"
        return headers


def _shown(url: str) -> str:
    """The address without name and password, which are before the last @ even where it cannot be read."""
    scheme, slashes, _ = url.rpartition("@")[0].partition("://")
    return f"{scheme}{slashes}{url.rpartition('@')[2]}" if slashes else url.rpartition("@")[2]


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        parts.port  # noqa: B018 - raises where it is no number
        (parts.hostname or "").encode("idna")  # as a connection does, and raises where it is no name
    except ValueError:
        whole = False
    if not whole:
        escaped = " In a name or password write # / ? and @ as %23 %2F %3F and %40." if "@" in url else ""
        raise PocketError(f"--webui {_shown(url)}: must be an address such as http://127.0.0.1:7860.{escaped}")
    return parts


def _keep_alive(connection: socket.socket, seconds: float | None) -> None:
    connection.settimeout(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _json(text: bytes) -> Any:
    """What an answer holds; None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _detail(answer: Any) -> Any:
    """What the extension, or whoever refuses a request with a sentence, says. Of any other exception it is empty."""
    return answer.get("detail") if isinstance(answer, dict) else None


def _sentence(answer: Any, status: int) -> str:
    """The `detail` of an answer; a list of them where fields are wrong."""
    said = answer if isinstance(answer, dict) else {}
    detail = said.get("detail") or said.get("errors") or said.get("error")
    if isinstance(detail, list):
        parts = [item for item in detail if isinstance(item, dict)]
        detail = "; ".join(f"{_place(item.get('loc'))}: {item.get('msg')}" for item in parts)
    return " ".join(str(detail).split()) if detail else f"the WebUI answers with status {status}."


def _place(loc: Any) -> str:
    names = loc if isinstance(loc, list) else [loc]
    return ".".join(str(name) for name in names if name != "body")
