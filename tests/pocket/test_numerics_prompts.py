"""The prompt languages, as tables; the schedules' table has the WebUI's own examples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules import prompt_parser
from modules.prompt_parser import (
    ComposableScheduledPromptConditioning,
    MulticondLearnedConditioning,
    ScheduledPromptConditioning,
    SdConditioning,
)


def schedule(prompt, steps=10, hires_steps=None, old=False):
    return prompt_parser.get_learned_conditioning_prompt_schedules([prompt], steps, hires_steps, old)[0]


def every_step(*texts, steps=10):
    return [[step, texts[(step - 1) % len(texts)]] for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("test", [[10, "test"]]),
        ("", [[10, ""]]),
        ("a [b:3]", [[3, "a "], [10, "a b"]]),
        ("a [b: 3 ]", [[3, "a "], [10, "a b"]]),
        ("a [[[b]]:2]", [[2, "a "], [10, "a [[b]]"]]),
        ("[(a:2):3]", [[3, ""], [10, "(a:2)"]]),
        ("a [b : c : 1] d", [[1, "a b  d"], [10, "a  c  d"]]),
        ("a[b:[c:d:2]:1]e", [[1, "abe"], [2, "ace"], [10, "ade"]]),
        ("a [unbalanced", [[10, "a [unbalanced"]]),
        ("a [b:.5] c", [[5, "a  c"], [10, "a b c"]]),
        ("a [b::0.3] c", [[3, "a b c"], [10, "a  c"]]),
        ("((a][:b:c [d:3]", [[3, "((a][:b:c "], [10, "((a][:b:c d"]]),
        ("[a|(b:1.1)]", every_step("a", "(b:1.1)")),
        ("[fe|]male", every_step("female", "male")),
        ("[fe|||]male", every_step("female", "male", "male", "male")),
        ("photo: [cat:dog:0.5], smile :)", [[5, "photo: cat, smile :)"], [10, "photo: dog, smile :)"]]),
        ("[a:b:0] [c:d:99]", [[10, "b c"]]),
        ("[a:b:-2]", [[10, "b"]]),
        ("a | [b:c:0.5]", [[10, "a | [b:c:0.5]"]]),
        ("\\[b:c:0.5]", [[10, "\\[b:c:0.5]"]]),
        ("[b\n:c:0.5]", [[5, "b\n"], [10, "c"]]),
    ],
)
def test_schedule(prompt, expected):
    assert schedule(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "arguments", "expected"),
    [
        ("a [b:.5] c", (10, 10), [[10, "a b c"]]),
        ("a [b:1.5] c", (10, 10), [[5, "a  c"], [10, "a b c"]]),
        ("a [b:12] c", (10, 6), [[2, "a  c"], [6, "a b c"]]),
        ("[a:b:0.5]", (10, 6, True), [[5, "a"], [10, "b"]]),
        ("[a:b:1.5]", (10, None, True), [[1, "a"], [10, "b"]]),
    ],
)
def test_schedule_of_second_pass_and_old_way(prompt, arguments, expected):
    assert schedule(prompt, *arguments) == expected


@given(st.text(alphabet="ab:|[]()\\0.5 \n", max_size=30))
def test_every_schedule_ends_with_the_last_step(prompt):
    ends = [end for end, _ in schedule(prompt, 7)]
    assert ends == sorted(set(ends))
    assert ends[-1] == 7
    assert ends[0] >= 1


@pytest.mark.parametrize("depth", [30, 5000])
def test_unmatched_brackets_stay_cheap_and_text(depth):
    prompt = "[" * depth + "a"
    assert schedule(prompt) == [[10, prompt]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal text", [["normal text", 1.0]]),
        ("an (important) word", [["an ", 1.0], ["important", 1.1], [" word", 1.0]]),
        ("(unbalanced", [["unbalanced", 1.1]]),
        ("un)balanced]", [["un)balanced]", 1.0]]),
        ("[less", [["less", 1 / 1.1]]),
        (r"\(literal\] \\ \x", [["(literal] \\ x", 1.0]]),
        ("(unnecessary)(parens)", [["unnecessaryparens", 1.1]]),
        ("(a: 1.5 )", [["a", 1.5]]),
        ("(a:-.5)", [["a", -0.5]]),
        ("a:1.5)", [["a:1.5)", 1.0]]),
        ("a BREAK b", [["a", 1.0], ["BREAK", -1], ["b", 1.0]]),
        ("BREAKFAST", [["BREAKFAST", 1.0]]),
        ("", [["", 1.0]]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ["a ", 1.0],
                ["house", 1.3 * 1.1 * 1.1],
                [" ", 1.1],
                ["on", 1.0],
                [" a ", 1.1],
                ["hill", 0.55],
                [", sun, ", 1.1],
                ["sky", 1.1**4],
                [".", 1.1],
            ],
        ),
    ],
)
def test_attention(text, expected):
    parsed = prompt_parser.parse_prompt_attention(text)
    assert [part[0] for part in parsed] == [part[0] for part in expected]
    assert [part[1] for part in parsed] == pytest.approx([part[1] for part in expected])


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"1\.2\.3"):
        prompt_parser.parse_prompt_attention("(a:1.2.3)")


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a cat AND a dog :0.7", [("a cat", 1.0), (" a dog", 0.7)]),
        ("a:1:2 AND b:-.5 AND c: 3.", [("a:1", 2.0), (" b", -0.5), (" c", 3.0)]),
        ("sAND", [("sAND", 1.0)]),
        ("a AND a", [("a", 1.0), (" a", 1.0)]),
    ],
)
def test_and(prompt, parts):
    indexes, texts, lookup = prompt_parser.get_multicond_prompt_list(SdConditioning([prompt]))
    assert [(texts[index], weight) for index, weight in indexes[0]] == parts
    assert lookup == {text: place for place, text in enumerate(texts)}


class CountingModel:
    """Encodes a text as its length; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def get_learned_conditioning(self, texts):
        self.asked.append((list(texts), texts.is_negative_prompt, texts.width))
        return torch.tensor([[[float(len(text))]] for text in texts])


