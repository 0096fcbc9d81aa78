"""How too little memory is told from other errors: each device, system and library says it in its own way."""

from __future__ import annotations

import errno

_CLASSES = ("MemoryError", "OutOfMemoryError")  # Python's and numpy's; torch's
_OF_WINDOWS = (8, 14, 1455)  # its numbers for it; Python gives only the first one the number that others have
_OF_PROCESSOR = (
    "defaultcpuallocator",
    "cannot allocate memory",  # torch, which maps a file; Rust (safetensors)
    "paging file is too small",  # the same on Windows,
    "os error 1455",  # in whatever language,
    "winerror 1455",
    "out_of_host_memory",  # XPU
)
_WORDS = (
    "out of memory",  # CUDA, HIP (ROCm), XPU, and MPS, which raises a plain RuntimeError
    "out_of_device_memory",  # XPU
    "invalid buffer size",  # MPS, for one tensor that is too large
    "not enough gpu video memory",  # DirectML
    "alloc_failed",  # cuBLAS and cuDNN
    *_OF_PROCESSOR,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error of Python or torch means that there is too little memory, of whatever kind."""
    if isinstance(error, OSError):
        return _is_of_system(error)
    if error is None or not isinstance(error, (MemoryError, RuntimeError)):
        return False
    names = {base.__name__ for base in type(error).__mro__}
    return not names.isdisjoint(_CLASSES) or _says(str(error), _WORDS)


def is_of_processor(error: BaseException) -> bool:
    """Whether it is the processor's memory that there is too little of, and not an accelerator's."""
    return isinstance(error, (MemoryError, OSError)) or _says(str(error), _OF_PROCESSOR)


def _is_of_system(error: OSError) -> bool:
    """By its number, or by its words where it has none (Rust); not by the name of the file that it may hold."""
    number: int | None = getattr(error, "winerror", None)
    words = str(error.args[0]) if len(error.args) == 1 else ""
    return error.errno == errno.ENOMEM or number in _OF_WINDOWS or _says(words, _OF_PROCESSOR)


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(each in text.lower() for each in words)
