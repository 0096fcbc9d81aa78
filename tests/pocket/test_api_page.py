"""The page's own requests, sent as the browser sends them."""

import base64
import io
import json

import pytest
import requests
from page_client import Page
from PIL import Image

SETTINGS = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5, "sampling": "Euler"}


@pytest.fixture
def page(pocket):
    return Page(pocket["url"])


def settings(tab, **more):
    return {f"{tab}_{name}": value for name, value in {**SETTINGS, **more}.items()}


def test_generate_shows_a_picture_and_its_infotext(page):
    shown = page.press("txt2img_generate", settings("txt2img"), first="task(one)")
    (picture,) = shown["txt2img_gallery"]
    with Image.open(picture["name"].split("?")[0]) as image:
        assert image.size == (64, 64)
        assert image.text["parameters"].startswith("a red circle\nSteps: 2, Sampler: Euler")
    assert requests.get(f"{page.url}/file={picture['name']}", timeout=300).status_code == 200
    assert "Seed: 5" in shown["html_info_txt2img"]
    assert json.loads(shown["generation_info_txt2img"])["all_seeds"] == [5]
    assert "Time taken" in shown["html_log_txt2img"]
    state = requests.post(f"{page.url}/internal/progress", json={"id_task": "task(one)"}, timeout=300).json()
    assert state["completed"]


def test_page_and_api_make_the_same_picture(page, pocket):
    (picture,) = page.press("txt2img_generate", settings("txt2img"))["txt2img_gallery"]
    body = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5, "sampler_name": "Euler"}
    answer = requests.post(f"{pocket['url']}/sdapi/v1/txt2img", json=body, timeout=300).json()
    from modules.api.api import decode_base64_to_image

    with Image.open(picture["name"].split("?")[0]) as image:
        assert decode_base64_to_image(answer["images"][0]).tobytes() == image.tobytes()


def test_hires_fix_is_reached(page):
    values = settings("txt2img", hr_upscaler="Latent", hires_steps=1) | {"txt2img_hr-checkbox": True}
    (picture,) = page.press("txt2img_generate", values)["txt2img_gallery"]
    with Image.open(picture["name"].split("?")[0]) as image:
        assert image.size == (128, 128)


def test_img2img_takes_the_picture(page):
    with io.BytesIO() as buffer:
        Image.new("RGB", (64, 64), "red").save(buffer, format="PNG")
        picture = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    values = settings("img2img", image=picture, denoising_strength=0.5)
    (picture,) = page.press("img2img_generate", values)["img2img_gallery"]
    with Image.open(picture["name"].split("?")[0]) as image:
        assert image.size == (64, 64)


def test_error_is_shown_in_its_box_and_the_next_run_is_fine(page):
    shown = page.press("img2img_generate", settings("img2img"))
    assert "class='error'" in shown["html_log_img2img"]
    assert not shown["img2img_gallery"]
    assert len(page.press("txt2img_generate", settings("txt2img"))["txt2img_gallery"]) == 1


def test_settings_are_applied(page):
    from modules import shared

    shown = page.press("settings_submit", {"setting_CLIP_stop_at_last_layers": 2})
    assert "1 settings changed: CLIP_stop_at_last_layers." in shown["settings_result"]
    assert shared.opts.CLIP_stop_at_last_layers == 2