def test_equal_prompts_are_encoded_once_and_keep_size_and_side():
    model = CountingModel()
    prompts = SdConditioning(["[a:bcd:0.5]", "xy", "[a:bcd:0.5]"], is_negative_prompt=True, width=64)
    first, second, third = prompt_parser.get_learned_conditioning(model, prompts, 10)
    assert model.asked == [(["a", "bcd"], True, 64), (["xy"], True, 64)]
    assert [entry.end_at_step for entry in first] == [5, 10]
    assert third is first
    assert second[0].cond.item() == 2


def test_conditionings_of_a_step():
    def entry(end, value, length=1):
        return ScheduledPromptConditioning(end, torch.full((length, 2), float(value)))

    schedules = [[entry(5, 1), entry(10, 2)], [entry(10, 3)]]
    values = {step: prompt_parser.reconstruct_cond_batch(schedules, step)[:, 0, 0].tolist() for step in (0, 5, 6, 10)}
    assert values == {0: [1, 3], 5: [1, 3], 6: [2, 3], 10: [2, 3]}
    parts = [
        [
            ComposableScheduledPromptConditioning([entry(10, 1, 3)], 0.5),
            ComposableScheduledPromptConditioning([entry(10, 2)]),
        ],
        [ComposableScheduledPromptConditioning([entry(10, 3)])],
    ]
    layout, rows = prompt_parser.reconstruct_multicond_batch(MulticondLearnedConditioning((2,), parts), 0)
    assert layout == [[(0, 0.5), (1, 1.0)], [(2, 1.0)]]
    assert rows.shape == (3, 3, 2)  # the shorter ones repeat their last vector
    assert rows[:, -1, 0].tolist() == [1, 2, 3]


def test_conditionings_that_are_dicts():
    def entry(value):
        cond = {"crossattn": torch.full((77, 2), float(value)), "vector": torch.full((5,), float(value))}
        return ScheduledPromptConditioning(10, cond)

    batch = prompt_parser.reconstruct_cond_batch([[entry(1)], [entry(2)]], 0)
    assert batch.shape == (2, 77, 2)
    assert batch["vector"].shape == (2, 5)
    parts = [[ComposableScheduledPromptConditioning([entry(value)])] for value in (1, 2)]
    _, rows = prompt_parser.reconstruct_multicond_batch(MulticondLearnedConditioning((2,), parts), 0)
    assert rows["vector"][:, 0].tolist() == [1, 2]
