"""Makers of files that look like motion modules and cannot be used as one."""

from __future__ import annotations

import json
import os
import socket
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.core.builders import motion_state

FIRST = "down_blocks.0.motion_modules.0.temporal_transformer"
PROJECTION = f"{FIRST}.proj_in.weight"
POSITIONS = f"{FIRST}.transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
QUERY = f"{FIRST}.transformer_blocks.0.attention_blocks.0.to_q.weight"


def saved(path: Path, state: Mapping[str, Tensor], zipped: bool = True) -> Path:
    """As safetensors or as `torch.save` writes them, by the ending."""
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, str(path))
    else:
        torch.save(dict(state), str(path), _use_new_zipfile_serialization=zipped)
    return path


def changed(key: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """A motion module with one other tensor."""
    state = motion_state("v1")
    return {**state, key: change(state[key])}


def safetensors(path: Path, header: bytes, data: bytes = b"") -> Path:
    """A safetensors file with a header of one's own."""
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def with_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A good file whose header is changed."""
    data = saved(path, motion_state("v1")).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return safetensors(path, json.dumps(change(header) or header).encode(), data[8 + length :])


def _twice(path: Path) -> Path:
    data = saved(path, motion_state("v1")).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = data[8 : 8 + length].strip()
    again = json.dumps({PROJECTION: json.loads(header)[QUERY]}).encode()[1:-1]
    return safetensors(path, header[:-1] + b"," + again + b"}", data[8 + length :])


def _two_disks(path: Path) -> Path:
    """A zip whose directory says that it is one of several; `zipfile.is_zipfile` raises BadZipFile."""
    data = saved(path, motion_state("v1")).read_bytes()
    end = data.rindex(b"PK\5\6")
    path.write_bytes(data[:end] + struct.pack("<4sLQL", b"PK\6\7", 0, end, 3) + data[end:])
    return path


def _flipped(path: Path, zipped: bool) -> Path:
    """One bit of the weights themselves."""
    data = bytearray(saved(path, motion_state("v1"), zipped).read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    return path


def rezipped(path: Path, compression: int, **replaced: bytes) -> Path:
    """A good file packed anew, some of its entries with other contents."""
    saved(path, motion_state("v1"))
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, replaced.get(Path(name).name.replace(".", "_"), content))
    return path


def bomb(path: Path, size: int = 1 << 29) -> Path:
    """A zip of 0.5 MB whose data.pkl is a text of 512 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/version", b"3")
        with archive.open("a/data.pkl", "w", force_zip64=True) as entry:
            entry.write(b"\x80\x02\x8d" + struct.pack("<Q", size))
            block = b"a" * (1 << 24)
            for _ in range(size >> 24):
                entry.write(block)
            entry.write(b".")
    return path


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)
    return path


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def _made(path: Path, make: Callable[[Path], object]) -> Path:
    make(path)
    return path


def _meta(value: Tensor) -> Tensor:
    return torch.empty_like(value, device="meta")


def _quantised(value: Tensor) -> Tensor:
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


