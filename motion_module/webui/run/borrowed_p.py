"""What a run changes of its `p`, the host's processing object, and how that is taken back."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar, cast

from motion_module.patching import replaced, replaced_call, take_out
from motion_module.stand_in import MISSING, StandIn, given_original, settled
from motion_module.webui.answers import answering
from motion_module.webui.host_types import Processing

_Entered = TypeVar("_Entered")


class BorrowedP:
    """The changed attributes of one `p`, until `end`.

    A session lives on its own `p`, which it must not keep alive.

    Attributes:
        over: whether everything is undone; somebody may have kept the run, and put it back on `p`.
        stack: closed at the end.
    """

    def __init__(self, p: Processing) -> None:
        self.over = False
        self._p = weakref.ref(p)
        self.stack = ExitStack()
        self._changed: dict[str, tuple[Any, Any]] = {}  # name -> (our value, p's own value before)

    @property
    def p(self) -> Processing:
        """Whose attributes they are; nobody asks when it is gone."""
        return cast(Processing, self._p())

    def enter(self, context: AbstractContextManager[_Entered]) -> _Entered:
        """Enter what is to be left at the end."""
        return self.stack.enter_context(context)

    def at_end(self, call: Callable[..., Any], *args: Any) -> None:
        """Call this at the end."""
        self.stack.callback(call, *args)

    def own_value(self, name: str) -> Any:
        """What `p` itself holds, in the place of a stand-in that is over what that stood in for."""
        return settled(vars(self.p).get(name, MISSING))

    def set(self, name: str, value: Any) -> None:
        """Let an attribute have another value."""
        before = self._changed[name][1] if name in self._changed else vars(self.p).get(name, MISSING)
        self._changed[name] = (value, before)
        self.enter(replaced(self.p, name, value))

    def set_all(self, values: Mapping[str, Any]) -> None:
        """Let several attributes have other values."""
        for name, value in values.items():
            self.set(name, value)

    def wrap(self, name: str, replacement: Callable[..., Any], original: Callable[..., Any] | None = None) -> StandIn:
        """Have calls of a method go to `replacement(original, ...)`.

        Args:
            name: of the method.
            replacement: what is called, with what it replaces as its first argument.
            original: what it replaces, if that is not what `p` has.
        """
        before = self._changed[name][1] if name in self._changed else self.own_value(name)
        answers = given_original(functools.partial(self._answering, replacement))
        ours = self.enter(replaced_call(self.p, name, answers, original))
        self._changed[name] = (ours, before)
        return ours

    def take_off(self, copy: Any) -> None:
        """Take the changes off a copy of `p`."""
        for name, (value, before) in self._changed.items():
            copied = vars(copy).get(name)
            equal = isinstance(value, dict) and copied == value  # in a deep copy
            take_out(copy, name, copied if equal else value, before)

    def end(self) -> None:
        """Undo everything; the second and every further call does nothing."""
        self.over = True
        self.stack.close()

    def _answering(self, replacement: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with answering(self.p):
            return replacement(*args, **kwargs)
