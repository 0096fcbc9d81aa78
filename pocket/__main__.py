"""`python3 pocket COMMAND`: the pocket WebUI's commands.

This file is read by whatever `python3` is, so it is written for old ones too.
"""

import sys

if sys.version_info < (3, 7):  # noqa: UP036 - the sentence is for people who have one
    sys.exit("pocket: needs Python 3.11, but this is {}.{}; install Python 3.11.".format(*sys.version_info))

from cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
