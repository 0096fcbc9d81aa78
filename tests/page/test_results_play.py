"""After Generate a person sees moving pictures, whatever the format, can look at each frame and have the files."""

import re

import pytest
import requests

from motion_module.formats import IN_VIDEO
from tests.effort import unit
from tests.page.results import (
    PICTURE,
    PIXELS,
    PLAYER,
    SCREEN,
    SLIDER,
    TXT,
    generate,
    moves,
    press,
    said,
    show,
    wind,
)

pytestmark = pytest.mark.usefixtures("no_errors")
EIGHT_FRAMES = {"video_length": 8, "format": ["WEBM"]}


def test_page_loads_with_its_scripts_and_no_errors_of_its_own(page, server):
    assert page.locator("#script_txt2img_animatediff_hint .animatediff-hint").count() == 1


def test_page_opens_with_what_suits_the_bundled_model(page):
    def value(name):
        return page.locator(f"#txt2img_{name} input[type=number]").input_value()

    assert [value(name) for name in ("width", "height", "steps", "cfg_scale")] == ["64", "64", "20", "4"]
    assert page.input_value("#txt2img_prompt textarea") == "a yellow star moving left, purple background"
    assert page.is_checked("#script_txt2img_animatediff_enable-visible-checkbox")
    assert "pocket_mm_v2" in page.input_value("#script_txt2img_animatediff_model input")
    assert "Shapes: circle, square, triangle, star, heart, ring." in page.text_content("#about_model >> nth=0")


def test_api_requests_do_not_start_from_the_page(server):
    body = {"prompt": "a red circle", "steps": 1, "width": 64, "height": 64}
    answer = requests.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=300).json()
    assert len(answer["images"]) == 1
    assert "AnimateDiff" not in answer["info"]


def test_generate_with_nothing_changed_shows_a_video(page, server):
    before, first = server.cpu_seconds(), unit()
    generate(page)
    assert moves(page, page.locator(SCREEN))
    assert server.cpu_seconds() - before < 1200 * max(first, unit()), "30 s on two cores"


def test_the_text_below_says_what_was_made_and_the_parameters_open(page):
    show(page, format=["GIF"], video_length=16, steps=5)
    assert re.fullmatch(r"16 frames, 2\.0 s, 8 FPS, made in \d+ (s|min); in .*AnimateDiff.*", said(page))
    parameters = page.locator("#html_info_txt2img").first
    assert not parameters.is_visible()
    press(page, "Parameters")
    assert parameters.is_visible() and "Steps: 5" in parameters.inner_text()
    press(page, "Parameters")
    assert not parameters.is_visible()


@pytest.mark.parametrize("name", IN_VIDEO)
def test_video_plays_in_the_place_of_the_gallery(page, name):
    show(page, video_length=8, format=[name])
    player = page.locator(PLAYER)
    assert player.count() == 1 and not page.locator(PICTURE).is_visible()
    handle = player.element_handle()
    page.wait_for_function("video => video.readyState >= 2", arg=handle)
    assert player.evaluate("video => [video.videoWidth, video.videoHeight, video.error]") == [64, 64, None]
    assert player.evaluate("video => Math.abs(video.duration - 1) < 0.05"), "8 frames at 8 frames per second"
    start = player.evaluate("video => video.currentTime")
    page.wait_for_function("([video, start]) => video.currentTime != start", arg=[handle, start])
    assert moves(page, player)
    assert player.evaluate("video => [video.loop, video.controls, video.muted]") == [True, True, False]


def test_the_page_goes_on_while_a_video_plays(page):
    """The host calls scripts once nothing has been added or removed for a moment."""
    show(page, **EIGHT_FRAMES)
    page.wait_for_timeout(500)
    page.evaluate("onAfterUiUpdate(() => window.calls = (window.calls || 0) + 1)")
    page.evaluate("gradioApp().append(document.createElement('i'))")
    page.wait_for_function("window.calls", timeout=3000)
    assert not page.locator(PLAYER).evaluate("video => video.paused")


def test_video_begins_again(page):
    show(page, **EIGHT_FRAMES)
    page.wait_for_function(
        "video => new Promise(done => {let last = -1; const look = () => {"
        "if (video.currentTime < last) done(true); last = video.currentTime; setTimeout(look, 20)}; look()})",
        arg=page.locator(PLAYER).element_handle(),
    )


def test_the_slider_winds_the_video_to_a_frame(page):
    show(page, **EIGHT_FRAMES)
    player, shown = page.locator(PLAYER), []
    for frame in (1, 5, 8, 5):
        wind(page, frame)
        assert player.evaluate("video => video.paused")
        assert frame - 1 < 8 * player.evaluate("video => video.currentTime") < frame
        shown.append(player.evaluate(PIXELS))
    assert shown[1] == shown[3] and len(set(map(str, shown))) == 3
    press(page, "Play")
    assert moves(page, player)


def test_keys_wind_the_video_and_the_slider_keeps_them(page):
    show(page, **EIGHT_FRAMES)
    wind(page, 3)
    page.locator(SLIDER).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert page.inner_text(f"{TXT} .animatediff-count") == "5 of 8"
    assert page.evaluate("document.activeElement.className") == "animatediff-slider"
    unnamed = page.locator(f"{TXT} :is(button, input, a)[class*=animatediff]").evaluate_all(
        "all => all.filter(one => one.tabIndex < 0 || !(one.textContent || one.labels?.length))"
    )
    assert unnamed == []


def test_hidden_files_inside_the_data_folder_are_not_handed_out(clone, server):
    data = clone / ".pocket" / "data"
    (data / ".secret").write_text("secret")
    (data / "shown.txt").write_text("shown")
    (clone / "notes.txt").write_text("not the page's")
    ask = lambda path: requests.get(f"{server.url}/file={requests.utils.quote(str(path))}", timeout=300)  # noqa: E731
    assert ask(data / "shown.txt").text == "shown"
    for path in (data / ".secret", clone / "notes.txt", data / ".." / ".." / "notes.txt", "/etc/passwd", data):
        assert ask(path).status_code == 403
    assert ask(data / "gone.txt").status_code == 404
