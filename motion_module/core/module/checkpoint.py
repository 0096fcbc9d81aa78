"""Reading the files that people download: what they hold, and a sentence where it is not a motion module."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from motion_module.core.module import safetensors_file, torch_file
from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.keys import inspect, is_motion_key, normalise_keys
from motion_module.core.module.recognise import EXPECTED, seems_to_be
from motion_module.core.module.stored import (
    DAMAGE,
    MissingError,
    StoredTensor,
    UnreadableError,
    check_total,
    damaged,
    name_of,
    open_file,
    shared_storages,
)
from motion_module.errors import CheckpointError
from motion_module.memory import is_out_of_memory

__all__ = [
    "MotionFile",
    "inspect",
    "normalise_keys",
    "open_motion_file",
    "read_motion_weights",
    "read_shapes",
    "read_state_dict",
]

_log = logging.getLogger(__name__)
_BLOCK = 1 << 14  # values that are looked at together: what is freed is small, and leaves no holes in what stays


@dataclass(frozen=True)
class MotionFile:
    """An open file that holds a motion module; of its values nothing is read yet.

    Attributes:
        name: of the file, for messages.
        spec: kind and sizes.
        tensors: the parts of the motion module, by the names in the file.
    """

    name: str
    spec: ModuleSpec
    tensors: Mapping[str, StoredTensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every part, under its published name."""
        empty = {key: tensor.without_values() for key, tensor in self.tensors.items()}
        return {key: tuple(value.shape) for key, value in normalise_keys(empty, self.name).items()}

    def read(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The weights under their published names.

        Args:
            dtype: what each is turned into as soon as it is read; None leaves them as they are.

        Raises:
            CheckpointError: values are no numbers or too large for the dtype, or the file has changed since.
        """
        shared = shared_storages(self.tensors.values())
        read = {key: self._values(key, tensor.read(shared), dtype) for key, tensor in self.tensors.items()}
        return normalise_keys(read, self.name)

    def _values(self, key: str, values: Tensor, dtype: torch.dtype | None) -> Tensor:
        values = values if values.element_size() > 1 else values.float()  # nothing is computed with float8
        if not _all_finite(values):
            raise CheckpointError(
                f"{self.name} is damaged: {key:.200} holds values that are not numbers (NaN or infinite); "
                "please download it again or use another motion module"
            )
        converted = values if dtype is None else values.to(dtype)
        if converted is not values and not _all_finite(converted):
            raise CheckpointError(
                f"{self.name} holds values in {key:.200} that are too large for {name_of(converted.dtype)}; please "
                "use another motion module, or start the WebUI with --no-half"
            )
        return converted


@contextmanager
def open_motion_file(path: Path | str) -> Iterator[MotionFile]:
    """The motion module in a file, whose values can be read meanwhile; to open it costs no more than its header.

    Raises:
        CheckpointError: the file is not a motion module; the sentence names it and says what it seems to be.
    """
    with _opened(Path(path)) as (name, tensors, size):
        motion = {key: tensor for key, tensor in tensors.items() if is_motion_key(key)}
        stranger = seems_to_be(tensors)
        if stranger is not None:
            raise CheckpointError(f"{name} {stranger}, {EXPECTED}")
        _check_kinds(motion, name)
        check_total(motion.values(), size)
        weights = normalise_keys({key: tensor.without_values() for key, tensor in motion.items()}, name)
        spec = inspect(weights)
        if spec is None:
            raise CheckpointError(f"{name} {_oddity(weights)}, {EXPECTED}")
        if len(tensors) > len(motion):
            left_out = len(tensors) - len(motion)
            _log.info("%s: %d weights that do not belong to the motion module are left out.", name, left_out)
        yield MotionFile(name, spec, motion)


def read_motion_weights(path: Path | str) -> tuple[ModuleSpec, dict[str, Tensor]]:
    """The shape of the motion module in a file, and its weights under their published names.

    Raises:
        CheckpointError: the file is not a motion module; the sentence says what it seems to be.
    """
    with open_motion_file(path) as file:
        return file.spec, file.read()


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a file, by the names in the file; nothing in the file is ever executed.

    The format is told from the content: safetensors, or what `torch.save` writes.

    Raises:
        CheckpointError: no such file, a folder, empty, cut off, no weights, or a pickle with anything but weights.
    """
    with _opened(Path(path)) as (name, tensors, size):
        for key, tensor in tensors.items():
            if tensor.storage is None:
                raise CheckpointError(f"{name} holds {key:.200} as {tensor.kind}, {EXPECTED}")
        check_total(tensors.values(), size)
        shared = shared_storages(tensors.values())
        return {key: tensor.read(shared) for key, tensor in tensors.items()}


def read_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a file, by the names in the file; of the values nothing is read.

    Raises:
        CheckpointError: as `read_state_dict`.
    """
    with _opened(Path(path)) as (_, tensors, _):
        return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, dict[str, StoredTensor], int]]:
    """Name, header and size of a file that is open meanwhile; whatever is wrong with it becomes a sentence."""
    name = _shown(path.name)
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            tensors = _header(file, size)
            if not tensors:
                raise UnreadableError("holds no weights")
            yield name, tensors, size
    except MissingError as error:
        raise CheckpointError(f"There is no file {name}, {EXPECTED}") from error
    except UnreadableError as error:
        raise _refusal(name, error) from error
    except (OSError, *DAMAGE) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"{name} does not fit into the memory that is free") from error
        if isinstance(error, OSError):
            raise _refusal(name, UnreadableError(f"cannot be read ({error.strerror})")) from error
        raise _refusal(name, damaged()) from error


def _header(file: BinaryIO, size: int) -> dict[str, StoredTensor]:
    head = file.read(16)
    if not head:
        raise UnreadableError("is empty", "please download it again")
    if head[:2] == b"PK":
        return torch_file.read_zip(file, size)
    if head[:2] == b"\x80\x02":
        return torch_file.read_old(file, size)
    if head[8:9] == b"{":
        return safetensors_file.read_header(file, size)
    raise UnreadableError(f"seems to be {_stranger(head)}")


def _refusal(name: str, error: UnreadableError) -> CheckpointError:
    return CheckpointError(f"{name} {error.phrase}, {EXPECTED}{'; ' * bool(error.advice)}{error.advice}")


def _check_kinds(tensors: Mapping[str, StoredTensor], name: str) -> None:
    """Weights are floating point numbers.

    Raises:
        CheckpointError: one tensor is none, or none that can be used.
    """
    for key, tensor in tensors.items():
        if tensor.dtype is None or not tensor.dtype.is_floating_point:
            raise CheckpointError(
                f"{name} holds {key:.200} as {tensor.kind}, but weights are ordinary tensors of floating point numbers"
            )


def _all_finite(values: Tensor) -> bool:
    """In float32 and in blocks: on a CPU, older torch computes little with halves."""
    return all(bool(block.float().isfinite().all()) for block in values.flatten().split(_BLOCK))


def _oddity(weights: Collection[str]) -> str:
    blocks = sorted({".".join(key.split(".")[:2]) for key in weights if key.startswith("down_blocks")})
    return f"holds motion layers in an arrangement of no known kind ({len(blocks)} down blocks)"


def _stranger(head: bytes) -> str:
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "a text file or web page (did the download fail?)" if is_text else "no file of weights"


def _shown(name: str) -> str:
    """A file's name in a sentence: without line ends, and without what is no text."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
