"""PNG Info: what files say about themselves, and how it is sent to the tabs."""

from types import SimpleNamespace

import pytest
from page_client import Page
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from motion_module.formats import NO_PICTURES

TEXT = "a red ball\nNegative prompt: blue\nSteps: 7, Sampler: Euler, CFG scale: 4.5, Seed: 12, Size: 72x64"
FIELDS = ', AnimateDiff: "enable: true, model: mm_tiny_v2.safetensors, video_length: 9, fps: 11"'


@pytest.fixture
def extras(pocket):
    from modules import extras

    return extras


def test_texts_of_a_picture(extras, tmp_path):
    texts = PngInfo()
    texts.add_text("parameters", TEXT)
    texts.add_text("other", "<b> of another program")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=texts, dpi=(72, 72))
    nothing, geninfo, shown = extras.run_pnginfo(Image.open(tmp_path / "a.png"))
    assert (nothing, geninfo) == ("", TEXT)
    assert "parameters" in shown and "&lt;b&gt; of another program" in shown and "dpi" not in shown


def test_gif_shows_its_comment_once(extras, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", comment=TEXT.encode())
    _, geninfo, shown = extras.run_pnginfo(Image.open(tmp_path / "a.gif"))
    assert geninfo == TEXT and shown.count("a red ball") == 1 and "GIF8" not in shown


def test_nothing(extras):
    assert extras.run_pnginfo(None) == extras.run_video_info(None) == ("", "", "")
    _, geninfo, shown = extras.run_pnginfo(Image.new("RGB", (8, 8)))
    assert geninfo is None and extras.NOTHING in shown


@pytest.mark.parametrize("name", NO_PICTURES)
def test_text_of_a_video(extras, tmp_path, name):
    from motion_module.media.writing.clip import Clip, ClipInfo
    from motion_module.media.writing.names import claimed
    from motion_module.media.writing.saving import write_clip

    text = TEXT + '; a=b # \\ "c"'
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 200)]
    with claimed(tmp_path, 1, "") as claim:
        report = write_clip(Clip(frames, ClipInfo(infotext=text)), [name], claim, None)
    (path,) = report.files[name]
    assert path.suffix in extras.VIDEOS, "the page takes it"
    _, geninfo, shown = extras.run_video_info(SimpleNamespace(name=str(path)))
    assert geninfo == text and "a red ball" in shown


def test_what_is_no_video_is_a_sentence(extras, tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        extras.run_video_info(SimpleNamespace(name=str(tmp_path / "a.mp4")))


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_text_is_sent_to_a_tab_which_is_then_shown(pocket, tab):
    page = Page(pocket["url"])
    sent = page.press(f"{tab}_tab", {"pnginfo_generation_info": TEXT + FIELDS})
    value = {name: update.get("value") for name, update in sent.items() if isinstance(update, dict)}
    assert (value[f"{tab}_prompt"], value[f"{tab}_neg_prompt"]) == ("a red ball", "blue")
    assert [value[f"{tab}_{name}"] for name in ("steps", "cfg_scale", "width", "height")] == [7, 4.5, 72, 64]
    assert value[f"{tab}_sampling"] == "Euler" and value[f"{tab}_seed"] == 12
    prefix = f"script_{tab}_animatediff_"
    assert [value[prefix + name] for name in ("video_length", "fps")] == [9, 11]
    assert value[f"{prefix}enable-checkbox"] is True
    button = page.id_of(f"{tab}_tab")
    scripts = [event["js"] for event in page.events if button in event["targets"]]
    assert f"switch_to_{tab}" in scripts


def test_buttons_are_the_hosts(pocket):
    """Extensions make such buttons, too, and bind them."""
    page = Page(pocket["url"])
    assert {"pnginfo_image", "pnginfo_generation_info", "txt2img_tab", "img2img_tab"} <= {
        props.get("elem_id") for props in page.components.values()
    }
