"""How the frames come about, asked over HTTP: guidance, windows, noise, prompt travel, interrupt, progress."""

import base64
import contextlib
import io
import threading

import numpy as np
import pytest
import snapshot
from http_client import Client, far, gif_frames
from PIL import Image

V3 = "mm_tiny_v3.safetensors"
LONG = ", ".join(["a red ball", "on green grass", "under a blue sky"] * 8)  # more than 75 tokens
STILL = {"effect": 0.0, "model": V3}  # nothing joins the frames


@pytest.fixture
def client(pocket):
    return Client(pocket)


@pytest.fixture
def own_schedule(monkeypatch):
    """Keep the noise schedule of the checkpoint: with effect 0 the frames are the plain pictures then."""
    keep = lambda self, sd_model, schedule: contextlib.nullcontext()  # noqa: E731
    monkeypatch.setattr("motion_module.webui.hosts.a1111.A1111.noise_schedule", keep)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "a red ball AND a green ball :0.6 AND grass :0.3"},
        {"prompt": LONG},
        {"negative_prompt": LONG},
        {"s_min_uncond": 10.0, "steps": 3},
        {"s_min_uncond": 10.0, "steps": 3, "prompt": "a ball AND grass", "negative_prompt": LONG},
        {"override_settings": {"skip_early_cond": 0.5}},
    ],
    ids=["plain", "AND", "long prompt", "long negative prompt", "NGMS", "NGMS, AND, long negative prompt", "early"],
)
def test_one_video_however_the_host_calls_the_model(client, fields):
    """v1's norms go over all frames of a call, so that any row too many, or missing, shows in every frame."""
    overrides = fields.get("override_settings", {})
    videos = [
        client.frames({"video_length": 5}, **{**fields, "override_settings": {**overrides, **settings}})
        for settings in ({}, {"batch_cond_uncond": False}, {"pad_cond_uncond": True, "batch_cond_uncond": False})
    ]
    assert len(videos[0]) == 5
    assert [far(videos[0], other) <= 1 for other in videos[1:]] == [True] * 2


def test_two_halves_of_a_prompt_are_the_prompt(client):
    whole = client.frames(prompt="a red ball")
    assert far(whole, client.frames(prompt="a red ball :0.5 AND a red ball :0.5")) <= 1
    assert far(whole, client.frames(prompt="a red ball :0.5 AND a green ball :0.5")) > 10


def test_ngms_leaves_the_negative_prompt_out(client):
    fields = {"steps": 4, "negative_prompt": "blue", "cfg_scale": 15, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}
    guided = client.frames(**fields)
    sometimes = client.frames(**fields, s_min_uncond=100.0)
    never = client.frames(**fields, s_min_uncond=100.0, override_settings={"s_min_uncond_all": True})
    assert far(never, client.frames(**{**fields, "cfg_scale": 1})) <= 1
    assert min(far(guided, sometimes), far(sometimes, never), far(guided, never)) > 1


LONGER = {"video_length": 18, "batch_size": 6}
WINDOWS = [
    {"blend": "overwrite"},
    {"blend": "pyramid", "stride": 2},
    {"blend": "pyramid", "closed_loop": "A", "overlap": 3},
    {"blend": "linear", "schedule": "static", "overlap": 4},
    {"blend": "flat", "closed_loop": "N", "overlap": 0},
]


def test_a_long_video_is_cut_into_windows_and_joined_again(client):
    """Without the module's effect the cut cannot be seen; with it, it can."""
    uncut = {"video_length": 18, "batch_size": 18, "model": V3}
    travel = {"prompt": "0: a red ball\n14: blue water", "negative_prompt": "grey"}
    still = {loop: client.frames({**STILL, **uncut, "closed_loop": loop}, **travel) for loop in ("R-P", "R+P")}
    moving = client.frames(uncut, steps=1)
    assert far(*still.values()) > 1
    for windows in WINDOWS:
        closed = "R+P" if windows.get("closed_loop") == "A" else "R-P"
        assert far(still[closed], client.frames({**STILL, **LONGER, **windows}, **travel)) <= 1, windows
        assert far(moving, client.frames({**LONGER, **windows, "model": V3}, steps=1)) > 10, windows


def test_windows_in_one_call_with_norms_over_the_frames_of_each(client):
    fields = {**LONGER, "model": "mm_tiny_v1.safetensors"}
    assert far(client.frames(fields), client.frames({**fields, "windows_per_call": 3})) <= 1


def test_every_frame_of_a_long_video_has_its_own_seed(client, own_schedule):
    frames = client.frames({**STILL, **LONGER})
    for place in (0, 8, 17):
        assert far(frames[place : place + 1], client.plain(seed=5 + place)) <= 1


