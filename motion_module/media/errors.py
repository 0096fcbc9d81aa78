"""What goes wrong with pictures and videos, and how it is said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

from motion_module.errors import SaidError, as_text
from motion_module.memory import is_out_of_memory
from motion_module.wording import system_says

# Pillow's decoders raise whatever a damaged file leads them to.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ReaderError(Exception):
    """A video, a picture or a folder cannot be read; the sentence says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(as_text(sentence))


class PictureError(ReaderError):
    """A picture file cannot be read.

    Args:
        file: which.
        why: in a few words.
    """

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"the picture {file} cannot be read ({why})")
        self.why = why


class WriterError(Exception):
    """A format could not be written; the sentence, without a full stop, says why."""


class ForeignFolderError(OSError):
    """A folder that somebody else may have laid there; the sentence says what is wrong with it."""


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, ReaderError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"it is too large: {str(error).partition(', could be')[0]}"
    if is_out_of_memory(error):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return system_says(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not a picture"
    return str(error).rstrip(".") or type(error).__name__


def describe(error: Exception) -> str:
    """Why something could not be made or written, in words for a person and without a full stop."""
    if is_out_of_memory(error):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.errno is not None:
        return system_says(error)
    if isinstance(error, SaidError):
        return error.sentence.rstrip(".")
    said = str(error) if isinstance(error, WriterError) else f"{type(error).__name__}: {error}"
    return said.rstrip(".")
