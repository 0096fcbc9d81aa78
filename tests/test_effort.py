"""A limit in units of effort lets a slow machine pass and a quadratic reader fail."""

import contextlib
import subprocess
import sys

from tests.effort import effort

TEXTS = [str(number) for number in range(25_000)]


def test_work_that_grows_with_the_square_takes_far_more_units():
    with effort() as once:
        assert len(set(TEXTS)) == len(TEXTS)
    with effort() as for_each:
        found = []
        for text in TEXTS:
            if text not in found:
                found.append(text)
    assert once.units < 1 < 5 < for_each.units


def test_what_a_child_process_does_counts():
    with effort() as child:
        subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    assert child.units > 1


def test_a_block_that_ends_in_an_error_is_measured():
    with contextlib.suppress(ValueError), effort() as failed:
        sum(range(1_000_000))
        raise ValueError
    assert failed.units > 0
