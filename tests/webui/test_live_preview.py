"""While a video is sampled, the page can have its frames so far, moving; it costs next to nothing, and leaves nothing."""

import io
import itertools
import threading
import time

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from runs import frames, make, run, video
from snapshot import differences, of_host, of_p

from motion_module.webui.routes import live_preview as route
from motion_module.webui.routes import routes
from motion_module.webui.sampling import live_preview
from motion_module.webui.sampling.live_preview import LivePreview

TASK = "task(page)"
LONG = {"video_length": 10, "batch_size": 4, "overlap": 2, "format": ["PNG"]}  # four windows


class Page:
    """Asks for the preview again and again, as the page does."""

    def __init__(self, client):
        self._client = client
        self.known, self.statuses, self.webps = 0, [], []

    def ask(self, task=TASK):
        answer = self._client.http.get(route.ROUTE, params={"id_task": task, "known": self.known})
        self.statuses.append(answer.status_code)
        if answer.status_code == 200:
            number = int(answer.headers["animatediff-preview"])
            assert number > self.known and answer.headers["content-type"] == "image/webp"
            self.known = number
            self.webps.append(answer.content)


def moving(webp):
    """The frames of an animated WEBP: (f, h, w, 3), and how long they are shown, in ms."""
    with Image.open(io.BytesIO(webp)) as image:
        assert image.format == "WEBP" and image.is_animated
        durations, pictures = [], []
        for frame in range(image.n_frames):
            image.seek(frame)
            pictures.append(np.asarray(image.convert("RGB"), dtype=float))
            durations.append(image.info["duration"])
    return np.stack(pictures), durations


@pytest.fixture
def lavish(monkeypatch):
    """Previews may cost what they cost."""
    monkeypatch.setattr(live_preview, "SHARE", 1e9)
    monkeypatch.setattr(live_preview, "PAUSE", 0.0)


@pytest.fixture
def asking(client, lavish):
    """A page that asks before each call of the model."""
    from modules import shared

    page = Page(client)
    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(lambda *_: page.ask())
    yield page
    handle.remove()


@pytest.fixture
def made(monkeypatch):
    """How many frames of previews are decoded."""
    counted = []
    picture = live_preview._picture
    monkeypatch.setattr(live_preview, "_picture", lambda latents: counted.append(latents) or picture(latents))
    return counted


def options(**values):
    from modules import shared

    shared.opts.data.update(values)


def test_the_frames_so_far_move_and_change_from_step_to_step(client, asking):
    client.run({**LONG, "fps": 5}, steps=5, force_task_id=TASK)
    assert len(asking.webps) == 4, "one after each step but the last, of four windows each"
    seen = [moving(webp) for webp in asking.webps]
    for pictures, durations in seen:
        assert pictures.shape == (10, 64, 64, 3) and durations == [200] * 10
        assert np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)).min() > 0.5
    assert all(np.abs(after[0] - before[0]).mean() > 0.5 for before, after in itertools.pairwise(seen))


def test_it_shows_what_becomes_of_the_video(client, asking):
    """By the host's projection of the latents that it keeps itself."""
    from modules import sd_vae_approx, shared

    kept = []

    def keep(*_):
        kept.append(shared.state.current_latent)

    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(keep)
    client.run({"format": ["PNG"]}, steps=3, force_task_id=TASK)
    handle.remove()
    wanted = sd_vae_approx.cheap_approximation(kept[-1]).clamp(-1, 1).permute(0, 2, 3, 1).numpy()
    pictures, _ = moving(asking.webps[-1])
    cells = pictures.reshape(8, 8, 8, 8, 8, 3).mean(axis=(2, 4))
    alike = [[np.corrcoef(cell.flat, frame.flat)[0, 1] for frame in wanted] for cell in cells]
    assert np.argmax(alike, axis=1).tolist() == list(range(8)) and np.diag(alike).min() > 0.9


