"""Interrupt and Skip while pictures and videos are read, and how far that is."""

from __future__ import annotations

from modules import shared
from motion_module.errors import UserError
from motion_module.patching import assign
from motion_module.webui.host_counters import show


def forget_last_skip() -> None:
    """To be called before a run reads: a skip that is set was meant for the run before, and the host, which forgets it
    when it samples, has not come to that."""
    assign(shared.state, skipped=False)


def check(what: str) -> None:
    """Stop reading if the person wants that.

    Args:
        what: is read, in a sentence.

    Raises:
        UserError: Interrupt or Skip was pressed, or the host was told to end after this batch: there is none yet.
    """
    state = shared.state
    if state.interrupted or getattr(state, "stopping_generation", False):
        raise UserError(f"reading the {what} was interrupted")
    if state.skipped:
        raise UserError(f"reading the {what} was skipped")


def show_frame(what: str, number: int, count: int | None = None, searched: int = 0) -> None:
    """Say how far reading is, and stop it if the person wants that.

    Args:
        what: is read.
        number: how many frames of it were read so far.
        count: how many there will be; None where that is not known.
        searched: the number of the frame that is looked for, as long as it is not found.

    Raises:
        UserError: as `check`.
    """
    check(what)
    total = f" of {count}" if count else ""
    searching = f" (searching frame {searched})" if searched else ""
    show(f"reading the {what}, frame {number}{total}{searching}")
