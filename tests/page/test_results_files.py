"""A person has each file of a result, looks through its frames, and sends them on; a plain picture shows as ever."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.page.generating import RUNNING, unfold
from tests.page.results import (
    IMG,
    LINKS,
    PICTURE,
    PIXELS,
    PLAYER,
    SCREEN,
    TXT,
    choose,
    files,
    generate,
    has_its_own_bytes,
    moves,
    number,
    press,
    said,
    show,
    wind,
)

FRAMES = {"format": ["PNG"]}
TWO_VIDEOS = {"format": ["MP4"], "count": 2}
ROWS = ["GIF", "MP4", "WEBP", "AVIF", "APNG", "TXT"]  # in the order in which they are written


pytestmark = pytest.mark.usefixtures("no_errors")


@pytest.fixture(autouse=True)
def _txt2img(page):
    """A test may end on another tab."""
    yield
    page.locator("#tabs button", has_text="txt2img").first.click()


def test_moving_pictures_move_and_each_can_be_had_and_looked_at_frame_by_frame(page):
    show(page, format=ROWS)
    rows = page.locator(f"{TXT} .animatediff-files li")
    assert [row.locator(".animatediff-format").inner_text() for row in rows.all()] == ROWS
    assert page.locator(PLAYER).count() == 1, "what has controls goes before what only moves"
    (paths,) = files(page)
    for row in rows.all():
        name = row.locator(".animatediff-format").inner_text()
        has_its_own_bytes(page, row.locator("a"), paths[name])
        if name not in ("TXT", "MP4"):
            row.get_by_role("button").click()
            page.wait_for_selector(f"{SCREEN} canvas")
            assert moves(page, page.locator(SCREEN)), name
            wind(page, 1)
            first = page.locator(f"{SCREEN} canvas").evaluate(PIXELS)
            wind(page, 3)
            assert page.locator(f"{SCREEN} canvas").evaluate(PIXELS) != first, name


def test_what_no_browser_plays_is_a_link_beside_a_preview(page):
    names = ["PRORES422", "FFV1", "H265"]
    show(page, format=names)
    assert page.locator(PLAYER).count() == 0 and page.locator(SCREEN).locator("*").count() == 0
    assert moves(page, page.locator(PICTURE)), "a GIF stands for them in the gallery"
    (paths,) = files(page)
    rows = page.locator(f"{TXT} .animatediff-files li")
    assert [row.locator(".animatediff-format").inner_text() for row in rows.all()] == names
    for row, name in zip(rows.all(), names, strict=True):
        assert row.get_by_role("button").count() == 0
        has_its_own_bytes(page, row.locator("a"), paths[name])
    assert page.locator(f"{TXT} button", has_text="Show the").filter(visible=True).count() == 0


def test_frames_alone_are_leafed_through(page):
    show(page, **FRAMES)
    canvas = page.locator(f"{SCREEN} canvas")
    assert moves(page, canvas)
    folder = Path(files(page)[0]["PNG"])
    wind(page, 3)
    with Image.open(folder / "00002.png") as frame:
        assert page.locator(f"{SCREEN} canvas").evaluate(PIXELS) == list(frame.convert("RGBA").tobytes())
    with page.expect_download() as download:
        page.click(LINKS)
    assert download.value.path().read_bytes() == (folder / "00002.png").read_bytes()
    thumbnails = page.locator("#txt2img_gallery .thumbnails .thumbnail-item")
    assert "selected" in thumbnails.nth(2).get_attribute("class"), "the host's buttons take the frame that is shown"
    thumbnails.nth(1).click()
    page.wait_for_timeout(500)
    assert page.inner_text(f"{TXT} .animatediff-count") == "2 of 4"


def test_the_frame_that_is_shown_goes_to_img2img_with_its_size(page):
    sides = [f"#img2img_{side}" for side in ("width", "height")]
    page.locator("#tabs button", has_text="img2img").first.click()
    for side in sides:
        number(page, side, 512)
    page.locator("#tabs button", has_text="txt2img").first.click()
    show(page, **FRAMES)
    wind(page, 2)
    shown = page.locator(f"{SCREEN} canvas").evaluate(PIXELS)
    press(page, "Send this frame to img2img")
    page.wait_for_selector("#img2img_image img")
    page.wait_for_function("document.querySelector('#img2img_image img').naturalWidth == 64")
    assert page.locator("#img2img_image img").first.evaluate(PIXELS) == shown
    assert [page.input_value(f"{side} input[type=number]") for side in sides] == ["64", "64"]


def test_a_plain_picture_afterwards_shows_as_ever(page):
    box = page.locator("#script_txt2img_animatediff_enable-visible-checkbox")
    show(page, **FRAMES)
    wind(page, 3)  # selects the third picture, and gradio would select none of fewer
    box.click()
    generate(page)
    assert page.locator(f"{TXT} [class*=animatediff]").count() == 0
    assert page.locator(PICTURE).is_visible()
    assert page.locator("#html_info_txt2img").first.is_visible()
    box.click()


def test_two_videos_are_chosen_in_the_gallery(page):
    show(page, **TWO_VIDEOS)
    assert said(page).startswith("2 videos of 4 frames, 0.5 s, 8 FPS")
    first, second = (Path(video["MP4"]).name for video in files(page))
    for place, name in ((0, first), (1, second)):
        page.locator("#txt2img_gallery .thumbnails .thumbnail-item").nth(place).click()
        page.wait_for_timeout(500)
        assert name in page.locator(PLAYER).get_attribute("src")
    press(page, "Video 1")
    page.wait_for_timeout(500)
    assert first in page.locator(PLAYER).get_attribute("src")
    assert page.evaluate("selected_gallery_index()") == 0
    press(page, "Show the gallery")
    assert page.locator(PICTURE).is_visible() and page.locator(PLAYER).count() == 0
    press(page, "Show the player")
    assert not page.locator(PICTURE).is_visible() and page.locator(PLAYER).count() == 1


def test_a_video_goes_to_img2img_and_its_frames_start_from_it(page):
    show(page, **TWO_VIDEOS)
    press(page, "Send video to img2img")
    source = page.locator("#script_img2img_animatediff_video_source")
    source.locator("text=.mp4").first.wait_for()
    assert page.is_checked("#script_img2img_animatediff_enable-visible-checkbox")
    line = page.locator("#script_img2img_animatediff_hint .animatediff-hint")
    line.get_by_text("Each frame starts from that of Video source").wait_for()
    number(page, "#img2img_steps", 2)
    choose(page, "img2img", format=["MP4"])
    generate(page, "img2img")
    assert said(page, "img2img").splitlines()[-1].startswith("4 frames, 0.5 s, 8 FPS"), "as the one that was sent"
    page.locator(f"{IMG} .animatediff-screen video").wait_for()
    source.locator("[aria-label=Clear]").click()


def test_a_video_goes_on(page):
    show(page, format=["MP4", "PNG"])
    (paths,) = files(page)
    press(page, "Go on from here")
    box = page.locator("#script_txt2img_animatediff_continue_from :is(input, textarea)")
    box.wait_for()
    assert box.input_value() == paths["PNG"] and box.is_visible()
    page.locator("#script_txt2img_animatediff_plan, #script_txt2img_animatediff_hint").get_by_text(
        "8 frames"
    ).wait_for()
    generate(page)
    assert said(page).splitlines()[-1].startswith("8 frames, 1.0 s, 8 FPS"), "as many again"
    box.fill("")
    box.blur()


def test_a_video_that_was_interrupted_goes_on(page, settings):
    settings(animatediff_resume_after=1e-9)
    page.result = None
    number(page, "#txt2img_steps", 80)
    choose(page, video_length=4, fps=8, format=["MP4"])
    page.click("#txt2img_generate")
    page.locator("#txt2img_interrupt:visible").wait_for()
    page.wait_for_selector("#txt2img_results .livePreview")
    page.click("#txt2img_interrupt")
    page.wait_for_function("running => !document.querySelector(running)", arg=RUNNING)
    line = re.search(r"the same request with Resume: (\S+) goes on after call (\d+) of 80\.", said(page))
    assert line and 0 < int(line[2]) < 80
    unfold(page)
    box = page.locator("#script_txt2img_animatediff_resume :is(input, textarea)")
    box.fill(line[1])
    box.blur()
    generate(page)
    assert said(page).splitlines()[-1].startswith("4 frames, 0.5 s, 8 FPS")
    note = page.locator("#script_txt2img_animatediff_hint .animatediff-refused")
    box.fill(f"{line[1]} ")  # the panel looks again: there is nothing to resume any more
    box.blur()
    note.get_by_text(f"Resume is '{line[1]}', which is no unfinished run; none broke off").wait_for()
    box.fill("")
    box.blur()
    note.wait_for(state="detached")


def test_frames_go_to_img2img_as_a_batch_and_become_a_video_there(page):
    show(page, format=["GIF", "PNG"], fps=12)
    press(page, "Send video to img2img")
    folder = page.locator("#img2img_batch_input_dir :is(input, textarea)")
    folder.wait_for()
    page.wait_for_timeout(500)
    assert folder.input_value() == files(page)[0]["PNG"]
    assert page.is_checked("#script_img2img_animatediff_enable-visible-checkbox")
    number(page, "#img2img_steps", 2)
    choose(page, "img2img", format=["MP4"])
    generate(page, "img2img")
    assert said(page, "img2img").splitlines()[-1].startswith("4 frames, 0.3 s, 12 FPS"), "as many as were sent"
    page.locator(f"{IMG} .animatediff-screen video").wait_for()


def test_what_the_page_cannot_load_says_where_it_is(page):
    page.route(re.compile(r"/file=.*\.(txt|mp4)"), lambda route: route.fulfill(status=403, body="{}"))
    choose(page, video_length=4, format=["MP4", "TXT"])
    generate(page)
    (paths,) = files(page)
    page.wait_for_function("document.querySelector('.animatediff-screen').textContent")
    assert page.inner_text(SCREEN).endswith(f"it lies at {paths['MP4']}")
    assert page.locator(LINKS).count() == 0
    rows = page.locator(f"{TXT} .animatediff-files li").all_inner_texts()
    assert all(f"it lies at {paths[name]}" in row for name, row in zip(("MP4", "TXT"), rows, strict=True))
    page.unroute(re.compile(r"/file=.*\.(txt|mp4)"))
    page.said[:] = [message for message in page.said if "403" not in str(message)]


def test_nothing_is_cut_on_a_narrow_page(page):
    show(page, format=["GIF", "WEBM", "PNG"])
    for width in (420, 768, 1400):
        page.set_viewport_size({"width": width, "height": 1700})
        page.wait_for_timeout(200)
        wider = page.locator(f"{TXT}, {TXT} [class*=animatediff]").evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth).map(one => one.className)"
        )
        assert wider == []
