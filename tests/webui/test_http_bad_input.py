"""What happens over HTTP when something in a request or in a file is wrong: one sentence, and nothing else."""

import json
import math
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import snapshot
import strange_files
from http_client import SMALL, Client, gradient, png_base64, set_folder

ONE_STEP = {**SMALL, "steps": 1}
HIRES = {"enable_hr": True, "denoising_strength": 0.7}


@dataclass(frozen=True)
class Case:
    """A bad request.

    Attributes:
        name: for the test's name.
        says: what the sentence must contain.
        video: fields of the extension besides `enable`.
        body: fields of the request.
        args: what stands in `args` instead of the fields.
        scripts: what stands in `alwayson_scripts` instead.
        status: of the answer; 500 where the host itself answers.
    """

    name: str
    says: tuple[str, ...]
    video: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    args: Any = None
    scripts: Any = None
    status: int = 422

    @property
    def request(self) -> dict[str, Any]:
        fields = {"enable": True, "video_length": 8, "batch_size": 8, "format": ["GIF", "PNG"], **self.video}
        args = [fields] if self.args is None else self.args
        scripts = {"AnimateDiff": {"args": args}} if self.scripts is None else self.scripts
        return {**ONE_STEP, "alwayson_scripts": scripts, **self.body}


def of_field(name: str, value: Any, allowed: str) -> Case:
    shown = repr(value) if isinstance(value, str) else json.dumps(value)
    return Case(f"{name}={value!r:.20}", (name, shown[:20], allowed), {name: value})


