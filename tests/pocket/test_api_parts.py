"""Parts of the API that need no model: errors, pictures as text, script arguments, the queue, progress."""

import base64
import io
import threading
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.exceptions import HTTPException
from fastapi.testclient import TestClient
from PIL import Image

from modules import progress, shared
from modules.api.encoding import decode_base64_to_image, encode_pil_to_base64
from modules.api.middleware import api_middleware
from modules.api.script_args import get_selectable_script, init_script_args, script_name_to_index
from modules.call_queue import FIFOLock, wrap_gradio_call_no_job


class OwnStatusError(Exception):
    """Carries its status on the instance, as the API wants it."""

    def __init__(self, sentence):
        super().__init__(sentence)
        self.status_code = 422
        self.detail = sentence


class ClassStatusError(Exception):
    """Carries it on the class, which the API does not look at."""

    status_code = 422
    detail = "unseen"


@pytest.fixture
def client():
    app = FastAPI()
    api_middleware(app)

    @app.get("/raise/{name}")
    def fail(name: str):
        raise {
            "own": OwnStatusError("fps must be a number."),
            "class": ClassStatusError("words"),
            "plain": ValueError("out of range"),
            "http": HTTPException(status_code=404, detail="not here"),
        }[name]

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "own",
            422,
            {
                "error": "OwnStatusError",
                "detail": "fps must be a number.",
                "body": "",
                "errors": "fps must be a number.",
            },
        ),
        ("class", 500, {"error": "ClassStatusError", "detail": "", "body": "", "errors": "words"}),
        ("plain", 500, {"error": "ValueError", "detail": "", "body": "", "errors": "out of range"}),
        ("http", 404, {"error": "HTTPException", "detail": "not here", "body": ""}),
    ],
)
def test_exception_becomes_json(client, name, status, body):
    answer = client.get(f"/raise/{name}")
    assert answer.status_code == status
    assert answer.json().items() >= body.items()
    assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_time_taken_is_in_the_head(client):
    assert float(client.get("/raise/http").headers["X-Process-Time"]) >= 0


def _encoded(image, **options):
    with io.BytesIO() as buffer:
        image.save(buffer, **options)
        return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_picture_is_decoded(head):
    image = Image.new("RGB", (5, 7), "red")
    decoded = decode_base64_to_image(head + _encoded(image, format="PNG"))
    assert decoded.size == (5, 7)
    assert decoded.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("text", ["", "no picture", "http://example.org/a.png", base64.b64encode(b"words").decode()])
def test_no_picture_is_refused(text):
    with pytest.raises(HTTPException) as caught:
        decode_base64_to_image(text)
    assert caught.value.status_code == 500


