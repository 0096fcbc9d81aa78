"""Sentences for two kinds of readers, numbers and the system's reasons in words; and no sentence that forgets one."""

import ast
import errno
import os
import re
from pathlib import Path

import pytest

from motion_module.errors import HostError, ParamError
from motion_module.params import VideoParams
from motion_module.wording import either, for_client, for_page, mention, number_text, system_says, value_text

ROOT = Path(__file__).resolve().parents[1]
NAMES = list(VideoParams.table())
FILES = sorted((ROOT / "motion_module").rglob("*.py"))
# A field's name as a word of a sentence: any that has an underscore, and one that the sentence begins with.
WITH_UNDERSCORE = re.compile(rf"(?<![\w`./])(?:{'|'.join(name for name in NAMES if '_' in name)})(?![\w=(.])")
AS_SUBJECT = re.compile(rf"^(?:AnimateDiff: )?(?:{'|'.join(NAMES)}) (?:is|are|has|have|needs?|finds|puts) ")
NOT_SAID = {"motion_module/params.py", "motion_module/settings.py"}  # labels and help; a setting's own names


def test_one_sentence_for_both():
    error = ParamError(f"{mention('batch_size')} is {value_text(None)}; with {mention('closed_loop')} N.")
    assert str(error) == error.detail == "AnimateDiff: batch_size is null; with closed_loop N."
    assert VideoParams.worded_for_page(error.sentence) == "Context batch size is empty; with Closed loop N."
    assert repr(HostError("x")) == "HostError('x')"


def test_what_is_no_field_of_the_table_stays():
    assert for_page(mention("the batch folder"), {"fps": "FPS"}) == for_client(mention("the batch folder"))
    assert for_page(either("0, 1", "Head, Tail"), {}) == "Head, Tail"


@pytest.mark.parametrize(
    ("value", "client", "page"),
    [
        (None, "null", "empty"),
        (True, "true", "on"),
        (False, "false", "off"),
        ("16", "'16'", "'16'"),
        (["GIF", None, True], '["GIF", null, true]', '["GIF", null, true]'),
        ({"GIF": False}, '{"GIF": false}', '{"GIF": false}'),
        (1.5, "1.5", "1.5"),
        (float("nan"), "NaN", "NaN"),
        (["\ud800"], '["\\ud800"]', '["\\ud800"]'),
        (["\x0efps\x0f"], r'["\u000efps\u000f"]', r'["\u000efps\u000f"]'),
        ("\x0efps\x0f", r"'\x0efps\x0f'", r"'\x0efps\x0f'"),
        ([1] * 100, "[" + "1, " * 25 + "1...", "[" + "1, " * 25 + "1..."),
    ],
)
def test_a_value_is_shown_as_its_reader_has_sent_it(value, client, page):
    assert for_client(value_text(value)) == client
    assert for_page(value_text(value), {"fps": "FPS"}) == page


@pytest.mark.parametrize(
    ("number", "text"),
    [(10_000_000, "10,000,000"), (65_535, "65,535"), (-1, "-1"), (0, "0"), (0.1, "0.1"), (0.25, "0.25"), (2.0, "2")],
)
def test_a_number_is_written_out(number, text):
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "the disk is read-only"),
        (errno.ENOSPC, "there is no space left on the disk"),
        (errno.EACCES, "permission is denied"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.ENOENT, "there is no such file or folder"),
        (errno.ELOOP, os.strerror(errno.ELOOP)),
    ],
)
def test_the_system_speaks_in_words(number, words):
    said = system_says(OSError(number, os.strerror(number), "/some/file"))
    assert said == words and "Errno" not in said and "/" not in said


def test_the_system_always_says_something():
    assert system_says(OSError("odd.")) == "odd" and system_says(OSError()) == "OSError"


def sentences(path):
    """Every text of a file that has a blank in it, but for its documentation, with its line; values in f-strings as {}."""
    tree = ast.parse(path.read_text("utf8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inside:
            text = node.value
        else:
            continue
        if " " in text.strip():
            yield node.lineno, text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_tells_people_on_the_page_the_name_of_a_field(path):
    if str(path.relative_to(ROOT)) in NOT_SAID:
        pytest.skip("says nothing to anybody")
    found = [
        f"line {line}: {text[:80]!r}"
        for line, text in sentences(path)
        if WITH_UNDERSCORE.search(text) or AS_SUBJECT.search(text)
    ]
    assert not found, f"write {{mention('...')}} for the field (motion_module/wording.py): {found}"


def test_the_search_finds_what_it_looks_for(tmp_path):
    file = tmp_path / "new.py"
    file.write_text(
        "def check(value):\n"
        '    """video_length is explained here, which is fine."""\n'
        '    raise ParamError(f"AnimateDiff: overlap is {value!r}; allowed is less.")\n'
        '    raise ParamError("Set video_path, too.")\n'
        "    raise ParamError(f\"AnimateDiff: {mention('overlap')} is {value}.\")\n"
    )
    found = [line for line, text in sentences(file) if WITH_UNDERSCORE.search(text) or AS_SUBJECT.search(text)]
    assert found == [3, 4]
