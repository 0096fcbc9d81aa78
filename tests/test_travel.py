import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.errors import ParamError
from motion_module.travel import outline, parse
from motion_module.travel_lines import looks_like_key
from tests.effort import effort


def test_a_plain_prompt_is_no_travel():
    assert parse("a cat, (red:1.2), [a:b:0.5]\n2nd line without a colon after a number", 16, False) is None


def test_head_text_and_tail_are_joined():
    travel = parse("head\nmore head\n0: closed mouth\n8: open mouth\ntail", 16, False)
    assert travel.keys == {0: "head, more head, closed mouth, tail", 8: "head, more head, open mouth, tail"}


@pytest.mark.parametrize(
    "text", ["0:smile\n8:frown", "  0: smile\n\t8 : frown  ", "0: smile\r\n8: frown\r\n", "0: smile\n\n8: frown"]
)
def test_tolerant(text):
    assert parse(text, 16, False).keys == {0: "smile", 8: "frown"}


def test_a_key_given_twice_counts_as_the_last(caplog):
    assert parse("0: a\n4: b\n4: c", 16, False).keys == {0: "a", 4: "c"}
    assert "frame 4 appears twice" in caplog.text


def test_and_may_stand_in_every_key():
    assert len(parse("head\n0: a AND b:0.5\n8: c AND d\nBRAND", 16, False).keys) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0: a\n16: b", "frame 16 is beyond the last frame, 15"),
        ("8: a\n0: b", "frame 0 stands after frame 8"),
        ("0: a\n8:", "frame 8 has no text"),
        ("0: a\nsomething\n8: b", "'something' stands between two keys"),
        ("0: a AND b\n4: c AND d\n8: e", "AND joins 2 prompts at frame 0, but 1 at frame 8"),
    ],
)
def test_what_cannot_be_is_refused(text, sentence):
    with pytest.raises(ParamError, match=sentence):
        parse(text, 16, False)


def test_the_way_between_keys_is_linear_in_frames():
    mixes = parse("0: a\n4: b\n6: c", 8, False).mixes()
    assert [tuple(p) for p in mixes] == [
        (0, 4, 0.0), (0, 4, 0.25), (0, 4, 0.5), (0, 4, 0.75), (4, 6, 0.0), (4, 6, 0.5), (6, 6, 0.0), (6, 6, 0.0),
    ]  # fmt: skip


def test_frames_before_the_first_key_use_it():
    travel = parse("3: a\n5: b", 6, False)
    assert travel.prompts() == ["a", "a", "a", "a", "a", "b"]
    assert [p.share for p in travel.mixes()[:3]] == [0, 0, 0]


def test_closed_the_last_key_leads_back_to_the_first():
    mixes = parse("2: a\n6: b", 8, True).mixes()
    assert tuple(mixes[6]) == (6, 2, 0.0)
    assert tuple(mixes[7]) == (6, 2, 0.25)
    assert tuple(mixes[0]) == (6, 2, 0.5)
    assert tuple(mixes[1]) == (6, 2, 0.75)
    assert tuple(mixes[2]) == (2, 6, 0.0)


def test_one_key_stays_even_when_closed():
    assert parse("0: a", 4, True).prompts() == ["a"] * 4


@given(st.sets(st.integers(0, 30), min_size=1), st.booleans())
def test_at_its_own_frame_every_key_counts_alone(keys, closed):
    text = "\n".join(f"{key}: text {key}" for key in sorted(keys))
    travel = parse(text, 31, closed)
    for key in keys:
        assert travel.mixes()[key].left == key and travel.mixes()[key].share == 0
    for mix in travel.mixes():
        assert 0 <= mix.share < 1 and {mix.left, mix.right} <= keys


@pytest.mark.parametrize(
    "text",
    [
        '"0": "smile",\n"8": "frown"',
        '{\n"0": "smile",\n"8": "frown",\n}',
        "'0': 'smile',\n'8': 'frown'",
        '"0": smile\n"8": frown',
        "0：smile\n8： frown",
        "０: smile\n８: frown",
        "00: smile\n008: frown",
        "0: smile\n<lora:x:1>\n8: frown",
    ],
)
def test_other_ways_to_write_keys(text):
    assert parse(text, 16, False).keys == {0: "smile", 8: "frown"}


