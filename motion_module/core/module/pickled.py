"""What a pickle of weights says, without unpickling it: nothing that it names is imported or called.

`torch.load(weights_only=True)` ran code up to torch 2.5 (CVE-2025-32434), which older WebUIs have, and sets no limits.
The instructions are documented in Python's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from motion_module.core.module.stored import ForeignError, UnreadableError, damaged

MOST_INSTRUCTIONS = 250_000  # a tensor takes 32: a full Stable Diffusion checkpoint has 60,000
_VALUES = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "UntypedStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
}
_DTYPES = {*_STORAGE_DTYPES.values(), "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"}
_UNUSUAL = {  # tensors of other kinds, and how they differ
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without values",
    "_rebuild_qtensor": "a quantised tensor",
}
# What training scripts store beside the weights; none of it is needed.
_HARMLESS = {
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("set", "bytearray", "complex")),
    "collections Counter",
    "torch Size",
    "torch per_tensor_affine",
    "torch per_channel_affine",
    "torch device",
    "torch.nn.parameter Parameter",
    "torch Tensor",
    "torch.serialization _get_layout",
    "_codecs encode",
}
_MOST_ARGUMENTS = 20  # of what makes a tensor; each call copies them
_Key = (str, int, float, bytes, type(None))


@dataclass(frozen=True)
class Global:
    """Something that the pickle names, as "module name"."""

    name: str


@dataclass(frozen=True)
class PickledStorage:
    """Where a tensor's values lie: `size` values of a type under a key."""

    dtype: str
    key: str
    size: int


@dataclass(frozen=True)
class PickledTensor:
    """A tensor as the pickle describes it; of the numbers nothing is checked yet."""

    dtype: str
    storage: Any
    offset: Any
    shape: Any
    stride: Any


@dataclass(frozen=True)
class UnusualTensor:
    """A tensor that is not made of a storage and a shape alone."""

    kind: str


def read_pickle(file: BinaryIO) -> Any:
    """The value of one pickle: dictionaries, lists, tuples, texts, numbers and `PickledTensor`.

    Args:
        file: stands behind the pickle afterwards.

    Raises:
        UnreadableError: damaged, far too long, or it names other objects than weights.
    """
    reader = _Reader()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_INSTRUCTIONS:
                raise UnreadableError("holds far more than the weights of a model")
            reader.follow(instruction.name, argument)
        return reader.stack.pop()
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise damaged() from error


def foreign() -> ForeignError:
    """A pickle may name anything, also what runs code."""
    return ForeignError(
        "holds other Python objects than weights and was not opened, because they could run code",
        "please use a .safetensors file",
    )


class _Reader:
    """A stack, as the instructions of a pickle change it."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below each mark
        self._memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        """Do what one instruction says."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[argument])
        elif name == "MARK":
            self._below.append(self.stack)
            self.stack = []
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(reversed([self.stack.pop() for _ in range(int(name[-1]))])))
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._follow_rare(name, argument)

    def _follow_rare(self, name: str, argument: Any) -> None:
        if name == "TUPLE":
            items = self._marked()
            self.stack.append(tuple(items))
        elif name in ("SETITEM", "SETITEMS"):
            items = self._marked() if name == "SETITEMS" else [self.stack.pop() for _ in range(2)][::-1]
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, _Key))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [self.stack.pop()] if name == "APPEND" else self._marked()
            self.stack[-1].extend(items)
        elif name == "GLOBAL":
            self.stack.append(_known(argument))
        elif name == "STACK_GLOBAL":
            name, module = self.stack.pop(), self.stack.pop()
            self.stack.append(_known(f"{module} {name}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.stack.pop(), self.stack.pop()
            self.stack.append(_called(function.name, arguments))
        elif name == "BINPERSID":
            self.stack.append(_storage(self.stack.pop()))
        elif name == "BUILD":  # attributes of what is on the stack; no weights
            self.stack.pop()
        else:
            raise foreign()

    def _marked(self) -> list[Any]:
        above, self.stack = self.stack, self._below.pop()
        return above


def _known(name: str) -> Global:
    module, _, attribute = name.partition(" ")
    is_torch = module in ("torch", "torch.storage") and (attribute in _STORAGE_DTYPES or attribute in _DTYPES)
    if is_torch or name in _HARMLESS or name in _CALLS or (module == "torch._utils" and attribute in _UNUSUAL):
        return Global(name)
    raise foreign()


def _called(name: str, arguments: Any) -> Any:
    """What a call would have made, as far as it is weights."""
    if not isinstance(arguments, tuple) or len(arguments) > _MOST_ARGUMENTS:
        raise damaged()
    unusual = _UNUSUAL.get(name.partition(" ")[2])
    if unusual:
        return UnusualTensor(unusual)
    return _CALLS[name](*arguments) if name in _CALLS else None


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> PickledTensor:
    return PickledTensor(storage.dtype, storage, offset, shape, stride)


def _typed_tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> PickledTensor:
    return PickledTensor(dtype.name.partition(" ")[2], storage, offset, shape, stride)


def _dictionary(items: Any = (), *_: Any) -> dict[Any, Any]:
    """An OrderedDict; the list it is made from is emptied, or it could be handed over without an end."""
    if not isinstance(items, list):
        return {}
    weights = {key: value for key, value in items if isinstance(key, _Key)}
    items.clear()
    return weights


_CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _dictionary,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _typed_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils _rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch._tensor _rebuild_from_type_v2": lambda function, _type, arguments, *_: _called(function.name, arguments),
}


def _storage(description: Any) -> PickledStorage:
    """("storage", type, key, device, number of values), with a sixth part for views in very old files."""
    if not isinstance(description, tuple) or len(description) > _MOST_ARGUMENTS:
        raise damaged()
    kind, dtype, key, _, size, *view = description
    if kind != "storage" or not isinstance(key, str) or not isinstance(size, int) or view not in ([], [None]):
        raise damaged()
    return PickledStorage(_STORAGE_DTYPES[dtype.name.partition(" ")[2]], key, size)
