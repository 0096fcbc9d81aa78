"""A callable in the place of another for the length of a block; whoever keeps it calls the other afterwards."""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

MISSING = object()
"""Stands for a value that there is not."""

Call = Callable[..., Any]


class StandIn:
    """A callable in the place of another: the replacement for the length of a block, afterwards what it replaced.

    It may be kept, put back and called by anybody at any time. When its block is over, it holds neither the replacement
    nor its owner. A call goes

    - to the replacement, as long as the block lasts;
    - when it is over, to the stand-in of a later block in the same place, if there is one: somebody has put this one
      back over that;
    - else, and from within the replacement, to what was replaced.

    A copy, a deep one too, is the stand-in itself. It has the name, signature and attributes of what it stands in for.
    """

    __slots__ = ("__name__", "__weakref__", "_own", "_owner", "_owner_key", "_replacement", "_threads")

    def __init__(self, owner: Any, name: str, own: Any, wrap: Callable[[Call], Call]) -> None:
        self.__name__ = name
        self._owner_key = id(owner), name
        self._owner = _weakly(owner)
        self._own = _kept_for(owner, own)
        self._threads: set[int] = set()  # those that are within the replacement
        self._replacement: Call | None = wrap(self._forward)
        _LIVING.setdefault(self._owner_key, []).append(self)

    @property
    def over(self) -> bool:
        """Whether its block has ended."""
        return self._replacement is None

    @property
    def stands_for(self) -> Any:
        """What lay in its place; `MISSING` where that was the class's own."""
        own = settled(self._own())
        return own.stands_for if isinstance(own, StandIn) else own

    def end(self) -> None:
        """From now on, forward; what the replacement held is let go."""
        living = _LIVING.get(self._owner_key, [])
        if self in living:
            living.remove(self)
        if not living:
            _LIVING.pop(self._owner_key, None)
        self._replacement = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the replacement, or what it replaced; see the class."""
        thread = threading.get_ident()
        for stand_in in [self] if not self.over else reversed(_LIVING.get(self._owner_key, [])):
            replacement = stand_in._replacement
            if replacement is not None and thread not in stand_in._threads:
                stand_in._threads.add(thread)
                try:
                    return replacement(*args, **kwargs)
                finally:
                    stand_in._threads.discard(thread)
        return self._forward(*args, **kwargs)

    def __copy__(self) -> StandIn:
        return self

    def __deepcopy__(self, memo: Any) -> StandIn:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below(), name)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._below())

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._below()(*args, **kwargs)

    def _below(self) -> Call:
        own = settled(self._own())
        if own is not MISSING:
            return own
        owner = self._owner()
        if owner is None:
            raise RuntimeError(f"{self.__name__} was kept for longer than the object that it belongs to.")
        attribute = inspect.getattr_static(type(owner), self.__name__)
        return attribute.__get__(owner, type(owner)) if hasattr(attribute, "__get__") else attribute


_LIVING: dict[tuple[int, str], list[StandIn]] = {}
"""(id of the owner, name) -> stand-ins whose block lasts, the newest last."""


def given_original(replacement: Call) -> Callable[[Call], Call]:
    """For `replaced_call`: a replacement that is handed what it replaces as its first argument."""
    return lambda original: functools.partial(replacement, original)


def settled(value: Any) -> Any:
    """A value; in the place of a stand-in whose block is over, what it replaced."""
    while isinstance(value, StandIn) and value.over:
        value = value._own()
    return value


def _weakly(owner: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(owner)
    except TypeError:  # of a kind that nobody can refer to weakly
        return lambda: owner


def _kept_for(owner: Any, own: Any) -> Callable[[], Any]:
    """What hands out `own` later, without holding the owner: others keep stand-ins for longer than their owners."""
    if not isinstance(own, MethodType) or own.__self__ is not owner:
        return lambda: own
    function, owner_or_none = own.__func__, _weakly(owner)

    def bound() -> Any:
        alive = owner_or_none()
        return MISSING if alive is None else MethodType(function, alive)

    return bound
