"""Panel and result for everybody: axe-core finds nothing in them, in light and dark, and they fit at every width.

With PAGE_PICTURES=FOLDER the screenshots stay there, to be looked at.
"""

import os
import re
from pathlib import Path

import pytest

from tests.page.generating import generated, unfold

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

PANEL = "#script_txt2img_animatediff_panel"
RESULT = [f"#txt2img_results .animatediff-{part}" for part in ("stage", "files", "senders", "parameters")]
TRAVEL = "0: a red star\n8: a blue star\n30: a green star"


@pytest.fixture
def open_panel(page):
    """The page with all parts open, some fields dimmed, one refused, and a prompt that travels."""
    page.locator("#txt2img_prompt textarea").first.fill(TRAVEL)
    page.locator("#txt2img_prompt textarea").first.blur()
    unfold(page)
    page.locator(f"{PANEL} .animatediff-travel .animatediff-refused").first.wait_for()
    return page


@pytest.fixture
def result(page):
    """The page with a result, which is made once."""
    page.locator("#txt2img_prompt textarea").first.fill("a red star")
    if not page.locator(RESULT[0]).is_visible():
        for box, value in {"#txt2img_steps": 2, "#script_txt2img_animatediff_video_length": 4}.items():
            page.locator(f"{box} input[type=number]").first.fill(str(value))
            page.locator(f"{box} input[type=number]").first.blur()
        generated(page)
        page.locator(RESULT[0]).wait_for()
    return page


@pytest.fixture(params=["light", "dark"])
def theme(request, page):
    """How gradio's page is dark: by a class. Colours change at once here: a busy machine begins to fade them late."""
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; }")
    page.emulate_media(color_scheme=request.param)
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", request.param == "dark")
    page.set_viewport_size({"width": 1400, "height": 1700})
    return request.param


def settle(page):
    """Waits until nothing on the page fades or slides any more."""
    page.wait_for_timeout(100)  # what has been changed begins to move
    page.wait_for_function(
        "() => document.getAnimations().every((one) => one.playState !== 'running' || one.effect.getComputedTiming().iterations === Infinity)"
    )


def faults_in(page, context):
    """What axe-core finds in a part of the page."""
    found = axe.Axe().run(page, context=context).response
    assert len(found["passes"]) > 5, "it has looked"
    return [(fault["id"], node["html"][:200]) for fault in found["violations"] for node in fault["nodes"]]


def keep(page, selector, folder, name):
    """A screenshot for people, where they have asked for it."""
    folder = Path(os.environ.get("PAGE_PICTURES") or folder)
    folder.mkdir(parents=True, exist_ok=True)
    page.locator(selector).screenshot(path=folder / f"{name}.png")


def test_axe_finds_nothing_in_the_panel(open_panel, theme):
    settle(open_panel)
    assert faults_in(open_panel, PANEL) == []


@pytest.mark.parametrize("width", [1920, 1400, 1024, 768, 420])
def test_nothing_is_cut_at_any_width(open_panel, theme, tmp_path, width):
    page = open_panel
    page.set_viewport_size({"width": width, "height": 1700})
    settle(page)
    keep(page, PANEL, tmp_path, f"panel-{width}-{theme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        """panel => {
            const edge = document.querySelector(panel).getBoundingClientRect().right + 1;
            return [...document.querySelectorAll(`${panel} input, ${panel} label, ${panel} button, ${panel} li`)]
                .filter((e) => e.offsetParent && e.getBoundingClientRect().right > edge).map((e) => e.outerHTML.slice(0, 80));
        }""",
        PANEL,
    )
    assert beyond == []


def test_labels_stand_below_each_other(open_panel, theme):
    labels = open_panel.locator(PANEL).get_by_text(
        re.compile(r"^\s*(Preset|Motion module|Number of frames|Save format)\s*$")
    )
    left = {
        label.inner_text(): label.evaluate(
            "one => { const text = document.createRange(); text.selectNodeContents(one); return text.getBoundingClientRect().x }"
        )
        for label in labels.all()
        if label.is_visible()
    }
    assert left.keys() == {"Preset", "Motion module", "Number of frames", "Save format"}
    assert max(left.values()) - min(left.values()) < 2, left


def test_axe_finds_nothing_in_the_result(result, theme, tmp_path):
    settle(result)
    assert faults_in(result, {"include": RESULT}) == []
    for width in (1400, 1024, 768, 420):
        result.set_viewport_size({"width": width, "height": 1700})
        settle(result)
        keep(result, "#txt2img_results", tmp_path, f"result-{width}-{theme}")
        assert result.evaluate("document.documentElement.scrollWidth") <= width
