"""The page's own requests, sent as the browser sends them."""

import base64
import io
import json

import pytest
import requests
from PIL import Image
from websockets.sync.client import connect

SETTINGS = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5, "sampling": "Euler"}


class Page:
    """The page's description: components with the values they start with, and what their events send."""

    def __init__(self, url):
        self.url = url
        config = requests.get(f"{url}/config", timeout=10).json()
        self.components = {component["id"]: component["props"] for component in config["components"]}
        self.events = config["dependencies"]

    def id_of(self, elem_id):
        return next(number for number, props in self.components.items() if props.get("elem_id") == elem_id)

    def event_of(self, elem_id):
        """Number and description of what happens when a button is pressed."""
        button = self.id_of(elem_id)
        return next((place, event) for place, event in enumerate(self.events) if button in event["targets"])

    def press(self, elem_id, values, first=None):
        """Presses a button with some values changed by elem_id, and returns its outputs by elem_id."""
        number, event = self.event_of(elem_id)
        inputs = [self.components[component] for component in event["inputs"]]
        data = [values.get(props.get("elem_id"), props.get("value")) for props in inputs]
        if first is not None:
            data[0] = first
        request = {"fn_index": number, "session_hash": "test"}
        with connect(f"{self.url.replace('http', 'ws')}/queue/join", max_size=None) as socket:
            while True:
                message = json.loads(socket.recv(timeout=120))
                if message["msg"] == "send_hash":
                    socket.send(json.dumps(request))
                elif message["msg"] == "send_data":
                    socket.send(json.dumps({**request, "data": data}))
                elif message["msg"] == "process_completed":
                    break
        assert message["success"], message["output"]
        names = [self.components[component].get("elem_id") for component in event["outputs"]]
        return dict(zip(names, message["output"]["data"], strict=True))


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
    assert requests.get(f"{page.url}/file={picture['name']}", timeout=10).status_code == 200
    assert "Seed: 5" in shown["html_info_txt2img"]
    assert json.loads(shown["generation_info_txt2img"])["all_seeds"] == [5]
    assert "Time taken" in shown["html_log_txt2img"]
    state = requests.post(f"{page.url}/internal/progress", json={"id_task": "task(one)"}, timeout=10).json()
    assert state["completed"]


def test_page_and_api_make_the_same_picture(page, pocket):
    (picture,) = page.press("txt2img_generate", settings("txt2img"))["txt2img_gallery"]
    body = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5, "sampler_name": "Euler"}
    answer = requests.post(f"{pocket['url']}/sdapi/v1/txt2img", json=body, timeout=60).json()
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
