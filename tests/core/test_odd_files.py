"""Whatever a file does to its reader, it is one file that cannot be used, with a sentence that names it."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from motion_module.core.module.model import MotionModel, expected_shapes, inspect_motion_file, load_motion_model
from motion_module.errors import CheckpointError
from tests.core.builders import SPECS, fill, motion_state
from tests.core.odd_files import ENDLESS, ODD, PROJECTION, WRONG_VALUES, changed, saved, with_header

ROOT = Path(__file__).parents[2]


def load(path):
    return load_motion_model(path, "cpu", torch.float32)


def refused(path):
    """The sentence of a file that is refused; it names the file and is one line."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    sentence = caught.value.detail
    assert path.name in sentence and "\n" not in sentence and len(sentence) < 600, sentence
    return sentence


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_refused_in_a_sentence(tmp_path, name):
    make, phrase = ODD[name]
    path = make(tmp_path / name)
    assert phrase in refused(path)


@pytest.mark.parametrize("name", sorted(WRONG_VALUES))
def test_values_are_looked_at_only_where_they_are_read(tmp_path, name):
    assert inspect_motion_file(ODD[name][0](tmp_path / name)).kind.name == "AnimateDiff v1"


@pytest.mark.parametrize("name", sorted(ODD.keys() - WRONG_VALUES))
def test_everything_else_is_seen_in_the_header(tmp_path, name):
    make, phrase = ODD[name]
    with pytest.raises(CheckpointError, match=phrase):
        inspect_motion_file(make(tmp_path / name))


def test_the_content_tells_the_format_not_the_ending(tmp_path):
    state = motion_state("v2")
    pairs = {"zip": (".ckpt", ".safetensors"), "old": (".ckpt", ".safetensors"), "safetensors": (".safetensors", ".pt")}
    for kind, (ending, other) in pairs.items():
        path = saved(tmp_path / f"{kind}{ending}", state, zipped=kind != "old").rename(tmp_path / f"mm_{kind}{other}")
        found = load(path).state_dict()
        assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float64])
@pytest.mark.parametrize("name", ["mm.safetensors", "mm.ckpt"])
def test_unusual_floats_are_read(tmp_path, name, dtype):
    state = {key: value.to(dtype) for key, value in motion_state("v3").items()}
    found = load(saved(tmp_path / name, state)).state_dict()
    assert all(torch.equal(found[key], state[key].float()) for key in state)


def test_values_that_half_precision_cannot_hold(tmp_path):
    path = saved(tmp_path / "loud.safetensors", changed(PROJECTION, lambda value: value * 1e9))
    assert load(path).state_dict()[PROJECTION].abs().max() > 70_000
    with pytest.raises(CheckpointError, match=r"loud.safetensors.*proj_in.weight.*too large for float16.*--no-half"):
        load_motion_model(path, "cpu", torch.float16)


@contextmanager
def as_nobody():
    """Root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(tmp_path):
    path = saved(tmp_path / "private.safetensors", motion_state("v1"))
    path.chmod(0)
    with as_nobody():
        assert "cannot be read" in refused(path)


def test_a_file_that_vanishes_while_it_is_read(tmp_path, monkeypatch):
    path = saved(tmp_path / "mm.safetensors", motion_state("v1"))
    is_file = os.stat

    def gone(name, *args, **kwargs):
        found = is_file(name, *args, **kwargs)
        path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "stat", gone)
    assert "mm.safetensors" in refused(path)


_CUT = """
import os, sys, torch
from motion_module.core.module.model import load_motion_model
path = sys.argv[1]
model = load_motion_model(path, "cpu", torch.float32)
os.truncate(path, 0)
print(sum(float(value.abs().sum()) for value in model.state_dict().values()) > 0)
"""


@pytest.mark.parametrize("name", ["mm.safetensors", "mm.ckpt"])
def test_a_file_that_is_cut_off_after_it_was_loaded_changes_nothing(tmp_path, name):
    """A mapped file would end the process with a bus error, in the middle of a later run."""
    path = saved(tmp_path / name, motion_state("v1"))
    child = subprocess.run([sys.executable, "-c", _CUT, path], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (child.returncode, child.stdout.strip()) == (0, "True"), child.stderr


_MEASURE = """
import os, sys
import torch
from motion_module.core.module.model import load_motion_model
from motion_module.errors import CheckpointError
from tests.effort import effort

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

def measure(path):
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    try:
        load_motion_model(path, "cpu", torch.float32)
        said = "read"
    except CheckpointError as error:
        said = error.detail
    return peak() - before, said

