"""Progress moves inside a step, tells how long the rest takes, and leaves nothing behind."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest
from neighbours import extension
from runs import make, run, video
from test_scripts_beside_us import Rewriting, combinations
from video_files import film, folder_of, gif

from motion_module.media.writing import saving
from motion_module.params import VideoParams
from motion_module.stand_in import StandIn
from motion_module.webui import progress
from motion_module.webui.amounts import Amount, Pass
from motion_module.webui.progress import Progress, progress_shown
from motion_module.webui.request import listening
from motion_module.webui.request.video_source import opened
from motion_module.webui.sampling.decoding import decoding_shown

LONG = {"video_length": 10, "batch_size": 4, "overlap": 2, "format": ["GIF", "PNG"]}  # four windows


class Clock:
    """Time that passes only when something is done, for this process."""

    def __init__(self):
        self.begin = self.now = time.time()
        self._lock = threading.Lock()

    def __call__(self):
        return self.now

    def take(self, seconds):
        with self._lock:
            self.now += seconds


class Told:
    """What clients are told after each piece of work."""

    def __init__(self, client, clock):
        self._client, self._clock = client, clock
        self.answers, self.moved = [], []

    def ask(self, what):
        from modules import progress as hosts

        answer = self._client.get("progress?skip_current_image=true")
        self.answers.append((what, self._clock.now, answer))
        self.moved.append((what, hosts.fraction_done()))

    @property
    def values(self):
        return [answer["progress"] for _, _, answer in self.answers]

    def errors(self, first, grain):
        """How many times too long or too short the time left was, from the answer number `first` on.

        What is less than `grain` seconds, the piece of work that is under way, is no error, and neither are 3 % of the
        whole: a host adds 1 % to each progress of its own accord.
        """
        whole = self._clock.now - self._clock.begin
        for what, now, answer in self.answers[first:]:
            left, told = self._clock.now - now, max(0.0, answer["eta_relative"])
            if abs(left - told) > 0.03 * whole + grain:
                yield max(left, told) / max(1e-9, min(left, told)), what, left, told


@pytest.fixture
def costly(client, monkeypatch):
    """A run of which every window, decoded frame and written frame has its cost in a time of its own."""
    from modules import shared

    clock = Clock()
    told = Told(client, clock)

    def costs(window, decode, write):
        model = shared.sd_model
        decoder, put = model.decode_first_stage, saving._Lane.put

        def decoding(*args, **kwargs):
            clock.take(decode)
            done = decoder(*args, **kwargs)
            told.ask("decode")
            return done

        def putting(lane, frame):
            clock.take(write)
            put(lane, frame)
            told.ask("write")

        def called(*_):
            told.ask("window")
            clock.take(window)

        monkeypatch.setattr(model, "decode_first_stage", decoding)
        monkeypatch.setattr(saving._Lane, "put", putting)
        handle = model.model.diffusion_model.middle_block.register_forward_pre_hook(called)
        monkeypatch.setattr(time, "time", clock)
        clock.begin = clock.now
        return handle

    monkeypatch.setattr(progress, "_MEASURED", {})
    yield costs, told
    monkeypatch.undo()


CASES = {
    "windows": ({}, {}),
    "branches": ({"windows_per_call": 2}, {"override_settings": {"batch_cond_uncond": False}}),
    "FreeInit": ({"freeinit_enable": True, "freeinit_iters": 2}, {}),
    "hires": ({}, {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Latent", "denoising_strength": 0.7}),
    "videos": ({}, {"n_iter": 2}),
    "second order": ({}, {"sampler_name": "Heun"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_time_left_is_told_from_the_second_step_on(client, costly, case):
    """At costs as they usually are the very first run knows it."""
    costs, told = costly
    fields, request = CASES[case]
    with closing_handle(costs(window=1.0, decode=0.4, write=0.01)):
        client.run({**LONG, **fields}, steps=3, **request)
    assert told.values == sorted(told.values)
    assert [wrong for wrong in told.errors(per_step(case), 1.0) if wrong[0] > 1.5] == []


@pytest.mark.parametrize("costs_of", [(1.0, 1.5, 0.8), (1.0, 0.0, 3.0)], ids=str)
def test_a_run_before_tells_what_things_cost(client, costly, costs_of):
    costs, told = costly
    window, decode, write = costs_of
    with closing_handle(costs(window, decode, write)):
        client.run(LONG, steps=2)
        told.answers.clear()
        told._clock.begin = told._clock.now
        client.run(LONG, steps=5)
    assert told.values == sorted(told.values)
    assert [wrong for wrong in told.errors(4, max(window, 2 * write, decode)) if wrong[0] > 1.5] == []


def closing_handle(handle):
    handle.close = handle.remove
    return closing(handle)


def per_step(case):
    return 8 if case == "second order" else 4


def test_it_moves_with_every_window_frame_and_write(client, costly):
    costs, told = costly
    with closing_handle(costs(1.0, 0.1, 0.1)):
        client.run(LONG, steps=3)
    kinds = [what for what, _ in told.moved]
    values = [value for _, value in told.moved]
    assert values == sorted(values) and told.values == sorted(told.values)
    for kind, times, least in (("window", 12, 12), ("decode", 10, 10), ("write", 20, 10)):  # a frame for two writers
        moved = [value for value, what in zip(values, kinds, strict=True) if what == kind]
        assert (len(moved), len(set(moved)) >= least) == (times, True), kind


def test_steps_and_jobs_are_told_as_ever(client, costly):
    """Other programs read these numbers, and other extensions the step."""
    costs, told = costly
    fields = {"freeinit_enable": True, "freeinit_iters": 2}
    with closing_handle(costs(1.0, 0.1, 0.1)):
        client.run({**LONG, **fields}, steps=2, n_iter=2)
    states = [answer["state"] for _, _, answer in told.answers]
    assert {state["job_count"] for state in states} == {4}
    assert list(dict.fromkeys(state["job_no"] for state in states)) == [0, 1, 2, 3, 4]
    assert {state["sampling_steps"] for state in states} == {2}
    assert {state["sampling_step"] for state in states} == {0, 1}
    assert all(isinstance(value, int) for state in states for value in (state["job_no"], state["sampling_step"]))


def test_videos_that_another_script_adds_are_jobs(client, costly):
    """Dynamic Prompts makes a list of prompts when the run has begun."""
    costs, told = costly
    with (
        closing_handle(costs(1.0, 0.1, 0.1)),
        extension("txt2img", Rewriting(lambda p: combinations(p, 3))),
    ):
        client.run({"video_length": 4, "format": ["PNG"]}, steps=2)
    states = [answer["state"] for _, _, answer in told.answers]
    assert {state["job_count"] for state in states} == {3}
    assert list(dict.fromkeys(state["job_no"] for state in states)) == [0, 1, 2, 3]
    assert told.values == sorted(told.values)


def test_decoding_is_told(client, costly):
    costs, told = costly
    with closing_handle(costs(1.0, 0.1, 0.1)):
        client.run(LONG, steps=1)
    texts = [answer["textinfo"] for what, _, answer in told.answers if what == "decode"]
    assert texts == [f"AnimateDiff: decoding frame {number} of 10" for number in range(1, 11)]


def test_the_page_is_told_the_same(client, costly):
    """Without the 1 % that the API adds, so that it may be taken at its word from the second step on."""
    costs, told = costly
    page = []

    def ask(*_):
        body = {"id_task": "task(page)", "live_preview": False}
        page.append((told._clock.now, client.http.post("/internal/progress", json=body).json()))

    told.ask = ask
    with closing_handle(costs(1.0, 0.4, 0.01)):
        client.run(LONG, steps=3, force_task_id="task(page)")
    end = told._clock.now
    values = [answer["progress"] for _, answer in page]
    assert values == sorted(values) and len(set(values[:12])) == 12
    for now, answer in page[4:12]:
        assert (end - now) / 1.5 < answer["eta"] < (end - now) * 1.5


def idle(state):
    return (state.job_count, state.textinfo, state.current_image, state.current_latent) == (0, None, None, None)


def test_nothing_of_a_run_is_left_while_the_host_is_idle(client):
    from modules import shared

    client.post("options", {"show_progress_every_n_steps": 1, "live_previews_enable": True})
    client.run({"format": ["GIF"]})
    assert idle(shared.state) and not shared.state.processing_has_refined_job_count
    answer = client.get("progress")
    assert (answer["progress"], answer["textinfo"], answer["current_image"]) == (0, None, None)
    assert not [name for name in ("nextjob", "dict") if name in vars(shared.state)]
    assert "reset" not in vars(shared.total_tqdm)


def test_nothing_is_left_of_a_run_that_fails(client, monkeypatch):
    from modules import shared

    monkeypatch.setattr(saving._Lane, "put", lambda lane, frame: 1 / 0)
    body = {"prompt": "x", "steps": 1, "width": 64, "height": 64}
    fields = {"enable": True, "video_length": 4, "format": ["GIF"]}
    assert client.post("txt2img", {**body, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}}).status == 500
    assert idle(shared.state)


def test_the_runs_of_a_script_share_its_jobs(job):
    """X/Y/Z plot counts the jobs of all its cells before the first."""
    from modules import processing
    from modules import progress as hosts

    job.job_count, job.processing_has_refined_job_count = 4, True
    reached = []
    for _ in range(4):
        with closing(make(animatediff=video(format=["PNG"]), steps=2)) as p:
            processing.process_images(p)
        reached.append((job.job_no, job.job_count, hosts.fraction_done()))
    assert reached == [(1, 4, 0.25), (2, 4, 0.5), (3, 4, 0.75), (4, 4, 1.0)]


HIRES = {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Latent", "hr_second_pass_steps": 2}


def test_cells_with_hires_fix_share_the_jobs_too(job):
    """The host doubles them when the first of these cells begins to sample."""
    from modules import processing
    from modules import progress as hosts

    job.job_count = 2
    reached = []
    for _ in range(2):
        with closing(make(animatediff=video(format=["PNG"]), steps=2, **HIRES)) as p:
            processing.process_images(p)
        reached.append((job.job_no, job.job_count, hosts.fraction_done()))
    assert reached == [(2, 4, 0.5), (4, 4, 1.0)]


class Inner:
    """Makes a picture, or a video where that is allowed, of each finished frame."""

    def __init__(self, allow):
        self.allow, self.seen, self.texts = allow, [], []

    def postprocess_image(self, p, pp, *args):
        from modules import processing, shared

        inner = make("img2img", video(video_length=2), init_images=[pp.image], steps=2)
        inner.animatediff_allow_inner = self.allow
        with closing(inner):
            processing.process_images(inner)
        self.seen.append(shared.state.dict()["job_count"])
        self.texts.append(shared.state.textinfo)
        self.many = shared.state.job_count > 1


@pytest.mark.parametrize("allow", [False, True], ids=["pictures", "videos"])
def test_what_is_made_inside_of_a_video_leaves_its_progress_alone(pocket, allow):
    moved = []
    with extension("txt2img", Inner(allow)) as inner:
        p = make(animatediff=video(format=["PNG"]))
        reached = progress.Progress.decoded
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress.Progress, "decoded", lambda self, units: moved.append(units) or reached(self, units))
            run(p)
    assert set(inner.seen) == {1} and not inner.many
    assert len(moved) == 4, "the frames of the video, and nothing else"


@pytest.mark.parametrize("hires", [False, True])
def test_the_bar_in_the_console_counts_all_steps(pocket, monkeypatch, hires):
    from modules import shared

    totals = []
    monkeypatch.setattr(shared.cmd_opts, "disable_console_progressbars", False, raising=False)
    monkeypatch.setitem(shared.opts.data, "multiple_tqdm", True)
    monkeypatch.setattr(shared.total_tqdm, "updateTotal", totals.append)
    shared.total_tqdm.clear()
    run(make(animatediff=video(format=["PNG"]), steps=3, n_iter=2, **(HIRES if hires else {})))
    shared.total_tqdm.clear()
    assert totals == [10 if hires else 6]


@pytest.fixture
def moved(pocket, monkeypatch):
    """How far a run is at each frame that is read, as the host tells it."""
    from modules import progress as hosts

    told, tell = [], listening.show_frame

    def telling(*args, **kwargs):
        tell(*args, **kwargs)
        told.append(hosts.fraction_done())

    monkeypatch.setattr(listening, "show_frame", telling)
    return told


@pytest.mark.parametrize("kind", ["film", "searched", "gif", "folder", "duplicates"])
def test_it_moves_while_a_source_is_read(tmp_path, moved, job, kind):
    from modules import shared

    fields = {
        "film": lambda: {"video_source": str(film(tmp_path / "v.mp4", range(40)))},
        "searched": lambda: {"video_source": str(gif(tmp_path / "s.gif", range(40), 100)), "video_start": 30},
        "gif": lambda: {"video_source": str(gif(tmp_path / "v.gif", range(40), 100))},
        "folder": lambda: {"video_path": str(folder_of(tmp_path / "f", range(40)))},
        "duplicates": lambda: {"video_source": str(film(tmp_path / "d.mp4", [2] * 40)), "drop_duplicates": True},
    }[kind]()
    shared.opts.data["animatediff_frame_extract_path"] = str(tmp_path / "extracted")
    amount = Amount(search=30, read=0.1, passes=(Pass("sample", 5, 0.01),))
    p = make()
    with progress_shown(p, amount, 1, 0) as told, opened(VideoParams(enable=True, **fields), None, None, told):
        pass
    assert moved == sorted(moved) and len(set(moved)) > 5 and 0 <= moved[0] < moved[-1] < 1


@pytest.fixture
def stopped(client, monkeypatch):
    """Runs of which somebody presses a button in a call of the UNet; returns the answer and how many were decoded."""
    from modules import shared

    decoded = []
    model, decoder = shared.sd_model, shared.sd_model.decode_first_stage

    def decoding(latents, *args, **kwargs):
        decoded.append(len(latents))
        return decoder(latents, *args, **kwargs)

    def run_and_press(button, at, fields, **request):
        calls = []

        def press(*_):
            calls.append(1)
            if len(calls) == at:
                client.post(button, {})

        decoded.clear()
        monkeypatch.setattr(model, "decode_first_stage", decoding)
        handle = model.model.diffusion_model.middle_block.register_forward_pre_hook(press)
        with closing_handle(handle):
            reply = client.run({**LONG, "format": ["PNG", "GIF", "Frame"], **fields}, **request)
        monkeypatch.undo()
        return reply, sum(decoded)

    return run_and_press


@pytest.mark.parametrize("button", ["interrupt", "skip"])
def test_frames_that_are_noise_only_are_not_decoded(stopped, button):
    reply, decoded = stopped(button, 2, {}, steps=5)
    assert decoded == 0
    assert reply.kinds == ["GIF"] + ["PNG"] * 10, "what is kept is as ever"
    assert reply.pictures.shape == (10, 64, 64, 3)
    assert reply.pictures.std(axis=(1, 2, 3)).min() > 30, "they look like noise"
    reply, decoded = stopped(button, 6, {}, steps=5)
    assert decoded == 10, "there is something to see after the first step"


def test_noise_is_not_decoded_for_hires_fix_either(stopped):
    hires = {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    reply, decoded = stopped("skip", 2, {}, steps=3, **hires)
    assert decoded == 0 and len(reply.pictures) == 10
    _, decoded = stopped("skip", 14, {}, steps=3, **hires)
    assert decoded == 10, "the first pass is there"


def test_pictures_that_a_video_starts_from_are_decoded(client, stopped):
    from http_client import gradient, png_base64

    start = {"path": "img2img", "init_images": [png_base64(gradient())], "denoising_strength": 0.8}
    _, decoded = stopped("interrupt", 2, {}, steps=5, **start)
    assert decoded == 10


def test_an_interrupt_in_a_later_pass_of_freeinit_leaves_the_pass_before(client, stopped):
    """Its own first step would leave nothing but noise."""
    own = {"freeinit_enable": True, "freeinit_iters": 2}
    reply, decoded = stopped("interrupt", 14, own, steps=3)
    assert decoded == 10
    plain = client.run({**LONG, "format": ["PNG", "GIF", "Frame"]}, steps=3)
    assert np.array_equal(reply.pictures, plain.pictures)


def test_a_progress_that_nobody_hears_takes_everything():
    silent = Progress(Amount())
    silent.searched(3)
    silent.read(0.5)
    silent.step(0, 20)
    silent.window(1, 2)
    silent.decoded(0.3)
    silent.saved(0.5)
    silent.finished()


@pytest.fixture
def job(pocket):
    """The host's state, while a job is on."""
    from modules import shared

    shared.state.begin(job="test")
    yield shared.state
    shared.state.end()


