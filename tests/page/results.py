"""A result on the page: how a test has one made, and what it reads of it."""

import io
import re
from pathlib import Path

from PIL import Image

from tests.page.generating import RUNNING

TXT, IMG = "#txt2img_results", "#img2img_results"
STAGE, SCREEN = f"{TXT} .animatediff-stage", f"{TXT} .animatediff-screen"
PLAYER, PICTURE = f"{SCREEN} video", "#txt2img_gallery img[data-testid=detailed-image]"
SLIDER, LINKS = f"{TXT} .animatediff-slider", f"{TXT} .animatediff-files a[download]"
GRADIOS = ("fonts.googleapis.com", "cdnjs.cloudflare.com")  # places that gradio's page asks, in vain here
STEPS = 4  # of results of which nobody looks at what they show


# The page's scripts have been called for what has changed last.
SETTLED = """() => new Promise(done => {
    onAfterUiUpdate(done);
    gradioApp().append(document.createElement("i"));
})"""


def generate(page, tab="txt2img"):
    """Presses Generate and waits until the page has another result, and shows it."""
    page.result = None
    box = f"#generation_info_{tab} textarea"
    before = page.input_value(box)
    page.click(f"#{tab}_generate")
    page.wait_for_function(
        "([box, before]) => document.querySelector(box).value != before", arg=[box, before], timeout=300_000
    )
    page.wait_for_function("running => !document.querySelector(running)", arg=RUNNING)
    page.evaluate(SETTLED)


def show(page, steps=STEPS, count=1, **fields):
    """Has a page show the result of these fields on txt2img; it is made unless the page shows just that."""
    fields = {"video_length": 4, "fps": 8, **fields}
    if getattr(page, "result", None) == (steps, count, fields):
        return
    number(page, "#txt2img_steps", steps)
    number(page, "#txt2img_batch_count", count)
    choose(page, **fields)
    generate(page)
    page.result = (steps, count, fields)


def choose(page, tab="txt2img", **fields):
    """Sets fields of the AnimateDiff panel."""
    for name, value in fields.items():
        box = page.locator(f"#script_{tab}_animatediff_{name}")
        if isinstance(value, list):
            for choice in box.locator("label:has(input[type=checkbox])").all():
                choice.locator("input").set_checked(choice.inner_text().strip() in value)
        else:
            number(page, f"#script_{tab}_animatediff_{name}", value)


def number(page, box, value):
    found = page.locator(f"{box} input[type=number]").first
    found.fill(str(value))
    found.blur()


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


def press(page, name, tab=TXT):
    page.locator(f"{tab} button").filter(has_text=re.compile(f"^{name}$")).click()


def wind(page, frame):
    """Moves the slider to a frame, counted from 1, and waits until that is what is said to be shown."""
    page.locator(SLIDER).fill(str(frame))
    page.wait_for_function(
        "([place, text]) => document.querySelector(place).textContent.startsWith(text)",
        arg=[f"{TXT} .animatediff-count", f"{frame} of"],
    )
    page.wait_for_timeout(200)


PIXELS = """screen => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 64});
    canvas.getContext("2d").drawImage(screen, 0, 0, 64, 64);
    return [...canvas.getContext("2d").getImageData(0, 0, 64, 64).data];
}"""


def said(page, tab="txt2img"):
    return page.inner_text(f"#html_log_{tab} .comments").strip()


def files(page, tab="txt2img"):
    """What the run's own result says of its files."""
    return page.evaluate(
        "tab => JSON.parse(document.querySelector(`#generation_info_${tab} textarea`).value)"
        ".extra_generation_params['AnimateDiff files']",
        tab,
    )


def has_its_own_bytes(page, link, path):
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == link.inner_text() == Path(path).name
    assert download.value.path().read_bytes() == Path(path).read_bytes()
    size = link.locator("xpath=following-sibling::span").inner_text()
    bytes_ = Path(path).stat().st_size
    assert size == (f"{bytes_} bytes" if bytes_ < 999.5 else f"{round(bytes_ / 1000)} KB")


def errors_of(page):
    said = [f"{getattr(message, 'location', '')} {message}" for message in page.said]
    return [line for line in said if not any(place in line for place in GRADIOS)]
