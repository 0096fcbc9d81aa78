"""The pocket's own page: what a first visitor sees, PNG Info, X/Y/Z plot and the settings."""

import pytest

from tests.page.results import choose, files, generate

TABS = ["txt2img", "img2img", "PNG Info", "Settings"]
OUTPUTS = (".pocket", "data", "outputs")


def tab(page, label):
    page.locator("#tabs > .tab-nav > button").filter(has_text=label).first.click()


def number(page, name):
    return page.input_value(f"#txt2img_{name} input[type=number]")


def pick(page, box, label):
    """Chooses an entry of a dropdown."""
    page.locator(f"{box} input").first.click()
    page.locator(f"{box} li.item").filter(has_text=label).first.click()


@pytest.fixture(scope="module")
def films(page):
    """The files of one video, whose request differs from what the page opens with, by their ending."""
    page.fill("#txt2img_prompt textarea", "a red ring, circling: slowly")
    for name, value in {"steps": 3, "cfg_scale": 5, "width": 72}.items():
        box = page.locator(f"#txt2img_{name} input[type=number]")
        box.fill(str(value))
        box.blur()
    choose(page, video_length=4, fps=5, format=["GIF", "WEBP", "APNG", "MP4", "WEBM"])
    generate(page)
    (paths,) = files(page)
    return {name.lower(): path for name, path in paths.items()}


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (420, "dark")])
def test_first_visitor_sees_what_to_do(browser, server, width, theme):
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.goto(f"{server.url}/?__theme={theme}", timeout=600_000)
    opened.wait_for_selector("#txt2img_prompt textarea", timeout=600_000)
    assert opened.locator("body.dark").count() == (theme == "dark"), "test_readable.py makes a page dark by this class"
    assert opened.title() == opened.inner_text("#page_title h1") == "Pocket WebUI"
    assert opened.locator("#tabs > .tab-nav > button").all_inner_texts() == TABS
    assert opened.input_value("#txt2img_prompt textarea")
    button = opened.locator("#txt2img_generate").bounding_box()
    assert button["y"] + button["height"] < 900, "Generate is seen without scrolling"
    gallery, fields = (opened.locator(f"#txt2img_{name}").bounding_box() for name in ("results", "settings"))
    beside = gallery["x"] >= fields["x"] + fields["width"]
    assert beside if width > 1000 else gallery["y"] < fields["y"], "results are beside the fields, or before them"
    for label in TABS:
        tab(opened, label)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), label
    opened.close()


@pytest.mark.parametrize("ending", ["gif", "webp", "apng", "mp4", "webm"])
def test_what_was_made_is_sent_to_txt2img(page, films, ending):
    tab(page, "txt2img")
    choose(page, video_length=16, fps=8, format=["GIF"])
    page.fill("#txt2img_prompt textarea", "something else")
    tab(page, "PNG Info")
    place = "#pnginfo_video" if ending in ("mp4", "webm") else "#pnginfo_image"
    page.set_input_files(f"{place} input[type=file]", films[ending])
    page.locator("#pnginfo_shown").get_by_text("video_length: 4").wait_for()
    page.click("#txt2img_tab")
    page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value.startsWith('a red ring')")
    assert page.inner_text("#tabs > .tab-nav > button.selected") == "txt2img"
    assert [number(page, name) for name in ("steps", "cfg_scale", "width", "height")] == ["3", "5", "72", "64"]
    assert page.input_value("#txt2img_seed input") not in ("-1", "")
    assert page.input_value("#txt2img_sampling input") == "Euler"
    panel = "#script_txt2img_animatediff_{} input[type=number]"
    assert [page.input_value(panel.format(name)) for name in ("video_length", "fps")] == ["4", "5"]
    assert page.is_checked("#script_txt2img_animatediff_enable-visible-checkbox")
    tab(page, "PNG Info")
    page.click(f"{place} button[aria-label=Clear]")
    page.wait_for_function("!document.querySelector('#pnginfo_shown').innerText.trim()")
    tab(page, "txt2img")


def test_plot_shows_first_frames_and_saves_the_videos(page, films, clone):
    videos = clone.joinpath(*OUTPUTS, "txt2img-images", "AnimateDiff")
    before = set(videos.rglob("*.gif"))
    tab(page, "txt2img")
    choose(page, format=["GIF"])
    pick(page, "#script_list", "X/Y/Z plot")
    pick(page, "#script_txt2img_xyz_plot_x_type", "[AnimateDiff] Number of frames")
    page.fill("#script_txt2img_xyz_plot_x_values textarea", "2, 3")
    pick(page, "#script_txt2img_xyz_plot_y_type", "[AnimateDiff] Closed loop")
    page.click("#xyz_grid_fill_y_tool_button")
    chosen = page.locator("#script_txt2img_xyz_plot_y_type").locator("xpath=../..").locator(".token")
    chosen.nth(3).wait_for()
    generate(page)
    grid = page.locator("#txt2img_gallery img").first
    page.wait_for_function("picture => picture.naturalWidth > 2 * 72", arg=grid.element_handle())
    assert grid.evaluate("picture => picture.naturalHeight") > 4 * 64
    assert len(set(videos.rglob("*.gif")) - before) == 8
    pick(page, "#script_list", "None")


def test_settings_are_applied(page, settings):
    tab(page, "Settings")
    page.locator("#settings > .tab-nav > button").filter(has_text="Live previews").click()
    page.click("#setting_show_progressbar input")
    page.click("#settings_submit")
    page.wait_for_function("document.querySelector('#settings_result').innerText.includes('show_progressbar')")
    tab(page, "txt2img")
