"""Reversible changes to objects that belong to somebody else. Each is a context manager that undoes itself.

Undo goes by identity: what is taken back is the very object that was put in, never "the last one", so that two
borrowers that end in any order leave nothing behind.

Others may keep what they find and put it back, or call it, when our block is long over. So a callable is put in by
`replaced_call` and forwards to what it replaced from then on; a value of the host's by `replaced_value` or
`replaced_option`, and `put_right` knows it again. Neither holds anything of the run that put it in.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, Protocol

_MISSING = object()
_MARK = "_animatediff_mark"

Call = Callable[..., Any]


class Block(Protocol):
    """What `inserted` needs of a list of layers (`torch.nn.Sequential`, a plain list behind an adapter)."""

    def insert(self, index: int, module: Any) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def __delitem__(self, index: int) -> None: ...


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

    __slots__ = ("__name__", "__weakref__", "_own", "_owner", "_place", "_replacement", "_threads")

    def __init__(self, owner: Any, name: str, own: Any, wrap: Callable[[Call], Call]) -> None:
        self.__name__ = name
        self._place = id(owner), name
        self._owner = _weakly(owner)
        self._own = _kept_for(owner, own)
        self._threads: set[int] = set()  # those that are within the replacement
        self._replacement: Call | None = wrap(self._forward)
        _LIVING.setdefault(self._place, []).append(self)

    @property
    def over(self) -> bool:
        """Whether its block has ended."""
        return self._replacement is None

    def end(self) -> None:
        """From now on, forward; what the replacement held is let go."""
        living = _LIVING.get(self._place, [])
        if self in living:
            living.remove(self)
        if not living:
            _LIVING.pop(self._place, None)
        self._replacement = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the replacement, or what it replaced; see the class."""
        thread = threading.get_ident()
        for one in [self] if not self.over else reversed(_LIVING.get(self._place, [])):
            replacement = one._replacement
            if replacement is not None and thread not in one._threads:
                one._threads.add(thread)
                try:
                    return replacement(*args, **kwargs)
                finally:
                    one._threads.discard(thread)
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
        if own is not _MISSING:
            return own
        owner = self._owner()
        if owner is None:
            raise RuntimeError(f"{self.__name__} was kept for longer than the object that it belongs to.")
        found = inspect.getattr_static(type(owner), self.__name__)
        return found.__get__(owner, type(owner)) if hasattr(found, "__get__") else found


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


@contextmanager
def replaced(owner: object, name: str, value: Any) -> Iterator[Any]:
    """Set `owner.name` to `value` for the length of the block.

    An attribute that the owner only inherits (a method of its class) or does not have at all is taken off again by
    deleting it, so that no bound method stays on the instance. If somebody has put another value over ours meanwhile,
    theirs stays. For callables there is `replaced_call`, for values that outlive a run `replaced_value`.

    Args:
        owner: an object, class or module.
        name: the attribute.
        value: what it is to be.

    Yields:
        The value that the attribute had (bound, if it is a method), None if there was none.
    """
    own = _own_value(owner, name)
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield before
    finally:
        if _own_value(owner, name) is value:
            _put_back(owner, name, settled(own))


@contextmanager
def replaced_call(
    owner: object, name: str, wrap: Callable[[Call], Call], original: Call | None = None
) -> Iterator[StandIn]:
    """Have calls of `owner.name` go to `wrap(original)` for the length of the block.

    Afterwards nothing of it is left: neither here nor, if somebody has kept it, there. Whoever calls it later calls
    what it replaced; and a later block takes it off, if somebody has put it back, instead of piling up on it.

    Args:
        owner: an object or module; not a class, whose methods are bound to their objects.
        name: the attribute, which is a function or method.
        wrap: is given what was there, and makes what is called instead.
        original: what `wrap` is given, and calls go to afterwards, if it is not what is there.

    Yields:
        What is put in. It may be put elsewhere, too, and forwards there as well.
    """
    own = settled(_own_value(owner, name))
    stand_in = StandIn(owner, name, own if original is None else settled(original), wrap)
    try:
        setattr(owner, name, stand_in)
        yield stand_in
    finally:
        stand_in.end()
        now = _own_value(owner, name)
        if now is stand_in:
            _put_back(owner, name, settled(own))
        elif settled(now) is not now:  # somebody has put back one of an earlier block
            _put_back(owner, name, settled(now))


