"""What many workers would bring for one long video: `python tests/bench/bench_many.py`.

Three tables. What this process has to do for each window that a worker makes is measured, on sizes that people use. What
Dask and the sharing cost beside windows that take half a second is measured with real workers and a stand-in that sleeps.
Both go into a simulation of up to 64 workers and 10,000 frames, with a window time of a second.
"""

import heapq
import math
import os
import pickle
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "pocket")]

import torch  # noqa: E402

from motion_module.core.denoising.model_calls import GivenCall, ModelCall  # noqa: E402
from motion_module.core.denoising.rows import RowLayout  # noqa: E402
from motion_module.core.denoising.sliding import _Blend  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.windows import WindowPlan  # noqa: E402

SIZES = ((512, 512), (1024, 576))
FRAMES = (64, 256, 1000, 10_000)
WORKERS = (1, 2, 4, 8, 16, 32, 64)
LINKS = {"1 Gbit/s": 125e6, "10 Gbit/s": 1250e6}  # bytes a second
CONTEXT, WINDOW = 16, 1.0  # frames, seconds
AHEAD, HERE = 2, -1  # windows that a worker has; this process
STAND_IN = 0.5  # seconds


@dataclass(frozen=True)
class Costs:
    """Of one window that a worker makes.

    Attributes:
        up, down: bytes to the worker and back.
        hand: seconds in which this process cuts, packs and hands out.
        blend: seconds in which it takes the output in.
    """

    up: float
    down: float
    hand: float
    blend: float


@dataclass(frozen=True)
class Step:
    """A simulated step.

    Attributes:
        efficiency: of all workers and this process; 1 where each makes windows all the time.
        megabytes: over the link.
        limit: what keeps it from being faster.
    """

    efficiency: float
    megabytes: float
    limit: str


def windows_of(frames: int) -> int:
    """Of one step, with what is asked for by default."""
    return len(WindowPlan(context=CONTEXT).windows(0, frames))


def simulated(windows: int, workers: int, costs: Costs, link: float) -> Step:
    """A step, event by event: each worker has up to two windows, this process makes windows, too.

    Args:
        windows: of the step.
        workers: besides this process.
        costs: of a window that a worker makes.
        link: bytes a second that this process sends, and as many that it gets.
    """
    hand = up = down = 0.0  # when these are free again: one window at a time
    busy, has, back, waiting, sent = [0.0] * workers, [0] * workers, [], windows, 0
    events = [(0.0, HERE)]  # when who has done one

    def hand_out(now: float) -> None:
        nonlocal hand, up, down, waiting, sent
        ahead = AHEAD if waiting > workers else 1
        if not waiting or sum(has) >= ahead * workers:
            return
        who = min(range(workers), key=lambda worker: (has[worker], busy[worker]))
        hand = max(hand, now) + costs.hand
        up = max(up, hand) + costs.up / link
        busy[who] = max(busy[who], up) + WINDOW
        down = max(down, busy[who]) + costs.down / link
        back.append((down, costs.blend))
        has[who], waiting, sent = has[who] + 1, waiting - 1, sent + 1
        heapq.heappush(events, (busy[who], who))

    for _ in range(AHEAD * workers):
        hand_out(0.0)
    while events:
        now, who = heapq.heappop(events)
        if who != HERE:
            has[who] -= 1
            hand_out(now)
        elif waiting:
            waiting -= 1
            back.append((now + WINDOW, 0.0))
            heapq.heappush(events, (now + WINDOW, HERE))
    end = 0.0
    for arrived, blend in sorted(back):
        end = max(end, arrived) + blend
    bounds = {  # below which a step cannot be
        "windows": math.ceil(windows / (workers + 1)) * WINDOW,
        "the link": sent * max(costs.up, costs.down) / link,
        "handing out": sent * costs.hand,
        "blending": sent * costs.blend,
    }
    efficiency = windows * WINDOW / ((workers + 1) * end)
    limit = max(bounds, key=bounds.__getitem__) if efficiency < 0.9 else "-"
    return Step(efficiency, sent * (costs.up + costs.down) / 1e6, limit)


