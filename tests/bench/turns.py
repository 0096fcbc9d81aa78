"""Several things timed turn by turn, so that each turn finds the same machine."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)


def seconds_of_turns(steps: Mapping[Name, Callable[[], object]], turns: int) -> dict[Name, list[float]]:
    """Processor seconds of each step in each of so many turns, after a first one that warms up."""
    spent: dict[Name, list[float]] = {name: [] for name in steps}
    with torch.inference_mode():
        for turn in range(turns + 1):
            for name, step in steps.items():
                start = time.process_time()
                step()
                if turn:
                    spent[name].append(time.process_time() - start)
    return spent