for path in sys.argv[1:]:
    if os.fork() == 0:  # torch is imported once; each file finds the memory as it was then
        with effort() as spent:
            memory, said = measure(path)
        print(spent.units, memory, said, sep="\\t", flush=True)
        os._exit(0)
    if os.wait()[1]:
        print(0, 0, "the process died at", path, sep="\\t", flush=True)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """name -> (units of effort, bytes at the peak, the sentence, size of the file) of every file in `ENDLESS`."""
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("the peak of memory is measured on Linux")
    folder = tmp_path_factory.mktemp("endless")
    paths = [make(folder / name) for name, make in ENDLESS.items()]
    bounded = f'ulimit -v {24 << 20}; exec "$@"'  # KB: the machine is not to suffer where the test fails
    command = ["sh", "-c", bounded, "sh", sys.executable, "-c", _MEASURE, *map(str, paths)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr[-500:]
    lines = [line.split("\t") for line in child.stdout.splitlines()]
    return {
        path.name: (float(units), int(memory), said, path.stat().st_size)
        for path, (units, memory, said) in zip(paths, lines, strict=True)
    }


@pytest.mark.parametrize("name", ENDLESS)
def test_no_file_keeps_the_reader_busy_or_fills_the_memory(measured, name):
    units, memory, said, size = measured[name]
    assert name in said and len(said) < 600
    assert units < 50
    assert memory < 2 * size + (64 << 20)


def test_a_large_file_is_not_read_through_when_it_is_listed(tmp_path):
    """2 GB of zeros that are on no disk: reading them would take them into the memory."""

    path = with_header(tmp_path / "large.safetensors", _with_two_gigabytes)
    os.truncate(path, path.stat().st_size + (2 << 30))
    before = _read_bytes()
    assert inspect_motion_file(path).kind.name == "AnimateDiff v1"
    assert _read_bytes() - before < 1 << 20


def _with_two_gigabytes(header):
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    header["optimizer.state"] = {"dtype": "U8", "shape": [2 << 30], "data_offsets": [end, end + (2 << 30)]}


def _read_bytes():
    """What this process has read from files, in bytes."""
    if not os.path.exists("/proc/self/io"):
        pytest.skip("counted on Linux")
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def _mutations(data, generator):
    """A bit or some bytes flipped, an end cut off, a piece of the file put somewhere else."""
    while True:
        changed = bytearray(data)
        where = generator.randrange(len(data)) if generator.random() < 0.4 else generator.randrange(4000)
        kind = generator.choice(("bit", "bytes", "cut", "splice", "number", "end"))
        if kind == "bit":
            changed[where % len(data)] ^= 1 << generator.randrange(8)
        elif kind == "bytes":
            for place in range(where, min(where + generator.randrange(1, 40), len(data))):
                changed[place] = generator.randrange(256)
        elif kind == "cut":
            del changed[where:]
        elif kind == "number":
            changed[where : where + 4] = generator.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        elif kind == "end":
            changed[-1 - generator.randrange(min(6000, len(data)))] ^= 1 << generator.randrange(8)
        else:
            source, length = generator.randrange(len(data)), generator.randrange(1, 400)
            changed[where : where + length * generator.randrange(2)] = data[source : source + length]
        yield bytes(changed)


def _small():
    """A v3 module of the least width that there can be, in half precision: 1 MB."""
    model = fill(MotionModel(dataclasses.replace(SPECS["v3"], widths=(32, 32, 32, 32))))
    return {key: value.half() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["safetensors", "zip", "old"])
def test_a_damaged_file_is_read_or_refused(tmp_path, picked, kind):
    path = tmp_path / ("mm.safetensors" if kind == "safetensors" else "mm.ckpt")
    data = saved(path, _small(), zipped=kind != "old").read_bytes()
    generator = random.Random(12)
    refusals = 0
    cases = picked(range(250), 3)
    for _, damaged in zip(cases, _mutations(data, generator), strict=False):
        path.write_bytes(damaged)
        try:
            load(path)
        except CheckpointError as error:
            refusals += 1
            assert path.name in error.detail and "\n" not in error.detail and len(error.detail) < 900, error.detail
            error.detail.encode()  # the answer of an API is UTF-8
    assert refusals > len(cases) / 4


@pytest.mark.parametrize("name", SPECS)
def test_the_shapes_that_are_expected_are_those_of_the_model(name):
    found = {key: tuple(value.shape) for key, value in motion_state(name).items()}
    assert expected_shapes(SPECS[name]) == found


def test_halves_are_looked_at_where_torch_computes_little_with_them(tmp_path, monkeypatch):
    """torch 2.0 and 2.1, which WebUIs have, know no smallest and largest half on a CPU."""

    def refuse(*args, **kwargs):
        raise RuntimeError("\"aminmax_cpu\" not implemented for 'Half'")

    monkeypatch.setattr(torch, "aminmax", refuse)
    halves = {key: value.half() for key, value in motion_state("v1").items()}
    model = load_motion_model(saved(tmp_path / "halves.safetensors", halves), "cpu", torch.float16)
    assert next(model.parameters()).dtype == torch.float16


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    from motion_module.core.module import checkpoint

    def fail(values):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:73] DefaultCPUAllocator: can't allocate memory")

    path = saved(tmp_path / "good.safetensors", motion_state("v1"))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_all_finite", fail)
        with pytest.raises(MemoryError, match="good.safetensors does not fit into the memory"):
            load(path)
    assert load(path)


@pytest.mark.parametrize("ending", [".ckpt", ".pt"])
def test_a_storage_that_all_weights_share_is_read_once(tmp_path, monkeypatch, ending):
    from motion_module.core.module import stored, torch_file

    state, reads = motion_state("v1"), []
    flat = torch.cat([value.flatten() for value in state.values()])
    parts = flat.split([value.numel() for value in state.values()])
    views = {key: part.view(value.shape) for (key, value), part in zip(state.items(), parts, strict=True)}
    path = tmp_path / f"flat{ending}"
    torch.save(views, path, _use_new_zipfile_serialization=ending == ".ckpt")
    for kind in (torch_file._Entry, stored.Span):
        read = kind.read
        monkeypatch.setattr(kind, "read", lambda self, read=read: (reads.append(self.nbytes), read(self))[1])
    assert not differences_of(load(path), state)
    assert len([size for size in reads if size == flat.numel() * 4]) == 1


def differences_of(model, state):
    plain = load_motion_model_of(state)
    return [key for key, value in model.state_dict().items() if not torch.equal(value, plain[key])]


def load_motion_model_of(state):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return load(saved(Path(folder) / "plain.safetensors", state)).state_dict()


def test_a_training_checkpoint_with_a_large_pickle_is_read(tmp_path):
    path = tmp_path / "training.ckpt"
    torch.save({"state_dict": motion_state("v1"), "steps": {f"step {i}": float(i) for i in range(60_000)}}, path)
    assert load(path).spec.kind.name == "AnimateDiff v1"