DAMAGED = "damaged or cut off"
OTHER = "other Python objects"
# file name -> how it is made, and what the sentence says
ODD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "two_disks.ckpt": (_two_disks, DAMAGED),
    "flipped.ckpt": (lambda path: _flipped(path, zipped=True), DAMAGED),
    "old_damaged.ckpt": (lambda path: _made(path, lambda p: p.write_bytes(b"\x80\x02K\x01Q.")), DAMAGED),
    "old_nothing.pt": (lambda path: _made(path, lambda p: p.write_bytes(b"\x80\x02.")), DAMAGED),
    "sparse.ckpt": (lambda path: saved(path, changed(POSITIONS, Tensor.to_sparse)), "sparse"),
    "nested.ckpt": (
        lambda path: saved(path, changed(POSITIONS, lambda v: torch.nested.nested_tensor([v[0], v[0]]))),
        "nested",
    ),
    "meta.ckpt": (lambda path: saved(path, changed(POSITIONS, _meta)), "without values"),
    "quantised.ckpt": (lambda path: saved(path, changed(PROJECTION, _quantised)), "quantised"),
    "expanded.ckpt": (
        lambda path: saved(path, changed(POSITIONS, lambda v: v[:, :, :1].expand(1, 24, 10_000_000))),
        "pos_encoder.pe",
    ),
    "compressed.ckpt": (lambda path: rezipped(path, zipfile.ZIP_DEFLATED), "compressed"),
    "no_pickle.ckpt": (
        lambda path: _made(path, lambda p: zipfile.ZipFile(p, "w").writestr("a/version", "3")),
        "no weights",
    ),
    "header_is_a_list.safetensors": (lambda path: safetensors(path, b'{"a":[]}'), DAMAGED),
    "header_is_no_json.safetensors": (lambda path: safetensors(path, b"{" * 100_000), "header"),
    "header_is_deep.safetensors": (lambda path: safetensors(path, b'{"a":' + b"[" * 100_000), "header"),
    "header_is_enormous.safetensors": (lambda path: safetensors(path, b"{" + b" " * 50_000_000 + b"}"), "header"),
    "header_of_nothings.safetensors": (
        lambda path: safetensors(path, b"{" + b",".join(b'"%x":{}' % i for i in range(300_000)) + b"}"),
        "header",
    ),
    "twice.safetensors": (_twice, "twice"),
    "contradicting.safetensors": (
        lambda path: saved(path, {**motion_state("v1"), f"unet.{PROJECTION}": torch.zeros(32, 32)}),
        "twice",
    ),
    "overlapping.safetensors": (
        lambda path: with_header(path, lambda h: h[PROJECTION].update(data_offsets=h[QUERY]["data_offsets"])),
        DAMAGED,
    ),
    "backwards.safetensors": (
        lambda path: with_header(path, lambda h: h[PROJECTION]["data_offsets"].reverse()),
        DAMAGED,
    ),
    "wrong_shape.safetensors": (lambda path: with_header(path, lambda h: h[PROJECTION].update(shape=[9, 9])), DAMAGED),
    "negative.safetensors": (lambda path: with_header(path, lambda h: h[PROJECTION].update(shape=[-1, -9])), DAMAGED),
    "gigantic.safetensors": (
        lambda path: with_header(path, lambda h: h[PROJECTION].update(shape=[1 << 62, 1 << 62])),
        DAMAGED,
    ),
    "unknown_type.safetensors": (lambda path: with_header(path, lambda h: h[PROJECTION].update(dtype="F3")), "F3"),
    "beyond.safetensors": (
        lambda path: with_header(path, lambda h: h[PROJECTION].update(data_offsets=[1 << 40, (1 << 40) + 4096])),
        DAMAGED,
    ),
    "folder.safetensors": (lambda path: _made(path, Path.mkdir), "is a folder"),
    "pipe.safetensors": (_fifo, "not an ordinary file"),
    "socket.ckpt": (_socket, "not an ordinary file"),
    "device.pt": (lambda path: _link(path, "/dev/zero"), "not an ordinary file"),
    "nowhere.safetensors": (lambda path: _link(path, "gone.safetensors"), "no file"),
    "circle.safetensors": (lambda path: _link(path, "circle.safetensors"), "no file"),
    "nothing_wide.ckpt": (lambda path: saved(path, changed(PROJECTION, lambda v: v[:, :0])), "lacks"),
    "bytes.safetensors": (lambda path: saved(path, changed(PROJECTION, lambda v: v.to(torch.int8))), "int8"),
    "bytes.ckpt": (lambda path: saved(path, changed(PROJECTION, lambda v: v.to(torch.int8))), "int8"),
    "yes_and_no.safetensors": (lambda path: saved(path, changed(QUERY, lambda v: v > 0)), "bool"),
    "complex.ckpt": (lambda path: saved(path, changed(QUERY, lambda v: v.to(torch.complex64))), "complex64"),
    "whole_numbers.pth": (lambda path: saved(path, changed(POSITIONS, lambda v: v.long())), "int64"),
    "not_a_number.safetensors": (lambda path: saved(path, changed(QUERY, lambda v: v * float("nan"))), "to_q"),
    "infinite.ckpt": (lambda path: saved(path, changed(PROJECTION, lambda v: v / 0)), "proj_in"),
}
# Those of which only the values are wrong; they are seen when the values are read.
WRONG_VALUES = {"not_a_number.safetensors", "infinite.ckpt", "flipped.ckpt"}