def window_call(width: int, height: int) -> GivenCall:
    """A window of a video with a prompt and a negative prompt, as SD1.5 gets it."""
    layout = RowLayout(CONTEXT, 1, True)
    text = torch.randn(2, 77, 768)[[0] * CONTEXT + [1] * CONTEXT]
    x = torch.randn(layout.rows, 4, height // 8, width // 8)
    call = ModelCall(layout, list(range(layout.rows)), CONTEXT)
    return GivenCall(call, x, torch.full((layout.rows,), 500.0), {"c_crossattn": [text], "c_concat": [x[:, :0]]})


def measured(width: int, height: int, turns: int = 30) -> Costs:
    """What a window of this size costs, on this machine; seconds are medians."""
    from farm.shared_calls import given_to_worker

    call, frames = window_call(width, height), CallFrames()
    blend = _Blend(call.of.layout, "pyramid", -1)
    hands, blends, sent = [], [], b""
    for _ in range(turns):
        start = time.perf_counter()
        sent = pickle.dumps(given_to_worker(call, frames))
        handed = time.perf_counter()
        out = pickle.loads(pickle.dumps(call.x))
        blend.add(call.of.rows, CONTEXT, out)
        hands.append(handed - start)
        blends.append(time.perf_counter() - handed)
    return Costs(len(sent), len(pickle.dumps(call.x)), statistics.median(hands), statistics.median(blends))


class Sleeping:
    """In the place of a model that a worker holds."""

    def __call__(self, frames: int, shown: list, resting: bool, x: torch.Tensor, *rest: object) -> torch.Tensor:
        time.sleep(STAND_IN)
        return x


def overhead(workers: int, rounds: int, size: tuple[int, int] = SIZES[0]) -> float:
    """How much longer a step takes than its windows would on so many workers and this process, all being ready."""
    from farm.cluster import workers as started
    from farm.shared_calls import SharedCalls
    from farm.window_worker import WindowWorker

    def here(call: GivenCall, model: object = None) -> torch.Tensor:
        if model is not None:
            return model(call.x, call.t, call.cond)
        time.sleep(STAND_IN)
        return call.x

    number = rounds * (workers + 1)
    call = window_call(*size)
    calls = [replace(call, of=replace(call.of, number=place, calls=number)) for place in range(1, number + 1)]
    with started(workers) as client:
        model = client.scatter(Sleeping(), broadcast=True)
        there = [WindowWorker(client, address) for address in client.nthreads()]
        while not all(worker.is_warm for worker in there):
            time.sleep(0.1)
        for turn in range(2):  # in the first one they get the model
            shared = SharedCalls(calls, range(1, len(calls) + 1), CallFrames())
            start = time.perf_counter()
            shared.offer(model, there)
            outputs = list(shared.outputs(here, lambda: None))
            seconds = time.perf_counter() - start
            shared.end()
            if not all(torch.equal(out, call.x) for out, call in zip(outputs, calls, strict=True)):
                raise RuntimeError(f"turn {turn}: outputs are not in the order of the calls")
    return seconds / (rounds * STAND_IN)


def costs_line(size: tuple[int, int], costs: Costs) -> str:
    """A row of the first table; the simulation goes by what stands in it."""
    name = f"{size[0]}x{size[1]}"
    return (
        f"| {name} | {costs.up / 1e6:.2f} | {costs.down / 1e6:.2f} | {costs.hand * 1e3:.1f} | {costs.blend * 1e3:.1f} |"
    )


def costs_of(line: str) -> Costs:
    """What `costs_line` has written."""
    up, down, hand, blend = (float(cell) for cell in line.split("|")[2:6])
    return Costs(up * 1e6, down * 1e6, hand / 1e3, blend / 1e3)


def simulation(costs: Costs) -> list[str]:
    """The rows of the third table for a size of picture."""
    lines = []
    for link, speed in LINKS.items():
        for workers in WORKERS:
            steps = [simulated(windows_of(frames), workers, costs, speed) for frames in FRAMES]
            cells = [f"{step.efficiency:.2f}" + f" ({step.limit})" * (step.limit != "-") for step in steps]
            lines.append(f"| {link} | {workers} | {' | '.join(cells)} | {steps[-1].megabytes:.0f} |")
    return lines


def main() -> None:
    """Measures, and prints the tables."""
    print("| size | MB to the worker | MB back | ms handing out | ms taking in |\n|---|---|---|---|---|")
    rows = {size: costs_line(size, measured(*size)) for size in SIZES}
    print("\n".join(rows.values()))
    print("\n| workers | a step, against its windows alone |\n|---|---|")
    for workers in (1, 2, 4):
        print(f"| {workers} | {overhead(workers, rounds=6):.2f} |", flush=True)
    for size, row in rows.items():
        heads = " | ".join(f"{frames} frames" for frames in FRAMES)
        print(f"\n{size[0]}x{size[1]}\n\n| link | workers | {heads} | MB a step of {FRAMES[-1]} |")
        print("|---" * (len(FRAMES) + 3) + "|")
        print("\n".join(simulation(costs_of(row))))


if __name__ == "__main__":
    main()