WHOLE, NUMBER, YES_NO = "a whole number from", "a number from", "true or false"
FIELDS = [
    *(of_field("enable", value, YES_NO) for value in (1, "yes", ["GIF"], None)),
    of_field("model", 5, "a text"),
    of_field("model", ["mm.safetensors"], "a text"),
    *(of_field("video_length", value, f"{WHOLE} 0 to 10,000") for value in ("16", -1, 10_001, 1.5, True, None, [16])),
    *(of_field("fps", value, f"{NUMBER} 1 to 120") for value in ("x", 0, -8, 121, math.nan, math.inf, True)),
    *(of_field("loop_number", value, f"{WHOLE} 0 to 65,535") for value in (-1, 65_536, "for ever")),
    *(of_field("closed_loop", value, "one of N, R-P, R+P, A") for value in ("B", 1, None, ["A"])),
    *(of_field("batch_size", value, f"{WHOLE} 1 to 256") for value in (0, -1, 257, "16", 2.5)),
    *(of_field("stride", value, f"{WHOLE} 1 to 64") for value in (0, "1", 65)),
    *(of_field("overlap", value, f"{WHOLE} -1 to 256") for value in (-2, "4", 1e9)),
    *(
        of_field("format", value, "a list of GIF")
        for value in ("AVI", ["GIF", "BMP"], 3, {"GIF": True}, None, [["GIF"]])
    ),
    *(of_field("interp", value, "one of Off") for value in ("RIFE", 5, None)),
    *(of_field("interp_x", value, WHOLE) for value in (0, "10", 10_000)),
    of_field("video_source", 5, "a text"),
    of_field("video_path", ["/tmp"], "a text"),
    of_field("mask_path", 1, "a text"),
    of_field("freeinit_enable", "true", YES_NO),
    *(of_field("freeinit_filter", value, "one of butterworth, gaussian, ideal, box") for value in ("low", 1)),
    *(of_field("freeinit_ds", value, f"{NUMBER} 0 to 1") for value in (1.5, "0.25")),
    *(of_field("freeinit_dt", value, f"{NUMBER} 0 to 1") for value in (-0.1, [0.25])),
    *(of_field("freeinit_iters", value, f"{WHOLE} 2 to 5") for value in (1, 6, "3")),
    *(of_field("latent_power", value, NUMBER) for value in (0, "1")),
    *(of_field("latent_scale", value, NUMBER) for value in (0, None)),
    of_field("last_frame", 5, "a picture"),
    *(of_field("latent_power_last", value, NUMBER) for value in (-1, "1")),
    *(of_field("latent_scale_last", value, NUMBER) for value in (1000, {})),
    *(
        of_field("request_id", value, "at most 64 letters, digits, _ and -")
        for value in ("../x", "/tmp/x", "a b", "a\0b", "a\n", "é", "a" * 65, "x" * 100_000)
    ),
    of_field("request_id", 7, "a text"),
    *(of_field("reverse", value, "a list of 0, 1, 2") for value in ([3], [True], "backwards", {"0": 1}, [0.5])),
    *(of_field("blend", value, "one of overwrite, flat, pyramid, linear") for value in ("mix", None)),
    *(of_field("schedule", value, "one of auto, uniform, static") for value in ("random", ["uniform"])),
    of_field("windows_per_call", 0, WHOLE),
    *(of_field("remember", value, f"{NUMBER} 0 to 1") for value in (-0.1, 1.1, "all")),
    *(of_field("motion_scale", value, f"{NUMBER} 0 to 10") for value in (11, "1")),
    *(of_field("effect", value, f"{NUMBER} 0 to 2") for value in (-0.1, 2.1)),
    of_field("freenoise_enable", 1, YES_NO),
    of_field("same_noise", "no", YES_NO),
    of_field("drop_duplicates", 0, YES_NO),
    of_field("video_start", -1, WHOLE),
    of_field("video_end", "12", WHOLE),
    of_field("every_nth", 0, WHOLE),
    of_field("keep_sound", "yes", YES_NO),
    *(
        of_field("motion_scale_travel", value, "frames with a number from 0 to 10 each")
        for value in (0.8, {"0": 1}, True)
    ),
    *(
        of_field("effect_travel", value, "no pair of a frame's number and its value")
        for value in ([[0]], [0, 1], [["a", 1]])
    ),
    of_field("cfg_travel", [[0, 7], [8, 31]], "allowed at frame 8 is a number from 1 to 30"),
    *(of_field("travel", value, "one of slerp, hold") for value in ("lerp", None)),
    *(of_field("pe_stretch", value, f"{WHOLE} 0 to 256") for value in (-1, 257, "16", 2.5, True)),
    *(of_field("effect_blocks", value, "numbers from 0 to 2, as in 1, 1, 0.5, 0") for value in (0.5, [3, 1, 1, 1])),
    *(of_field("effect_blocks", value, "is no number") for value in ([1, "x", 1, 1], [True], [[1]], [None])),
    *(of_field("motion_start", value, f"{NUMBER} 0 to 1") for value in (-0.1, "0.5", None)),
    *(of_field("motion_end", value, f"{NUMBER} 0 to 1") for value in (1.1, math.nan)),
]
VALUES = [
    Case("one position", ("pe_stretch is 1; allowed is 0, which is off, or 2 and more",), {"pe_stretch": 1}),
    Case(
        "a value beyond the end",
        ("cfg_travel is '0: 7, 16: 4'; frame 16 is beyond the last frame, 15",),
        {"video_length": 16, "cfg_travel": "0: 7, 16: 4"},
    ),
    Case(
        "values that descend",
        ("effect_travel is '8: 1, 0: 0'; frame 0 stands after frame 8",),
        {"effect_travel": "8: 1, 0: 0"},
    ),
    Case(
        "a comma in a number",
        ("motion_scale_travel", "'5' stands between two keys"),
        {"motion_scale_travel": "0: 1,5, 8: 2"},
    ),
    Case(
        "a value that is no number",
        ("denoise_travel", "frame 8 has 'low', which is no number"),
        {"denoise_travel": "0: 1, 8: low"},
    ),
    Case(
        "a value without a key",
        ("effect_travel is '0.5'; '0.5' is no key", "0: 1.0, 8: 0.6"),
        {"effect_travel": "0.5"},
    ),
    Case(
        "a value out of range",
        ("effect_travel is '0: 1, 8: 3'; allowed at frame 8 is a number from 0 to 2",),
        {"effect_travel": "0: 1, 8: 3"},
    ),
    Case(
        "too few levels",
        ("effect_blocks is '1, 0.5, 0'; for a UNet of 4 levels allowed is nothing, 4 numbers", "or 9 for the way down"),
        {"effect_blocks": [1, 0.5, 0]},
    ),
    Case(
        "a word among numbers",
        ("effect_blocks is '1, 1, low, 0'; 'low' is no number; numbers are written as in 1, 1, 0.5, 0",),
        {"effect_blocks": "1, 1, low, 0"},
    ),
    Case("endless numbers", ("effect_blocks", "for a UNet of 4 levels"), {"effect_blocks": "1 " * 20_000}),
    Case(
        "a context beyond what is learnt",
        ("batch_size is 40; mm_tiny", "or set pe_stretch"),
        {"batch_size": 40, "video_length": 40},
    ),
    Case(
        "motion that ends first",
        ("motion_start is 0.9", "motion_end, which is 0.5"),
        {"motion_start": 0.9, "motion_end": 0.5},
    ),
    Case("hold in the middle", ("cfg_travel", "hold is not the last item"), {"cfg_travel": "0: 7, hold, 8: 4"}),
    Case(
        "endless values",
        ("effect_travel", "is beyond the last frame"),
        {"effect_travel": ", ".join(f"{n}: 1" for n in range(20_000))},
    ),
]
UNKNOWN = [
    Case("a slip of the pen", ("'modle'", "did you mean model"), {"modle": "x"}),
    Case("no field at all", ("'colour'", "known fields are", "video_length"), {"colour": "red"}),
    Case("an endless name", ("known fields are",), {"z" * 50_000: 1}),
    Case("an empty name", ("''", "known fields are"), {"": 1}),
]
TOGETHER = [
    Case("only TXT", ("format", "besides TXT"), {"format": ["TXT"]}),
    Case("no format", ("format", "besides TXT"), {"format": []}),
    Case("stride and closed loop N", ("stride is 2", "closed_loop N", "1"), {"stride": 2, "closed_loop": "N"}),
    Case(
        "a context beyond the module's frames",
        ("batch_size is 25", "mm_tiny_v1.safetensors", "24"),
        {"batch_size": 25, "video_length": 0},
    ),
    Case(
        "a context beyond the module's frames, in a long video",
        ("batch_size is 33", "mm_tiny_v3.safetensors", "32"),
        {"batch_size": 33, "video_length": 40, "model": "mm_tiny_v3.safetensors"},
    ),
    Case("a field in two objects", ("fps", "twice"), args=[{"enable": True, "fps": 8}, {"fps": 9}]),
]
HOST_SAYS = "object"
ARGS = [
    Case("args of text in a list", ("args[0]", "'GIF'", "an object with fields, or false"), args=["GIF"]),
    Case("args of a list in a list", ("args[0]", "[1]", "an object with fields, or false"), args=[[1]]),
    Case("args of a number in a list", ("args[0]", "7", "an object with fields, or false"), args=[7]),
    Case("args is a text", ("args[0]", "'G'", "an object with fields, or false"), args="GIF"),
    Case("the panel's values, one of them wrong", ("model", "5", "a text"), args=[True, 5]),
    Case("args is a number", (HOST_SAYS,), scripts={"AnimateDiff": {"args": 5}}, status=500),
    Case("args is null", (HOST_SAYS,), scripts={"AnimateDiff": {"args": None}}, status=500),
    Case("the script is null", ("NoneType",), scripts={"AnimateDiff": None}, status=500),
    Case("another script's name", ("AnimateDif",), scripts={"AnimateDif": {"args": [{}]}}),
]
KEY_8 = "0: a cat\n8: a dog"
TRAVEL = [
    Case("a key at N", ("frame 8", "last frame, 7", "8 frames"), body={"prompt": KEY_8}),
    Case("a key beyond a shorter video", ("frame 8", "5 frames"), {"video_length": 5}, {"prompt": KEY_8}),
    Case("a key far beyond", ("frame 999999999", "8 frames"), body={"prompt": "0: a\n999999999: b"}),
    Case("descending keys", ("frame 2", "after frame 4", "ascend"), body={"prompt": "head\n4: a\n2: b\ntail"}),
    Case("a key without text", ("frame 4", "no text"), body={"prompt": "0: a\n4:   "}),
    Case("a line between two keys", ("'a dog'", "between two keys"), body={"prompt": "0: a\na dog\n4: b"}),
    Case("in the negative prompt", ("frame 8", "8 frames"), body={"negative_prompt": KEY_8}),
    Case("in the hires prompt", ("frame 8", "8 frames"), body={**HIRES, "hr_prompt": KEY_8}),
]
CHECKPOINTS = [
    Case(
        f"{name} that is not there",
        (field, "'nowhere'", "allowed is one of", "other.safetensors"),
        body={**body, field: "nowhere"},
    )
    for name, field, body in (
        ("a refiner", "refiner_checkpoint", {}),
        ("a refiner in the middle", "refiner_checkpoint", {"refiner_switch_at": 0.5}),
        ("a refiner that is never used", "refiner_checkpoint", {"refiner_switch_at": 1}),
        ("a checkpoint of the second pass", "hr_checkpoint_name", HIRES),
    )
] + [
    Case("a refiner that is not there, and a bad field", ("fps", "1 to 120"), {"fps": 0}, {"refiner_checkpoint": "no"}),
]
EXPECTED = "a motion module was expected"
FILES = [
    Case(f"file {name}", (name, *says), {"model": name})
    for name, *says in [
        ("sd_checkpoint.safetensors", "a Stable Diffusion checkpoint", EXPECTED),
        ("lora.safetensors", "seems to be a LoRA", "<lora:name:1>", EXPECTED),
        ("motion_lora.safetensors", "seems to be a motion LoRA", "<lora:name:1>", EXPECTED),
        ("controlnet.safetensors", "a ControlNet model", EXPECTED),
        ("vae.safetensors", "a VAE", EXPECTED),
        ("embedding.safetensors", "a textual inversion embedding", EXPECTED),
        ("classifier.pth", "something else", EXPECTED),
        ("empty.safetensors", "is empty", EXPECTED),
        ("empty.ckpt", "is empty", EXPECTED),
        ("truncated.safetensors", "damaged or cut off", EXPECTED),
        ("header_only.safetensors", "damaged or cut off", EXPECTED),
        ("huge_header.safetensors", "damaged or cut off", EXPECTED),
        ("truncated.ckpt", "damaged or cut off", EXPECTED),
        ("archive.ckpt", EXPECTED),
        ("text.safetensors", "a text file", EXPECTED),
        ("web_page.ckpt", "a text file or web page", EXPECTED),
        ("noise.pt", "no file of weights", EXPECTED),
        ("code.ckpt", "could run code", EXPECTED),
        ("old_code.pt", "could run code", EXPECTED),
        ("module_with_code.ckpt", "could run code", EXPECTED),
        ("mm_sdxl.safetensors", "SDXL", "the checkpoint is SD1.5", "fit: mm_good.safetensors"),
        ("hotshot.safetensors", "HotShot-XL", "the checkpoint is SD1.5", "fit: mm_good.safetensors"),
        ("mm_wide.safetensors", "widths 64/128/128/128", "widths 32/64/64/64"),
        ("mm_with_a_hole.safetensors", "lacks down_blocks"),
        ("two_levels.safetensors", EXPECTED),
    ]
]
MODELS = [
    Case(f"model {name!r:.24}", ("model", "allowed is", "mm_good.safetensors"), {"model": name})
    for name in (
        "nowhere.safetensors",
        "../mm_outside.safetensors",
        "sub/../../mm_outside.safetensors",
        "..\\mm_outside.safetensors",
        "../mm_outside",
        "/etc/passwd",
        "file:///etc/passwd",
        "~/mm.safetensors",
        ".",
        "x" * 100_000,
        "mm_good.safetensors\n",
        "MM_GOOD.safetensors/",
    )
] + [Case("model with a zero byte", ("model", "zero bytes"), {"model": "mm_good\0.safetensors"})]
REQUESTS = {
    "fields": FIELDS,
    "unknown fields": UNKNOWN,
    "fields together": TOGETHER,
    "args": ARGS,
    "prompt travel": TRAVEL,
    "values that travel": VALUES,
    "checkpoints": CHECKPOINTS,
}
IN_FOLDER = {"files": FILES, "model names": MODELS}