def _renamed(old: str, new: str) -> dict[str, Tensor]:
    return {key.replace(old, new): value for key, value in motion_state("v1").items()}


def _many_blocks(count: int) -> dict[str, Tensor]:
    state = motion_state("v1")
    tiny = {f"{FIRST}.transformer_blocks.{i}.ff_norm.bias": torch.zeros(1) for i in range(count)}
    return {**state, **tiny}


def _entries(path: Path, count: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i:x}", b"")
    return path


# Those that keep a reader busy, or fill the memory.
# A list of pairs that is handed to OrderedDict as often as it is long.
_AGAIN = b"\x80\x02ccollections\nOrderedDict\nq\x00](" + b"K\x01K\x01\x86" * 20_000 + b"eq\x01"
_AGAIN += b"h\x00h\x01\x85R" * 20_000 + b"."

ENDLESS: dict[str, Callable[[Path], Path]] = {
    "block_3000000.safetensors": lambda path: saved(
        path, {**motion_state("v1"), f"{FIRST}.transformer_blocks.3000000.ff_norm.bias": torch.zeros(1)}
    ),
    "all_in_block_3000000.ckpt": lambda path: saved(
        path, _renamed("transformer_blocks.0", "transformer_blocks.3000000")
    ),
    "attention_999999999999.safetensors": lambda path: saved(
        path, _renamed("attention_blocks.1", "attention_blocks.999999999999")
    ),
    "long_number.safetensors": lambda path: saved(
        path, _renamed("attention_blocks.1", f"attention_blocks.{'9' * 9000}")
    ),
    "many_blocks.safetensors": lambda path: saved(path, _many_blocks(5000)),
    "expanded.ckpt": ODD["expanded.ckpt"][0],
    "all_expanded.ckpt": lambda path: saved(
        path, {key: torch.zeros(1).expand(10_000_000, *value.shape[1:]) for key, value in motion_state("v1").items()}
    ),
    "shared.ckpt": lambda path: saved(
        path,
        {
            key: torch.zeros(1).expand(10_000_000) if value.dim() == 1 else value
            for key, value in motion_state("v1").items()
        },
    ),
    "bomb.ckpt": bomb,
    "text_without_end.safetensors": lambda path: safetensors(path, b'{"' + b'\\"' * 1_000_000),
    "long_text.safetensors": lambda path: safetensors(path, b'{"__metadata__":{"a":"' + b"x" * 3_000_000 + b'"}}'),
    "again_and_again.pt": lambda path: _made(path, lambda p: p.write_bytes(_AGAIN)),
    "directory.ckpt": lambda path: _entries(path, 120_000),
    "lists.pt": lambda path: _made(path, lambda p: p.write_bytes(b"\x80\x02" + b"]" * 20_000_000 + b".")),
    "zipped_lists.ckpt": lambda path: rezipped(
        path, zipfile.ZIP_STORED, data_pkl=b"\x80\x02" + b"]\x94" * 2_000_000 + b"."
    ),
    "memo.pt": lambda path: _made(
        path, lambda p: p.write_bytes(b"\x80\x02Nr" + struct.pack("<I", (1 << 31) - 1) + b".")
    ),
    "bytearray.pt": lambda path: _made(
        path, lambda p: p.write_bytes(b"\x80\x02c__builtin__\nbytearray\nJ" + struct.pack("<i", 1 << 30) + b"\x85R.")
    ),
    "deep.pt": lambda path: _made(path, lambda p: p.write_bytes(b"\x80\x02}K\x01" + b"\x85" * 200_000 + b"Ns.")),
    "header_of_nothings.safetensors": ODD["header_of_nothings.safetensors"][0],
    "header_is_enormous.safetensors": ODD["header_is_enormous.safetensors"][0],
}