@pytest.mark.parametrize(("setting", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_picture_is_sent_in_the_format_of_the_settings(monkeypatch, setting, kind):
    monkeypatch.setitem(shared.opts.data, "samples_format", setting)
    image = Image.new("RGB", (8, 8), "red")
    image.info["parameters"] = "Steps: 1"
    sent = Image.open(io.BytesIO(base64.b64decode(encode_pil_to_base64(image))))
    assert sent.format == kind
    if kind == "PNG":
        assert sent.text["parameters"] == "Steps: 1"
    else:
        assert b"S\x00t\x00e\x00p\x00s" in sent.info["exif"]


def test_strings_pass_through():
    assert encode_pil_to_base64("R0lGODlh") == "R0lGODlh"


class FakeScript:
    """A script with so many arguments, from the place `args_from` on."""

    def __init__(self, title, args_from, count, alwayson=True):
        self._title, self.args_from, self.args_to, self.alwayson = title, args_from, args_from + count, alwayson

    def title(self):
        return self._title


@pytest.fixture
def runner():
    always, other = FakeScript("AnimateDiff", 1, 2), FakeScript("Other", 3, 1)
    chosen = FakeScript("X/Y plot", 4, 2, alwayson=False)
    return SimpleNamespace(scripts=[always, other, chosen], selectable_scripts=[chosen])


DEFAULTS = [0, "a", "b", "c", "x", "y"]


def _args(runner, alwayson=None, name=None, script_args=(), from_infotext=None):
    request = SimpleNamespace(alwayson_scripts=alwayson, script_args=list(script_args))
    script, index = get_selectable_script(name, runner)
    return init_script_args(request, DEFAULTS, script, index, runner, from_infotext or {})


@pytest.mark.parametrize(
    ("alwayson", "expected"),
    [
        (None, DEFAULTS),
        ({}, DEFAULTS),
        ({"animatediff": {"args": [1]}}, [0, 1, "b", "c", "x", "y"]),
        ({"ANIMATEDIFF": {"args": [1, 2]}, "other": {"args": [3]}}, [0, 1, 2, 3, "x", "y"]),
        ({"AnimateDiff": {"args": [1, 2, 3, 4, 5]}}, [0, 1, 2, "c", "x", "y"]),
        ({"AnimateDiff": {"args": []}}, DEFAULTS),
        ({"AnimateDiff": {}}, DEFAULTS),
        ({"AnimateDiff": {"args": [False]}}, [0, False, "b", "c", "x", "y"]),
    ],
)
def test_always_on_arguments(runner, alwayson, expected):
    assert _args(runner, alwayson) == expected
    assert DEFAULTS == [0, "a", "b", "c", "x", "y"]


def test_chosen_script_gets_all_its_arguments(runner):
    assert _args(runner, name="x/y PLOT", script_args=[8, 9]) == [1, "a", "b", "c", 8, 9]


def test_request_comes_before_infotext(runner):
    assert _args(runner, {"AnimateDiff": {"args": [1]}}, from_infotext={1: "i", 2: "j"}) == [0, 1, "j", "c", "x", "y"]


@pytest.mark.parametrize("alwayson", [{"Nothing": {"args": []}}, {"X/Y plot": {"args": []}}, {"": {}}])
def test_wrong_always_on_script_is_422(runner, alwayson):
    with pytest.raises(HTTPException) as caught:
        _args(runner, alwayson)
    assert caught.value.status_code == 422


def test_unknown_script_is_422(runner):
    with pytest.raises(HTTPException) as caught:
        script_name_to_index("nothing", runner.scripts)
    assert (caught.value.status_code, caught.value.detail) == (422, "Script 'nothing' not found")


def test_queue_is_in_order():
    lock, order, waiting = FIFOLock(), [], []
    lock.acquire()

    def job(number):
        with lock:
            order.append(number)

    for number in range(5):
        thread = threading.Thread(target=job, args=(number,))
        waiting.append(thread)
        thread.start()
        while len(lock._waiting) <= number:
            pass
    assert not lock.acquire(blocking=False)
    lock.release()
    for thread in waiting:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert lock.acquire(blocking=False)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_task_waits_runs_and_is_done():
    first, second = progress.create_task_id("txt2img"), progress.create_task_id("txt2img")
    progress.add_task_to_queue(first)
    progress.add_task_to_queue(second)
    try:
        progress.start_task(first)
        assert progress.current_task == first
        assert progress.progressapi(progress.ProgressRequest(id_task=first, live_preview=False)).active
        waiting = progress.progressapi(progress.ProgressRequest(id_task=second))
        assert (waiting.active, waiting.queued, waiting.textinfo) == (False, True, "In queue: 1/1")
    finally:
        progress.finish_task(first)
        progress.start_task(second)
        progress.finish_task(second)
    assert progress.current_task is None
    assert progress.progressapi(progress.ProgressRequest(id_task=second)).completed


@pytest.mark.parametrize(
    ("jobs", "job", "steps", "step", "fraction"),
    [(0, 0, 0, 0, 0.0), (-1, 0, 20, 5, 0.0), (1, 0, 20, 5, 0.25), (4, 1, 20, 10, 0.375), (2, 2, 20, 20, 1.0)],
)
def test_progress_by_jobs_and_steps(monkeypatch, jobs, job, steps, step, fraction):
    state = SimpleNamespace(job_count=jobs, job_no=job, sampling_steps=steps, sampling_step=step)
    monkeypatch.setattr(progress.shared, "state", state)
    assert progress.fraction_done() == fraction


def test_error_is_shown_in_the_page(monkeypatch, capsys):
    def fails():
        raise ValueError("<b>fps</b> must be a number")

    *outputs, html = wrap_gradio_call_no_job(fails, extra_outputs=[None, "", ""], add_stats=True)()
    assert outputs == [None, "", ""]
    assert "<div class='error'>ValueError: &lt;b&gt;fps&lt;/b&gt; must be a number</div>" in html
    assert "Time taken" in html
