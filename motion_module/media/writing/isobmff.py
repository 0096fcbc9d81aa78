"""EXIF in AVIF files: ffmpeg writes none, so it is put into the finished file here.

An AVIF file is a row of boxes (ISO/IEC 14496-12). A box `meta` lists items: `iinf` what each is, `iloc` where in the
file its data lie, `iref` what it describes (ISO/IEC 23008-12). EXIF is an item of type `Exif`; its data are the last
box of the file here. In a still picture it belongs into the file's `meta`, in an animation into one of the track's
own: that is where libavif, which browsers and Pillow's AVIF plugin use, looks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_FULL = 4  # bytes of version and flags, at the start of the bodies of meta, iinf, iloc, iref, stco
_ILOC = struct.Struct(">IHH")  # version and flags, sizes of the fields, number of items
_PLAIN_ILOC = 0x4400  # the sizes: 32-bit offsets and lengths, no base offset
_ITEM = struct.Struct(">HHHII")  # item, data reference, extents (1), offset, length
_META, _TRACK_META = (b"meta",), (b"moov", b"trak", b"meta")
_STCO = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco")
_PICTURE = 1  # ffmpeg's number for the item that is the picture


def with_exif(data: bytes, exif: bytes) -> bytes:
    """An AVIF file as ffmpeg writes it, with EXIF data added.

    Args:
        data: the file, without EXIF.
        exif: EXIF data that begin with their TIFF header.

    Raises:
        ValueError: the file is not built as ffmpeg builds AVIF files.
    """
    describe = _describe_track if _find(data, b"moov") else _describe_picture
    growth = len(describe(data, 0, 0)) - len(data)
    payload = bytes(4) + exif  # the TIFF header begins at byte 0
    described = describe(_moved(data, growth), len(data) + growth + 8, len(payload))
    return described + _box(b"mdat", payload)


def _describe_picture(data: bytes, offset: int, length: int) -> bytes:
    """The file's own meta with one item more, EXIF of the picture, of `length` bytes at `offset`."""
    if _find(data, *_META, b"iref"):
        raise ValueError("There is a box iref already.")
    item = max(number for number, *_ in _locations(data, _META)) + 1
    for name in (b"iinf", b"iloc"):
        start, _ = _body(data, *_META, name)
        counter = start + (_FULL if name == b"iinf" else _FULL + 2)
        (count,) = struct.unpack_from(">H", data, counter)
        data = data[:counter] + struct.pack(">H", count + 1) + data[counter + 2 :]
    data = _appended(data, (*_META, b"iinf"), _exif_info(item))
    data = _appended(data, (*_META, b"iloc"), _ITEM.pack(item, 0, 1, offset, length))
    describes = _box(b"cdsc", struct.pack(">HHH", item, 1, _PICTURE))
    return _appended(data, _META, _box(b"iref", bytes(_FULL) + describes))


def _describe_track(data: bytes, offset: int, length: int) -> bytes:
    """The track with a meta of its own that has one item, EXIF."""
    handler = _box(b"hdlr", struct.pack(">II4s12xx", 0, 0, b"pict"))
    info = _box(b"iinf", struct.pack(">IH", 0, 1) + _exif_info(1))
    location = _box(b"iloc", _ILOC.pack(0, _PLAIN_ILOC, 1) + _ITEM.pack(1, 0, 1, offset, length))
    return _appended(data, _TRACK_META[:2], _box(b"meta", bytes(_FULL) + handler + location + info))


def _exif_info(item: int) -> bytes:
    return _box(b"infe", struct.pack(">IHH4sx", 2 << 24, item, 0, b"Exif"))


def _moved(data: bytes, growth: int) -> bytes:
    """The file with all offsets that it names moved by `growth`; all of them lie behind meta and moov."""
    moved = bytearray(data)
    start, _ = _body(data, *_META, b"iloc")
    for index, (number, reference, extents, offset, length) in enumerate(_locations(data, _META)):
        _ITEM.pack_into(
            moved, start + _ILOC.size + index * _ITEM.size, number, reference, extents, offset + growth, length
        )
    if _find(data, b"moov"):
        start, end = _body(data, *_STCO)
        (count,) = struct.unpack_from(">I", data, start + _FULL)
        table, first = struct.Struct(f">{count}I"), start + _FULL + 4
        if first + table.size != end:
            raise ValueError("The box stco does not hold what it says.")
        table.pack_into(moved, first, *(offset + growth for offset in table.unpack_from(data, first)))
    return bytes(moved)


def _locations(data: bytes, meta: tuple[bytes, ...]) -> list[tuple[int, int, int, int, int]]:
    """Number, data reference, extents, offset and length of every item."""
    start, end = _body(data, *meta, b"iloc")
    version, sizes, count = _ILOC.unpack_from(data, start)
    if version or sizes != _PLAIN_ILOC or end - start != _ILOC.size + count * _ITEM.size:
        raise ValueError("The box iloc is of a kind that is not known here.")
    return list(_ITEM.iter_unpack(data[start + _ILOC.size : end]))


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the body, and end of each box between two offsets."""
    while start + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, start)
        if not 8 <= length <= end - start:
            raise ValueError(f"The box {name!r} at byte {start} is {length} bytes long.")
        yield name, start + 8, start + length
        start += length


def _find(data: bytes, *path: bytes) -> tuple[int, int] | None:
    """Start and end of the body of the first box that `path` leads to, from the outermost on."""
    start, end = 0, len(data)
    for depth, name in enumerate(path):
        box = next((box for box in _boxes(data, start, end) if box[0] == name), None)
        if box is None:
            return None
        inside_meta = name == b"meta" and depth < len(path) - 1
        start, end = box[1] + (_FULL if inside_meta else 0), box[2]
    return start, end


def _body(data: bytes, *path: bytes) -> tuple[int, int]:
    box = _find(data, *path)
    if box is None:
        raise ValueError(f"There is no box {b'/'.join(path).decode()}.")
    return box


def _appended(data: bytes, path: tuple[bytes, ...], extra: bytes) -> bytes:
    """The file with more bytes at the end of a box, and longer boxes around it."""
    _, end = _body(data, *path)
    longer = bytearray(data[:end] + extra + data[end:])
    for depth in range(1, len(path) + 1):
        head = _body(data, *path[:depth])[0] - 8
        (length,) = struct.unpack_from(">I", data, head)
        struct.pack_into(">I", longer, head, length + len(extra))
    return bytes(longer)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body
