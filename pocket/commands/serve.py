"""`python3 pocket serve`: the page and the API on this machine."""

from __future__ import annotations

import argparse

from interpreter import PocketError

from bootstrap import say
from commands.host import start_host
from modules import web_app
from stopping import SIGNALS, exit_code


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl+C or SIGTERM."""
    try:
        listener = web_app.listen(args.port)
    except OSError as error:
        raise PocketError(
            f"port {args.port} on {web_app.HOST} cannot be used ({error.strerror}); choose another with --port."
        ) from error
    with listener:
        say("loading")
        start_host(args)
        server = web_app.Server(web_app.create_app(), lambda url: say(f"ready at {url} (the API: {url}/docs)"))
        with SIGNALS.clearing_away(server.stop):
            server.run(sockets=[listener])
    return 0 if SIGNALS.received is None else exit_code(SIGNALS.received)
