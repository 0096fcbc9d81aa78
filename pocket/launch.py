"""The names that extensions' install.py use from the WebUI's `launch`."""

from __future__ import annotations

from modules import launch_utils
from modules.launch_utils import (
    args,
    check_run_python,
    git,
    index_url,
    is_installed,
    list_extensions,
    python,
    run,
    run_extension_installer,
    run_pip,
)

commit_hash = launch_utils.commit_hash
git_tag = launch_utils.git_tag

__all__ = [
    "args",
    "check_run_python",
    "commit_hash",
    "git",
    "git_tag",
    "index_url",
    "is_installed",
    "list_extensions",
    "python",
    "run",
    "run_extension_installer",
    "run_pip",
]