@pytest.fixture
def client(pocket):
    return Client(pocket)


@pytest.fixture(scope="module")
def strange(tmp_path_factory, tiny):
    """A folder of motion modules as one has it after years, and one good module beside it."""
    base = tmp_path_factory.mktemp("strange")
    strange_files.make(base / "modules", tiny, base / "marker")
    (base / "mm_outside.safetensors").write_bytes(tiny["v1"].read_bytes())
    return base


def each(groups):
    cases = [case for group in groups.values() for case in group]
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def refused(client, case):
    """Post it; the answer is one sentence with all that it must say, and no file is written."""
    files = client.written()
    reply = client.post("txt2img", case.request)
    assert reply.status == case.status, reply.body
    sentence = reply.sentence
    missing = [words for words in case.says if words not in sentence]
    assert not missing, sentence
    assert "\n" not in sentence.strip() and "Traceback" not in sentence
    assert 10 < len(sentence) < 700, f"{len(sentence)} characters"
    if case.status == 422:
        assert reply.body.get("errors", "") in (sentence, "")  # Forge has no such key
    assert "images" not in reply.body and "info" not in reply.body
    planned = client.plan(case.request)
    assert (planned.status, planned.body) == (reply.status, reply.body)
    assert client.written() == files


def refused_without_a_trace(client, case, monkeypatch):
    # Counting changes is quicker than digests of all weights; the pictures are compared below.
    monkeypatch.setattr(snapshot, "_digest", lambda tensor: (tensor.data_ptr(), tensor._version))
    before = snapshot.of_host()
    refused(client, case)
    assert snapshot.differences(before, snapshot.of_host()) == []


