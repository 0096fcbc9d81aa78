"""Every field of the table, set in a browser on both tabs, is what the run of one Generate reads.

A video or folder needs ControlNet, or brings masks for img2img; an upload is in test_panel_wiring.py. A video that is gone
on with takes no FreeInit.
"""

import pytest
from PIL import Image

from motion_module.params import VideoParams
from tests.page.generating import ask_for_small, generated, unfold

TABLE = VideoParams.table()
OWN = {  # values that go together in one run; other fields get one that their kind allows
    "enable": True,
    "model": "mm_tiny_v3.safetensors",
    "video_length": 6,
    "batch_size": 4,
    "overlap": 1,
    "stride": 2,
    "closed_loop": "A",
    "format": ["WEBP", "TXT"],
    "interp": "FFMPEG",
    "interp_x": 2,
    "freeinit_iters": 2,
    "video_start": 1,
    "video_end": 18,
    "every_nth": 3,
    "request_id": "mine_7",
    "reverse": ["Add Reverse Frame", "Remove tail"],
    "pe_stretch": 3,
    "motion_end": 0.9,
}


@pytest.fixture(params=["txt2img", "img2img"])
def tab(request):
    return request.param


@pytest.fixture
def page(host_page, tab, tmp_path):
    opened = host_page
    opened.locator("#tabs > .tab-nav > button", has_text=tab).click()
    ask_for_small(opened, tab)
    opened.locator(f"#script_{tab}_animatediff_enable-visible-checkbox").click()
    unfold(opened, tab)
    if tab == "img2img":
        upload(opened.locator("#img2img_image"), picture(tmp_path / "first.png", "red"))
    return opened


def picture(path, colour):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (64, 64), colour).save(path)
    return path


def upload(place, path):
    place.locator("input[type=file]").first.set_input_files(path)
    place.locator("img").first.wait_for()


def value_for(name, field, folder):
    """Something else than a new panel has."""
    if name in OWN:
        return OWN[name]
    default = VideoParams.default_of(name)
    if field.kind == "bool":
        return not default
    if field.kind == "values":
        return "0: 1\n2: 1\nhold"
    if field.kind == "numbers":
        return "1, 0.5, 0.5, 0"
    if field.kind in ("int", "number"):
        return min(field.high, default + field.step)
    if field.kind == "choice":
        return next(choice for choice in field.choices if choice != default)
    if field.kind == "held":
        return f"1: {picture(folder / 'held' / 'held.png', 'green')}"
    if field.kind == "image":
        return picture(folder / "last" / "last.png", "blue")
    return str(folder / name)


def set_in_page(page, tab, name, field, value):
    place = page.locator(f"#script_{tab}_animatediff_{name}").first
    if field.kind == "image":
        upload(place, value)
    elif field.kind == "bool":
        place.locator("input[type=checkbox]").set_checked(value)
    elif field.kind == "choices":
        for box in place.locator("label:has(input[type=checkbox])").all():
            box.locator("input").set_checked(box.inner_text().strip() in value)
    elif name == "model" or field.folded:
        place.locator("input").click()
        page.locator("li[role=option], ul.options li").filter(has_text=str(value)).first.click()
    elif field.kind == "choice":
        place.get_by_role("radio", name=str(value), exact=True).check()
    else:
        box = place.locator("input, textarea").first
        box.fill(str(value))
        box.blur()


def test_every_field_reaches_the_run(page, tab, tmp_path, monkeypatch):
    from motion_module.webui.run import beginning

    read = []
    read_params = beginning.read_params
    monkeypatch.setattr(beginning, "read_params", lambda args: read.append(read_params(args)) or read[-1])
    for number in range(20):
        picture(tmp_path / "video_path" / f"{number}.png", (12 * number, 0, 0))  # no duplicates to drop
        picture(tmp_path / "mask_path" / f"{number}.png", "white")
    left_out = {"video_source", "continue_from", "resume"} | ({"video_path"} if tab == "txt2img" else set())
    here = {name: field for name, field in TABLE.items() if tab in field.tabs and name not in left_out}
    values = {name: value_for(name, field, tmp_path) for name, field in here.items()}
    for name, value in values.items():
        if name != "enable":
            set_in_page(page, tab, name, here[name], value)
    page.locator(f"#script_{tab}_animatediff_hint .animatediff-plan").first.wait_for()
    generated(page, tab)
    assert page.locator(f"#html_log_{tab} .error").all_inner_texts() == []
    (params,) = read
    was = {name: getattr(params, name) for name in here}
    if tab == "img2img":
        assert was.pop("last_frame").getpixel((1, 1)) == (0, 0, 255)
        values.pop("last_frame")
    asked = {name: getattr(VideoParams.from_json(values), name) for name in values}
    assert was == asked
