"""A place for the pocket's environment, with an interpreter that only notes what it is asked for."""

import itertools
import json
import sys
from pathlib import Path

import bootstrap
from bootstrap import Layout

FAKE_PYTHON = """\
#!{python} -S
# Stands for an interpreter: `-m venv DIR` makes DIR with a copy of this file in it; `-m pip` notes what is asked for.
import json, os, shutil, signal, sys
arguments = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(json.dumps(arguments) + chr(10))
if arguments[:2] == ["-m", "venv"]:
    os.makedirs(os.path.join(arguments[2], "bin"), exist_ok=True)
    shutil.copy(__file__, os.path.join(arguments[2], "bin", "python"))
elif os.path.exists({order!r}):
    order = open({order!r}).read()
    os.unlink({order!r})
    if order == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
    print(order)
    sys.exit(1)
"""


class Sandbox:
    """A repository's place for the environment, with a fake interpreter and fake lists."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(venv=folder / ".venv", cache=folder / ".pocket", lists=folder)
        for name in ("requirements.txt", "requirements-nodeps.txt", "requirements-test.txt", "requirements-farm.txt"):
            (folder / name).write_text(f"{name}\n")
        self.calls_file, self.order = folder / "calls", folder / "order"
        self.python = folder / "python3.11"
        source = FAKE_PYTHON.format(python=sys.executable, calls=str(self.calls_file), order=str(self.order))
        self.python.write_text(source)
        self.python.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    @property
    def installed(self) -> list[str]:
        """Names of the lists that pip was given, in order."""
        asked = [pair for call in self.calls if "pip" in call for pair in itertools.pairwise(call)]
        return [Path(name).name for option, name in asked if option == "-r"]

    def make(self, *wanted: str) -> None:
        bootstrap.make_environment(self.layout, wanted)
