"""A run that broke off goes on: to the bit the frames that it would have made, whatever sampler makes them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from http_client import SMALL, Client
from runs import HIRES, array, make, run, video
from snapshot import differences, of_host

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.request import unfinished
from motion_module.wording import for_client

ROOT = Path(__file__).parents[2]
STEPS = 6
CRASH = 4  # number of the call of the denoiser, from 1, in which a run breaks off


class Killed(BaseException):
    """What nothing of the host or of ours catches, as if the process had ended."""


@pytest.fixture(autouse=True)
def host(pocket):
    """Every run is noted, however short."""
    from modules import shared

    for old in unfinished.all_of_them():
        unfinished.remove(old.id)
    shared.opts.data["animatediff_resume_after"] = 1e-9
    return pocket


def asked(tab="txt2img", fields=None, **request):
    return make(tab, video(**{"format": ["Frame"], **(fields or {})}), **{"steps": STEPS, **request})


def frames(*args, **kwargs):
    return array(run(asked(*args, **kwargs)).images)


@pytest.fixture
def calls(monkeypatch):
    """Calls of the denoiser that are not played back; `crash` and `stop` are those that break the run off."""
    from modules import shared
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    forward = CFGDenoiser.forward

    class Calls:
        count, crash, error, stop = 0, None, Killed, None

    def counted(self, *args, **kwargs):
        Calls.count += 1
        if Calls.count == Calls.crash:
            raise Calls.error
        shared.state.interrupted = shared.state.interrupted or Calls.count == Calls.stop
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(CFGDenoiser, "forward", counted)
    return Calls


def broken(calls, *args, crash=CRASH, **kwargs):
    """Break the run off, and return its id."""
    calls.count, calls.crash = 0, crash
    with pytest.raises(calls.error):
        frames(*args, **kwargs)
    calls.count, calls.crash = 0, None
    (found,) = unfinished.all_of_them()
    return found.id


def resumed(id_, tab="txt2img", fields=None, **request):
    return frames(tab, {**(fields or {}), "resume": id_}, **request)


SAMPLERS = (
    *("DPM++ 2M", "Euler a", "DPM++ SDE", "DPM++ 2M SDE", "Heun", "DDIM", "PLMS", "UniPC", "LCM", "DDIM CFG++"),
    *("DPM adaptive", "Restart", "LMS"),
)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_frames_are_those_of_the_unbroken_run(calls, sampler):
    request = {"sampler_name": sampler}
    whole = frames(**request)
    all_calls = calls.count
    id_ = broken(calls, **request)
    assert np.array_equal(resumed(id_, **request), whole)
    assert calls.count == all_calls - CRASH + 1  # what was answered before is not computed again
    assert not unfinished.all_of_them()  # nobody needs it any more


CASES = {
    "windows": ("txt2img", {"batch_size": 3, "overlap": 1, "video_length": 6}, {}),
    "a travelling prompt": ("txt2img", {}, {"prompt": "0: a cat\n2: a dog"}),
    "img2img": ("img2img", {}, {"denoising_strength": 0.9}),
    "frozen frames": ("img2img", {"hold_pictures": True}, {"denoising_strength": 0.9}),
    "values that travel": ("img2img", {"denoise_travel": "0: 0.5, 3: 1", "cfg_travel": "0: 7, 3: 3"}, {}),
    "no negative prompt in some steps": ("txt2img", {}, {"s_min_uncond": 5.0}),
    "AND": ("txt2img", {}, {"prompt": "a cat AND a dog :0.5"}),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_asked(calls, case):
    tab, fields, request = CASES[case]
    whole = frames(tab, fields, **request)
    id_ = broken(calls, tab, fields, crash=3, **request)
    assert np.array_equal(resumed(id_, tab, fields, **request), whole)


def test_pictures_are_encoded_as_they_were_then(calls):
    """After a new start torch's own random numbers are others, and the host encodes with those."""
    request = {"denoising_strength": 0.9}
    whole = frames("img2img", **request)
    assert not np.array_equal(array(run(asked("img2img", **request), seed=1).images), whole)
    id_ = broken(calls, "img2img", crash=2, **request)
    again = asked("img2img", {"resume": id_}, **request)
    assert np.array_equal(array(run(again, seed=1).images), whole)


def test_a_run_that_was_noted_without_random_numbers_goes_on(calls):
    whole = frames()
    id_ = broken(calls)
    about = unfinished.root() / id_ / "run.json"
    noted = json.loads(about.read_text("utf8"))
    del noted["random"]
    about.write_text(json.dumps(noted), "utf8")
    assert np.array_equal(resumed(id_), whole)


