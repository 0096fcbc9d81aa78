"""`python3 pocket COMMAND`: the pocket WebUI's commands.

This file is read by whatever `python3` is, so it is written for old ones too.
"""

import os
import sys

if sys.version_info < (3, 7):  # noqa: UP036 - the sentence is for people who have one
    sys.exit("pocket: needs Python 3.11, but this is {}.{}; install Python 3.11.".format(*sys.version_info))

import telling

import stopping
from cli import main

if __name__ == "__main__":
    telling.open_streams()
    if sys.argv[1:2] != ["test"]:  # pytest ends its tests in its own way
        stopping.SIGNALS.listen()
    stopping.unblock()
    code = main(sys.argv[1:])
    if stopping.SIGNALS.received is not None:
        sys.stdout.flush()
        os._exit(code)  # threads in the middle of something would be waited for
    sys.exit(code)
