"""`python3 pocket generate REQUEST.json`: one API request in this process, its results as files."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from interpreter import PocketError

from bootstrap import say
from commands.host import run_request, start_host
from commands.results import write_images, write_response
from commands.spread import windows_shared
from modules.web_app import create_api
from stopping import SIGNALS


def read_request(path: Path) -> dict[str, Any]:
    """The body in a JSON file.

    Raises:
        PocketError: there is no such file, or it is not a JSON object.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PocketError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise PocketError(f"{path} is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise PocketError(f"{path} must hold one JSON object, as /sdapi/v1/txt2img takes it.")
    return body


def run(args: argparse.Namespace) -> int:
    """Makes the pictures and videos, writes them and response.json, and prints their paths."""
    body = read_request(args.request)
    with SIGNALS.clearing_away(), windows_shared(args):  # workers get ready while this process does
        start_host(args)
        api = create_api()
        started = time.perf_counter()
        response = run_request(api, body, img2img=args.img2img)
        paths = write_images(response, args.out)
        paths.append(write_response(response, paths, args.out))
    for path in paths:
        print(path)
    say(f"{len(paths) - 1} files in {time.perf_counter() - started:.1f} s")
    return 0
