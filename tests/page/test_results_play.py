"""After Generate a person sees moving pictures, whatever the format, and can have the files."""

import io

import pytest
import requests
from PIL import Image

from tests.effort import unit

PICTURE = "#txt2img_gallery img"
PLAYER = "#txt2img_results video"
LINKS = "#txt2img_results .animatediff-videos a[download]"
GRADIOS = ("fonts.googleapis.com", "cdnjs.cloudflare.com")  # places that gradio's page asks, in vain here


def generate(page):
    """Presses Generate and waits until the text below the gallery is that of the new run."""
    page.evaluate("for (const e of document.querySelectorAll('#html_log_txt2img .performance')) e.remove()")
    page.click("#txt2img_generate")
    page.wait_for_selector("#html_log_txt2img .performance", timeout=600_000)


def choose(page, **fields):
    """Sets fields of the AnimateDiff panel."""
    for name, value in fields.items():
        box = page.locator(f"#script_txt2img_animatediff_{name}")
        if isinstance(value, list):
            for choice in box.locator("label:has(input[type=checkbox])").all():
                choice.locator("input").set_checked(choice.inner_text().strip() in value)
        else:
            box.locator("input").fill(str(value))
            box.locator("input").blur()


def screenshot(element):
    return Image.open(io.BytesIO(element.screenshot())).convert("RGB").tobytes()


def moves(page, element):
    """Whether two screenshots of an element, some time apart, differ."""
    first = screenshot(element)
    for _ in range(20):
        page.wait_for_timeout(150)
        if screenshot(element) != first:
            return True
    return False


def gallery_moves(page):
    picture = page.locator(PICTURE).first
    picture.wait_for()
    page.wait_for_function("picture => picture.complete", arg=picture.element_handle())
    assert picture.evaluate("picture => picture.naturalWidth") == 64
    return moves(page, picture)


def test_page_loads_with_its_scripts_and_no_errors_of_its_own(page, server):
    assert page.locator("#script_txt2img_animatediff_hint .animatediff-hint").count() == 1
    said = [f"{getattr(message, 'location', '')} {message}" for message in page.said]
    assert [line for line in said if not any(place in line for place in GRADIOS)] == []


def test_page_opens_with_what_suits_the_bundled_model(page):
    def value(name):
        return page.locator(f"#txt2img_{name} input[type=number]").input_value()

    assert [value(name) for name in ("width", "height", "steps", "cfg_scale")] == ["64", "64", "20", "4"]
    assert page.input_value("#txt2img_prompt textarea") == "a yellow star moving left, purple background"
    assert page.is_checked("#script_txt2img_animatediff_enable-visible-checkbox")
    assert "pocket_mm_v2" in page.input_value("#script_txt2img_animatediff_model input")
    assert "Shapes: circle, square, triangle, star, heart, ring." in page.inner_text("#about_model >> nth=0")


def test_api_requests_do_not_start_from_the_page(server):
    body = {"prompt": "a red circle", "steps": 1, "width": 64, "height": 64}
    answer = requests.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=300).json()
    assert len(answer["images"]) == 1
    assert "AnimateDiff" not in answer["info"]


def test_generate_with_nothing_changed_shows_a_video(page, server):
    before, first = server.cpu_seconds(), unit()
    generate(page)
    assert gallery_moves(page)
    assert server.cpu_seconds() - before < 1200 * max(first, unit()), "30 s on two cores"


@pytest.mark.parametrize("name", ["MP4", "WEBM"])
def test_video_plays(page, name):
    choose(page, video_length=8, format=[name])
    generate(page)
    assert gallery_moves(page)
    player = page.locator(PLAYER)
    assert player.count() == 1
    handle = player.element_handle()
    page.wait_for_function("video => video.readyState >= 2", arg=handle)
    assert player.evaluate("video => [video.videoWidth, video.videoHeight, video.error]") == [64, 64, None]
    assert player.evaluate("video => Math.abs(video.duration - 1) < 0.05"), "8 frames at 8 frames per second"
    start = player.evaluate("video => video.currentTime")
    page.wait_for_function("([video, start]) => video.currentTime != start", arg=[handle, start])
    assert moves(page, player)


def test_video_begins_again_and_can_be_wound(page):
    player = page.locator(PLAYER)
    handle = player.element_handle()
    page.wait_for_function(
        "video => new Promise(done => {let last = -1; const look = () => {"
        "if (video.currentTime < last) done(true); last = video.currentTime; setTimeout(look, 20)}; look()})",
        arg=handle,
    )
    assert player.evaluate("video => {video.pause(); video.currentTime = 0.6; return video.currentTime}") == 0.6
    assert player.evaluate("video => video.loop && video.controls")


def test_files_can_be_had(page):
    choose(page, video_length=4, format=["GIF", "MP4", "TXT"])
    generate(page)
    page.wait_for_selector(f"{LINKS} >> nth=2")
    links = page.locator(LINKS)
    assert links.all_inner_texts() == ["GIF", "MP4", "TXT"]
    for place, (sign, ending) in enumerate([(b"GIF8", ".gif"), (b"ftyp", ".mp4"), (b"Steps:", ".txt")]):
        with page.expect_download() as download:
            links.nth(place).click()
        assert download.value.suggested_filename.endswith(ending)
        assert sign in download.value.path().read_bytes()
    assert page.locator(PLAYER).count() == 1, "the GIF plays in the gallery"


def test_players_go_with_their_run(page):
    choose(page, format=["PNG"])
    generate(page)
    page.wait_for_selector(PLAYER, state="detached")
    assert page.locator(LINKS).count() == 0


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
