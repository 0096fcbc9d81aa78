"""Values that travel: written in several ways, refused in the sentences of prompt travel, spread over the frames."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.errors import ParamError
from motion_module.travel import parse
from motion_module.travel_values import ValueTravel, read
from tests.effort import effort


@pytest.mark.parametrize(
    "written",
    [
        "0: 1.0, 16: 0.6",
        "0:1,16:.6",
        "0: 1.0; 16: 0.6",
        "0: 1.0\n16: 0.6",
        "0: 1.0\r\n\r\n  16 : 6e-1 \r\n",
        "0: +1.0, 16: 0.60,",
        '"0": 1.0, "16": 0.6',
        '"0": "1.0", "16": "0.6"',
        "'0': '1.0', '16': '0.6'",
        '0: "1.0", 16: "0.6"',
        '"0: 1.0, 16: 0.6"',
        '{"0": 1.0, "16": 0.6}',
        '{\n"0": 1.0,\n"16": 0.6,\n}',
        "0\uff1a1.0\uff0c16\uff1a 0.6",
        "\uff10: 1.0, \uff11\uff16: 0.6",
        "00: 1.0, 016: 0.6",
        "[[0, 1.0], [16, 0.6]]",
        " [[0, 1], [16.0, 0.6]]\n",
        [[0, 1.0], [16, 0.6]],
        [(0, 1), (16, 0.6)],
    ],
)
def test_ways_to_write_it(written):
    travel = read(written)
    assert (travel.keys, travel.hold, str(travel)) == ({0: 1.0, 16: 0.6}, False, "0: 1, 16: 0.6")


@pytest.mark.parametrize(
    "written",
    ["0: 1, 16: 0.6, hold", "0: 1\n16: 0.6\nHold", '0: 1; 16: 0.6; "hold"', '[[0, 1], [16, 0.6], "hold"]', [[0, 1], [16, 0.6], "hold"], ((0, 1), (16, 0.6), "hold")],
)  # fmt: skip
def test_hold_is_the_last_item(written):
    travel = read(written)
    assert (travel.hold, str(travel)) == (True, "0: 1, 16: 0.6, hold")
    assert travel.values(18, False) == [1.0] * 16 + [0.6] * 2


@pytest.mark.parametrize("written", ["", "  ", "\n", ",;", "{}", "[]", []])
def test_nothing_is_no_travel(written):
    assert read(written) is None


def test_a_key_given_twice_counts_as_the_last(caplog):
    assert read("0: 1, 4: 2, 4: 3", "cfg_travel").keys == {0: 1, 4: 3}
    assert "cfg_travel: frame 4 appears twice; the last one counts." in caplog.text


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("8: 1, 0: 2", "frame 0 stands after frame 8; the frame numbers have to ascend"),
        ("0: 1, 0.5, 8: 2", "'0.5' stands between two keys; begin it with its frame number"),
        ("0: 1,5", "'5' is no key; a key is written as the frame, a colon, the value, as in 0: 1.0, 8: 0.6"),
        ("0.8", "'0.8' is no key"),
        ("<lora:a:1>, 0: 1", "'<lora:a:1>' is no key"),
        ("0: 1, <lora:a:1>, 8: 1", "'<lora:a:1>' is no key"),
        ("-1: 1, 8: 2", "'-1: 1' is no key"),
        ("[0, 1.0], [16, 0.6]", r"'\[0' is no key"),
        ("0: 1, 8:", "frame 8 has no value; write a number after the colon"),
        ("0: 1, 8: high", "frame 8 has 'high', which is no number"),
        ("0: nan", "frame 0 has 'nan', which is no number"),
        ("0: 1_0", "frame 0 has '1_0', which is no number"),
        ("0: 1 8: 2", "frame 0 has '1 8: 2', which is no number"),
        ("hold", "hold stands alone; write keys before it"),
        ("0: 1, hold, 8: 2", "hold is not the last item"),
        ("hold, 8: 2", "hold is not the last item"),
        ("[[0, 1], [8]]", r"\[8\] is no pair of a frame's number and its value, as in \[\[0, 1.0\], \[8, 0.6\]\]"),
        ([[0, 1], 8], "8 is no pair"),
        ([[0, True]], r"\[0, true\] is no pair"),
        ([["0", 1]], "is no pair"),
        ([[-1, 1]], "is no pair"),
        ([[0.5, 1]], "is no pair"),
        ([[0, float("nan")]], "is no pair"),
        ([[0, 10**400]], "is no pair"),
        ([{"0": 1}], "is no pair"),
        ([[8, 1], [0, 1]], "frame 0 stands after frame 8"),
        ([["hold"], [0, 1]], "is no pair"),
        (["hold", [0, 1]], "hold is not the last item"),
    ],
)
def test_what_cannot_be_is_a_sentence(written, sentence):
    with pytest.raises(ParamError, match=sentence):
        read(written)


@pytest.mark.parametrize(("text", "values"), [("0: {}\n16: {}", (1, 2)), ("8: {}\n0: {}", (1, 2)), ("0: {}\nx\n4: {}", (1, 2))])  # fmt: skip
def test_the_sentences_are_those_of_prompt_travel(text, values):
    """Of wrong order and of keys beyond the last frame."""
    with pytest.raises(ParamError) as of_prompts:
        parse(text.format("a", "b"), 16, False)
    try:
        fault = read(text.format(*values)).fault(16)
    except ParamError as of_values:
        fault = of_values.sentence
    assert of_prompts.value.sentence == f"Prompt travel: {fault}"


def test_only_frames_beyond_the_end_are_wrong_in_a_shorter_video():
    travel = read("0: 1, 16: 0.6")
    assert travel.fault(17) == ""
    assert travel.fault(16) == "frame 16 is beyond the last frame, 15, of 16 frames"


def test_linear_between_keys_and_still_outside_of_them():
    assert read("2: 1, 6: 3, 8: 0").values(10, closed=False) == [1, 1, 1, 1.5, 2, 2.5, 3, 1.5, 0, 0]


def test_closed_the_last_key_leads_back_to_the_first():
    assert read("2: 1, 6: 5").values(8, closed=True) == [3, 2, 1, 2, 3, 4, 5, 4]
    assert read("2: 1, 6: 5, hold").values(8, closed=True) == [5, 5, 1, 1, 1, 1, 5, 5]


def test_one_key_is_constant():
    for closed in (False, True):
        assert read("3: 0.7").values(6, closed) == [0.7] * 6


KEYS = st.dictionaries(st.integers(0, 40), st.floats(0, 30), min_size=1)


@given(KEYS, st.booleans(), st.booleans())
def test_what_is_written_reads_the_same(keys, hold, closed):
    travel = ValueTravel(dict(sorted(keys.items())), hold)
    assert read(str(travel)) == travel
    values = travel.values(41, closed)
    assert all(values[frame] == value for frame, value in keys.items()), "a key's own frame has its value, bit for bit"
    assert min(keys.values()) <= min(values) + 1e-9 and max(values) <= max(keys.values()) + 1e-9
    assert set(values) <= set(keys.values()) or not hold


@given(KEYS, st.floats(0, 30))
def test_a_constant_is_the_same_number_in_each_frame(keys, value):
    assert set(ValueTravel(dict.fromkeys(sorted(keys), value)).values(41, True)) == {value}


@given(st.text(alphabet="0123456789:.,;\"'{}[]()#<>hold e+-\n\ud800\uff1a", max_size=60))
def test_any_text_is_a_travel_or_none_or_refused(text):
    with contextlib.suppress(ParamError):
        travel = read(text)
        assert travel is None or len(travel.values(16, False)) == 16


@pytest.mark.parametrize(
    "text", ["0: " + "1" * 200_000 + "x", "[" * 200_000, "0" * 200_000 + ":", "0: 1," * 20_000, ": " * 100_000]
)
def test_long_texts_are_read_at_once(text):
    with effort() as spent, contextlib.suppress(ParamError):
        read(text)
    assert spent.units < 40
