"""How much work something is, on any machine: its CPU time against that of a fixed piece of work, measured beside it.

A limit in seconds fails on a slow machine; a limit in these units fails only where more is done.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

LOOPS = 200_000


def cpu_seconds() -> float:
    """CPU time of this process, and of the processes that it has started and waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(times.ru_utime + times.ru_stime for times in both)


def unit() -> float:
    """CPU seconds of the fixed piece of work: 0.05 s where Python 3.11 adds 20 million numbers in a second.

    It makes nothing that the garbage collector looks at: what else the process holds does not count.
    """
    began = cpu_seconds()
    texts = {}
    for number in range(LOOPS):
        texts[str(number)] = number * number % 7919
    sorted(texts, reverse=True)
    return cpu_seconds() - began


class Effort:
    """What a piece of work took, in units."""

    units = 0.0


@contextmanager
def effort() -> Iterator[Effort]:
    """Measures its block: `units` of the result is set when the block has ended, in whatever way."""
    found, before = Effort(), unit()
    began = cpu_seconds()
    try:
        yield found
    finally:
        spent = cpu_seconds() - began
        found.units = spent / max(before, unit())  # a machine that others use is slow now and then
