"""The API of a running server, asked over HTTP as programs ask it."""

import base64
import io
import json
import threading
import time
from pathlib import Path

import pytest
import requests
import webuiapi
from PIL import Image

from modules import processing, scripts, shared
from modules.api import generation

SMALL = {"prompt": "a red circle", "steps": 2, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler"}


@pytest.fixture
def url(pocket):
    return f"{pocket['url']}/sdapi/v1"


@pytest.fixture
def client(url):
    return webuiapi.WebUIApi(baseurl=url, sampler="Euler", steps=2)


def post(url, name, body):
    return requests.post(f"{url}/{name}", json=body, timeout=600)


def pictures(answer):
    assert answer.status_code == 200, answer.text
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in answer.json()["images"]]


def init_image():
    image = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        return base64.b64encode(buffer.getvalue()).decode()


def test_txt2img_gives_a_picture_with_its_infotext(url):
    answer = post(url, "txt2img", SMALL)
    (picture,) = pictures(answer)
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert picture.text["parameters"].startswith("a red circle\nSteps: 2, Sampler: Euler")
    info = json.loads(answer.json()["info"])
    assert info["all_seeds"] == [5]
    assert info["infotexts"] == [picture.text["parameters"]]
    assert answer.json()["parameters"]["cfg_scale"] == 7.0


def test_same_request_same_picture(url):
    first, second = (pictures(post(url, "txt2img", SMALL))[0].tobytes() for _ in range(2))
    other = pictures(post(url, "txt2img", {**SMALL, "seed": 6}))[0].tobytes()
    assert first == second != other


@pytest.mark.parametrize(("batch", "count"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_batches(url, batch, count):
    answer = post(url, "txt2img", {**SMALL, "batch_size": batch, "n_iter": count})
    assert len(pictures(answer)) == batch * count
    assert json.loads(answer.json()["info"])["all_seeds"] == [5 + place for place in range(batch * count)]


def test_img2img(url):
    body = {**SMALL, "init_images": [init_image()], "denoising_strength": 0.5}
    answer = post(url, "img2img", body)
    assert pictures(answer)[0].size == (64, 64)
    assert answer.json()["parameters"]["init_images"] is None
    kept = post(url, "img2img", {**body, "include_init_images": True}).json()["parameters"]
    assert kept["init_images"] == body["init_images"]


def test_mask_leaves_the_rest_alone(url):
    white, black = (Image.new("L", (64, 64), value) for value in (255, 0))
    black.paste(white.crop((0, 0, 32, 64)), (0, 0))
    with io.BytesIO() as buffer:
        black.save(buffer, format="PNG")
        mask = base64.b64encode(buffer.getvalue()).decode()
    body = {**SMALL, "init_images": [init_image()], "mask": mask, "mask_blur": 0, "denoising_strength": 1.0}
    (picture,) = pictures(post(url, "img2img", body))
    before = Image.open(io.BytesIO(base64.b64decode(init_image()))).convert("RGB")
    right, left = (32, 0, 64, 64), (0, 0, 32, 64)
    assert picture.convert("RGB").crop(right).tobytes() == before.crop(right).tobytes()
    assert picture.convert("RGB").crop(left).tobytes() != before.crop(left).tobytes()


def test_images_are_not_sent_when_not_wanted(url):
    assert post(url, "txt2img", {**SMALL, "send_images": False}).json()["images"] == []


def test_images_are_saved_when_wanted(url, pocket):
    folder = Path(shared.opts.outdir_txt2img_samples)
    before = set(folder.rglob("*.png"))
    pictures(post(url, "txt2img", SMALL))
    assert set(folder.rglob("*.png")) == before
    pictures(post(url, "txt2img", {**SMALL, "save_images": True}))
    (saved,) = set(folder.rglob("*.png")) - before
    assert pocket["data"] in saved.parents
    assert Image.open(saved).text["parameters"].startswith("a red circle")


def test_infotext_fills_what_the_request_leaves_out(url):
    (picture,) = pictures(post(url, "txt2img", {**SMALL, "cfg_scale": 3.5, "negative_prompt": "dark"}))
    again = post(url, "txt2img", {"infotext": picture.text["parameters"]})
    assert pictures(again)[0].tobytes() == picture.tobytes()
    other = post(url, "txt2img", {"infotext": picture.text["parameters"], "seed": 77})
    assert json.loads(other.json()["info"])["seed"] == 77


def test_png_info_reads_it_back(url):
    answer = post(url, "txt2img", SMALL)
    info = post(url, "png-info", {"image": answer.json()["images"][0]}).json()
    assert info["info"] == json.loads(answer.json()["info"])["infotexts"][0]
    assert info["parameters"].items() >= {"Steps": "2", "Seed": "5", "Size-1": "64", "Prompt": "a red circle"}.items()


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("txt2img", {"steps": "many"}, 422, "steps"),
        ("txt2img", {"width": [64]}, 422, "width"),
        ("txt2img", {"script_name": "nothing"}, 422, "Script 'nothing' not found"),
        ("txt2img", {"alwayson_scripts": {"Nothing": {"args": []}}}, 422, "Script 'Nothing' not found"),
        ("txt2img", {"alwayson_scripts": "words"}, 422, "alwayson_scripts"),
        ("img2img", {}, 404, "Init image not found"),
        ("img2img", {"init_images": ["no picture"]}, 500, "Invalid encoded image"),
        ("img2img", {"init_images": ["http://127.0.0.1/a.png"]}, 500, "Requests not allowed"),
        ("img2img", {"init_images": [init_image()], "mask": "no picture"}, 500, "Invalid encoded image"),
        ("options", {"sd_model_checkpoint": "nothing"}, 500, "model 'nothing' not found"),
        ("nothing", {}, 404, "Not Found"),
    ],
)
def test_wrong_request_is_refused_and_the_next_is_served(url, name, body, status, says):
    answer = post(url, name, {**SMALL, **body} if name.endswith("img") else body)
    assert answer.status_code == status
    assert says in answer.text
    assert requests.get(f"{url[: -len('/sdapi/v1')]}/internal/pending-tasks", timeout=300).json()["size"] == 0
    assert len(pictures(post(url, "txt2img", SMALL))) == 1


