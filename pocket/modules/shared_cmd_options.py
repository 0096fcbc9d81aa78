"""The command-line options, as one namespace that every module shares.

The host's own start-up (`initialize_pocket.start`) fills it in; it is changed in place, never replaced,
because modules take it by name. `COMMANDLINE_ARGS` in the environment is read first, as in WebUI.
"""

import os
import shlex
from argparse import Namespace

from modules import cmd_args

parser = cmd_args.parser


def parse(arguments: list[str]) -> Namespace:
    """The options for these arguments, with what follows from them.

    Raises:
        SystemExit: argparse does not know an argument.
    """
    options = parser.parse_args(arguments)
    options.webui_is_non_local = any(
        getattr(options, name, None) for name in ("share", "listen", "ngrok", "server_name")
    )
    options.disable_extension_access = options.webui_is_non_local
    return options


cmd_opts = parse(shlex.split(os.environ.get("COMMANDLINE_ARGS", "")))