def test_same_noise_makes_frames_alike(client, own_schedule):
    frames = client.frames({**STILL, "same_noise": True})
    assert far(frames, np.repeat(frames[:1], 8, axis=0)) <= 1
    assert far(frames[:1], client.plain()) <= 1
    moving = client.frames({"same_noise": True})
    assert far(moving[:1], moving[7:]) > 1, "the positions make them differ"


@pytest.mark.parametrize(
    ("sampler", "more"),
    [
        ("Euler", {}),
        ("Euler a", {"steps": 4}),
        ("LCM", {"steps": 3}),
        pytest.param("Restart", {"steps": 20}, marks=pytest.mark.slow),
        ("DDIM", {"eta": 1.0}),
        ("DPM++ SDE", {}),
        ("DPM++ 2M SDE", {"steps": 4}),
        ("DPM++ 2M SDE", {"steps": 4, "override_settings": {"no_dpmpp_sde_batch_determinism": True}}),
    ],
    ids=str,
)
def test_freenoise_repeats_the_noise_of_the_first_window(client, sampler, more):
    """Also that which a sampler adds in its steps."""
    frames = client.frames({**STILL, **LONGER, "freenoise_enable": True}, sampler_name=sampler, **more)
    found = []
    for frame in frames:
        alike = [place for place in range(6) if far(frames[place], frame) <= 1]
        assert len(alike) == 1
        found += alike
    assert found[:6] == list(range(6))
    assert found[6:] != [place % 6 for place in range(6, 18)], "shuffled"
    assert {found.count(place) for place in range(6)} <= {2, 3, 4}
    if "override_settings" not in more:  # then the noise of a frame depends on how many there are
        short = client.frames({**STILL, "video_length": 6}, sampler_name=sampler, **more)
        assert far(frames[:6], short) <= 1, "the first frames are those of a short video"


def test_freeinit_takes_low_frequencies_from_the_pass_before(client):
    plain = client.frames()
    twice = client.frames({"freeinit_enable": True, "freeinit_iters": 2})
    state = client.get("progress")["state"]
    assert (state["job_no"], state["job_count"]) == (2, 0), "both passes were counted, and the job is over"
    assert far(plain, twice) > 10
    assert far(twice, client.frames({"freeinit_enable": True, "freeinit_iters": 3})) > 10
    nothing = {"freeinit_filter": "box", "freeinit_ds": 0, "freeinit_dt": 0}
    assert far(plain, client.frames({"freeinit_enable": True, "freeinit_iters": 2, **nothing})) <= 1


def test_prompt_travel_goes_from_key_to_key(client, own_schedule, caplog):
    caplog.set_level("INFO", logger="motion_module")
    prompt = "photo\n0: a red ball\n 4:blue water\r\ntail, grass"
    reply = client.run(STILL, prompt=prompt)
    frames = reply.pictures
    whole = {0: "photo, a red ball, tail, grass", 4: "photo, blue water, tail, grass"}
    for key, text in ((0, whole[0]), (4, whole[4]), (7, whole[4])):
        assert far(frames[key : key + 1], client.plain(prompt=text, seed=5 + key)) <= 1
    between = [far(frames[2:3], client.plain(prompt=text, seed=7)) for text in whole.values()]
    assert min(between) > 1, "frame 2 is half way"
    assert reply.info["prompt"] == prompt
    understood = "0: photo, a red ball, tail, grass; 4: photo, blue water, tail, grass"
    assert f'Prompt travel: "{understood}"' in reply.info["infotexts"][0], "pain 10: shown as it was understood"
    assert understood in caplog.text
    closed = client.frames({**STILL, "closed_loop": "R+P"}, prompt=prompt)
    assert far(closed[:5], frames[:5]) <= 1 and far(closed[7:], frames[7:]) > 1


def test_the_negative_prompt_travels_too(client, own_schedule):
    frames = client.frames(STILL, negative_prompt="0: grey\n7: blue water")
    assert far(frames[7:], client.plain(negative_prompt="blue water", seed=12)) <= 1
    assert far(frames[7:], client.plain(negative_prompt="grey", seed=12)) > 1


def test_the_scale_of_the_motion(client):
    assert far(client.frames({"motion_scale": 1.0}), client.frames()) == 0
    assert far(client.frames({"motion_scale": 3.0}), client.frames()) > 10


class Running:
    """A run in another thread, while this one asks how far it is."""

    def __init__(self, client, video, **fields):
        self.client = client
        self.reply = None
        self.thread = threading.Thread(target=self._run, args=(video, fields))
        self.thread.start()

    def _run(self, video, fields):
        self.reply = Client(self.client.pocket).run(video, **fields)

    def told(self):
        """What the progress says, again and again until the run is over."""
        while self.thread.is_alive():
            yield self.client.get("progress")
        self.thread.join()