def test_a_later_video_of_a_run(calls):
    whole = frames(n_iter=2)
    id_ = broken(calls, n_iter=2, crash=STEPS + 3)
    assert np.array_equal(resumed(id_, n_iter=2), whole)
    assert calls.count == STEPS - 2


def test_it_breaks_off_again(calls):
    whole = frames()
    id_ = broken(calls)
    calls.crash = 2
    with pytest.raises(Killed):
        resumed(f" {id_} ")  # as it is copied from a sentence
    calls.crash, calls.count = None, 0
    assert np.array_equal(resumed(id_), whole)
    assert calls.count == STEPS - CRASH  # both parts are noted


def test_a_seed_that_was_drawn_is_taken_again(calls):
    id_ = broken(calls, seed=-1)
    seed = unfinished.all_of_them()[0].seeds["seed"]
    p = asked(fields={"resume": id_}, seed=-1)
    again = array(run(p).images)
    assert p.seed == -1  # as the person has it
    assert np.array_equal(again, frames(seed=seed))


def test_random_numbers_that_calls_draw_go_on(calls, monkeypatch):
    """Some extensions draw noise within a call, and so would the sampler after them."""
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    noted = CFGDenoiser.combine_denoised
    monkeypatch.setattr(
        CFGDenoiser,
        "combine_denoised",
        lambda self, *args: noted(self, *args) + 0.1 * torch.randn(1).item(),
    )
    whole = frames()
    assert np.array_equal(resumed(broken(calls)), whole)


def test_parameters_that_a_call_notes_are_there_again(calls):
    fields = {"s_min_uncond": 5.0}  # at every other step below this noise level
    whole = run(asked(**fields)).infotexts[0]
    assert "NGMS" in whole
    assert run(asked(fields={"resume": broken(calls, crash=STEPS, **fields)}, **fields)).infotexts[0] == whole


def test_the_refiner_comes_in_time(calls, pocket, tiny):
    request = {"refiner_checkpoint": "other.safetensors", "refiner_switch_at": 0.4}
    whole = frames(**request)
    assert not np.array_equal(whole, frames())
    for crash in (2, STEPS):
        assert np.array_equal(resumed(broken(calls, crash=crash, **request), **request), whole)


def test_a_call_that_was_cut_off_while_it_was_written(calls):
    whole = frames()
    id_ = broken(calls)
    last = max((unfinished.root() / id_).glob("*.safetensors"))
    last.write_bytes(last.read_bytes()[:-9])
    assert np.array_equal(resumed(id_), whole)
    assert calls.count == STEPS - CRASH + 2


def test_files_in_pieces_are_no_answers(calls):
    whole = frames()
    id_ = broken(calls)
    for file in (unfinished.root() / id_).glob("*.safetensors"):
        file.write_bytes(b"\0" * 40)
    assert np.array_equal(resumed(id_), whole)


def test_the_person_stops_it_and_wants_the_rest_after_all(calls):
    whole = frames()
    calls.count, calls.stop = 0, CRASH
    result = run(asked())
    (found,) = unfinished.all_of_them()
    said = f"AnimateDiff: the video can still be finished: the same request with resume: {found.id}"
    assert f"{said} goes on after call {CRASH - 1} of {STEPS}." in result.comments.splitlines()
    calls.stop = None
    assert np.array_equal(resumed(found.id), whole)


def test_it_can_be_stopped_while_it_is_played_back(calls, monkeypatch):
    from modules import shared
    from motion_module.webui.sampling.record import Record

    id_ = broken(calls)
    played = Record.played_back

    def stop(self, *args):
        shared.state.interrupted = self.call == 1
        return played(self, *args)

    monkeypatch.setattr(Record, "played_back", stop)
    resumed(id_)
    assert not calls.count and unfinished.all_of_them()[0].id == id_


def test_too_little_memory_says_how_it_goes_on(calls):
    from motion_module.errors import HostError

    whole = frames()
    calls.count, calls.crash, calls.error = 0, CRASH, torch.OutOfMemoryError
    with pytest.raises(HostError) as error:
        frames()
    (found,) = unfinished.all_of_them()
    assert f"the same request with resume: {found.id} goes on after call 3 of {STEPS}" in error.value.detail
    calls.crash = None
    less = {"fields": {"windows_per_call": 2, "fps": 12}, "override_settings": {"animatediff_least_memory": True}}
    assert np.abs(resumed(found.id, **less).astype(int) - whole).max() <= 1


def test_a_fault_of_another_is_told_in_the_log(calls, caplog):
    calls.error = RuntimeError
    id_ = broken(calls)
    assert f"the same request with resume: {id_} goes on after call 3 of {STEPS}" in caplog.text


