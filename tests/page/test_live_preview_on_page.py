"""While a video is sampled, the live-preview slot of the page shows its frames so far, moving."""

import base64
import io
import re

import pytest
import requests
from PIL import Image

SLOT = "#txt2img_gallery > .livePreview.animatediff-live-preview"
ADDRESS = "/animatediff/live-preview"
BYTES = """async (picture) => {
    const bytes = new Uint8Array(await (await fetch(picture.src)).arrayBuffer());
    return btoa(String.fromCharCode(...bytes));
}"""
HEAR = """() => {
    const ask = askProgress;
    window.heard = [];
    askProgress = async (body) => {
        const state = await ask(body);
        if (body.live_preview === false && state.active && state.progress) {
            heard.push(state.textinfo || "");
        }
        return state;
    };
}"""  # the page's own script asks how far the run is
STEPS = 150  # more than anybody waits for


def press(page):
    """Presses Generate and waits until the page follows the run."""
    box = page.locator("#txt2img_steps input[type=number]")
    box.fill(str(STEPS))
    box.blur()
    page.click("#txt2img_generate")
    page.wait_for_selector("#txt2img_results .progressDiv")


def interrupt(page, server):
    """Ends the run, and waits until the page has seen it."""
    requests.post(f"{server.url}/sdapi/v1/interrupt", timeout=300)
    page.wait_for_selector("#txt2img_results .progressDiv", state="detached")


@pytest.fixture
def generating(page, server):
    """Generate is pressed; when the test is over, the run is interrupted and has ended."""
    press(page)
    yield
    interrupt(page, server)


@pytest.fixture
def plain(page):
    """Many pictures are asked for, and no video."""
    enable, count = "#script_txt2img_animatediff_enable-visible-checkbox", "#txt2img_batch_count input[type=number]"
    page.uncheck(enable)
    page.fill(count, "50")
    yield
    page.check(enable)
    page.fill(count, "1")


@pytest.fixture
def previews_off(page, settings):
    """The person has switched live previews off, before the page was opened."""
    settings(live_previews_enable=False)
    page.reload()
    page.wait_for_function("window.opts && opts.live_previews_enable === false")


@pytest.fixture
def asked(page):
    """What the page asks for a moving preview."""
    found = []

    def note(request):
        if ADDRESS in request.url:
            found.append(request.url)

    page.on("request", note)
    yield found
    page.remove_listener("request", note)


def hear_twice(page, text=""):
    """Waits until the page has heard two times how far a run is, in a text that begins so."""
    page.evaluate(HEAR)
    page.wait_for_function("text => heard.filter((one) => one.startsWith(text)).length >= 2", arg=text)


def frames_of(page):
    """The frames of the picture that the slot shows now."""
    data = base64.b64decode(page.locator(f"{SLOT} img").evaluate(BYTES))
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "WEBP"
        frames = []
        for place in range(image.n_frames):
            image.seek(place)
            frames.append(image.convert("RGB").tobytes())
    return frames


def wait_for_another(page, source=""):
    """The address of the picture in the slot, when that is another one than before."""
    page.wait_for_function(
        "([slot, before]) => {const picture = document.querySelector(`${slot} img`);"
        "return picture && picture.src !== before && picture.naturalWidth}",
        arg=[SLOT, source],
    )
    return page.locator(f"{SLOT} img").get_attribute("src")


def test_it_moves_and_changes_while_sampling_and_goes_with_the_run(page, server):
    press(page)
    first = wait_for_another(page)
    frames = frames_of(page)
    assert len(frames) == 16 and len(set(frames)) == 16
    assert re.fullmatch(rf"step \d+ of {STEPS}", page.inner_text(SLOT).strip())
    assert page.locator(f"{SLOT} img").evaluate("picture => picture.naturalWidth") == 64
    box, gallery = (page.locator(place).bounding_box() for place in (f"{SLOT} img", "#txt2img_gallery"))
    assert gallery["y"] <= box["y"] and box["y"] + box["height"] <= gallery["y"] + gallery["height"]
    assert gallery["x"] <= box["x"] and box["x"] + box["width"] <= gallery["x"] + gallery["width"]
    second = wait_for_another(page, first)
    later = frames_of(page)
    assert second != first and set(later).isdisjoint(frames)
    looks = [page.locator(SLOT).screenshot() for _ in range(6)]
    assert len(set(looks)) > 1, "a browser plays it"
    interrupt(page, server)
    page.wait_for_selector(".livePreview", state="detached")


def test_the_page_does_not_ask_for_a_plain_picture(page, plain, asked, generating):
    hear_twice(page)
    assert asked == []


def test_nothing_is_asked_or_made_where_live_previews_are_off(page, previews_off, asked, generating):
    hear_twice(page, "AnimateDiff: ")
    assert asked == []
    assert page.locator(".livePreview").count() == 0
