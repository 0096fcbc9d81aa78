import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.errors import ParamError
from motion_module.travel import parse


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
    assert "frame 4 is given twice" in caplog.text


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
    places = parse("0: a\n4: b\n6: c", 8, False).places()
    assert [tuple(p) for p in places] == [
        (0, 4, 0.0), (0, 4, 0.25), (0, 4, 0.5), (0, 4, 0.75), (4, 6, 0.0), (4, 6, 0.5), (6, 6, 0.0), (6, 6, 0.0),
    ]  # fmt: skip


def test_frames_before_the_first_key_use_it():
    travel = parse("3: a\n5: b", 6, False)
    assert travel.prompts() == ["a", "a", "a", "a", "a", "b"]
    assert [p.share for p in travel.places()[:3]] == [0, 0, 0]


def test_closed_the_last_key_leads_back_to_the_first():
    places = parse("2: a\n6: b", 8, True).places()
    assert tuple(places[6]) == (6, 2, 0.0)
    assert tuple(places[7]) == (6, 2, 0.25)
    assert tuple(places[0]) == (6, 2, 0.5)
    assert tuple(places[1]) == (6, 2, 0.75)
    assert tuple(places[2]) == (2, 6, 0.0)


def test_one_key_stays_even_when_closed():
    assert parse("0: a", 4, True).prompts() == ["a"] * 4


@given(st.sets(st.integers(0, 30), min_size=1), st.booleans())
def test_at_its_own_frame_every_key_counts_alone(keys, closed):
    text = "\n".join(f"{key}: text {key}" for key in sorted(keys))
    travel = parse(text, 31, closed)
    for key in keys:
        assert travel.places()[key].left == key and travel.places()[key].share == 0
    for place in travel.places():
        assert 0 <= place.share < 1 and {place.left, place.right} <= keys
