"""A refused value as a person meets it: the sentence on the page, no progress that waits for ever, and Generate works."""

import re
from pathlib import Path

import pytest

from tests.page.generating import generated, unfold

OURS = "#script_txt2img_animatediff_"


@pytest.fixture
def page(host_page):
    """The page with the extension switched on and a first video made."""
    enable = host_page.locator(f"{OURS}enable-visible-checkbox")
    if not enable.is_checked():
        enable.click()
        unfold(host_page)
        set_number(host_page, "video_length", 2)
        generated(host_page)
    assert host_page.locator("#html_log_txt2img .error").count() == 0
    return host_page


def set_number(page, name, value):
    box = page.locator(f"{OURS}{name} input").first
    box.fill("" if value is None else str(value))
    box.dispatch_event("change")


def waits(page):
    """What on the page says that something goes on, or that gradio itself has refused something."""
    page.wait_for_function("document.querySelector('#txt2img_results .progressDiv') === null")
    return page.locator("#txt2img_results .generating, #txt2img_results .eta-bar, .toast-wrap .error").count()


def shown_error(page):
    return page.locator("#html_log_txt2img .error").inner_text()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("video_length", 99_999, "AnimateDiff: Number of frames is 99999; allowed is a whole number from 0 to 10,000."),
        ("video_length", None, "AnimateDiff: Number of frames is empty; allowed is a whole number from 0 to 10,000."),
        ("batch_size", 0, "AnimateDiff: Context batch size is 0; allowed is a whole number from 1 to 256."),
    ],
)
def test_a_refused_number_is_one_sentence_and_the_next_generate_works(page, tmp_path, name, value, sentence):
    set_number(page, name, value)
    if value is not None:  # gradio tells nobody that a field has been emptied, so the field itself says what it needs
        page.locator(f"{OURS}hint").get_by_text(sentence).wait_for()
    assert page.locator(f"{OURS}video_length input").first.get_attribute("placeholder") == "0 to 10,000"
    generated(page)
    page.screenshot(path=tmp_path / "refused.png", full_page=True)
    assert shown_error(page) == sentence
    assert page.locator("#html_log_txt2img .error").is_visible()
    assert waits(page) == 0
    assert not re.search(r"\bError\b", page.locator("#txt2img_results").inner_text())
    set_number(page, name, 2)
    generated(page)
    assert page.locator("#html_log_txt2img .error").count() == 0 and waits(page) == 0
    page.locator("#txt2img_results .animatediff-screen").first.wait_for()


def test_an_upload_that_is_gone_is_named(page, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\x00\x00\x00\x18ftypmp42")
    page.locator(f"{OURS}video_source input[type=file]").first.set_input_files(film)
    link = page.locator(f"{OURS}video_source a").first
    link.wait_for()
    Path(re.search(r"file=([^?]+)", link.get_attribute("href"))[1]).unlink()
    generated(page)
    sentence = shown_error(page)
    assert (
        sentence.startswith("AnimateDiff: Video source is '") and "film.mp4" in sentence and "there is none" in sentence
    )
    assert waits(page) == 0
    page.locator(f"{OURS}video_source [aria-label=Clear]").click()
    generated(page)
    assert page.locator("#html_log_txt2img .error").count() == 0
