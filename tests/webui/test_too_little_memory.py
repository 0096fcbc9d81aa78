"""Too little memory, at every stage of a run: one sentence with what helps, what is finished is kept, and the next run
is as if nothing had been."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import array, frames, make, run, video
from snapshot import differences, of_host, of_p

CUDA = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
MPS = RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB, max allowed: 18.13 GB). Tried to allocate 1 GB")
DIRECTML = RuntimeError("Could not allocate tensor with 48 bytes. There is not enough GPU video memory available!")
SETTING = "switch the setting animatediff_least_memory on"
RAM = RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: can't allocate memory: you tried 9")


@pytest.fixture(params=["txt2img", "img2img"])
def tab(request, pocket):
    return request.param


@pytest.fixture(autouse=True)
def accelerator(pocket, monkeypatch):
    """The host believes that it has a GPU, as far as anybody asks about its memory."""
    from types import SimpleNamespace

    from modules import devices
    from motion_module.webui.run import too_little_memory

    stand_in = SimpleNamespace(device=torch.device("cuda"), torch_gc=devices.torch_gc)
    monkeypatch.setattr(too_little_memory, "devices", stand_in)


class Failing:
    """Calls a function until it has been called so often; then there is too little memory.

    Attributes:
        held: a tensor that the failing call holds, weakly.
    """

    def __init__(self, function, call=1, error=CUDA):
        self.function, self.left, self.error = function, call, error

    def __get__(self, owner, kind=None):
        return lambda *args, **kwargs: self(owner, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            return self.fail()
        return self.function(*args, **kwargs)

    def fail(self):
        large = torch.zeros(8)
        self.held = weakref.ref(large)
        raise type(self.error)(*self.error.args)


def sampling(patch, call=1, error=CUDA):
    from motion_module.core.module.layers import MotionModule

    patch.setattr(MotionModule, "forward", failing := Failing(MotionModule.forward, call, error))
    return failing


def decoding(patch, call=1, error=CUDA):
    from modules import shared

    model = shared.sd_model
    patch.setattr(model, "decode_first_stage", failing := Failing(model.decode_first_stage, call, error))
    return failing


def saving(patch, call=1, error=CUDA, step="_kept_video"):
    from motion_module.webui.output import videos

    patch.setattr(videos, step, failing := Failing(getattr(videos, step), call, error))
    return failing


def loading(patch, error=CUDA):
    from motion_module.webui.request import motion_modules

    patch.setattr(motion_modules, "_SHELF", motion_modules._Shelf())
    patch.setattr(motion_modules, "load_motion_model", failing := Failing(motion_modules.load_motion_model, 1, error))
    return failing


def texts(patch, error=CUDA):
    from modules import processing

    kind = processing.StableDiffusionProcessing
    patch.setattr(kind, "setup_conds", failing := Failing(kind.setup_conds, 1, error))
    return failing


def moving_to_the_device(patch, error=CUDA):
    from motion_module.webui.hosts import a1111 as host

    patch.setattr(host, "on_device", failing := Failing(host.on_device, 1, error))
    return failing


def sentence_of(p, kind=Exception):
    with pytest.raises(kind) as caught:
        run(p)
    assert caught.value.status_code == 500 and str(caught.value).startswith("AnimateDiff: the ")
    assert "\n" not in str(caught.value) and str(caught.value).count("AnimateDiff: ") == 1
    return str(caught.value)


STAGES = {
    "loading": (loading, "the GPU ran out of memory while loading the motion module; start the WebUI with --medvram."),
    "texts": (texts, "the GPU ran out of memory; start the WebUI with --medvram (nothing of the video is kept)."),
    "moving": (
        moving_to_the_device,
        f"while sampling; {SETTING}, then set batch_size below 4, or start the WebUI with --medvram",
    ),
    "sampling": (
        sampling,
        f"while sampling; {SETTING}, then set batch_size below 4, or start the WebUI with --medvram (nothing",
    ),
    "decoding": (decoding, "the GPU ran out of memory while decoding; start the WebUI with --medvram (nothing"),
    "saving": (saving, "while saving; start the WebUI with --medvram (nothing of the video is kept)."),
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_ends_in_a_sentence_and_leaves_nothing_behind(tab, monkeypatch, stage):
    fail, sentence = STAGES[stage]
    plain, before = frames(tab), of_host()
    p = make(tab, video())
    own = of_p(p)
    with monkeypatch.context() as patch:
        failing = fail(patch)
        assert sentence in sentence_of(p)
    assert failing.left <= 0
    gc.collect()
    assert failing.held() is None, "what the failed call held is let go"
    assert differences(own, of_p(p)) == [] and differences(before, of_host()) == []
    assert np.array_equal(frames(tab), plain)


@pytest.mark.parametrize("error", [CUDA, MPS, DIRECTML], ids=["cuda", "mps", "directml"])
def test_the_accelerators_word_for_it_does_not_matter(pocket, monkeypatch, error):
    sampling(monkeypatch, error=error)
    assert f"the GPU ran out of memory while sampling; {SETTING}, then set batch_size below 4" in sentence_of(
        make(animatediff=video())
    )


def test_what_helps_is_named_in_order_and_with_its_values(pocket, monkeypatch):
    sampling(monkeypatch)
    fields = video(video_length=24, batch_size=8, windows_per_call=4)
    assert sentence_of(make(animatediff=fields, width=128, height=64)) == (
        "AnimateDiff: the GPU ran out of memory while sampling; set windows_per_call below 4, then switch the "
        "setting animatediff_least_memory on, then set batch_size below 8, then make width and height smaller than 128x64, or start the WebUI with --medvram "
        "(nothing of the video is kept)."
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"video_length": 8, "batch_size": 8, "windows_per_call": 4}, f"; {SETTING}, then set batch_size below 8, or"),
        ({"video_length": 6, "batch_size": 16, "windows_per_call": 4}, f"; {SETTING}, then set batch_size below 6, or"),
        (
            {"video_length": 12, "batch_size": 8, "overlap": 0, "windows_per_call": 9},
            f"; set windows_per_call to 1, then {SETTING}, then",
        ),
        ({"video_length": 2}, f"; {SETTING}, then set batch_size to 1, or"),
        ({"video_length": 1}, f"; {SETTING}, or start the WebUI"),
    ],
)
def test_what_would_not_help_is_not_named(pocket, monkeypatch, fields, named):
    sampling(monkeypatch)
    assert named in sentence_of(make(animatediff=video(**fields)))


@pytest.mark.parametrize(
    ("options", "sdxl", "named"),
    [
        ({}, False, "start the WebUI with --medvram"),
        ({"medvram_sdxl": True}, False, "start the WebUI with --medvram"),
        ({"medvram_sdxl": True}, True, "start the WebUI with --lowvram"),
        ({"medvram": True}, False, "start the WebUI with --lowvram"),
        ({"medvram": True, "lowvram": True}, False, None),
    ],
)
def test_the_option_that_helps_next(pocket, monkeypatch, options, sdxl, named):
    from modules import shared
    from motion_module.webui.run import too_little_memory

    for name, value in options.items():
        monkeypatch.setattr(shared.cmd_opts, name, value)
    monkeypatch.setattr(shared.sd_model, "is_sdxl", sdxl)
    assert too_little_memory._option() == (named or "").removeprefix("start the WebUI with ")


NO_WAY_LEFT = {
    "loading": "AnimateDiff: the GPU ran out of memory while loading the motion module.",
    "texts": "AnimateDiff: the GPU ran out of memory (nothing of the video is kept).",
    "moving": "AnimateDiff: the GPU ran out of memory while sampling (nothing of the video is kept).",
    "sampling": "AnimateDiff: the GPU ran out of memory while sampling (nothing of the video is kept).",
    "decoding": "AnimateDiff: the GPU ran out of memory while decoding (nothing of the video is kept).",
    "saving": "AnimateDiff: the GPU ran out of memory while saving (nothing of the video is kept).",
}


@pytest.mark.parametrize("stage", STAGES)
def test_where_nothing_helps_any_more_the_sentence_ends_there(pocket, monkeypatch, stage):
    """A video of one small frame, in a WebUI that saves all the memory it can, as we do."""
    from modules import shared

    monkeypatch.setitem(shared.opts.data, "animatediff_least_memory", True)

    monkeypatch.setattr(shared.cmd_opts, "lowvram", True)
    STAGES[stage][0](monkeypatch)
    assert sentence_of(make(animatediff=video(video_length=1))) == NO_WAY_LEFT[stage]


def test_the_page_reads_its_own_labels(pocket, monkeypatch):
    sampling(monkeypatch)
    p = make(animatediff=video())
    p.is_api = False
    with pytest.raises(
        Exception,
        match='switch the setting "Use as little graphics memory as possible" on, then set Context batch size below 4',
    ):
        run(p)


def test_the_computer_itself(pocket, monkeypatch):
    from modules import devices
    from motion_module.webui.run import too_little_memory

    monkeypatch.setattr(too_little_memory.devices, "device", torch.device("cpu"))
    sampling(monkeypatch, error=RAM)
    assert sentence_of(make(animatediff=video(), width=128)) == (
        "AnimateDiff: the computer ran out of memory while sampling; switch the setting animatediff_least_memory on, then "
        "set batch_size below 4, then make width and height smaller than 128x64, then set video_length below 4, or close other programs (nothing of the video is kept)."
    )
    assert devices.device.type == "cpu"


def test_hires_fix_names_its_own_size(pocket, monkeypatch):
    hires = {"enable_hr": True, "hr_scale": 2.0, "hr_upscaler": "Latent", "denoising_strength": 0.7, "steps": 2}
    sampling(monkeypatch, call=1 + 2 * 21)
    assert "set hr_scale lower (hires fix makes 128x128), or start" in sentence_of(make(animatediff=video(), **hires))


def test_a_video_that_is_finished_is_saved(tab, monkeypatch):
    """The host keeps the pictures of all batches until the last one, and would lose them."""
    whole = run(make(tab, video(format=["PNG"]), n_iter=1))
    first = pixels(Path(whole.extra_generation_params["AnimateDiff files"][0]["PNG"]))
    for fail, call in ((sampling, 1 + 2 * 21), (decoding, 6)):
        with monkeypatch.context() as patch:
            fail(patch, call)
            sentence = sentence_of(make(tab, video(format=["PNG", "GIF"]), n_iter=2))
        kept = Path(sentence.partition("the video before it is in ")[2].rstrip(".)"))
        assert "nothing of this video is kept" in sentence
        assert kept.suffix == ".gif" and np.array_equal(pixels(kept.with_suffix("")), first)


def gifs(p):
    return set(Path(p.outpath_samples).rglob("*.gif"))


def saved_by(p):
    """What a run that must fail says, and its new GIFs; nothing else is left of it."""
    before, host, own = gifs(p), of_host(), of_p(p)
    sentence = sentence_of(p)
    assert differences(host, of_host()) == [] and differences(own, of_p(p)) == []
    return sentence, sorted(gifs(p) - before)


CPU = [MemoryError(), RAM]


@pytest.mark.parametrize("error", [CUDA, *CPU], ids=["cuda", "numpy", "ram"])
@pytest.mark.parametrize(
    ("step", "call", "videos", "kept"),
    [
        ("_kept_video", 1, 2, "nothing of this video is kept, the other video is in {0}"),
        ("_kept_video", 2, 2, "nothing of this video is kept, the video before it is in {0}"),
        ("_kept_video", 2, 3, "nothing of this video is kept, the other 2 videos are in {0}, {1}"),
        ("publish", 1, 2, "the videos are in {0}, {1}"),
        ("publish", 1, 1, "the video is in {0}"),
    ],
)
def test_while_saving_each_video_is_saved_once(tab, monkeypatch, step, call, videos, kept, error):
    """What is saved by then is named, not saved anew; those after the one that has failed are saved, too."""
    saving(monkeypatch, call, error, step)
    sentence, new = saved_by(make(tab, video(format=["PNG", "GIF"]), n_iter=videos))
    assert [len(pixels(gif.with_suffix(""))) for gif in new] == [4] * (videos - (step == "_kept_video"))
    who, advice = ("GPU", "start the WebUI with --medvram")
    if error in CPU:
        who, advice = ("computer", "set video_length below 4, or close other programs")
    assert sentence == f"AnimateDiff: the {who} ran out of memory while saving; {advice} ({kept.format(*new)})."


def test_while_saving_the_frames_that_the_host_has_saved_are_kept(pocket, monkeypatch):
    from modules import shared

    shared.opts.data["animatediff_save_to_custom"] = False
    saving(monkeypatch, call=2)
    p = make(animatediff=video(format=["PNG", "GIF"]), n_iter=2)
    before = set(Path(p.outpath_samples).rglob("*.png"))
    sentence, (gif,) = saved_by(p)
    assert f" (only the frames of this video are kept, the video before it is in {gif})." in sentence
    assert len(set(Path(p.outpath_samples).rglob("*.png")) - before) == 2 * 4


def pixels(folder):
    """The pictures in a folder of frames."""
    return array(Image.open(path) for path in sorted(folder.iterdir()))


def test_a_plots_cell_too(pocket, monkeypatch):
    """X/Y/Z plot never closes its copies of `p`."""
    import copy

    p = make(animatediff=video())
    for fail in (sampling, decoding):
        with monkeypatch.context() as patch:
            fail(patch)
            from modules import processing

            with pytest.raises(Exception, match="ran out of memory while"):
                processing.process_images(copy.copy(p))
    assert len(run(p).images) == 1


def test_film(pocket, film, monkeypatch):
    """What is generated is saved; FILM needs memory for two whole pictures, whatever else is set."""
    from motion_module.core.film import Film

    film()
    monkeypatch.setattr(Film, "__call__", Failing(Film.__call__))
    result = run(make(animatediff=video(interp="FILM", interp_x=1)))
    (message,) = result.extra_generation_params["AnimateDiff messages"]
    assert message == (
        "AnimateDiff could not interpolate the frames, so they stay as generated: out of memory for FILM with frames "
        "of 64x64; make width and height smaller, or set interp to FLOW."
    )
    assert len(result.extra_generation_params["AnimateDiff files"]) == 1


def test_loading_film(pocket, film, monkeypatch):
    from motion_module.core import film as film_file

    film()
    monkeypatch.setattr(film_file.torch.jit, "load", Failing(None, error=RAM))
    sentence = sentence_of(make(animatediff=video(interp="FILM", interp_x=1)))
    assert sentence == "AnimateDiff: the computer ran out of memory; close other programs."


def test_a_module_that_did_not_fit_once_is_no_damaged_file(pocket, monkeypatch):
    from motion_module.core.module import checkpoint

    with monkeypatch.context() as patch:
        read = Failing(None, error=RAM)
        patch.setattr(checkpoint.StoredTensor, "read", read, raising=False)
        from motion_module.webui.request import motion_modules

        patch.setattr(motion_modules, "_SHELF", motion_modules._Shelf())
        assert "while loading the motion module; close other programs" in sentence_of(make(animatediff=video()))
    assert len(run(make(animatediff=video())).images) == 1


def test_a_lora_that_does_not_fit_is_no_wrong_file(pocket, tiny, monkeypatch):
    from loras import lora_host, low_ranks, write

    with lora_host(pocket, tiny) as host:
        write(host, "zoom", low_ranks())
        monkeypatch.setattr(host["networks"], "load_network", Failing(host["networks"].load_network))
        sentence = sentence_of(make(animatediff=video(), prompt="a cat <lora:zoom:1>"))
    assert "the GPU ran out of memory" in sentence