@pytest.fixture
def broken(job):
    """A run that another extension breaks, and that nobody closes, as X/Y/Z plot does with its cells."""
    from modules import processing

    def fail(*args):
        raise ZeroDivisionError("not ours")

    class Breaking:
        def process(self, p):
            p.setup_conds = fail

    p = make(animatediff=video(format=["PNG"]), steps=2)
    with extension("txt2img", Breaking()), pytest.raises(ZeroDivisionError):
        processing.process_images(p)
    assert not told_as_ever()
    return p


def told_as_ever():
    from modules import processing, shared

    return not any(
        isinstance(vars(owner).get(name), StandIn)
        for owner, name in (
            (shared.state, "nextjob"),
            (shared.state, "dict"),
            (shared.total_tqdm, "reset"),
            (processing, "decode_latent_batch"),
        )
    )


def test_a_run_that_was_broken_off_ends_with_its_p(job):
    """The copy that a script has made is gone."""

    class P:
        pass

    p = P()
    run = progress_shown(p, Amount(), 1, 0)
    told = run.__enter__()
    told.enter(decoding_shown(told))
    assert not told_as_ever() and job.dict()["job_count"] == 1
    del p
    assert told_as_ever() and (job.job_no, job.job_count) == (0, 1)


def test_a_run_that_was_broken_off_ends_with_the_next_one(broken, job):
    from modules import processing

    with closing(make(animatediff=video(format=["PNG"]), steps=2)) as p:
        assert len(processing.process_images(p).images) == 4
    assert broken.sample.__func__ is type(broken).sample, "nothing of ours is left on it"
    assert told_as_ever() and (job.job_no, job.job_count) == (1, 1)


def test_a_run_that_was_broken_off_ends_with_its_job(broken, job):
    from modules import processing

    job.end()
    job.begin(job="plain")
    with closing(make(batch_size=2, steps=1)) as p:
        processing.process_images(p)
    told = job.dict()
    assert told_as_ever() and (told["job_no"], told["job_count"]) == (1, 1)


@pytest.mark.parametrize(
    ("request_", "fields", "at_once"),
    [({}, {}, True), ({}, {"freeinit_enable": True}, True), ({"n_iter": 2}, {}, False)],
    ids=["one video", "FreeInit", "two videos"],
)
def test_the_interrupt_button_stops_a_video_at_once(pocket, request_, fields, at_once):
    """The host's button waits for the end of the first of several jobs; parts of one video are no jobs."""
    from modules import script_callbacks, shared, ui_toprow

    pressed = []

    def press(params):
        if not pressed:
            ui_toprow.press_interrupt()
            pressed.append((shared.state.interrupted, shared.state.stopping_generation))

    script_callbacks.on_cfg_denoiser(press)
    try:
        run(make(animatediff=video(**LONG, **fields), **request_))
    finally:
        script_callbacks.remove_callbacks_for_function(press)
    assert pressed == [(at_once, not at_once)]