@contextmanager
def replaced_item(mapping: MutableMapping[Any, Any], key: Hashable, value: Any) -> Iterator[None]:
    """Set `mapping[key]` to `value` for the length of the block; a key that was not there goes again."""
    before = mapping.get(key, _MISSING)
    mapping[key] = value
    try:
        yield
    finally:
        if mapping.get(key, _MISSING) is value:
            _put_back_item(mapping, key, before)


@contextmanager
def replaced_value(owner: object, name: str, value: Any) -> Iterator[None]:
    """As `replaced`, for a value of the host's that somebody may keep and put back later; `put_right` knows it again.

    Args:
        owner, name: as in `replaced`.
        value: a whole number, a text, or an object of ours that takes an attribute (a tensor).
    """
    put_right(owner, name)
    with _marked(value, _own_value(owner, name)) as marked, replaced(owner, name, marked):
        yield


@contextmanager
def replaced_option(
    options: MutableMapping[str, Any], name: str, value: bool | int | str, lasting: Any = None
) -> Iterator[None]:
    """As `replaced_item`, for an option that somebody may keep and put back later; `put_right_options` knows it.

    Args:
        options: the host's.
        name: of the option.
        value: what it is to be.
        lasting: what `put_right_options` sets, if that is not what is there now (the host sets options for one run).
    """
    put_right_options(options)
    before = options.get(name, _MISSING) if lasting is None else lasting
    with _marked(value, before) as marked, replaced_item(options, name, marked):
        yield


def put_right(owner: object, name: str) -> None:
    """If `owner.name` is a value from a `replaced_value` that is over, put back what it replaced."""
    mark = _mark_of(_own_value(owner, name))
    if mark is not None and mark.over:
        _put_back(owner, name, mark.before)


def put_right_options(options: MutableMapping[str, Any]) -> None:
    """For every option that is a value from a `replaced_option` that is over, put back what it replaced."""
    for name, value in list(options.items()):
        mark = _mark_of(value)
        if mark is not None and mark.over:
            _put_back_item(options, name, mark.before)


@contextmanager
def inserted(block: Block, index: int, layer: Any) -> Iterator[None]:
    """Insert `layer` into `block` at `index` for the length of the block, and take that very layer out again.

    Args:
        block: an `nn.Sequential` or anything with `insert`, `len`, `[i]` and `del [i]`.
        index: as in `list.insert`, 0 <= index <= len(block).
        layer: the object to insert.
    """
    block.insert(index, layer)
    try:
        yield
    finally:
        for place in range(len(block)):
            if block[place] is layer:
                del block[place]
                break


class _Mark:
    """Tells that a value is ours, whether its block is over, and what it replaced."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.over = False

    def __deepcopy__(self, memo: Any) -> _Mark:
        return self


class _Int(int):
    """A whole number or a truth value that can be told from others of the same value."""

    def __deepcopy__(self, memo: Any) -> _Int:
        return self


class _Str(str):
    """A text that can be told from others of the same letters."""

    def __deepcopy__(self, memo: Any) -> _Str:
        return self


@contextmanager
def _marked(value: Any, before: Any) -> Iterator[Any]:
    mark = _Mark(before)
    known = next((kind for base, kind in ((int, _Int), (str, _Str)) if isinstance(value, base)), None)
    marked = known(value) if known is not None else value
    setattr(marked, _MARK, mark)
    try:
        yield marked
    finally:
        mark.over = True


def _mark_of(value: Any) -> _Mark | None:
    mark = getattr(value, _MARK, None)
    return mark if isinstance(mark, _Mark) else None


def _weakly(owner: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(owner)
    except TypeError:  # of a kind that nobody can refer to weakly
        return lambda: owner


def _kept_for(owner: Any, own: Any) -> Callable[[], Any]:
    """What hands out `own` later, without holding the owner: others keep stand-ins for longer than their owners."""
    if not isinstance(own, MethodType) or own.__self__ is not owner:
        return lambda: own
    function, found = own.__func__, _weakly(owner)

    def bound() -> Any:
        alive = found()
        return _MISSING if alive is None else MethodType(function, alive)

    return bound


def _own_value(owner: object, name: str) -> Any:
    """The value stored on the owner itself, `_MISSING` where it only inherits one."""
    for store in ("__dict__", "_parameters", "_buffers", "_modules"):  # the last three: torch.nn.Module
        values = getattr(owner, store, None) or {}
        if name in values:
            return values[name]
    return _MISSING


def _put_back(owner: object, name: str, own: Any) -> None:
    if own is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, own)


def _put_back_item(mapping: MutableMapping[Any, Any], key: Any, before: Any) -> None:
    if before is _MISSING:
        del mapping[key]
    else:
        mapping[key] = before
