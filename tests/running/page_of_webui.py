"""Looks through the page of a running WebUI as a person would: `WEBUI_URL=http://127.0.0.1:7860 python tests/running/page_of_webui.py`.

For a person who has another WebUI, or another version of gradio, at hand: it needs Chromium and playwright, a checkpoint
that is loaded, and a motion module for it in the list. Small videos are made. What does not work is said, and pictured.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from playwright.sync_api import Error as Failed  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402
from playwright.sync_api import TimeoutError as Waited  # noqa: E402

from tests.page.conftest import FLAGS  # noqa: E402
from tests.page.generating import ask_for_small, unfold  # noqa: E402
from tests.page.results import SCREEN, TXT, choose, has_its_own_bytes, number, press, wind  # noqa: E402

T, IMG = "#script_txt2img_animatediff_", "#script_img2img_animatediff_"
PATIENCE = 60_000  # milliseconds
TOO_MANY = "AnimateDiff: Number of frames is 99999; allowed is a whole number from 0 to 10,000."


def opened(page: Page, tab: str) -> None:
    """Have a tab before one, its panel open, and small pictures asked for."""
    page.locator("#tabs > .tab-nav > button", has_text=tab).first.click()
    if not page.locator(f"#script_{tab}_animatediff_panel").is_visible():
        page.locator(f"#script_{tab}_animatediff_enable > .label-wrap").click()
    if not page.locator(f"#script_{tab}_animatediff_enable-visible-checkbox").is_checked():
        page.locator(f"#script_{tab}_animatediff_enable-visible-checkbox").check()
    ask_for_small(page, tab)


def hint(page: Page, text: str, prefix: str = T) -> None:
    """Wait until the panel says something."""
    page.locator(f"{prefix}hint .animatediff-hint").get_by_text(text).first.wait_for()


def generate(page: Page, tab: str = "txt2img") -> None:
    """Press Generate, and wait until the run is over and its result drawn; the same result may be drawn as before."""
    last = page.locator(f"#html_log_{tab} .performance")
    last.evaluate_all("all => all.forEach((one) => { one.dataset.old = 'old'; })")
    page.click(f"#{tab}_generate")
    page.wait_for_selector(f"#{tab}_results .progressDiv", state="attached")
    page.wait_for_selector(f"#{tab}_results .progressDiv", state="detached")
    with suppress(Waited):
        page.locator(f"#html_log_{tab} .performance:not([data-old])").wait_for(timeout=5000)
    page.wait_for_timeout(500)


def shown_error(page: Page, tab: str = "txt2img") -> str:
    """The sentence in red below the gallery; "" where there is none."""
    return " ".join(page.locator(f"#html_log_{tab} .error").all_inner_texts())


def pick(page: Page, box: str, label: str) -> None:
    """Choose an entry of a dropdown."""
    page.locator(f"{box} input").first.click()
    page.locator("ul.options li:visible").filter(has_text=label).first.click()


def plan_follows(page: Page) -> None:
    """What is typed, beyond the slider, too, and what is refused."""
    for frames, said in ((300, "300 frames, 37.5 s"), (8, "8 frames, 1.0 s")):
        number(page, f"{T}video_length", frames)
        hint(page, said)
        assert page.locator(f"{T}video_length input").first.input_value() == str(frames)
    number(page, f"{T}fps", 0)
    page.locator(f"{T}hint .animatediff-refused").first.wait_for()
    number(page, f"{T}fps", 8)
    hint(page, "8 frames, 1.0 s")


def parts_fold(page: Page) -> None:
    """With keys, and they say whether they are open."""
    header = page.locator(f"{T}motion_and_noise > .label-wrap")
    for key, state, told in (("Enter", "visible", "true"), (" ", "hidden", "false")):
        header.focus()
        header.press(key)
        page.locator(f"{T}motion_scale").wait_for(state=state)
        page.wait_for_function("([e, told]) => e.ariaExpanded === told", arg=[header.element_handle(), told])


def prompt_travels(page: Page) -> None:
    """A line for each text, and what is wrong beside its line."""
    prompt = page.locator("#txt2img_prompt textarea").first
    prompt.fill("0: a red star\n4: a blue star\n30: a green star")
    prompt.blur()
    page.locator(f"{T}hint .animatediff-travel .animatediff-refused").wait_for()
    assert page.locator(f"{T}hint .animatediff-travel li").count() == 3
    prompt.fill("a red star")
    prompt.blur()
    hint(page, "8 frames, 1.0 s")


def presets_come_and_go(page: Page) -> None:
    """One of ours, and one that is saved and deleted."""
    pick(page, f"{T}preset_list", "Seamless loop")
    hint(page, "the last frame leads to the first")
    name = page.locator(f"{T}preset_list input")
    name.click()
    name.fill("")
    name.press_sequentially("Page of WebUI", delay=40)
    name.press("Tab")
    for button, said in (("preset_save", "is saved"), ("preset_delete", "is deleted")):
        page.locator(f"{T}{button}").click()
        page.locator(f"{T}preset_about").get_by_text(f"The preset Page of WebUI {said}.").first.wait_for()
    pick(page, f"{T}preset_list", "Classic 16 frames")
    hint(page, "16 frames, 2.0 s")
    number(page, f"{T}video_length", 8)


def refusals_are_read(page: Page) -> None:
    """The sentence stands below the gallery, and nothing waits."""
    number(page, f"{T}video_length", 99_999)
    generate(page)
    assert shown_error(page) == TOO_MANY, shown_error(page)
    assert page.locator("#txt2img_results :is(.progressDiv, .livePreview)").count() == 0
    number(page, f"{T}video_length", 8)


def video_is_shown(page: Page) -> None:
    """It plays, can be wound, and each file can be had."""
    choose(page, format=["GIF", "MP4", "PNG"])
    generate(page)
    assert shown_error(page) == "", shown_error(page)
    page.locator(f"{SCREEN} video").wait_for()
    wind(page, 3)
    for row in page.locator(f"{TXT} .animatediff-files li").filter(has_not_text="one of").all():
        has_its_own_bytes(page, row.locator("a"), row.locator("a").get_attribute("title"))


def parameters_are_pasted(page: Page) -> None:
    """Into the panel, from what the run has written."""
    written = "JSON.parse(document.querySelector('#generation_info_txt2img textarea').value).infotexts[0]"
    infotext = page.evaluate(written)
    number(page, f"{T}fps", 20)
    page.locator("#txt2img_prompt textarea").first.fill(infotext)
    page.locator("#txt2img_prompt textarea").first.blur()
    page.locator("#paste").first.click()
    page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === 'a red star'")
    page.wait_for_function(f"document.querySelector('{T}fps input').value === '8'")


def video_is_sent_on(page: Page) -> None:
    """To img2img, whose panel then says what it is; a run starts from it."""
    opened(page, "img2img")
    hint(page, "img2img has no picture to start from", IMG)
    page.locator("#tabs > .tab-nav > button", has_text="txt2img").first.click()
    choose(page, format=["MP4"])
    generate(page)
    press(page, "Send video to img2img")
    page.locator(f"{IMG}video_source_about").get_by_text("8 frames, 1.0 s, 64x64").first.wait_for()
    hint(page, "8 frames, 1.0 s", IMG)
    generate(page, "img2img")
    assert shown_error(page, "img2img") == "", shown_error(page, "img2img")
    page.locator("#img2img_results .animatediff-screen").wait_for()
    opened(page, "txt2img")


def previews_move(page: Page) -> None:
    """While a long run is sampled, which is then interrupted."""
    number(page, "#txt2img_steps", 150)
    page.click("#txt2img_generate")
    page.wait_for_selector("#txt2img_gallery > .animatediff-live-preview img")
    page.click("#txt2img_interrupt")
    page.wait_for_selector("#txt2img_results .progressDiv", state="detached")
    page.locator("#html_log_txt2img").get_by_text("interrupted in step").first.wait_for()
    number(page, "#txt2img_steps", 2)


def plot_has_axes(page: Page) -> None:
    """A value that an axis refuses is named before anything is made."""
    pick(page, "#script_list", "X/Y/Z plot")
    pick(page, "#script_txt2img_xyz_plot_x_type", "[AnimateDiff] FPS")
    page.wait_for_timeout(5000)  # the plot empties the values of an axis that is chosen anew
    page.fill("#script_txt2img_xyz_plot_x_values textarea", "8, 0")
    page.locator("#script_txt2img_xyz_plot_x_values textarea").blur()
    generate(page)
    assert shown_error(page).startswith("AnimateDiff: FPS is 0"), shown_error(page)
    pick(page, "#script_list", "None")


def settings_stand(page: Page) -> None:
    """The section has its fields."""
    page.locator("#tabs > .tab-nav > button", has_text="Settings").first.click()
    page.locator("#settings .tab-nav > button").filter(has_text="AnimateDiff").first.click()
    page.locator("#setting_animatediff_webp_quality").wait_for()


CHECKS: tuple[Callable[[Page], None], ...] = (
    *(plan_follows, parts_fold, prompt_travels, presets_come_and_go, refusals_are_read, video_is_shown),
    *(parameters_are_pasted, video_is_sent_on, previews_move, plot_has_axes, settings_stand),
)


def looked_through(page: Page, folder: Path) -> int:
    """How many checks fail; each says a line."""
    failed = 0
    for check in CHECKS:
        try:
            check(page)
            print(f"works: {check.__name__}", flush=True)
        except (AssertionError, Failed) as error:
            failed += 1
            picture = folder / f"{check.__name__}.png"
            page.screenshot(path=picture, full_page=True)
            print(f"FAILS: {check.__name__}: {str(error)[:300]} ({picture})", flush=True)
    return failed


def main() -> int:
    """Open the page, look through it, and tell what its scripts have said."""
    said: list[Any] = []
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        page = playwright.chromium.launch(executable_path=found, args=FLAGS).new_page(
            viewport={"width": 1400, "height": 2400}
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.set_default_timeout(PATIENCE)
        page.goto(os.environ["WEBUI_URL"])
        page.wait_for_selector(f"{T}hint .animatediff-hint", state="attached")
        page.wait_for_timeout(3000)  # the host's own scripts
        opened(page, "txt2img")
        unfold(page)
        page.locator(f"{T}motion_and_noise > .label-wrap").click()
        failed = looked_through(page, Path(tempfile.mkdtemp(prefix="page-of-webui-")))
    print(*(f"an error in a script of the page: {error}" for error in said), sep="\n")
    return int(bool(failed or said))


if __name__ == "__main__":
    sys.exit(main())
