"""Hints go to another device in as few bytes as keep every bit, each frame of a call once."""

import logging

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from motion_module.core.denoising import hint_store
from motion_module.core.denoising.frame_rows import picked
from motion_module.core.denoising.hint_store import HintStore
from motion_module.core.module.devices import refusals_of_run
from tests.core.copying_device import COPYING, Transfers
from tests.core.weak_device import DEVICE, REFUSED, Present, Weak

FRAMES, WINDOW, SIZE = 9, 4, 8
ROWS = [*range(2, 2 + WINDOW), *range(FRAMES + 2, FRAMES + 2 + WINDOW)]  # a window, with both branches
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def as_controlnet(pictures):
    """`(frames, h, w, c)` of 8 bits as ControlNet 1.1.455 makes hints of them."""
    hints = [torch.from_numpy(picture).float() / 255.0 for picture in pictures]
    return torch.cat([hint.permute(2, 0, 1)[None].clone() for hint in hints])


def pictures(channels=3):
    values = np.random.default_rng(3).integers(0, 256, (FRAMES, SIZE, SIZE, channels), dtype=np.uint8)
    values.reshape(FRAMES, -1)[:, :2] = 0, 255
    return as_controlnet(values)


def floats(dtype=torch.float32):
    return torch.rand(FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(dtype)


def older_inpaint():
    """Where it is masked -1, as ControlNet's older versions hold it."""
    whole = pictures()
    whole[:, :, 2:5, 2:5] = -1.0
    return whole


def with_value(value, of=pictures):
    """One value only is another one: the last."""
    whole = of()
    whole.view(-1)[-1] = value
    return whole


KINDS = {  # -> a hint, and the bytes of a value on its way
    "canny": (lambda: (pictures() > 0.5).float(), 1),
    "8 bits": (pictures, 1),
    "inpaint": (lambda: pictures(4), 1),
    "keyframes": (lambda: pictures() * (torch.arange(FRAMES) % 4 == 0).view(-1, 1, 1, 1), 1),
    "LLLite": (lambda: pictures() * 2.0 - 1.0, 1),
    "8 bits, half": (lambda: pictures().half(), 1),
    "8 bits, bfloat16": (lambda: pictures().bfloat16(), 1),
    "8 bits, float64": (lambda: pictures().double(), 1),
    "latents": (lambda: (floats() * 7 - 3).half().float(), 2),
    "-1 among halves": (lambda: torch.where(floats() < 0.3, -1.0, floats().half().float()), 2),
    "smallest halves": (lambda: with_value(2.0**-24, lambda: floats().half().float()), 2),
    "halves of -0": (lambda: with_value(-0.0, lambda: floats().half().float()), 2),
    "infinite": (lambda: with_value(float("inf"), lambda: floats().half().float()), 2),
    "depth": (floats, 4),
    "older inpaint": (older_inpaint, 4),
    "one -0": (lambda: with_value(-0.0), 4),
    "one NaN": (lambda: with_value(float("nan")), 4),
    "one NaN among halves": (lambda: with_value(float("nan"), lambda: floats().half().float()), 4),
    "one bit beside": (lambda: with_value(float(np.nextafter(np.float32(51 / 255), np.float32(1)))), 4),
    "below all halves": (lambda: with_value(2.0**-26, lambda: floats().half().float()), 4),
    "latents, half": (lambda: floats(torch.float16), 2),
    "latents, bfloat16": (lambda: floats(torch.bfloat16), 2),
    "whole numbers": (lambda: (pictures() * 255).int(), 4),
}


@pytest.fixture(params=KINDS)
def kind(request):
    made, size = KINDS[request.param]
    return made(), size


def bits(values):
    return values.contiguous().view(BITS[values.element_size()])


def sent(store, rows):
    with Transfers() as over:
        found = store.rows(rows)
    return found, over.bytes


@pytest.mark.parametrize("both", [True, False], ids=["2N", "N"])
def test_each_frame_goes_over_once_in_as_few_bytes_as_hold_it(kind, both):
    half, size = kind
    whole, rows = (torch.cat([half, half]), ROWS) if both else (half, [row % FRAMES for row in ROWS])
    store = HintStore(whole, FRAMES, COPYING)
    store.rows(rows[::-1])
    found, over = sent(store, rows)
    assert over == WINDOW * size * half[0].numel()
    with Transfers() as before:
        expected = picked(whole, rows, COPYING)
    assert before.bytes == over * 2 * half.element_size() // size, "so many times as much without"
    assert found.dtype == whole.dtype and torch.equal(bits(found), bits(expected))


@pytest.mark.parametrize("rows", [[0], [5, 5, 0], [8, 3, 12, 3, 17, 0], [1, 0, 10, 9], [*range(8), *range(8)]])
def test_whatever_the_rows_the_bits_are_those_of_the_cpu(kind, rows):
    whole = torch.cat([kind[0]] * 2)
    before, version = whole.clone(), whole._version
    store = HintStore(whole, FRAMES, COPYING)
    for asked in (rows, ROWS, rows):
        assert torch.equal(bits(store.rows(asked)), bits(whole[asked]))
    assert torch.equal(bits(whole), bits(before)) and whole._version == version


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_level_of_8_bits_comes_back(dtype):
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(FRAMES, 3, 1, 1)
    whole = (levels.float() / 255.0).to(dtype)
    found, over = sent(HintStore(whole, FRAMES, COPYING), [4])
    assert torch.equal(bits(found), bits(whole[4:5]))
    assert over < whole[0].numel() * whole.element_size() + 4096, "with what is tried out first"


def test_branches_that_differ_both_go_over():
    for off in (1, FRAMES - 1):
        whole = torch.cat([pictures()] * 2)
        whole[FRAMES + off] = whole[off].flip(0)
        store = HintStore(whole, FRAMES, COPYING)
        store.rows([0])
        found, over = sent(store, ROWS)
        assert over == len(ROWS) * whole[0].numel() and torch.equal(found, whole[ROWS])


class Made(TorchDispatchMode):
    """What is made anew: (dtype, numbers) of all tensors that are no views of a given one."""

    def __init__(self, of):
        super().__init__()
        self.known, self.sizes = {of.untyped_storage().data_ptr()}, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in self.known:
                self.sizes.append((value.dtype, value.numel()))
        return made


def test_the_smaller_copy_is_all_that_grows_with_the_video(kind):
    whole = torch.cat([kind[0]] * 2)
    row = max(whole[0].numel(), 1 << 16)  # or the codes that are tried out
    with Made(whole) as made:
        HintStore(whole, FRAMES, COPYING).rows([0])
    large = {dtype for dtype, size in made.sizes if size > 2 * row}
    assert large <= ({torch.uint8} if kind[1] == 1 else {torch.uint8, torch.float16})
    assert max(size for _, size in made.sizes) <= max(row, FRAMES * whole[0].numel()), "one branch"


@pytest.mark.parametrize(
    ("device", "rows"),
    [("cpu", ROWS), (COPYING, [*range(2 * FRAMES)]), (COPYING, [*range(FRAMES)]), (COPYING, [*range(FRAMES, 0, -1)])],
    ids=["on the CPU", "both branches", "one branch", "in another order"],
)
def test_no_smaller_copy_where_one_is_all_there_is(device, rows):
    whole = torch.cat([pictures()] * 2)
    with Made(whole) as made:
        found = HintStore(whole, FRAMES, torch.device(device)).rows(rows)
    assert torch.equal(found, whole[rows]) and {dtype for dtype, _ in made.sizes} <= {torch.float32, torch.int64}


def test_what_is_on_the_device_already_is_only_picked():
    whole = pictures().to("meta")
    with Made(whole) as made:
        assert HintStore(whole, FRAMES, torch.device("meta")).rows([1, 2, 2]).shape == (3, 3, SIZE, SIZE)
    assert torch.uint8 not in dict(made.sizes)


@pytest.mark.parametrize("refused", [(), ("index_select",)], ids=["can", "cannot"])
def test_a_weak_device_gets_the_same(kind, refused, monkeypatch, caplog):
    monkeypatch.setattr("tests.core.weak_device.REFUSED", REFUSED | set(refused))
    send, sizes = hint_store._sent, []
    monkeypatch.setattr(hint_store, "_sent", lambda held, *to: sizes.append(held.element_size()) or send(held, *to))
    store = HintStore(kind[0], FRAMES, DEVICE)
    if kind[0].dtype == torch.float64:
        with Present(), pytest.raises(TypeError, match="doesn't support float64"):
            store.rows([3, 1, 3])
        return
    with Present(), refusals_of_run(set()), caplog.at_level(logging.WARNING):
        found = store.rows([3, 1, 3])
    assert isinstance(found, Weak) and torch.equal(bits(found.cpu()), bits(kind[0][[3, 1, 3]]))
    assert bool(caplog.messages) == (bool(refused) and kind[0].is_floating_point())
    in_halves = kind[0].is_floating_point() and torch.equal(kind[0].half().to(kind[0].dtype), kind[0])
    assert sizes == [(2 if in_halves else kind[0].element_size()) if refused else kind[1]], "halves need only a cast"


def test_a_device_that_reads_another_bit_gets_them_as_they_are(monkeypatch):
    whole = pictures()
    one = torch.tensor(1e9)
    monkeypatch.setattr(hint_store, "tried", lambda kind, device, way, other: torch.nextafter(way().float(), one))
    store = HintStore(whole, FRAMES, COPYING)
    store.rows([0])
    found, over = sent(store, [1, 2])
    assert over == 2 * 4 * whole[0].numel() and torch.equal(found, whole[[1, 2]])


@pytest.mark.parametrize(
    ("device", "there", "asks", "waits"),
    [("cuda", True, True, False), ("cuda", False, True, True), ("mps", True, False, True)],
    ids=["CUDA", "no such memory", "another device"],
)
def test_only_cuda_fetches_it_from_pinned_memory_and_is_not_waited_for(device, there, asks, waits, monkeypatch):
    held, asked, moves, empty = pictures(), [], [], torch.empty

    def made(*args, pin_memory=False, **kwargs):
        asked.append(pin_memory)
        if pin_memory and not there:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*args, **kwargs)

    def to(self, device, non_blocking=False):
        moves.append((device.type, non_blocking))
        return self

    monkeypatch.setattr(torch, "empty", made)
    monkeypatch.setattr(torch.Tensor, "to", to)
    found = hint_store._sent(held, [4, 1], torch.device(device))
    assert torch.equal(found, held[[4, 1]]) and moves == [(device, not waits)] and (True in asked) is asks