def test_a_page_gets_it_while_the_run_goes_on(client):
    """Nothing replaced: on any host, with the share and the pauses as they are."""
    client.post("options", {"live_previews_enable": True})
    page, body = Page(client), {"steps": 60, "force_task_id": TASK}
    made = threading.Thread(target=lambda: client.run({"format": ["PNG"], "video_length": 16}, **body))
    made.start()
    while made.is_alive() and not page.webps:
        page.ask()
        time.sleep(0.1)
    client.post("interrupt", {})  # nobody needs the rest
    made.join()
    assert page.webps and moving(page.webps[0])[0].shape[0] > 1
    page.known = 0
    page.ask()
    assert page.statuses[-1] == 204


def test_nobody_asks_and_nothing_is_made(client, lavish, made):
    client.run(LONG, steps=3, force_task_id=TASK)
    assert made == []


@pytest.mark.parametrize("off", [{"live_previews_enable": False}, {"show_progress_every_n_steps": -1}], ids=str)
def test_live_previews_that_are_off(client, asking, made, off):
    options(**off)
    client.run(LONG, steps=3, force_task_id=TASK)
    assert made == [] and set(asking.statuses) == {204}


def test_another_page_and_no_run_get_nothing(client, lavish):
    from modules import shared

    page, other = Page(client), Page(client)

    def ask(*_):
        page.ask()
        other.ask("task(other)")

    page.ask()
    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(ask)
    client.run(LONG, steps=3, force_task_id=TASK)
    client.run(None, steps=3, force_task_id=TASK)  # a plain picture
    handle.remove()
    page.ask()
    assert len(page.webps) == 2 and other.webps == []
    assert page.statuses[0] == page.statuses[-1] == 204


def test_the_video_has_the_same_bits(client, asking):
    with_previews = client.run(LONG, steps=4, force_task_id=TASK).files
    assert len(asking.webps) == 3
    options(live_previews_enable=False)
    assert client.run(LONG, steps=4).files == with_previews


@pytest.mark.parametrize("broken", ["_picture", "in_memory"])
def test_a_preview_that_fails_costs_one_line(client, asking, monkeypatch, caplog, broken):
    plain = client.run(LONG, steps=4).files

    def fail(*args):
        raise RuntimeError("this is broken")

    monkeypatch.setattr(live_preview, broken, fail)
    assert client.run(LONG, steps=4, force_task_id=TASK).files == plain
    lines = [record.message for record in caplog.records if "preview" in record.message]
    assert lines == ["There is no moving live preview of this video: this is broken"]
    assert set(asking.statuses) == {204}


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
@pytest.mark.parametrize("end", ["well", "interrupt", "error"])
def test_nothing_is_left_of_it(pocket, lavish, tab, end):
    from modules import shared

    asked = []

    def ask(*_):
        live_preview.newest(0)
        asked.append(len(live_preview._OFFERED))
        if len(asked) == 3:
            if end == "interrupt":
                shared.state.interrupt()
            if end == "error":
                raise RuntimeError("this is broken")

    before, p = of_host(), make(tab, video(), steps=4)
    own = of_p(p)
    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(ask)
    try:
        run(p)
    except RuntimeError as error:
        assert end == "error" and "this is broken" in str(error)
    handle.remove()
    shared.state.interrupted = False
    assert len(asked) >= 2 and set(asked) == {1}
    assert live_preview._OFFERED == [] and live_preview.newest(0) is None
    assert differences(before, of_host()) == [] and differences(own, of_p(p)) == []


