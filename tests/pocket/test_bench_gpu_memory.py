"""What is said of graphics memory is what `tests/bench/bench_gpu_memory.py` counts; each part of the setting counts less."""

import itertools
import sys
from pathlib import Path

import pytest

from motion_module.core.module import pieces
from motion_module.core.module.arch import V1

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import bench_gpu_memory as bench  # noqa: E402
from gpu_memory import REST, decoding, sampling  # noqa: E402

SIZE = (512, 512)
OF_SETTING = [*bench.STEPS.values()][:6]


README = (ROOT / "README.md").read_text("utf8")


@pytest.mark.parametrize(("card", "size", "way", "words"), [row for row in bench.CARDS if row[1] == SIZE])
def test_the_readmes_cards_are_those_that_are_counted(card, size, way, words):
    """Larger pictures are counted by the same functions, in more time."""
    takes = bench.largest(way, *size)
    assert takes < card - 0.6
    row = bench.line(["", "512x512", 16, way.windows, words, f"{takes:.1f} GB"]).removeprefix("|")
    assert row in README, "run: python tests/bench/bench_gpu_memory.py"


def test_the_readme_has_a_row_for_each_way_and_card():
    for words in bench.STEPS:
        assert f"\n| {words} | " in README
    for card, size, way, words in bench.CARDS:
        assert f" {size[0]}x{size[1]} | 16 | {way.windows} | {words} ".replace("|  ", "| ") in README, card


def test_the_readmes_ways_are_those_that_are_counted(picked):
    for words, way in picked(bench.STEPS.items(), 3):
        assert f"| {words} | {sampling(way, 16, *SIZE):.2f} | " in README, "run: python tests/bench/bench_gpu_memory.py"


def test_each_part_of_the_setting_takes_less_than_those_before_it():
    counted = [sampling(way, 16, *SIZE) for way in OF_SETTING]
    assert OF_SETTING[-1] == bench.LEAST and all(less < more for more, less in itertools.pairwise(counted))


def test_the_setting_takes_three_fifths_and_beside_the_weights_less_than_a_third():
    assert sampling(bench.LEAST, 16, *SIZE) < 0.6 * sampling(bench.PLAIN, 16, *SIZE)
    in_turn, weights = bench.STEPS["motion layers on the card in turn"], sampling(bench.LEAST, 1, 64, 64)
    assert sampling(bench.LEAST, 16, *SIZE) - weights < 0.55 * (sampling(in_turn, 16, *SIZE) - weights)
    assert sampling(bench.LEAST, 16, *SIZE) - weights < 0.3 * (sampling(bench.PLAIN, 16, *SIZE) - weights)


def test_where_norms_go_over_frames_it_takes_less_too():
    apart, least = (sampling(way, 16, *SIZE, V1) for way in (bench.APART, bench.LEAST))
    assert sampling(bench.LEAST, 16, *SIZE) < least < 0.85 * apart


def test_what_is_not_done_would_take_no_less(monkeypatch):
    least = sampling(bench.LEAST, 16, *SIZE)
    assert sampling(bench.STEPS["the setting, and attention *split*"], 16, *SIZE) >= least
    monkeypatch.setattr(pieces, "_SMALL", pieces._SMALL // 2)
    assert sampling.__wrapped__(bench.LEAST, 16, *SIZE) > least - 0.01


def test_the_floor_is_that_of_decoding():
    floor = bench.STEPS["the setting, `--lowvram`, FP8 weight"]
    assert sampling(floor, 16, *SIZE) - REST < 0.6
    assert bench.largest(floor, *SIZE) == decoding(floor, *SIZE) < 2


@pytest.mark.parametrize("kept", ["medvram", "lowvram"])
def test_the_webuis_own_ways_add_to_it(kept):
    alone, least = bench.STEPS[f"`--{kept}` alone"], bench.STEPS[f"the setting, `--{kept}`"]
    assert sampling(least, 16, *SIZE) < 0.6 * sampling(alone, 16, *SIZE)
