"""The simulation of many workers goes by its rules, and docs/many-machines.md has what it says."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import bench_many as bench  # noqa: E402

DOCS = (ROOT / "docs" / "many-machines.md").read_text("utf8")
NOTHING, FAST = bench.Costs(0, 0, 0, 0), 1e9


@pytest.mark.parametrize(("windows", "workers", "seconds"), [(1, 4, 1), (5, 4, 1), (6, 4, 2), (30, 4, 6), (31, 2, 11)])
def test_where_nothing_costs_anything_each_makes_as_many(windows, workers, seconds):
    step = bench.simulated(windows, workers, NOTHING, FAST)
    assert step.efficiency == pytest.approx(windows / ((workers + 1) * seconds))
    assert step.limit == ("windows" if step.efficiency < 0.9 else "-")


def test_a_slow_link_is_a_limit_that_more_workers_do_not_move():
    costs = bench.Costs(1e6, 1e6, 0, 0)
    steps = [bench.simulated(600, workers, costs, 10e6) for workers in (16, 32, 64)]  # ten windows a second
    assert [step.limit for step in steps] == ["the link"] * 3
    seconds = [600 / ((workers + 1) * step.efficiency) for workers, step in zip((16, 32, 64), steps, strict=True)]
    assert max(seconds) / min(seconds) < 1.05


@pytest.mark.parametrize(("costs", "limit"), [((0, 0, 0.2, 0), "handing out"), ((0, 0, 0, 0.2), "blending")])
def test_what_this_process_does_alone_is_a_limit(costs, limit):
    assert bench.simulated(600, 32, bench.Costs(*costs), FAST).limit == limit


def test_only_what_workers_make_goes_over_the_link():
    costs = bench.Costs(2e6, 1e6, 0, 0)
    assert bench.simulated(30, 4, costs, FAST).megabytes == pytest.approx(24 * 3, rel=0.1)


def test_the_documents_tables_are_what_the_simulation_makes_of_the_costs_there():
    for size in bench.SIZES:
        (costs,) = [line for line in DOCS.splitlines() if line.startswith(f"| {size[0]}x{size[1]} | ")]
        assert "\n".join(bench.simulation(bench.costs_of(costs))) in DOCS, "run: python tests/bench/bench_many.py"


def test_a_windows_costs_are_measured():
    costs = bench.measured(64, 64, turns=2)
    latents = 2 * 16 * 4 * 8 * 8 * 4
    assert latents < costs.down < latents + 2000 and costs.down + 2 * 77 * 768 * 4 < costs.up < costs.down + 600_000
    assert costs.hand > 0 and costs.blend > 0
    assert bench.costs_of(bench.costs_line((64, 64), costs)).up == pytest.approx(costs.up, rel=0.05)