def test_the_hosts_own_still_has_few_frames(client, lavish):
    """It decodes each frame of its grid, in whatever way is set."""
    from modules import shared

    options(show_progress_every_n_steps=1, show_progress_grid=True)
    sizes = set()

    def ask(*_):
        shared.state.set_current_image()
        if shared.state.current_image is not None:
            sizes.add(shared.state.current_image.size)

    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(ask)
    client.run({"video_length": 8, "format": ["PNG"]}, steps=3)
    assert sizes == {(3 * 64, 3 * 64)}, "eight frames, all of them"
    sizes.clear()
    client.run({"video_length": 40, "format": ["PNG"]}, steps=3)
    assert sizes == {(4 * 64, 4 * 64)}, "sixteen of forty"
    sizes.clear()
    watched = []
    watching = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(
        lambda *_: watched.append(live_preview.newest(0))
    )
    client.run({"video_length": 8, "format": ["PNG"]}, steps=4)
    watching.remove()
    assert sizes == {(64, 64)}, "one, below the moving preview"
    sizes.clear()
    client.run(None, steps=3, batch_size=20)
    handle.remove()
    assert sizes == {(5 * 64, 4 * 64)} or sizes == {(4 * 64, 5 * 64)}, "twenty plain pictures"


def test_first_and_last_frame_are_among_the_few(client, asking):
    client.run({"video_length": 80, "format": ["PNG"]}, steps=2, force_task_id=TASK)
    assert moving(asking.webps[0])[0].shape[0] == 32
    import torch

    places = live_preview._spread(torch.arange(80.0).reshape(80, 1, 1, 1), 32).flatten().tolist()
    assert places[0] == 0 and places[-1] == 79 and len(set(places)) == 32


class Purse:
    """Work on the side with so many seconds to spend."""

    def __init__(self, affordable):
        self.affordable, self.spent = affordable, 0.0

    def begin(self):
        pass

    def spend(self, seconds):
        self.spent += seconds


@pytest.mark.parametrize(("affordable", "count"), [(0.0, 0), (1.0, 16), (0.0066, 16), (0.005, 12), (0.0032, 0)])
def test_what_cannot_be_afforded_waits_or_has_fewer_frames(pocket, affordable, count):
    """A frame of 64 by 64 pixels is taken to cost 0.41 ms, as long as none is measured."""
    import torch

    preview = LivePreview(8.0, Purse(affordable))
    with preview:
        assert preview.newest(0) is None
        preview._store(lambda latents: None, torch.randn(16, 4, 8, 8))
        shown = preview.newest(0)
    assert (moving(shown.webp)[0].shape[0] if shown else 0) == count
    assert (preview.work.spent > 0) == (count > 0)


@pytest.mark.parametrize(("kind", "there", "by"), [("TAESD", True, [3]), ("TAESD", False, []), ("Full", True, [])])
def test_taesd_where_the_person_has_set_it(pocket, monkeypatch, tmp_path, kind, there, by):
    """The host would download a file that is not there."""
    import torch

    from modules import sd_samplers_common

    asked = []

    def decoded(latents, approximation):
        asked.append(approximation)
        return torch.zeros(1, 3, 512, 512)

    monkeypatch.setattr(sd_samplers_common, "samples_to_images_tensor", decoded)
    monkeypatch.setattr(live_preview.paths, "models_path", str(tmp_path))
    if there:
        (tmp_path / "VAE-taesd").mkdir()
        (tmp_path / "VAE-taesd" / "taesd_decoder.pth").touch()
    options(show_progress_type=kind)
    picture = live_preview._picture(torch.zeros(4, 64, 64))
    assert asked == by and picture.size == (256, 256)


@pytest.mark.parametrize(
    ("latents", "size"), [((8, 8), (64, 64)), ((64, 96), (256, 171)), ((128, 128), (256, 256)), ((600, 1), (1, 256))]
)
def test_a_preview_is_small(latents, size):
    assert live_preview._size(*latents) == size


def test_sdxl_has_its_own_colours(pocket_xl, lavish):
    from modules import shared

    shown = []
    handle = shared.sd_model.model.diffusion_model.middle_block.register_forward_pre_hook(
        lambda *_: shown.append(live_preview.newest(0))
    )
    frames(fields={"model": "mm_tiny_sdxl.safetensors"}, steps=3)
    handle.remove()
    assert moving(shown[-1].webp)[0].shape[1:] == (64, 64, 3)


def test_the_page_needs_no_api():
    app = FastAPI()
    routes.add(None, app)
    assert [found.path for found in app.routes if "animatediff" in found.path] == [route.ROUTE]
