"""Runs a script of this folder: in a process of its own, because a host can be started once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def measured(script: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """What a script has measured; its table goes to the test's output.

    Args:
        script: its file name; it takes `--json`.
        folder: where its numbers are written meanwhile.
        arguments: more of its options.
    """
    path = folder / "measured.json"
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "POCKET_PYTHON": "current"}
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments, "--json", str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    print(run.stdout)
    return json.loads(path.read_text(encoding="utf-8"))