def test_an_interrupt_gives_the_video_so_far(client):
    before = snapshot.of_host()
    running = Running(client, {"format": ["GIF", "Frame"]}, steps=150)
    seen = 0
    for told in running.told():
        seen = max(seen, told["state"]["sampling_step"])
        if seen >= 2:
            client.post("interrupt", {})
    reply = running.reply
    assert 2 <= seen < 100
    assert reply.kinds == ["GIF"] + ["PNG"] * 8
    assert len(gif_frames(reply.files[0])[0]) == 8
    assert snapshot.differences(before, snapshot.of_host()) == []
    assert far(client.frames(), client.frames()) == 0


@contextlib.contextmanager
def before_each_model_call(act):
    """Something happens whenever the UNet is called, in the middle of a window."""
    from modules import shared

    block = shared.sd_model.model.diffusion_model.middle_block
    handle = block.register_forward_pre_hook(lambda module, args: act())
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize(("sampler", "steps"), [("Euler", [1, 2, 3]), ("Heun", [1, 1, 2, 2, 3])])
def test_the_progress_tells_step_and_window(client, sampler, steps):
    told = []
    with before_each_model_call(lambda: told.append(client.get("progress?skip_current_image=true"))):
        client.frames({**LONGER, "overlap": 2}, steps=3, sampler_name=sampler)
    texts = [f"AnimateDiff: step {step} of 3, window {window} of 4" for step in steps for window in (1, 2, 3, 4)]
    assert [answer["textinfo"] for answer in told] == texts
    values = [answer["progress"] for answer in told]
    assert values == sorted(values) and values[0] < values[-1] < 1


def test_the_progress_tells_the_step_where_one_window_holds_all_frames(client):
    told = []
    with before_each_model_call(lambda: told.append(client.get("progress?skip_current_image=true"))):
        client.frames(steps=3)
    assert [answer["textinfo"] for answer in told] == [f"AnimateDiff: step {step} of 3" for step in (1, 2, 3)]


def test_no_step_is_told_while_the_host_decodes(client, monkeypatch):
    from modules import processing, shared

    told, decode = [], processing.decode_latent_batch
    monkeypatch.setattr(
        processing, "decode_latent_batch", lambda *a, **k: (told.append(shared.state.textinfo), decode(*a, **k))[1]
    )
    client.frames(steps=1)
    assert told == [None]


def test_by_default_windows_stay_and_do_not_wrap(client):
    """See tests/quality/windows.md; with `overwrite` they are those of other extensions."""
    steps = {"steps": 2}
    default = client.frames(LONGER, **steps)
    assert far(default, client.frames({**LONGER, "schedule": "static"}, **steps)) == 0
    moved = {**LONGER, "schedule": "uniform", "blend": "overwrite"}
    assert far(client.frames({**LONGER, "blend": "overwrite"}, **steps), client.frames(moved, **steps)) == 0
    assert far(default, client.frames({**LONGER, "schedule": "uniform"}, **steps)) > 1


def test_an_interrupt_does_not_wait_for_the_other_windows_of_a_step(client):
    calls = []

    def interrupt_in_the_second_window():
        calls.append(len(calls) + 1)
        if len(calls) == 2:
            assert client.post("interrupt", {}).status == 200

    with before_each_model_call(interrupt_in_the_second_window):
        reply = client.run({**LONGER, "format": ["GIF", "Frame"]}, steps=5)
    assert calls == [1, 2], "a step has four windows"
    assert reply.kinds == ["GIF"] + ["PNG"] * 18
    assert far(client.frames(), client.frames()) == 0


def test_skipping_ends_one_video_and_the_next_is_whole(client):
    running = Running(client, {"format": ["GIF", "Frame"], "video_length": 4}, n_iter=2, steps=20)
    skipped = False
    for told in running.told():
        if not skipped and told["state"]["sampling_step"] >= 2:
            skipped = True
            client.post("skip", {})
    assert running.reply.kinds == ["GIF"] * 2 + ["PNG"] * 8
    assert np.array_equal(running.reply.pictures[4:], client.frames({"video_length": 4}, seed=9, steps=20))
    assert far(running.reply.pictures[:4], client.frames({"video_length": 4}, steps=20)) > 10


def test_progress_moves_and_shows_the_frames_so_far(client):
    client.post(
        "options", {"show_progress_every_n_steps": 1, "show_progress_type": "Full", "live_previews_enable": True}
    )
    running = Running(client, {"format": ["PNG"], "freeinit_enable": True, "freeinit_iters": 2}, steps=8)
    told = list(running.told())
    values = [answer["progress"] for answer in told if answer["state"]["job_count"] > 0]
    assert values == sorted(values) and len(set(values)) >= 4
    assert 0 < values[0] < 0.5 < values[-1] <= 1
    assert {answer["state"]["job_count"] for answer in told} >= {2}
    shown = next(answer["current_image"] for answer in told if answer["current_image"])
    assert Image.open(io.BytesIO(base64.b64decode(shown))).size[0] >= 64
    assert client.get("progress")["progress"] == 0
