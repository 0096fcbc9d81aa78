"""The command line: what can be asked for, and the way into the environment that does it. Standard library only."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
from pathlib import Path

import bootstrap
from commands.model_files import bundled
from stopping import SIGNALS, Stopped, exit_code


def _add_host_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, metavar="F", help="Stable Diffusion checkpoint (.safetensors); else the bundled one"
    )
    parser.add_argument("--config", type=Path, metavar="F", help="the model's .yaml; else the one beside it")
    parser.add_argument("--motion-modules", type=Path, metavar="DIR", help="folder of motion modules")
    parser.add_argument("--lora-dir", type=Path, metavar="DIR", help="folder of LoRA files")
    parser.add_argument("--controlnet-dir", type=Path, metavar="DIR", help="folder of ControlNet models")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where settings and pictures are kept (POCKET_DATA_DIR, else .pocket/data in the repository)",
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands except the arguments of `test`, which are pytest's."""
    model = bundled()
    shown = {"epilog": model.about if model else "", "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(prog="python3 pocket", description="A small WebUI that makes videos.", **shown)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="make a GIF and an MP4", **shown)
    demo.add_argument("--prompt", default=None, help="what to show")
    demo.add_argument("--out", type=Path, default=Path("outputs", "demo"), metavar="DIR", help="folder for the files")
    demo.add_argument("--frames", type=_count, default=16, metavar="N", help="number of frames (16)")
    demo.add_argument("--seed", type=int, default=1, metavar="S", help="seed (1)")
    _add_host_options(demo)

    generate = commands.add_parser("generate", help="run an API request from a JSON file", **shown)
    generate.add_argument("request", type=Path, metavar="REQUEST.json", help="the body of an /sdapi/v1 request")
    generate.add_argument("--img2img", action="store_true", help="the body is for img2img (else txt2img)")
    generate.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    helpers = generate.add_mutually_exclusive_group()
    helpers.add_argument(
        "--workers", type=_count, metavar="N", help="processes on this machine that make windows of the video, too"
    )
    helpers.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers make windows, too")
    _add_host_options(generate)

    serve = commands.add_parser("serve", help="the page and the API on this machine", **shown)
    serve.add_argument("--port", type=_port, default=7860, metavar="P", help="port (7860; 0 takes a free one)")
    _add_host_options(serve)

    _add_farm(commands)
    install = commands.add_parser("install", help="put what a command needs besides into the pocket's environment")
    install.add_argument("part", choices=["farm"], help="farm: Dask, for the command of that name")

    commands.add_parser("test", help="run the test suite; further arguments go to pytest", add_help=False)
    return parser


def _add_farm(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    farm = commands.add_parser("farm", help="run many API requests, several at a time")
    farm.add_argument("requests", type=Path, metavar="REQUESTS.jsonl", help="one body of an /sdapi/v1 request a line")
    farm.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the folders of the results")
    hosts = farm.add_mutually_exclusive_group()
    hosts.add_argument(
        "--workers", type=_count, metavar="N", help="hosts on this machine (one a core and request, at most 4)"
    )
    hosts.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers are the hosts")
    hosts.add_argument("--webui", nargs="+", metavar="URL", help="running WebUIs that are the hosts")
    _add_host_options(farm)


def _whole(text: str) -> int:
    with contextlib.suppress(ValueError):
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, but is {text!r}")


def _count(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _port(text: str) -> int:
    number = _whole(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be between 0 and 65535")
    return number


def parse(argv: list[str]) -> argparse.Namespace:
    """The command and its options. Everything after `test` is handed on as it is, in `pytest_args`."""
    if argv[:1] == ["test"]:
        return argparse.Namespace(command="test", pytest_args=argv[1:])
    return build_parser().parse_args(argv)


def _needs(args: argparse.Namespace) -> dict[str, list[str]]:
    """What a command needs of the environment besides what is always there."""
    if args.command == "install":
        return {"wanted": [args.part]}
    return {"wanted": ["test"] if args.command == "test" else [], "kept": ["farm"] if args.command == "farm" else []}


def main(argv: list[str]) -> int:
    """Runs one command inside the pocket's own environment and returns its exit code."""
    args = parse(argv)
    try:
        with SIGNALS.clearing_away():
            bootstrap.enter_environment(argv, **_needs(args))
        with contextlib.redirect_stdout(io.StringIO()):  # ldm prints which packages it lacks
            command = importlib.import_module(f"commands.{args.command}")
        return command.run(args)
    except bootstrap.PocketError as error:
        print(f"pocket: {error}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        return exit_code(stopped.number)
    except KeyboardInterrupt:
        print("pocket: stopped; run the same command again to go on.", file=sys.stderr)
        return 130
