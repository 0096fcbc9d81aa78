"""The writers of the formats: each is `WRITER` of the file here that is called like its format, in small letters."""

from __future__ import annotations

from importlib import import_module

from motion_module import formats
from motion_module.media.writing.base import Writer

WRITERS: dict[str, type[Writer]] = {
    name: import_module(f"{__name__}.{name.lower()}").WRITER for name in formats.WRITTEN
}

__all__ = ["WRITERS", "Writer"]
