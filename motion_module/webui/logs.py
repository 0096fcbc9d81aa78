"""Our name on our lines in the host's log."""

from __future__ import annotations

import copy
import logging

PACKAGE = "motion_module"
NAME = "AnimateDiff"


class _Named(logging.Handler):
    """Puts our name on a record before any other handler sees it.

    The WebUI sets logging up only where it is asked to (`--loglevel`); its lines begin with the logger's name then, and
    the record's is ours instead of the package's. Else Python prints the bare message, so our name goes before it here.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Name the record, and print it where nobody else will."""
        record.name = record.name.replace(PACKAGE, NAME, 1)
        last = logging.lastResort
        if logging.root.handlers or last is None or record.levelno < last.level:
            return
        named = copy.copy(record)
        text = record.getMessage()
        named.msg, named.args = (text if text.startswith(NAME) else f"{NAME}: {text}"), ()
        last.handle(named)


def put_name_on() -> None:
    """Have every line of the package carry our name; again is harmless."""
    logger = logging.getLogger(PACKAGE)
    if not any(isinstance(handler, _Named) for handler in logger.handlers):
        logger.addHandler(_Named())