def test_json_texts_keep_their_signs():
    assert parse('"0": "a \\"b\\", c\\u00e9",\n"1": "d"', 2, False).keys[0] == 'a "b", cé'


RATIOS = [
    "16:9",
    "  16:9  ",
    "16:9 wide",
    "16:9, wide",
    "3:1 ratio",
    "12:30 pm",
    "12:30pm",
    "12:30 AM",
    "12:30am,",
    "12:30.",
]


@pytest.mark.parametrize("line", RATIOS)
@pytest.mark.parametrize("around", ["{}", "a clock\n{}", "{}\na clock"])
def test_a_ratio_or_a_time_of_day_is_no_travel(line, around):
    assert parse(around.format(line), 4, False) is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("0:1girl", {0: "1girl"}),
        ("0: 1girl", {0: "1girl"}),
        ("0: 1 girl", {0: "1 girl"}),
        ("0:1 girl\n2:2 girls", {0: "1 girl", 2: "2 girls"}),
        ("0:2.5d style", {0: "2.5d style"}),
        ("head\n0:1boy", {0: "head, 1boy"}),
        ('"0":1 girl', {0: "1 girl"}),
    ],
)
def test_a_number_after_the_colon_may_be_a_key(text, keys):
    assert parse(text, 4, False).keys == keys


@pytest.mark.parametrize(
    "line", ["[0]: a", "frame 0: a", "0%: a", "0.0: a", "-1: a", "0-8: a", "(0): a", "Frame 8 : a", "f0: a", '"0: a"']
)
def test_what_looks_like_a_key(line):
    assert looks_like_key(line) and parse(line, 4, False) is None


@pytest.mark.parametrize(
    "line",
    ["0: a", "16:9", "(red:1.2)", "[a:b:0.5]", "[a:0.5]", "4k: sharp", "2 girls: happy", "a: b", "at night: stars", "", "(1:1.2)", "<lora:x:1>", "1girl, 20yo: x"],
)  # fmt: skip
def test_what_does_not_look_like_a_key(line):
    assert not looks_like_key(line)


@given(st.text(alphabet="0123456789:： .,\"'{}[]()#<>abAND\n\ud800", max_size=60))
def test_any_text_is_a_travel_or_none_or_refused(text):
    try:
        travel = parse(text, 16, False)
    except ParamError:
        return
    assert travel is None or (travel.keys and len(travel.prompts()) == 16)


@pytest.mark.parametrize(
    "line",
    ["0: a" + " " * 200_000 + "b", "[" * 200_000, "0" * 200_000 + ":", "0" + "," * 200_000, "0: " + "<" * 100_000],
)
def test_long_lines_are_read_at_once(line):
    with effort() as spent:
        with contextlib.suppress(ParamError):
            parse(line, 16, False)
        looks_like_key(line)
    assert spent.units < 40


def test_the_outline_has_every_fault_beside_its_line():
    prompt = "best quality\n0: a cat\nand a hat\n8: a dog\n\n4: a cow AND grass\n99: a fox\n12:\nsunlight"
    assert [tuple(line) for line in outline(prompt, 16)] == [
        ("0: a cat", (0, "a cat"), ""),
        ("and a hat", None, "'and a hat' stands between two keys; begin it with its frame number"),
        ("8: a dog", (8, "a dog"), ""),
        ("", None, ""),
        (
            "4: a cow AND grass",
            (4, "a cow AND grass"),
            "frame 4 stands after frame 8; the frame numbers have to ascend",
        ),
        ("99: a fox", (99, "a fox"), "frame 99 is beyond the last frame, 15, of 16 frames"),
        ("12:", (12, ""), "frame 12 has no text; write what it shows after the colon"),
    ]
    with pytest.raises(ParamError, match="Prompt travel: 'and a hat' stands between two keys"):
        parse(prompt, 16, closed=False)


def test_the_outline_of_what_does_not_travel_is_empty():
    assert outline("a cat\n16:9", 16) == []