def test_failing_run_is_json_and_leaves_the_server_well(url, monkeypatch):
    class WrongError(Exception):
        def __init__(self, sentence):
            super().__init__(sentence)
            self.status_code, self.detail = 422, sentence

    def fails(p):
        raise WrongError("Overlap must be less than the context.")

    with monkeypatch.context() as patched:
        patched.setattr(generation, "process_images", fails)
        answer = post(url, "txt2img", SMALL)
    assert answer.status_code == 422
    assert answer.json()["error"] == "WrongError"
    assert answer.json()["detail"] == "Overlap must be less than the context."
    assert shared.state.job == ""
    assert len(pictures(post(url, "txt2img", SMALL))) == 1


def test_always_on_script_gets_its_arguments(url, monkeypatch):
    script = next(script for script in scripts.scripts_txt2img.scripts if script.title() == "Seed")
    seen = []

    def noting(p):
        seen.append(p.script_args[script.args_from : script.args_to])
        return processing.process_images(p)

    monkeypatch.setattr(generation, "process_images", noting)
    pictures(post(url, "txt2img", {**SMALL, "alwayson_scripts": {"sEED": {"args": [7, True]}}}))
    pictures(post(url, "txt2img", {**SMALL, "alwayson_scripts": {"Seed": {"args": list(range(10))}}}))
    assert seen == [(7, True, -1, 0.0, 0, 0), (0, 1, 2, 3, 4, 5)]


def test_unknown_sampler_is_the_first_one(url):
    info = json.loads(post(url, "txt2img", {**SMALL, "sampler_name": "Nothing"}).json()["info"])
    assert info["sampler_name"] == "DPM++ 2M"


def test_chosen_script_runs_instead_of_the_plain_run(url, monkeypatch):
    class Chosen:
        alwayson, args_from, args_to, name = False, 1, 3, "mine"

        def title(self):
            return "Mine"

        def run(self, p, *args):
            p.prompt = f"{args}"
            return processing.process_images(p)

    runner = scripts.scripts_txt2img
    monkeypatch.setattr(runner, "selectable_scripts", [*runner.selectable_scripts, Chosen()])
    answer = post(url, "txt2img", {**SMALL, "script_name": "mine", "script_args": ["a", 2]})
    assert json.loads(answer.json()["info"])["prompt"] == "('a', 2)"


