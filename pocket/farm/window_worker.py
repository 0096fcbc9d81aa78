"""What is known of one worker that makes windows: whether it is ready, says the same as this process, and answers."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

from distributed import Client, Future
from torch import Tensor

from farm.sent_model import HeldModel, import_libraries

PATIENT = 10.0
"""Seconds in which what is there must have come over."""


class WindowWorker:
    """A worker, told by its address.

    Args:
        client: of Dask.
        address: the worker's.

    Attributes:
        trouble: why it takes no part any more; "" for nothing.
        owes: what it has been given and was late with; it gets nothing else until that is done.
    """

    def __init__(self, client: Client, address: str) -> None:
        self.address = address
        self.trouble = ""
        self.owes: Future | None = None
        self._client = client
        self._warm = self.submit(import_libraries)
        self._key, self._probe, self._agreed = "", None, False

    @property
    def is_warm(self) -> bool:
        """Whether it has imported what it needs."""
        return bool(self._warm.status == "finished")

    def look(self) -> None:
        """Note it if it cannot import what it needs: it may have been started without the pocket's path."""
        if self._warm.status == "error" and not self.trouble:
            self.trouble = f"cannot import what it needs ({told(self._warm.exception(timeout=PATIENT))})"

    @property
    def is_free(self) -> bool:
        """Whether it may be given something: it has answered what it was late with, and has no trouble."""
        if self.owes is not None and self.owes.done():
            self.owes = None
        return not self.trouble and self.owes is None

    def submit(self, function: Any, *args: Any) -> Future:
        """Have this very worker do something; raises what Dask raises where there is no scheduler any more."""
        return self._client.submit(function, *args, workers=[self.address], allow_other_workers=False, pure=False)

    def takes_part(self, key: str, model: Future, given: tuple[Any, ...], expected: Tensor, alike: float) -> bool:
        """Whether it has made a window as this process has; it is asked to when it is warm, and nobody waits for it.

        Args:
            key, model: of what it is to hold.
            given, expected: of a window and what this process has made of it.
            alike: how far apart both may be.
        """
        if self.trouble or not self.is_warm:
            return False
        if self._key != key:
            self._key, self._probe, self._agreed = key, self.submit(made_there, model, *given), False
        if self._probe is not None and self._probe.done():
            probe, self._probe = self._probe, None
            self._judge(probe, expected, alike)
        return self._agreed and self.is_free

    def _judge(self, probe: Future, expected: Tensor, alike: float) -> None:
        try:
            there = probe.result(timeout=PATIENT)
        except (CancelledError, TimeoutError, OSError):  # what it was to hold is lost; it is asked again
            self._key = ""
            return
        except Exception as error:  # noqa: BLE001 - whatever the worker raised comes here
            self.trouble = f"could not make one ({told(error)})"
            return
        apart = float((there - expected).abs().max())
        if apart <= alike * max(1.0, float(expected.abs().max())):
            self._agreed = True
        else:
            self.trouble = f"says something else ({apart:.2g} apart)"


def made_there(model: HeldModel, *given: Any) -> Tensor:
    """Called on a worker."""
    return model(*given)


def told(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]
