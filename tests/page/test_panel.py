"""The panel as a person uses it: what stands open, what folds out, presets, numbers beyond a slider, the plan."""

from motion_module.params import VideoParams

OURS = "#script_txt2img_animatediff_"
ESSENTIALS = {"enable", "preset_list", "model", "video_length", "fps", "format"}
PARTS = {
    "looping_and_long_videos": ("closed_loop", "batch_size", "blend"),
    "start_and_end_pictures": ("hold",),
    "video_in": ("video_source", "video_path", "keep_sound"),
    "motion_and_noise": ("motion_scale", "effect", "freeinit_enable"),
    "interpolation_and_files": ("interp", "request_id"),
    "module_and_memory": ("windows_per_call",),
}


def field(page, name):
    return page.locator(f"{OURS}{name}").first


def number(page, name, value=None):
    box = field(page, name).locator("input").first
    if value is not None:
        box.fill(str(value))
        box.blur()
    return box.input_value()


def hint(page, text):
    page.locator(f"{OURS}hint .animatediff-hint").get_by_text(text).wait_for()


def heights(page):
    """Of the panel and of what is above its first part, in pixels, where no text is wrapped, whatever the font."""
    narrow = page.add_style_tag(content=f"{OURS}panel * {{ letter-spacing: -0.35em !important }}")
    panel, part = (field(page, name).bounding_box() for name in ("panel", "looping_and_long_videos"))
    narrow.evaluate("style => style.remove()")
    return panel["height"], part["y"] - panel["y"]


def test_what_everybody_needs_stands_open_and_the_rest_folds_out(page):
    for part in PARTS:
        field(page, part).wait_for()  # gradio adds one after another
    hint(page, "16 frames, 2.0 s")
    assert {name for name in ("preset_list", *VideoParams.table()) if field(page, name).is_visible()} == ESSENTIALS
    panel, first_part = heights(page)
    assert panel < 380 + 36 * len(PARTS), "a part folded away is a line of 36 pixels"
    assert first_part < 385, "what everybody needs: rows of at least 36 pixels"
    for part, names in PARTS.items():
        assert not any(field(page, name).is_visible() for name in names), part
        field(page, part).locator(".label-wrap").click()
        for name in names:
            field(page, name).wait_for()
        assert not field(page, "last_frame").is_visible(), "what img2img starts from is of img2img"
        field(page, part).locator(".label-wrap").click()


def test_a_number_beyond_the_slider_stays_and_the_plan_follows(page):
    assert number(page, "video_length", 300) == "300"
    hint(page, "300 frames, 37.5 s")
    assert number(page, "video_length") == "300"
    assert number(page, "video_length", 16) == "16"
    hint(page, "16 frames, 2.0 s · one window, 20 model calls")


def test_a_preset_is_chosen_and_a_part_names_what_it_changed(page):
    field(page, "preset_list").locator("input").click()
    page.get_by_role("option", name="Seamless loop").or_(page.locator("li:has-text('Seamless loop')")).first.click()
    hint(page, "the last frame leads to the first")
    assert number(page, "video_length") == "32"
    field(page, "looping_and_long_videos").get_by_text("Looping and long videos: Closed loop").wait_for()
    field(page, "preset_list").locator("input").click()
    page.locator("li:has-text('Classic 16 frames')").first.click()
    hint(page, "16 frames, 2.0 s")
    field(page, "looping_and_long_videos").get_by_text("Looping and long videos", exact=True).wait_for()


def test_the_plan_follows_what_is_typed_key_by_key(page):
    box = field(page, "video_length").locator("input").first
    box.fill("")
    box.press_sequentially("123", delay=60)
    hint(page, "123 frames")
    slider = field(page, "video_length").locator("input[type=range]")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    hint(page, "103 frames")
    assert number(page, "video_length", 16) == "16"
    hint(page, "16 frames, 2.0 s")


PALE = """panel => {
    window.animatediffPale = [];
    const look = () => {
        if (!window.animatediffPale) return;
        for (const text of document.querySelectorAll(`${panel} .gradio-html .pending`))
            window.animatediffPale.push(getComputedStyle(text).opacity);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_the_plan_stays_readable_while_the_next_one_is_made(page):
    page.evaluate(PALE, f"{OURS}panel")
    box = field(page, "video_length").locator("input").first
    for frames in (61, 62, 63):
        box.fill(str(frames))
        hint(page, f"{frames} frames")
    assert set(
        page.evaluate("() => { const seen = window.animatediffPale; window.animatediffPale = null; return seen }")
    ) == {"1"}


def test_a_keyboard_reaches_every_part(page):
    header = field(page, "motion_and_noise").locator(".label-wrap")
    for key, opened in (("Enter", True), (" ", False)):
        header.focus()
        header.press(key)
        field(page, "motion_scale").wait_for(state="visible" if opened else "hidden")
        page.wait_for_function(
            "([e, open]) => e.ariaExpanded === open", arg=[header.element_handle(), str(opened).lower()]
        )
    for name in ("preset_save", "preset_delete", "model_refresh"):
        assert field(page, name).get_attribute("aria-label")


def test_a_preset_of_ones_own_is_there_after_a_reload(page):
    name = field(page, "preset_list").locator("input")
    name.click()
    name.fill("")
    name.press_sequentially("Mine", delay=40)
    name.press("Tab")
    field(page, "preset_save").click()
    field(page, "preset_about").get_by_text("The preset Mine is saved.").first.wait_for()
    page.reload()
    page.wait_for_selector("#txt2img_prompt textarea")
    field(page, "preset_list").locator("input").click()
    page.locator("li:has-text('Mine')").first.click()
    field(page, "preset_about").get_by_text("Mine: ").first.wait_for()
    field(page, "preset_delete").click()
    field(page, "preset_about").get_by_text("The preset Mine is deleted.").first.wait_for()


def test_what_would_be_refused_stands_out(page):
    number(page, "fps", 0)
    refused = page.locator(f"{OURS}hint .animatediff-refused").first
    refused.wait_for()
    assert "allowed is" in refused.inner_text()
    number(page, "fps", 8)
    hint(page, "frames")
