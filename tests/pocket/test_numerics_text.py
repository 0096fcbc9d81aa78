"""CLIP's tokens, chunks and weights, with the real tokeniser and an encoder that gives the token ids back."""

from types import SimpleNamespace

import pytest
import torch

from modules import sd_emphasis, sd_hijack, sd_text_encoder, shared
from modules.sd_hijack_clip import FrozenCLIPEmbedderWithCustomWords

START, END, COMMA = 49406, 49407, 267


class IdsAsStates(torch.nn.Module):
    """Stands for the text transformer: its state for a token is the token's id, less one for each layer skipped."""

    def __init__(self):
        super().__init__()
        self.text_model = SimpleNamespace(final_layer_norm=lambda states: states * 10)

    def forward(self, input_ids, output_hidden_states):
        states = input_ids.unsqueeze(-1).repeat(1, 1, 4).float()
        hidden = [states - 2, states - 1, states] if output_hidden_states else None
        return SimpleNamespace(last_hidden_state=states, hidden_states=hidden)


@pytest.fixture(scope="module")
def encoder():
    wrapped = SimpleNamespace(tokenizer=sd_text_encoder.make_tokenizer(), transformer=IdsAsStates())
    return FrozenCLIPEmbedderWithCustomWords(wrapped, sd_hijack.model_hijack)


@pytest.fixture
def option(monkeypatch):
    def change(**values):
        for name, value in values.items():
            monkeypatch.setitem(shared.opts.data, name, value)

    change(emphasis="Original", comma_padding_backtrack=20, CLIP_stop_at_last_layers=1)
    return change


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a cat, walking", [320, 2368, COMMA, 3941]),
        ("A  Cat", [320, 2368]),
        ("", []),
        ("café", [15304]),
        ("xyzzyq", None),
    ],
)
def test_tokens_of_clip(encoder, text, ids):
    found = encoder.tokenize([text])[0]
    assert len(encoder.tokenizer.get_vocab()) == 49408
    if ids is None:
        assert len(found) > 1  # an unknown word falls into pieces
        assert encoder.tokenizer.decode(found).strip() == text
    else:
        assert found == ids


@pytest.mark.parametrize(
    ("words", "chunks", "room"), [(0, 1, 75), (1, 1, 75), (75, 1, 75), (76, 2, 150), (151, 3, 225)]
)
def test_chunks_of_75(encoder, option, words, chunks, room):
    found, count = encoder.tokenize_line(" ".join(["cat"] * words))
    assert count == words
    assert [len(chunk.tokens) for chunk in found] == [77] * chunks == [len(chunk.multipliers) for chunk in found]
    assert all(chunk.tokens[0] == START and chunk.tokens[-1] == END for chunk in found)
    assert sum(chunk.tokens.count(2368) for chunk in found) == words
    assert encoder.get_target_prompt_token_count(count) == room
    assert encoder(["cat " * words]).shape == (1, 77 * chunks, 4)


def test_a_group_of_words_moves_on_whole_from_its_comma(encoder, option):
    prompt = " ".join(["cat"] * 70) + ", " + " ".join(["dog"] * 10)
    first, second = encoder.tokenize_line(prompt)[0]
    assert first.tokens[71] == COMMA
    assert first.tokens[72:] == [END] * 5
    assert second.tokens[1:12] == [1929] * 10 + [END]
    option(comma_padding_backtrack=0)
    assert encoder.tokenize_line(prompt)[0][0].tokens[72:] == [1929] * 4 + [END]


def test_a_comma_too_far_back_moves_nothing(encoder, option):
    prompt = " ".join(["cat"] * 40) + ", " + " ".join(["dog"] * 40)
    assert encoder.tokenize_line(prompt)[0][0].tokens[75] == 1929


def test_break_begins_a_chunk(encoder, option):
    first, second = encoder.tokenize_line("cat BREAK dog")[0]
    assert first.tokens[1:3] == [2368, END]
    assert second.tokens[1:3] == [1929, END]
    assert encoder.tokenize_line("cat BREAK dog")[1] == 76


def test_weights_stay_with_their_words(encoder, option):
    chunk = encoder.tokenize_line("cat (dog:1.5) cat")[0][0]
    assert chunk.multipliers[:5] == [1.0, 1.0, 1.5, 1.0, 1.0]


@pytest.mark.parametrize("mode", ["Original", "No norm", "Ignore", "None"])
def test_emphasis(encoder, option, mode):
    option(emphasis=mode)
    sd_hijack.model_hijack.clear_comments()
    states = encoder(["cat (dog:2)"])[0, :, 0]
    plain = encoder(["cat dog"])[0, :, 0]
    noted = sd_hijack.model_hijack.extra_generation_params.get("Emphasis")
    assert noted == (None if mode == "Original" else mode)
    if mode == "Ignore":
        assert torch.equal(states, plain)
    elif mode == "No norm":
        assert torch.equal(states[2], plain[2] * 2)
        assert torch.equal(states[3:], plain[3:])
    elif mode == "Original":
        assert states.mean() == pytest.approx(plain.mean().item(), rel=1e-5)
        assert states[2] / states[1] == pytest.approx((2 * plain[2] / plain[1]).item(), rel=1e-5)
    else:
        assert encoder.tokenizer.decode(states[1:8].int().tolist()).replace(" ", "").startswith("cat(dog:2)")


def test_an_unknown_emphasis_is_the_original():
    assert sd_emphasis.get_current_option("nothing of the kind").name == "Original"


@pytest.mark.parametrize(("skip", "expected"), [(1, START), (2, (START - 1) * 10), (3, (START - 2) * 10)])
def test_clip_skip(encoder, option, skip, expected):
    option(CLIP_stop_at_last_layers=skip)
    assert encoder([""])[0, 0, 0] == expected


def test_prompts_of_different_length_get_empty_chunks(encoder, option):
    states = encoder(["cat", "cat " * 80])
    assert states.shape == (2, 154, 4)
    assert states[0, 77:, 0].tolist() == [START] + [END] * 76
