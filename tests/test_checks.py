"""The checks before a commit, run as a part of the suite: lint, format and types are clean."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
CHECKS = [shlex.split(entry) for entry in re.findall(r"^ *entry: (.+)$", HOOKS, re.MULTILINE)]


def test_the_checks_are_lint_format_and_types():
    assert [check[1:4] for check in CHECKS] == [["-m", "ruff", "check"], ["-m", "ruff", "format"], ["-m", "mypy"]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: " ".join(check[2:]))
def test_clean(check):
    _python, _, tool, *_arguments = check
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it is in the environment that `python3 pocket test` makes")
    run = subprocess.run([sys.executable, *check[1:]], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.fail(f"{run.stdout}{run.stderr}", pytrace=False)
