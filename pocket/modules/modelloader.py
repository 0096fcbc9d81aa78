"""Model files that extensions ask for by address: found where they should lie, never downloaded."""

from __future__ import annotations

import os
from urllib.parse import urlparse


def load_file_from_url(
    url: str, *, model_dir: str, progress: bool = True, file_name: str | None = None, hash_prefix: str | None = None
) -> str:
    """Path of the file of that name in a folder.

    Args:
        url: where the WebUI would fetch it from.
        model_dir: the folder it is looked for in.
        file_name: its name there; the last part of `url` by default.
        progress, hash_prefix: of the download that is not done here.

    Raises:
        FileNotFoundError: it is not there; the message says what to put where.
    """
    path = os.path.abspath(os.path.join(model_dir, file_name or os.path.basename(urlparse(url).path)))
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing, and the pocket WebUI downloads nothing; get it from {url}.")
    return path