OTHERS = {
    "steps": ({}, {"steps": STEPS + 1}, "steps [6] (here [7])"),
    "seed": ({}, {"seed": 43}, "seeds [42] (here [43])"),
    "sampler": ({}, {"sampler_name": "Euler a"}, "sampler 'Euler' (here 'Euler a')"),
    "width": ({}, {"width": 72}, "width 64 (here 72)"),
    "prompt": ({}, {"prompt": "a dog"}, "another prompt"),
    "field": ({"overlap": 2}, {}, "overlap -1 (here 2)"),
    "frames": ({"video_length": 5}, {}, "video_length 4 (here 5), frames 4 (here 5)"),
    "cfg": ({}, {"cfg_scale": 5.0}, "CFG scale '7.0' (here '5.0')"),
    "videos": ({}, {"n_iter": 2}, "videos 1 (here 2)"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_request_is_refused_and_nothing_is_lost(calls, case):
    fields, request, named = OTHERS[case]
    id_ = broken(calls)
    host = of_host()
    with pytest.raises(ParamError) as error:
        resumed(id_, fields=fields, **request)
    ask = "ask for the same, or leave resume empty"
    assert error.value.detail.startswith(f"AnimateDiff: resume is {id_}, a run with {named}")
    assert error.value.detail.endswith(f"; {ask}.")
    assert not calls.count and differences(host, of_host()) == []
    resumed(id_)


def test_other_pictures_are_refused(calls):
    from PIL import Image

    id_ = broken(calls, "img2img", crash=2)
    with pytest.raises(ParamError, match="a run with other pictures;"):
        resumed(id_, "img2img", init_images=[Image.new("RGB", (64, 64), "blue")])


def test_a_denoiser_that_is_asked_something_else_is_not_answered(calls, monkeypatch):
    """What no infotext says: noise of another source."""
    from motion_module.errors import UserError
    from motion_module.webui.run.session import Session

    id_ = broken(calls)
    monkeypatch.setattr(Session, "shape_noise", lambda self, noise: noise.mul_(-1))
    with pytest.raises(UserError, match=f"resume is {id_}, but call 1 of the denoiser is not the one of that run"):
        resumed(id_)
    assert unfinished.all_of_them()


@pytest.mark.parametrize("name", ["20261130-120000-abcd", "../../etc", "20261130-120000-abcd/..", "last"])
def test_an_unknown_run_is_refused_and_those_that_there_are_are_named(calls, name):
    with pytest.raises(ParamError, match=f"resume is '{name}', which is no unfinished run; none broke off"):
        resumed(name)
    id_ = broken(calls)
    with pytest.raises(ParamError, match=f"no unfinished run; those that broke off are {id_}"):
        resumed(name)


@pytest.mark.parametrize(
    "fields, request_, named",
    [({"freeinit_enable": True}, {}, "freeinit_enable"), ({}, HIRES, "hires fix")],
    ids=["FreeInit", "hires"],
)
def test_several_passes_are_neither_noted_nor_resumed(calls, fields, request_, named):
    id_ = broken(calls)
    with pytest.raises(ParamError, match=f"resume needs a single sampling pass; switch {named} off"):
        resumed(id_, fields=fields, **request_)
    unfinished.remove(id_)
    calls.crash = CRASH
    with pytest.raises(Killed):
        frames(fields=fields, **request_)
    assert not unfinished.all_of_them()


def test_short_runs_are_not_noted_and_cost_nothing(calls, monkeypatch):
    from modules import shared
    from motion_module.core.denoising import noted_calls
    from motion_module.webui.sampling import record

    shared.opts.data["animatediff_resume_after"] = 60
    monkeypatch.setattr(noted_calls, "save", lambda *args: pytest.fail("something is copied"))
    monkeypatch.setattr(record, "trace_of", lambda *args: pytest.fail("something is computed"))
    calls.crash = CRASH
    with pytest.raises(Killed):
        frames()
    assert not unfinished.all_of_them()


def test_whoever_wants_none_of_it(calls, monkeypatch):
    from modules import shared
    from motion_module.webui.sampling import record

    shared.opts.data["animatediff_resume_after"] = 0
    monkeypatch.setattr(record, "trace_of", lambda *args: pytest.fail("something is computed"))
    frames()


def test_a_full_disk_costs_the_video_nothing(calls, monkeypatch, caplog):
    import errno

    whole = frames()
    put = unfinished.put

    def full(file, content):
        if file.name.endswith("00002.safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        put(file, content)

    monkeypatch.setattr(unfinished, "put", full)
    assert np.array_equal(frames(), whole)
    assert "does not note the sampling of this video any further: there is no space left on the disk" in caplog.text
    assert np.array_equal(resumed(broken(calls)), whole)


def test_a_run_that_is_too_large_is_noted_as_far_as_it_may_be(calls, caplog):
    from modules import shared

    whole = frames()
    shared.opts.data["animatediff_resume_gb"] = 1e-5  # two calls
    id_ = broken(calls)
    assert len(list((unfinished.root() / id_).glob("*.safetensors"))) == 2
    assert "it takes more than the 1e-05 GB of the setting" in caplog.text
    assert np.array_equal(resumed(id_), whole)


def test_old_runs_go_by_age_and_by_size(calls):
    import os
    import time

    from modules import shared

    old = broken(calls)
    other = unfinished.root().parent / "animatediff-unfinished" / "mine"
    other.mkdir()
    for file in (unfinished.root() / old).iterdir():
        os.utime(file, (time.time() - 8 * 86400,) * 2)
    second = broken(calls)  # which sees that it is the only one now
    shared.opts.data["animatediff_resume_gb"] = 4e-5
    third = broken(calls, sampler_name="Euler a")
    assert len({old, second, third}) == 3 and other.is_dir()
    other.rmdir()


def test_everything_is_taken_back(calls):
    host = of_host()
    resumed(broken(calls))
    assert differences(host, of_host()) == []


@pytest.fixture(scope="module")
def killed(tiny, tmp_path_factory):
    """Runs that were ended by SIGKILL, by the place where: what is noted of them, as another process has left it."""
    import os
    import subprocess
    import sys

    import killed_runs

    folder = tmp_path_factory.mktemp("killed")
    order = {
        "host": {
            "checkpoint": str(tiny["checkpoint"]),
            "motion_modules": str(tiny["v1"].parent),
            "lora_dir": str(folder),
            "controlnet_dir": str(tiny["control"].parent),
            "data_dir": str(folder),
        },
        "fields": video(format=["Frame"]),
        "request": KILLED,
        "places": list(killed_runs.PLACES),
        "result": str(folder / "result.json"),
    }
    done = subprocess.run(
        [sys.executable, killed_runs.__file__, json.dumps(order)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "cache" / "animatediff-unfinished", json.loads((folder / "result.json").read_text(encoding="utf-8"))


KILLED = {"sampler_name": "DPM++ 2M", "scheduler": "Karras", "steps": STEPS}
LEFT = {
    "after the first call": 5,
    "in the fourth call": 3,
    "half of the third answer is written": 4,
    "the fifth answer has no name yet": 2,
    "in decoding": 0,
}


@pytest.mark.parametrize("place", LEFT)
def test_a_process_that_was_killed(calls, killed, place):
    folder, ids = killed
    whole = frames(**KILLED)
    shutil.copytree(folder / ids[place], unfinished.root() / ids[place])
    calls.count = 0
    assert np.array_equal(resumed(ids[place], **KILLED), whole)
    assert calls.count == LEFT[place]


def test_over_http(calls, pocket):
    client = Client(pocket)
    request = {**SMALL, "steps": STEPS, "seed": -1, "sampler_name": "Euler a"}

    def post(**fields):
        args = {"AnimateDiff": {"args": [video(format=["Frame"], **fields)]}}
        return client.post("txt2img", {**request, "alwayson_scripts": args})

    calls.crash, calls.error = CRASH, torch.OutOfMemoryError
    broken_off = post()
    (listed,) = client.http.get("/animatediff/unfinished").json()
    assert (listed["noted"], listed["calls"], listed["asked"]["sampler"]) == (CRASH - 1, STEPS, "Euler a")
    assert (
        broken_off.status == 500 and f"the same request with resume: {listed['resume']} goes on" in broken_off.sentence
    )
    calls.crash, calls.count = None, 0
    wrong = post(resume=listed["resume"], overlap=1)
    assert wrong.status == 422 and "overlap -1 (here 1)" in wrong.sentence
    whole = post(resume=listed["resume"])
    assert whole.status == 200 and calls.count == STEPS - CRASH + 1
    assert client.http.get("/animatediff/unfinished").json() == []
    request["seed"] = whole.info["seed"]
    assert np.array_equal(post().pictures, whole.pictures)


def test_the_log_says_how_a_killed_run_goes_on(calls, caplog):
    unfinished.tell()
    assert not caplog.text
    id_ = broken(calls)
    unfinished.tell(None, None)  # as the host calls it when it has started
    assert caplog.messages[-1] == (
        f"AnimateDiff: a video broke off; the same request with resume: {id_} goes on after call 3 of {STEPS}."
    )


def test_the_plan_of_a_request_says_what_is_wrong_with_it(pocket):
    args = {"AnimateDiff": {"args": [video(resume="20261130-120000-abcd")]}}
    reply = Client(pocket).plan({**SMALL, "alwayson_scripts": args})
    assert reply.status == 422 and "which is no unfinished run; none broke off" in reply.sentence


def test_what_was_pasted_from_the_infotext_is_the_same_run(calls):
    from modules.infotext_utils import parse_generation_parameters
    from motion_module.webui.plan import infotext

    fields = {"batch_size": 3, "video_length": 6}
    whole = run(asked(fields=fields))
    pasted = infotext.read(parse_generation_parameters(whole.infotexts[0])["AnimateDiff"])
    assert pasted["schedule"] == "static"
    id_ = broken(calls, fields=fields)
    assert np.array_equal(resumed(id_, fields={**fields, **pasted}, prompt="a cat walking "), array(whole.images))


@pytest.mark.parametrize("same", [{"overlap": 4}, {"request_id": "mine"}, {"schedule": "static"}])
def test_other_words_for_the_same_are_no_difference(calls, same):
    id_ = broken(calls)
    resumed(id_, fields=same)
    assert calls.count == STEPS - CRASH + 1


MASK = {"mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False, "denoising_strength": 0.9}


def white(width):
    from PIL import Image

    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, width, 64))
    return mask


def test_another_mask_is_refused(calls):
    whole = frames("img2img", mask=white(32), **MASK)
    id_ = broken(calls, "img2img", crash=3, mask=white(32), **MASK)
    others = ({"mask": white(40)}, {"mask": white(32), "inpainting_mask_invert": 1}, {})
    for other in others:
        with pytest.raises(ParamError, match="a run with .*another inpaint mask"):
            resumed(id_, "img2img", **{**MASK, **other})
    assert np.array_equal(resumed(id_, "img2img", mask=white(32), **MASK), whole)


def test_another_of_the_masks_of_frames_is_refused(calls, tmp_path):
    for place in range(4):
        white(20 + place).save(tmp_path / f"{place}.png")
    fields = {"mask_path": str(tmp_path)}
    id_ = broken(calls, "img2img", fields, crash=3, **MASK)
    white(50).save(tmp_path / "2.png")
    with pytest.raises(ParamError, match="a run with another inpaint mask;"):
        resumed(id_, "img2img", fields, **MASK)
    white(22).save(tmp_path / "2.png")
    resumed(id_, "img2img", fields, **MASK)


def test_other_controlnet_pictures_are_refused(calls, pocket, tmp_path):
    from control_videos import batch, folder_of, picture, unit
    from http_client import png_base64

    client = Client(pocket)

    def post(shown, **fields):
        scripts = {"ControlNet": {"args": [shown]}, "AnimateDiff": {"args": [video(format=["Frame"], **fields)]}}
        return client.post("txt2img", {**SMALL, "steps": STEPS, "alwayson_scripts": scripts})

    calls.error = torch.OutOfMemoryError
    folder, other = folder_of(tmp_path / "frames", 4), folder_of(tmp_path / "others", 4, first=1)
    ways = (
        (unit(image=png_base64(picture(1))), unit(image=png_base64(picture(2)))),
        (batch(folder), batch(other)),
    )
    for shown, wrong in ways:
        whole = post(shown).pictures
        calls.count, calls.crash = 0, CRASH
        assert post(shown).status == 500
        calls.crash = None
        (found,) = unfinished.all_of_them()
        refused = post(wrong, resume=found.id)
        assert refused.status == 422 and "a run with other ControlNet pictures;" in refused.sentence
        assert np.array_equal(post(shown, resume=found.id).pictures, whole)


def test_pictures_are_not_looked_at_where_nothing_is_noted(calls, monkeypatch):
    from modules import shared
    from motion_module.webui.run import beginning

    shared.opts.data["animatediff_resume_after"] = 0
    monkeypatch.setattr(beginning, "given_to", lambda *args: pytest.fail("something is computed"))
    frames()


def test_another_file_of_the_module_is_refused(calls, tiny):
    import os

    id_ = broken(calls)
    module = tiny["v1"].parent / "mm_tiny_v2.safetensors"
    content, state = module.read_bytes(), module.stat()
    changed = bytearray(content)
    changed[-40] ^= 1
    try:
        module.write_bytes(changed)
        with pytest.raises(ParamError, match="a run with another file of that motion module;"):
            resumed(id_)
    finally:
        module.write_bytes(content)
        os.utime(module, ns=(state.st_atime_ns, state.st_mtime_ns))
    resumed(id_)


def test_a_module_without_a_hash_is_told_by_size_and_time(calls, monkeypatch):
    from modules import hashes

    monkeypatch.setattr(hashes, "sha256", lambda *args: None)
    broken(calls)
    assert " bytes of " in unfinished.all_of_them()[0].asked["module_file"]


def test_what_was_noted_before_it_broke_off_counts_to_the_most_that_may_be(calls):
    from modules import shared

    whole = frames()
    id_ = broken(calls)
    one = next((unfinished.root() / id_).glob("*.safetensors")).stat().st_size
    shared.opts.data["animatediff_resume_gb"] = 4.5 * one / 1e9
    calls.crash = 3
    with pytest.raises(Killed):
        resumed(id_)
    assert unfinished.all_of_them()[0].noted == 4
    calls.crash = None
    assert np.array_equal(resumed(id_), whole)


@pytest.mark.parametrize("seed", [-1, 42])
def test_the_plan_refuses_what_the_run_will(calls, pocket, seed):
    client = Client(pocket)
    request = {**SMALL, "steps": STEPS, "seed": seed}

    def body(**fields):
        return {**request, "alwayson_scripts": {"AnimateDiff": {"args": [video(format=["Frame"], **fields)]}}}

    calls.crash, calls.error = CRASH, torch.OutOfMemoryError
    assert client.post("txt2img", body()).status == 500
    (found,) = unfinished.all_of_them()
    refused = client.plan(body(resume=found.id, overlap=1))
    assert refused.status == 422 and "a run with overlap -1 (here 1);" in refused.sentence
    assert client.plan({**body(resume=found.id), "seed": 7}).status == 422
    assert client.plan(body(resume=found.id)).status == 200


def test_the_plan_of_img2img_takes_its_pictures_for_those_of_the_run(calls, pocket):
    from http_client import png_base64

    request = {
        **SMALL,
        "steps": STEPS,
        "denoising_strength": 0.9,
        "init_images": [png_base64(np.zeros((64, 64, 3), "uint8"))],
    }
    client = Client(pocket)

    def body(**fields):
        return {**request, "alwayson_scripts": {"AnimateDiff": {"args": [video(format=["Frame"], **fields)]}}}

    calls.crash, calls.error = 3, torch.OutOfMemoryError
    assert client.post("img2img", body()).status == 500
    (found,) = unfinished.all_of_them()
    assert client.plan(body(resume=found.id), "img2img").status == 200
    assert client.plan({**body(resume=found.id), "denoising_strength": 0.5}, "img2img").status == 422


def test_a_run_that_is_sampled_is_not_unfinished(calls, monkeypatch):
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    seen, forward = [], CFGDenoiser.forward

    def looking(self, *args, **kwargs):
        seen.append((len(unfinished.all_of_them()), len(list(unfinished.root().glob("*/run.json")))))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(CFGDenoiser, "forward", looking)
    id_ = broken(calls)
    assert seen == [(0, 0)] + [(0, 1)] * (CRASH - 1)
    seen.clear()
    resumed(id_)
    assert seen == [(0, 1)] * (STEPS - CRASH + 1)


def test_runs_of_another_process_are_left_out_while_that_lives(calls):
    import dataclasses
    import subprocess
    import sys

    from motion_module.webui.request import owner

    broken(calls)
    (run_,) = unfinished.all_of_them()
    assert not run_.owner
    program = "import sys; from motion_module.webui.request.owner import this_process; import json; "
    program += "print(json.dumps(this_process()), flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    theirs = json.loads(other.stdout.readline())
    unfinished.write(dataclasses.replace(run_, owner=theirs))
    assert not unfinished.all_of_them() and owner.is_running(theirs)
    assert unfinished.named(VideoParams(resume=run_.id)) is not None  # whoever knows better may name it
    assert not owner.is_running({**theirs, "started": "1"})  # another process has got the number
    other.communicate()
    assert [run.id for run in unfinished.all_of_them()] == [run_.id]


def test_who_samples_is_told_from_whoever_had_the_number_before(monkeypatch):
    from motion_module.webui.request import owner

    own = owner.this_process()
    assert owner.is_running(own) and not owner.is_running({**own, "token": "of another"})
    for damaged in ({}, {"pid": "1"}, {"pid": -1}, {"pid": 10**30}, {"pid": None}):
        assert not owner.is_running(damaged)
    monkeypatch.setattr(owner.os, "name", "nt")
    monkeypatch.setattr(owner.os, "kill", lambda *args: pytest.fail("which ends a process there"))
    assert owner.is_running(own) and not owner.is_running({**own, "pid": own["pid"] + 1})


DAMAGED = (
    {"asked": {"fields": 5}},
    {"asked": {}},
    {"asked": [1]},
    {"asked": {"fields": {}, "videos": "x"}},
    {"seeds": {"seed": "x"}},
    {"seeds": 1},
    {"random": {"cpu": "no base64!"}},
    {"random": {"cpu": 1}},
    {"calls": "many"},
    {"infotext": None},
    {"owner": 1},
)


@pytest.mark.parametrize("damage", DAMAGED, ids=map(json.dumps, DAMAGED))
def test_what_is_noted_of_a_run_may_be_damaged(calls, damaged_run, damage):
    about, noted = damaged_run
    about.write_text(json.dumps({**noted, **damage}), "utf8")
    assert not unfinished.all_of_them()
    with pytest.raises(ParamError, match="which is no unfinished run"):
        unfinished.named(VideoParams(resume=about.parent.name))


@pytest.fixture
def damaged_run(calls):
    about = unfinished.root() / broken(calls) / "run.json"
    return about, json.loads(about.read_text("utf8"))


def test_nobody_has_to_be_told_of_what_somebody_has_stopped(calls, caplog):
    broken_off = broken(calls)
    calls.count, calls.stop = 0, 2
    run(asked(seed=5))
    (stopped,) = (found for found in unfinished.all_of_them() if found.id != broken_off)
    assert stopped.interrupted
    calls.stop = None
    caplog.clear()
    unfinished.tell()
    assert broken_off in caplog.text and stopped.id not in caplog.text
    unfinished.remove(broken_off)
    caplog.clear()
    unfinished.tell()
    assert not caplog.text
    resumed(stopped.id, seed=5)
    assert not unfinished.all_of_them()


def test_a_stopped_run_that_is_resumed_and_breaks_off_is_told_of(calls, caplog):
    calls.count, calls.stop = 0, 2
    run(asked())
    calls.stop = None
    (stopped,) = unfinished.all_of_them()
    calls.count, calls.crash = 0, 2
    with pytest.raises(Killed):
        resumed(stopped.id)
    assert not unfinished.all_of_them()[0].interrupted


def test_the_infotext_is_made_once_for_all_videos(calls, monkeypatch):
    from motion_module.webui.run import resuming

    made, original = [], resuming.processing.create_infotext
    monkeypatch.setattr(
        resuming, "processing", SimpleNamespace(create_infotext=lambda *a, **k: made.append(a) or original(*a, **k))
    )
    frames(n_iter=3)
    assert len(made) == 1


def test_below_a_script_it_is_this_one_video_that_goes_on(calls, caplog):
    whole = frames()
    p = asked()
    p.script_args = (1, *p.script_args[1:])
    calls.count, calls.stop = 0, CRASH
    run(p)
    calls.stop = None
    (found,) = unfinished.all_of_them()
    said = f"the request of this one video, without the script, with resume: {found.id} goes on after call 3 of {STEPS}"
    assert said in for_client(found.goes_on)
    assert np.array_equal(resumed(found.id), whole)


def test_a_stopped_run_that_is_asked_for_wrongly_stays_one_of_which_nobody_is_told(calls, monkeypatch):
    from motion_module.webui.sampling import record

    calls.count, calls.stop = 0, 2
    run(asked())
    calls.stop = None
    (stopped,) = unfinished.all_of_them()

    def refuse(*args):
        raise ParamError("it is another one")

    monkeypatch.setattr(record, "check_same_infotext", refuse)
    with pytest.raises(ParamError):
        resumed(stopped.id)
    assert unfinished.all_of_them() == [stopped]


def test_the_end_may_find_a_full_disk(calls, monkeypatch, caplog):
    import errno

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unfinished, "put_down", full)
    calls.count, calls.crash = 0, CRASH
    with pytest.raises(Killed):
        frames()
    assert "cannot be noted as ended: there is no space left on the disk" in caplog.text
    for folder in unfinished.root().iterdir():
        unfinished.remove(folder.name)


@pytest.mark.parametrize("field", ["video_source", "video_path"])
def test_another_video_of_the_same_name_is_refused(calls, tmp_path, field):
    from control_videos import folder_of, mp4_of

    def put(count, first=0):
        if field == "video_path":
            return str(folder_of(tmp_path / "frames", count, first=first))
        return mp4_of(tmp_path / "source.mp4", count)

    fields = {field: put(4), "video_length": 0}
    id_ = broken(calls, "img2img", fields, crash=3, init_images=[], denoising_strength=0.9)
    put(5 if field == "video_source" else 4, first=1)
    with pytest.raises(ParamError, match="another video or folder of that name"):
        resumed(id_, "img2img", fields, init_images=[], denoising_strength=0.9)


def test_a_file_that_has_vanished_has_no_state(tmp_path):
    from motion_module.webui.request.file_states import part_of, states_of

    file = tmp_path / "a.mp4"
    assert part_of(file) == "" and states_of([file]) == [f"{file} "]
    file.write_bytes(b"1" * (3 << 20))
    before = part_of(file)
    file.write_bytes(b"1" * ((3 << 20) - 1) + b"2")
    assert before != part_of(file) != ""


def test_the_plan_leaves_open_what_only_reading_a_video_tells(calls, pocket, tmp_path):
    from control_videos import mp4_of

    client, fields = Client(pocket), {"video_source": mp4_of(tmp_path / "source.mp4", 4), "video_length": 0}
    request = {**SMALL, "steps": STEPS, "seed": 3, "init_images": [], "denoising_strength": 0.9}

    def body(**more):
        asked_for = video(format=["Frame"], drop_duplicates=True, **{**fields, **more})
        return {**request, "alwayson_scripts": {"AnimateDiff": {"args": [asked_for]}}}

    calls.crash, calls.error = 3, torch.OutOfMemoryError
    assert client.post("img2img", body()).status == 500
    (found,) = unfinished.all_of_them()
    planned = client.plan(body(resume=found.id), "img2img")
    assert planned.status == 200 and planned.body["frames"] is None, planned.body
    refused = client.plan(body(resume=found.id, overlap=1), "img2img")
    assert refused.status == 422 and "is " + found.id + ", a run with overlap -1 (here 1);" in refused.sentence


def test_a_run_that_was_noted_without_its_pictures_goes_on(calls):
    whole = frames()
    about = unfinished.root() / broken(calls) / "run.json"
    noted = json.loads(about.read_text("utf8"))
    for name in ("masks", "control", "source_file", "module_file"):
        del noted["asked"][name]
    about.write_text(json.dumps({name: noted[name] for name in ("asked", "infotext", "seeds", "calls")}), "utf8")
    assert np.array_equal(resumed(about.parent.name), whole)


def test_a_preset_is_what_it_has_set(calls):
    from motion_module.webui.request.same_run import check_same

    broken(calls)
    (found,) = unfinished.all_of_them()
    check_same(found, {**found.asked, "fields": {**found.asked["fields"], "preset": "another"}})
    with pytest.raises(ParamError, match="fps|stride"):
        check_same(found, {**found.asked, "fields": {**found.asked["fields"], "stride": 2}})


def test_whatever_kind_of_picture_a_unit_has_it_is_told_from_another(tmp_path):
    from control_videos import folder_of
    from PIL import Image

    from motion_module.webui.controlnet.digest import digest_of
    from motion_module.webui.controlnet.lines import Lines
    from motion_module.webui.controlnet.units import Files, Unit

    black = np.zeros((8, 8, 3), np.uint8)
    dot = black.copy()
    dot[3, 3, 1] = 1

    def of(value, name="image"):
        return digest_of(Unit(0, 0, SimpleNamespace(**{name: value})), None)

    kinds = (np.asarray, Image.fromarray, torch.from_numpy, lambda array: str(array.tolist()))
    kinds += (lambda array: {"image": array, "mask": None}, lambda array: [{"image": black}, {"image": array}])
    for kind in kinds:
        assert of(kind(black.copy())) == of(kind(black.copy())) != of(kind(dot))
        assert of(kind(black), "mask") != of(kind(dot), "mask") and of(kind(black), "mask") != of(kind(black))
        assert of([kind(black)], "ipadapter_input") != of([kind(dot)], "ipadapter_input")
    assert of([dot, black]) != of([black, dot])

    folder = folder_of(tmp_path / "frames", 2)
    masks = folder_of(tmp_path / "masks", 2)
    unit = Unit(0, 0, SimpleNamespace(input_mode="batch"), Lines(folder=str(folder)))

    def of_folder(*keyframes):
        files = tuple(sorted(folder.iterdir()))
        return digest_of(unit, Files("the batch folder", files, str(masks), keyframes or None))

    before = of_folder()
    assert of_folder() == before != of_folder(0, 2)
    Image.fromarray(dot).save(masks / "2.png")
    changed = of_folder()
    Image.fromarray(dot).save(folder / "2.png")
    assert len({before, changed, of_folder()}) == 3
    assert digest_of(unit, Files("video_source")) != before


def test_a_run_that_another_process_is_sampling_is_not_tidied_away(calls, monkeypatch):
    from modules import shared
    from motion_module.webui.request import owner

    id_ = broken(calls)
    shared.opts.data["animatediff_resume_gb"] = 1e-9
    with monkeypatch.context() as patch:
        patch.setattr(owner, "is_running", lambda of: True)
        unfinished.tidy("", 1)
        assert (unfinished.root() / id_).is_dir()
    unfinished.tidy("", 1)
    assert not (unfinished.root() / id_).exists()


@pytest.mark.parametrize(("device", "told"), [("cpu", None), ("mps:0", ()), ("xpu:1", ("xpu:1",))])
def test_a_device_is_waited_for_before_its_time_is_taken(monkeypatch, device, told):
    from motion_module.core.denoising.noted_calls import wait_for

    waited = []
    for kind in ("mps", "xpu", "cpu"):
        monkeypatch.setattr(getattr(torch, kind), "synchronize", lambda *of: waited.append(tuple(map(str, of))))
    wait_for(torch.device(device))
    assert waited == ([] if told is None else [told])
