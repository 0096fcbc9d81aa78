"""Speed and memory against diffusers, on this machine's CPU: `python tests/bench/bench_unet.py [--quick]`.

Prints a table of ratios (above 1: ours is faster, or smaller). All sides have equal sizes and run turn by turn in one
process on one thread; a ratio is the median of those of 9 turns, in processor time, which others on the machine disturb
little. The bare products are the matrix products of a layer alone, without norms, softmax, GELU and sums, in the same
blocks. Memory is measured in a process for each side: how far the resident set grows over the built model during the
first step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - the number of threads is read at import
from ldm.modules.attention import CrossAttention  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from motion_module.core.module.arch import V2, ModuleSpec  # noqa: E402
from motion_module.core.module.attention_ways import SDP, SPLIT, attending_by  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.core.module.layers import MotionModule  # noqa: E402
from motion_module.core.module.model import MotionModel  # noqa: E402
from motion_module.core.module.placement import mounted  # noqa: E402
from tests.bench.turns import seconds_of_turns  # noqa: E402
from tests.core import builders, oracle  # noqa: E402

FRAMES, COPIES = 16, 2
Step = Callable[[], object]


class Case(NamedTuple):
    """One line of the table: a module (one width) or a UNet (`channels` and its multiples)."""

    name: str
    channels: int
    size: int
    is_unet: bool


CASES = [
    Case("module 320, 32x32", 320, 32, False),
    Case("module 640, 16x16", 640, 16, False),
    Case("module 1280, 8x8", 1280, 8, False),
    Case("UNet 32/64/64/64, 16x16", 32, 16, True),
    Case("UNet 96/192/192/192, 16x16", 96, 16, True),
]
SIDES = ("ours", "diffusers")
PRODUCTS = "the bare products"
TURNS, BLOCK = 9, 64


def module_step(case: Case, side: str) -> Step:
    """One temporal transformer."""
    x = torch.randn(FRAMES * COPIES, case.channels, case.size, case.size)
    if side == "diffusers":
        twin = oracle.transformer(case.channels, 32)
        return lambda: twin(x, num_frames=FRAMES)
    module = builders.fill(MotionModule(case.channels, ModuleSpec(V2, (case.channels,) * 4, 32)))
    module.call.frames = FRAMES
    return lambda: module(x)


def products_step(case: Case) -> Step:
    """The products of one temporal transformer of v2: two attentions, one feed-forward, the ways in and out."""
    c, heads, pixels = case.channels, 8, COPIES * case.size**2
    wide, narrow, square = (torch.randn(shape) for shape in ((8 * c, c), (c, 4 * c), (c, c)))
    x, inner = torch.randn(BLOCK, FRAMES, c), torch.randn(BLOCK, FRAMES, 4 * c)
    q, shares = torch.randn(BLOCK * heads, FRAMES, c // heads), torch.randn(BLOCK * heads, FRAMES, FRAMES)

    def step() -> None:
        for _ in range(pixels // BLOCK):
            for _ in range(2 + 2 * 4):  # in and out; q, k, v and out of each attention
                functional.linear(x, square)
            for _ in range(2):
                torch.bmm(q, q.transpose(1, 2))
                torch.bmm(shares, q)
            functional.linear(x, wide)
            functional.linear(inner, narrow)

    return step


def unet_step(case: Case, side: str) -> Step:
    """A UNet with all its motion modules: one denoising step of cond and uncond."""
    widths = tuple(case.channels * k for k in (1, 2, 2, 2))
    net = builders.unet(channels=case.channels)
    CrossAttention.forward = _host_attention
    motion = builders.fill(MotionModel(ModuleSpec(V2, widths, 32, has_mid=True)))
    x, t, text = builders.unet_inputs(FRAMES * COPIES, case.size)
    if side == "diffusers":
        twin = oracle.motion_unet(net, motion.state_dict(), widths, 32)
        video = x.unflatten(0, (COPIES, FRAMES)).transpose(1, 2)
        return lambda: twin(video, t[0], encoder_hidden_states=text)
    mounted(net, motion, CallFrames(FRAMES), ()).__enter__()  # the process ends with it
    return lambda: net(x, t, context=text)


def _host_attention(self: CrossAttention, x: Tensor, context: Tensor | None = None, mask: None = None) -> Tensor:
    """Spatial attention as a WebUI with its default optimisation does it; ldm's own is not what people run."""
    sources = x, *[x if context is None else context] * 2
    parts = (self.to_q, self.to_k, self.to_v)
    q, k, v = (part(s).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part, s in zip(parts, sources, strict=True))
    return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def make_step(case: Case, side: str) -> Step:
    """The thing to measure, built and ready."""
    if side == PRODUCTS:
        return products_step(case)
    return (unet_step if case.is_unet else module_step)(case, side)


def seconds(case: Case, turns: int) -> dict[str, list[float]]:
    """Processor seconds of each turn of each side."""
    return seconds_of_turns({side: make_step(case, side) for side in (*SIDES, *[PRODUCTS] * (not case.is_unet))}, turns)


def ratio(spent: dict[str, list[float]], side: str) -> float:
    """How much longer than ours a side takes; the median of the turns, in each of which the machine was the same."""
    return statistics.median(other / ours for other, ours in zip(spent[side], spent["ours"], strict=True))


def megabytes(case: Case, side: str) -> float:
    """Growth of the resident set in the first step, measured in a process of its own."""
    command = [sys.executable, __file__, "--memory", str(CASES.index(case)), side]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def measure_memory(case: Case, side: str) -> float:
    """In the process for one side; Linux only."""
    step = make_step(case, side)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building
    before = _resident("VmRSS")
    with torch.inference_mode():
        step()
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def ways() -> None:
    """Print what other ways of attention between frames take, in one layer, against torch's own."""
    case = CASES[0]
    step = module_step(case, "ours")

    def by(way: str) -> None:
        with attending_by(way):
            step()

    spent = seconds_of_turns({way: partial(by, way) for way in (SDP, SPLIT)}, TURNS)
    slower = statistics.median(other / sdp for other, sdp in zip(spent[SPLIT], spent[SDP], strict=True))
    print(f"| attention | {case.name}, against {SDP} |\n|---|---|\n| {SPLIT} | {slower:.2f} |")


def main() -> None:
    """Print the table, or answer for one line of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two turns instead of nine")
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    parser.add_argument("--ways", action="store_true", help="ways of attention instead")
    arguments = parser.parse_args()
    if arguments.ways:
        ways()
        return
    if arguments.memory:
        print(json.dumps(measure_memory(CASES[int(arguments.memory[0])], arguments.memory[1])))
        return
    print(f"| {'case':28} | ours s | against diffusers | against {PRODUCTS} | ours MB | diffusers MB | memory |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        s = seconds(case, 2 if arguments.quick else TURNS)
        mb = {side: megabytes(case, side) for side in SIDES}
        bare = f"{ratio(s, PRODUCTS):.2f}" if PRODUCTS in s else ""
        print(
            f"| {case.name:28} | {statistics.median(s['ours']):.3f} | {ratio(s, 'diffusers'):.2f} | {bare} "
            f"| {mb['ours']:.0f} | {mb['diffusers']:.0f} | {mb['diffusers'] / mb['ours']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