def running(url):
    """Waits until a run has begun to sample and gives its progress."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        answer = requests.get(f"{url}/progress", timeout=300).json()
        if answer["progress"] > 0.01 and answer["state"]["sampling_step"] > 0:
            return answer
    raise TimeoutError("the run did not begin")


@pytest.fixture
def long_run(url):
    """A run of many steps in another thread; its answer comes when it is interrupted."""
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(post(url, "txt2img", {**SMALL, "steps": 150, "force_task_id": "task(long)"}))
    )
    thread.start()
    yield answers, thread
    requests.post(f"{url}/interrupt", timeout=300)
    thread.join(600)


def test_progress_and_interrupt(url, pocket, long_run):
    answers, thread = long_run
    progress = running(url)
    assert 0 < progress["progress"] < 1
    assert progress["state"]["sampling_steps"] == 150
    followed = requests.post(f"{pocket['url']}/internal/progress", json={"id_task": "task(long)"}, timeout=300).json()
    assert followed["active"]
    assert requests.post(f"{url}/interrupt", timeout=300).json() == {}
    thread.join(600)
    assert len(pictures(answers[0])) == 1
    assert requests.get(f"{url}/progress", timeout=300).json()["progress"] == 0
    done = requests.post(f"{pocket['url']}/internal/progress", json={"id_task": "task(long)"}, timeout=300).json()
    assert done["completed"]
    assert len(pictures(post(url, "txt2img", SMALL))) == 1


def test_second_request_waits_for_the_first(url, long_run):
    running(url)
    second = []
    waiting = threading.Thread(target=lambda: second.append(post(url, "txt2img", SMALL)))
    waiting.start()
    running(url)
    assert second == []
    requests.post(f"{url}/interrupt", timeout=300)
    waiting.join(600)
    assert len(pictures(second[0])) == 1


def test_options_are_read_changed_and_put_to_use(url):
    before = requests.get(f"{url}/options", timeout=300).json()
    assert before["samples_format"] == "png"
    assert post(url, "options", {"samples_format": "jpg", "CLIP_stop_at_last_layers": 2}).status_code == 200
    after = requests.get(f"{url}/options", timeout=300).json()
    assert (after["samples_format"], after["CLIP_stop_at_last_layers"]) == ("jpg", 2)
    assert pictures(post(url, "txt2img", SMALL))[0].format == "JPEG"


def test_override_settings_are_put_back(url):
    plain = pictures(post(url, "txt2img", SMALL))[0].tobytes()
    other = pictures(post(url, "txt2img", {**SMALL, "override_settings": {"CLIP_stop_at_last_layers": 2}}))[0]
    assert other.tobytes() != plain
    assert requests.get(f"{url}/options", timeout=300).json()["CLIP_stop_at_last_layers"] == 1
    assert pictures(post(url, "txt2img", SMALL))[0].tobytes() == plain


def test_scripts_and_their_arguments_are_listed(url):
    listed = requests.get(f"{url}/scripts", timeout=300).json()
    assert "animatediff" in listed["txt2img"]
    assert "animatediff" in listed["img2img"]
    infos = requests.get(f"{url}/script-info", timeout=300).json()
    mine = [info for info in infos if info["name"] == "animatediff"]
    assert [info["is_img2img"] for info in mine] == [False, True]
    assert all(info["is_alwayson"] and info["args"] for info in mine)


@pytest.mark.parametrize("name", ["extra-single-image", "extra-batch-images"])
def test_upscaling(url, name):
    body = {"upscaling_resize": 2, "upscaler_1": "Lanczos"}
    if name == "extra-single-image":
        answer = post(url, name, {**body, "image": init_image()})
        texts = [answer.json()["image"]]
    else:
        answer = post(url, name, {**body, "imageList": [{"data": init_image(), "name": "a"}] * 2})
        texts = answer.json()["images"]
    assert answer.status_code == 200
    assert [Image.open(io.BytesIO(base64.b64decode(text))).size for text in texts] == [(128, 128)] * len(texts)


LISTS = {
    "get_samplers": "name",
    "get_schedulers": "label",
    "get_sd_models": "title",
    "get_upscalers": "name",
    "get_latent_upscale_modes": "name",
}


@pytest.mark.parametrize(("method", "key"), LISTS.items())
def test_client_lists(client, method, key):
    items = getattr(client, method)()
    assert items
    assert all(item[key] for item in items)


@pytest.mark.parametrize(
    "method",
    [
        "get_cmd_flags",
        "get_embeddings",
        "get_face_restorers",
        "get_hypernetworks",
        "get_loras",
        "get_memory",
        "get_options",
        "get_progress",
        "get_prompt_styles",
        "get_realesrgan_models",
        "get_sd_vae",
        "refresh_checkpoints",
        "skip",
        "interrupt",
    ],
)
def test_client_calls_are_answered(client, method):
    answer = getattr(client, method)()
    assert not (isinstance(answer, dict) and answer.get("detail") == "Not Found")


def test_client_makes_pictures_from_words_and_pictures(client):
    assert client.has_animatediff
    made = client.txt2img(prompt="a red circle", seed=5, width=64, height=64)
    assert made.image.size == (64, 64)
    assert made.info["seed"] == 5
    again = client.img2img(images=[made.image], prompt="a blue circle", seed=5, width=64, height=64)
    assert again.image.size == (64, 64)
    assert client.png_info(made.image).info.startswith("a red circle")


def test_client_changes_checkpoint_and_waits(client):
    client.util_set_model(client.util_get_model_names()[0])
    assert client.util_get_current_model() in client.util_get_model_names()
    client.util_wait_for_ready(check_interval=0.01)


def test_page_loads_the_scripts(pocket):
    page = requests.get(pocket["url"], timeout=300).text
    assert "script.js" in page
    for part in page.split('src="file=')[1:]:
        file = requests.get(f"{pocket['url']}/file={part.split(chr(34))[0]}", timeout=300)
        assert file.status_code == 200
    config = requests.get(f"{pocket['url']}/config", timeout=300).json()
    ids = {component["props"].get("elem_id") for component in config["components"]}
    for tab in ("txt2img", "img2img"):
        wanted = ("prompt", "neg_prompt", "generate", "interrupt", "gallery", "steps", "sampling", "width", "seed")
        assert {f"{tab}_{name}" for name in wanted} <= ids
    assert "setting_samples_format" in ids
    assert "setting_animatediff_model_path" in ids


def test_page_shows_no_other_file(pocket):
    assert requests.get(f"{pocket['url']}/file=/etc/passwd", timeout=300).status_code == 403
