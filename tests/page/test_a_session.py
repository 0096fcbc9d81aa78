"""A person's session in a browser: a picture, a video, its parameters pasted, another checkpoint, and the picture again."""

import pytest
import requests

from tests.page.generating import generated, unfold

OURS = "#script_txt2img_animatediff_"
SET = {"video_length": 6, "fps": 12, "batch_size": 4, "overlap": 1, "effect": 0.5}  # of the video that is made


@pytest.fixture
def page(host_page):
    return host_page


def switch(page, on):
    page.locator(f"{OURS}enable-visible-checkbox").set_checked(on)
    page.wait_for_timeout(300)


def generate(page):
    generated(page)
    assert page.locator("#html_log_txt2img .error").all_inner_texts() == []


def pictures(page):
    """The bytes of what the gallery shows."""
    page.locator("#txt2img_gallery img").first.wait_for(state="attached")
    return [
        requests.get(image.get_attribute("src")).content
        for image in page.locator("#txt2img_gallery .thumbnail-item img, #txt2img_gallery img").all()
    ]


def set_number(page, name, value):
    box = page.locator(f"{OURS}{name} input").first
    box.fill(str(value), force=True)
    box.dispatch_event("change")
    box.blur()


def numbers(page):
    return {name: float(page.locator(f"{OURS}{name} input").first.input_value()) for name in SET}


def parameters(page):
    """What the host writes below the gallery, as its text field has it."""
    page.wait_for_function("document.querySelector('#generation_info_txt2img textarea').value.includes('infotexts')")
    return page.evaluate("JSON.parse(document.querySelector('#generation_info_txt2img textarea').value).infotexts[0]")


def make_video(page):
    """Leaves its parameters as `page.infotext`."""
    switch(page, True)
    unfold(page)
    for name, value in SET.items():
        set_number(page, name, value)
    generate(page)
    page.infotext = parameters(page)


def test_a_picture_is_the_same_after_a_video(page):
    switch(page, False)
    generate(page)
    before = pictures(page)
    make_video(page)
    assert "AnimateDiff: " in page.infotext and pictures(page) != before
    switch(page, False)
    generate(page)
    assert pictures(page) == before
    assert "AnimateDiff" not in parameters(page)


def test_pasted_parameters_set_every_field(page):
    if not hasattr(page, "infotext"):
        make_video(page)
    for name in SET:
        set_number(page, name, 3)
    set_number(page, "loop_number", 7)
    page.locator("#txt2img_prompt textarea").first.fill(page.infotext)
    page.locator("#txt2img_prompt textarea").first.blur()
    page.locator("#paste").first.click()
    page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === 'a red ball'")
    page.wait_for_timeout(500)
    assert numbers(page) == SET
    assert page.locator(f"{OURS}loop_number input").first.input_value() == "0", (
        "what it does not name is as in a new panel"
    )
    assert page.locator(f"{OURS}enable-visible-checkbox").is_checked()
    generate(page)
    assert parameters(page) == page.infotext


def test_the_modules_follow_the_checkpoint(page):
    about = page.locator(f"{OURS}model_about .prose, {OURS}model_about").first
    about.get_by_text("fits this checkpoint").wait_for()
    choice = page.locator("#setting_sd_model_checkpoint input").first
    choice.click()
    page.locator("li").filter(has_text="wide").first.click()
    about.get_by_text("does not fit this checkpoint").wait_for()
    choice.click()
    page.locator("li").filter(has_text="tiny").first.click()
    about.get_by_text(", fits this checkpoint").wait_for()
