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
            status, _ = self._ask("GET", "/sdapi/v1/progress?skip_current_image=true", None, _SECONDS_TO_CONNECT)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise PocketError(f"--webui {self.name}: no WebUI answers there ({reason}).") from error
        if status in (401, 403):
            raise PocketError(f"--webui {self.name}: it asks for a name and a password (http://NAME:PASSWORD@...).")
        if status != 200:
            raise PocketError(f"--webui {self.name}: no API answers there ({status}); start the WebUI with --api.")

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
            RefusedError: the WebUI does not make it.
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
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status != 200:
            raise RefusedError(_sentence(answer, status))
        if not _is_response(answer):
            raise RefusedError("the WebUI's answer holds no pictures, though it says that all is well.")
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


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        whole = False
    if not whole:
        raise PocketError(f"--webui {url}: must be an address such as http://127.0.0.1:7860.")
    return parts


def _keep_alive(connection: socket.socket, seconds: float | None) -> None:
    connection.settimeout(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _is_response(answer: Any) -> bool:
    if not isinstance(answer, dict) or not isinstance(answer.get("info"), str):
        return False
    pictures = answer.get("images")
    return isinstance(pictures, list) and all(isinstance(picture, str) for picture in pictures)


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