@each(REQUESTS)
def test_a_bad_request_is_refused_in_one_sentence(client, case, monkeypatch):
    refused_without_a_trace(client, case, monkeypatch)


@each(IN_FOLDER)
def test_what_is_no_fitting_motion_module_is_refused_by_name(client, strange, case, monkeypatch):
    set_folder("animatediff_model_path", str(strange / "modules"))
    refused_without_a_trace(client, case, monkeypatch)


@pytest.mark.parametrize("group", [*REQUESTS, *IN_FOLDER])
def test_the_next_job_makes_the_same_pictures_as_before(client, strange, group):
    cases = (REQUESTS | IN_FOLDER)[group]
    if group in IN_FOLDER:
        set_folder("animatediff_model_path", str(strange / "modules"))
    video = {"model": "mm_good.safetensors" if group in IN_FOLDER else "mm_tiny_v1.safetensors", "video_length": 4}
    before = client.plain(), client.frames(video, steps=1)
    for case in cases[:: max(1, len(cases) // 5)]:
        assert client.post("txt2img", case.request).status in (422, 500)
    after = client.plain(), client.frames(video, steps=1)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_img2img_refuses_in_the_same_way(client):
    before = snapshot.of_host()
    case = Case("img2img", ("fps", "1 to 120"), {"fps": 0}, {"init_images": [png_base64(gradient())]})
    reply = client.post("img2img", case.request)
    assert reply.status == 422 and all(words in reply.sentence for words in case.says)
    assert snapshot.differences(before, snapshot.of_host()) == []


def test_code_in_a_file_never_runs(client, strange):
    marker = strange / "marker"
    set_folder("animatediff_model_path", str(strange / "modules"))
    for name in ("code.ckpt", "old_code.pt", "module_with_code.ckpt", "code"):
        assert client.post("txt2img", Case("", (), {"model": name}).request).status == 422
    client.get("script-info")
    assert not marker.exists()
    pickle.loads((strange / "modules" / "old_code.pt").read_bytes())  # it would have run
    assert marker.exists()
    marker.unlink()


def test_without_any_module_the_sentence_says_where_to_put_one(client, tmp_path, monkeypatch):
    from motion_module.webui.request import motion_modules

    monkeypatch.setattr(motion_modules, "DEFAULT_FOLDER", tmp_path / "own")
    (tmp_path / "empty").mkdir()
    set_folder("animatediff_model_path", str(tmp_path / "empty"))
    refused(client, Case("no module", ("no motion module", str(tmp_path / "empty"))))


@pytest.mark.parametrize("all_steps", [False, True])
@pytest.mark.parametrize(("tab", "needed_by"), [("img2img", "img2img"), ("txt2img", "hires fix (enable_hr)")])
def test_no_denoising_strength_where_one_is_needed(client, tab, needed_by, all_steps):
    """The host takes null, and would fail in its own sum; for txt2img null is what a request that names none has."""
    from modules import shared

    shared.opts.data["img2img_fix_steps"] = all_steps
    body = {"denoising_strength": None, "enable_hr": True}
    if tab == "img2img":
        body = {"denoising_strength": None, "init_images": [png_base64(gradient())]}
    sentence = f"AnimateDiff: denoising_strength is null; {needed_by} needs a number from 0 to 1."
    request = Case("", (), body=body).request
    for reply in (client.post(tab, request), client.plan(request, tab)):
        assert (reply.status, reply.sentence) == (422, sentence)


def test_off_is_off_whatever_else_stands_there(client):
    plain = client.plain(steps=1)
    for args in ([False], [None], [], [{}], [[]], [{"enable": False, "video_length": 8}]):
        reply = client.post("txt2img", Case("", (), args=args).request)
        assert reply.status == 200, args
        assert np.array_equal(reply.pictures, plain), args
