"""Changes to objects that belong to somebody else. Each is a context manager that undoes itself, but for those of the
last part, which say why nobody takes them back.

Undo goes by identity: what is taken back is the very object that was put in, never "the last one", so that two
borrowers that end in any order leave nothing behind. Plain values have no identity that counts: they go by equality.

Others may keep what they find and put it back, or call it, when our block is long over. So a callable is put in by
`replaced_call` and forwards to what it replaced from then on; a value of the host's by `replaced_value` or
`replaced_option`, and `put_right` knows it again. Neither holds anything of the run that put it in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from motion_module.marks import mark_of, marked_as_ours
from motion_module.stand_in import MISSING, Call, StandIn, settled

_PLAIN = (bool, int, float, str, type(None))


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
    before = getattr(owner, name, None)
    with changing(owner, name) as put:
        put(value)
        yield before


@contextmanager
def replaced_all(owner: object, values: Mapping[str, Any]) -> Iterator[None]:
    """As `replaced`, for several attributes at once.

    Args:
        owner: as in `replaced`.
        values: name of an attribute -> what it is to be.
    """
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(replaced(owner, name, value))
        yield


@contextmanager
def changing(owner: object, name: str, setter: Callable[[Any], Any] | None = None) -> Iterator[Callable[[Any], None]]:
    """As `replaced`, for a value that changes again and again inside the block.

    Args:
        owner, name: as in `replaced`.
        setter: how the attribute is set, where that does more than setting it.

    Yields:
        What puts a value there; what was there before the block comes back, whichever was the last.
    """
    own = _own_value(owner, name)
    put_in: list[Any] = []

    def put(value: Any) -> None:
        (setter or partial(setattr, owner, name))(value)
        put_in[:] = [value]

    try:
        yield put
    finally:
        if put_in and is_same(_own_value(owner, name), put_in[0]):
            if setter is not None and own is not MISSING:
                setter(own)
            else:
                _put_back(owner, name, settled(own))


@contextmanager
def preserved(owner: object, *names: str) -> Iterator[None]:
    """Whatever becomes of attributes in the block, afterwards they are as they were; those that were not, are not."""
    before = {name: _own_value(owner, name) for name in names}
    try:
        yield
    finally:
        for name, own in before.items():
            if _own_value(owner, name) is not own:
                _put_back(owner, name, own)


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
    before = mapping.get(key, MISSING)
    mapping[key] = value
    try:
        yield
    finally:
        if is_same(mapping.get(key, MISSING), value):
            _put_back_item(mapping, key, before)


@contextmanager
def replaced_value(owner: object, name: str, value: Any) -> Iterator[None]:
    """As `replaced`, for a value of the host's that somebody may keep and put back later; `put_right` knows it again.

    Args:
        owner, name: as in `replaced`.
        value: a whole number, a text, or an object of ours that takes an attribute (a tensor).
    """
    put_right(owner, name)
    with marked_as_ours(value, _own_value(owner, name)) as marked, replaced(owner, name, marked):
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
    before = options.get(name, MISSING) if lasting is None else lasting
    with marked_as_ours(value, before) as marked, replaced_item(options, name, marked):
        yield


def put_right(owner: object, name: str) -> None:
    """If `owner.name` is a value from a `replaced_value` that is over, put back what it replaced."""
    mark = mark_of(_own_value(owner, name))
    if mark is not None and mark.over:
        _put_back(owner, name, mark.before)


def put_right_options(options: MutableMapping[str, Any]) -> None:
    """For every option that is a value from a `replaced_option` that is over, put back what it replaced."""
    for name, value in list(options.items()):
        mark = mark_of(value)
        if mark is not None and mark.over:
            _put_back_item(options, name, mark.before)


@contextmanager
def inserted(block: Any, index: int, layer: Any, name: str | None = None) -> Iterator[None]:
    """Insert `layer` into `block` at `index` for the length of the block, and take that very layer out again.

    Args:
        block: an `nn.Sequential` or anything with `insert`, `len`, `[i]` and `del [i]`.
        index: as in `list.insert`, 0 <= index <= len(block).
        layer: the object to insert.
        name: its name in an `nn.Sequential`, whose other layers keep theirs; None numbers all by their places.
    """
    if name is None:
        block.insert(index, layer)
    else:
        _put_between(block._modules, index, name, layer)
    try:
        yield
    finally:
        for position in range(len(block)):
            if block[position] is layer:
                del block[position]
                break


def _put_between(items: dict[str, Any], index: int, name: str, value: Any) -> None:
    later = list(items)[index:]
    items[name] = value
    for key in later:
        items[key] = items.pop(key)


def is_same(now: Any, put_in: Any) -> bool:
    """Whether what is there now is what was put in: the very object, or an equal plain value of the same kind."""
    return now is put_in or (type(now) is type(put_in) and type(put_in) in _PLAIN and bool(now == put_in))


def assign(owner: object, **values: Any) -> None:
    """Set attributes that nobody takes back.

    For objects of this run alone, which end with it (what the host's `p.init` makes of the pictures; a cell of a plot;
    what a hook is handed to change), for what is shown and shown no more, and for clearing up what others keep of ours.
    """
    for name, value in values.items():
        setattr(owner, name, value)


def assign_items(mapping: MutableMapping[Any, Any], items: Mapping[Any, Any]) -> None:
    """As `assign`, for items of a mapping: what the host writes into an infotext, which belongs to one run."""
    mapping.update(items)


def refill(values: list[Any], new: Iterable[Any]) -> None:
    """As `assign`, for all items of a list that the host goes on with, such as the prompts of a batch."""
    values[:] = new


def drop_items(mapping: MutableMapping[Any, Any], keys: Iterable[Hashable]) -> None:
    """Take items out that are ours, and that somebody has kept or put back; those that are not there are none."""
    for key in keys:
        mapping.pop(key, None)


def take_out(owner: object, name: str, ours: Any, below: Any) -> None:
    """Where somebody has put or copied `ours` into `owner.name`, put `below` there; `MISSING` takes it off."""
    if is_same(_own_value(owner, name), ours):
        _put_back(owner, name, below)


def _own_value(owner: object, name: str) -> Any:
    """The value stored on the owner itself, `MISSING` where it only inherits one."""
    if isinstance(inspect.getattr_static(type(owner), name, None), property):  # which stores it in a place of its own
        return getattr(owner, name)
    for store in ("__dict__", "_parameters", "_buffers", "_modules"):  # the last three: torch.nn.Module
        values = getattr(owner, store, None) or {}
        if name in values:
            return values[name]
    return MISSING


def _put_back(owner: object, name: str, own: Any) -> None:
    if own is MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, own)


def _put_back_item(mapping: MutableMapping[Any, Any], key: Any, before: Any) -> None:
    if before is MISSING:
        del mapping[key]
    else:
        mapping[key] = before
