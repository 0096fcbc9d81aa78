"""Whether Dask is installed, for the commands that need it."""

from __future__ import annotations

import importlib.util

from interpreter import PocketError


def require_dask(what: str) -> None:
    """Say how to install it where it is not there.

    Args:
        what: a command or an option, which needs it.

    Raises:
        PocketError: it is not there.
    """
    if importlib.util.find_spec("distributed") is None:
        raise PocketError(
            f'{what} needs Dask, which is not installed; run "python3 pocket install farm" and this command again.'
        )
