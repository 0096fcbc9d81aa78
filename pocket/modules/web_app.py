"""The whole server: the API's routes, those that extensions add, and the page behind them."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

from modules import page_files, progress, script_callbacks, shared, ui
from modules.api.api import Api
from modules.api.docs import add_docs
from modules.call_queue import queue_lock

HOST = "127.0.0.1"
PENDING = 64
"""Requests of the page that may wait at once."""


def create_app() -> FastAPI:
    """The app with everything in it. The host must have been started."""
    script_callbacks.before_ui_callback()
    shared.demo = demo = ui.create_ui()
    demo.queue(PENDING)
    app = FastAPI(title="Pocket WebUI", docs_url=None, redoc_url=None)
    progress.setup_progress_api(app)
    ui.setup_ui_api(app)
    page_files.add_file_route(app, demo)
    add_docs(app)
    app.state.api = Api(app, queue_lock)
    script_callbacks.app_started_callback(demo, app)
    # Last, because it answers for every path that nobody has taken before it.
    return gr.mount_gradio_app(app, demo, path="/")


def create_api() -> Api:
    """The API alone, for calls in this process; it builds the page itself if the scripts have no panels yet."""
    script_callbacks.before_ui_callback()
    app = FastAPI(title="Pocket WebUI")
    api = Api(app, queue_lock)
    script_callbacks.app_started_callback(None, app)
    return api


def listen(port: int) -> socket.socket:
    """A socket on this machine; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


class Server(uvicorn.Server):
    """Serves an app on a socket; `on_ready` is called with its address once requests are answered."""

    def __init__(self, app: FastAPI, on_ready: Any = None) -> None:
        keep_alive = shared.cmd_opts.timeout_keep_alive
        super().__init__(uvicorn.Config(app, log_level="warning", loop="asyncio", timeout_keep_alive=keep_alive))
        self.on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the command that serves, which calls `stop`."""
        yield

    def stop(self) -> None:
        """Ends the running job and answers those that wait with status 503, then ends the server; from any thread."""
        self.should_exit = True
        queue_lock.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve, then says so."""
        await super().startup(sockets=sockets)
        if self.started and self.on_ready is not None and sockets:
            host, port = sockets[0].getsockname()
            self.on_ready(f"http://{host}:{port}")
