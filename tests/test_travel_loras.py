"""LoRA in the keys of a prompt: the weight of each in each frame."""

import pytest

from motion_module.travel_loras import lora_travels


def weights(prompt, closed=False, hold=False, frames=5):
    return {name: list(travel.weights) for name, travel in lora_travels(prompt, frames, closed, hold).items()}


def test_a_key_that_does_not_name_it_has_nought():
    assert weights("0: a\n4: b <lora:pan:1>") == {"pan": [0, 0.25, 0.5, 0.75, 1]}
    assert weights("0: a <lora:pan:1>\n2: b\n4: c <lora:zoom:0.5>") == {
        "pan": [1, 0.5, 0, 0, 0],
        "zoom": [0, 0, 0, 0.25, 0.5],
    }


def test_hold_and_closed_loops_as_for_prompts():
    assert weights("0: a <lora:pan:1>\n3: b", hold=True) == {"pan": [1, 1, 1, 0, 0]}
    assert weights("1: a <lora:pan:1>\n3: b", closed=True) == {"pan": [2 / 3, 1, 0.5, 0, 1 / 3]}


def test_what_stands_outside_of_keys_counts_in_all_frames():
    assert weights("a <lora:pan:1>\n0: b\n4: c") == {}
    assert weights("<lora:pan:0.5>\n0: a\n4: b <lora:pan:0.25>\n<lora:zoom:1>") == {
        "pan": [0.5, 0.5625, 0.625, 0.6875, 0.75]
    }
    assert weights("a cat <lora:pan:1>") == {}


@pytest.mark.parametrize(
    ("tag", "weight"),
    [
        ("<lora:pan>", 1),
        ("<lora:pan:-0.5>", -0.5),
        ("<lora:pan:0:0.75>", 0.75),
        ("<lora:pan:te=0.2:unet=0.75>", 0.75),
        ("<lora:pan:te=0.25>", 0.25),
        ("<lora:pan:0.5><lora:pan:0.25>", 0.75),
    ],
)
def test_weights_as_the_host_reads_them(tag, weight):
    assert weights(f"0: a {tag}\n4: b {tag}") == {"pan": [weight] * 5}


@pytest.mark.parametrize("tag", ["<lora:pan:much>", "<lora:pan:nan>", "<lora:pan:>", "<lyco:pan:1>", "<lora:>"])
def test_what_is_no_weight_is_left_to_the_host(tag):
    assert weights(f"0: a {tag}\n4: b <lora:zoom:1>") == {"zoom": [0, 0.25, 0.5, 0.75, 1]}
    assert "pan" not in weights(f"0: a {tag}\n4: b <lora:pan:1>") or tag in ("<lyco:pan:1>", "<lora:>", "<lora:pan:>")


def test_one_weight_in_each_key_is_constant():
    travel = lora_travels("0: a <lora:pan:0.5>\n4: b <lora:pan:0.5>", 5, False, False)["pan"]
    assert travel.is_constant and travel.named == {0.5}
    travel = lora_travels("0: a <lora:pan:0.5>\n4: b <lora:pan:1>", 5, False, False)["pan"]
    assert not travel.is_constant and travel.named == {0.5, 1.0}
