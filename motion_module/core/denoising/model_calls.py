"""The calls of the model that one denoiser call of a video takes: what each is for, and who makes them.

The windows of a step do not depend on each other, so somebody may have several of them made at once, elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from motion_module.core.denoising.rows import RowLayout
from motion_module.core.module.call_frames import CallFrames


@dataclass(frozen=True)
class ModelCall:
    """One call of the model inside a denoiser call, for those who must hand out other things frame by frame.

    Attributes:
        layout: the rows of the whole denoiser call.
        rows: which of them are in this call, in its order: copies of a window one behind the other.
        frames: frames of each copy.
        number, calls: which of how many calls of the model inside this denoiser call it is, from 1.
    """

    layout: RowLayout
    rows: list[int]
    frames: int
    number: int = 1
    calls: int = 1

    @property
    def shown(self) -> list[int]:
        """The frame of the video that each row shows."""
        return [self.layout.frame_of(row)[0] for row in self.rows]


AroundCall = Callable[[ModelCall], AbstractContextManager[None]]
Model = Callable[..., Tensor]


def nothing_around(call: ModelCall) -> AbstractContextManager[None]:
    """An `AroundCall` that does nothing."""
    return nullcontext()


@dataclass(frozen=True)
class GivenCall:
    """A call of the model with what it is given.

    Attributes:
        of: which call it is.
        x: `(rows, c, h, w)`.
        t: `(rows,)`.
        cond: a tensor, or dicts and lists of tensors, with the same rows.
        args, kwargs: what else the model is given.
    """

    of: ModelCall
    x: Tensor
    t: Tensor
    cond: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Make(Protocol):
    """Makes a call, with everything that belongs around it: interrupts, progress, what others hand out."""

    def __call__(self, call: GivenCall, model: Model | None = None) -> Tensor:
        """The output `(rows, ...)` of the model of this process, or of another one."""


class Executor(Protocol):
    """Has the calls of one denoiser call made."""

    def __call__(self, calls: Iterable[GivenCall], make: Make, frames: CallFrames) -> Iterator[Tensor]:
        """Their outputs, in their order.

        Args:
            calls: of one denoiser call; each is cut out of the whole when it is asked for.
            make: makes one in this process, by its own model or by one that is given.
            frames: shared with the motion layers of this process.
        """

    def kept_here(self, reason: str) -> Executor:
        """What has the calls made where something of this process, which nobody can send, belongs to them.

        Args:
            reason: what that is.
        """


class InTurn:
    """An `Executor`: one call after the other, in this process."""

    def __call__(self, calls: Iterable[GivenCall], make: Make, frames: CallFrames) -> Iterator[Tensor]:
        """As in `Executor`."""
        return map(make, calls)

    def kept_here(self, reason: str) -> Executor:
        """As in `Executor`; they are here anyway."""
        return self


IN_TURN = InTurn()
_CHOSEN: ContextVar[Executor] = ContextVar("executor of windows", default=IN_TURN)


@contextmanager
def windows_made_by(executor: Executor) -> Iterator[None]:
    """Inside the block, and in what it calls, an executor has the windows of videos made."""
    token = _CHOSEN.set(executor)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def chosen_executor() -> Executor:
    """Who has the windows made: `IN_TURN` outside of all blocks."""
    return _CHOSEN.get()
