"""Sequences of the host that have broken extensions (docs/host-facts.md 3, docs/host-facts.md 4, docs/host-facts.md 5)."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
from runs import array, frames, make, pictures, run, runner_of, video
from snapshot import differences, of_host, of_p


def titled(name):
    from modules import sd_models

    return next(info.title for info in sd_models.checkpoints_list.values() if name in info.title)


@contextmanager
def script(tab="txt2img", **hooks):
    """Another always-on script of the host for the length of the block."""
    from modules import scripts

    made = type("Other", (scripts.Script,), {"title": lambda self: "Other", **hooks})()
    made.args_from = made.args_to = 0
    made.alwayson, made.filename = True, __file__
    runner = runner_of(tab)
    lists = [runner.scripts, runner.alwayson_scripts]
    for found in lists:
        found.append(made)
    runner.callback_map.clear()
    try:
        yield made
    finally:
        for found in lists:
            found.remove(made)
        runner.callback_map.clear()


def test_an_error_in_a_hook_stops_the_run_although_the_host_swallows_it(pocket):
    before = of_host()
    p = make(animatediff=video(model="no such file"))
    with pytest.raises(Exception, match="no such file") as caught:
        run(p)
    assert caught.value.status_code == 422
    assert differences(before, of_host()) == []


def test_the_checkpoint_of_override_settings_is_the_one_that_moves(pocket):
    from modules import sd_models, shared

    own = frames()
    shared.opts.set("sd_model_checkpoint", titled("other"))
    sd_models.reload_model_weights()
    want = frames()
    shared.opts.set("sd_model_checkpoint", titled("tiny"))
    sd_models.reload_model_weights()
    got = frames(override_settings={"sd_model_checkpoint": titled("other")})
    assert np.array_equal(got, want) and not np.array_equal(got, own)
    shared.opts.set("sd_model_checkpoint", titled("tiny"))
    sd_models.reload_model_weights()
    assert np.array_equal(own, frames())


def test_a_checkpoint_of_override_settings_that_does_not_fit_is_refused_by_name(pocket):
    p = make(animatediff=video(), override_settings={"sd_model_checkpoint": titled("wide")})
    before = of_p(p)
    with pytest.raises(
        Exception, match="mm_tiny_v2.safetensors.*32/64/64/64.*64/128/128/128.*that fit: none"
    ) as caught:
        run(p)
    assert caught.value.status_code == 422
    assert differences(before, of_p(p)) == []


def test_without_a_name_the_module_is_one_that_fits_the_checkpoint_of_override_settings(pocket, tiny):
    """A module for the wide checkpoint lies beside the others; nothing but the checkpoint asks for it."""
    import weights

    path = tiny["v1"].parent / "zz_wide.safetensors"
    weights.make_motion_module(path, version="v2", widths=(64, 128, 128, 128), seed=5)
    try:
        result = run(make(animatediff=video(model=""), override_settings={"sd_model_checkpoint": titled("wide")}))
        assert "model: zz_wide.safetensors" in result.infotexts[0]
        assert "model: mm_tiny_v1.safetensors" in run(make(animatediff=video(model=""))).infotexts[0]
    finally:
        path.unlink()


def test_hires_checkpoint_and_refiner_are_borrowed_in_their_turn(pocket):
    """The host swaps the checkpoint in the middle of `p.sample`; both must run with the motion layers inside."""
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    one = frames(**hires)
    two = frames(**hires, hr_checkpoint_name=titled("other"))
    assert one.shape == two.shape == (4, 96, 96, 3)
    assert not np.array_equal(one, two)
    three = frames(steps=4, refiner_checkpoint=titled("other"), refiner_switch_at=0.5)
    still = frames(steps=4, refiner_checkpoint=titled("other"), refiner_switch_at=0.5, fields={"effect": 0.0})
    assert not np.array_equal(three, still)


def test_xyz_plot_runs_copies_that_are_never_closed(pocket):
    """Every cell is a shallow copy of one `p`; a cell may fail, and the next one goes on."""
    from modules import processing, shared

    before = of_host()
    want = frames(), pictures()
    p = make(animatediff=video(format=["Frame"]))
    got = []
    for fields in (None, {"fps": "no"}, {"enable": False}, None, {"model": "no such file"}, {"enable": False}):
        cell = copy.copy(p)
        cell.override_settings = {}
        args = list(cell.script_args)
        args[[type(a) for a in args].index(dict)] = video(**{"format": ["Frame"], **(fields or {})})
        cell.script_args = tuple(args)
        shared.state.begin(job="cell")
        try:
            got.append(array(processing.process_images(cell).images))
        except Exception as error:
            got.append(str(error))
        shared.state.end()
        assert differences(before, of_host()) == []
    assert "fps is 'no'" in got[1] and "no such file" in got[4]
    assert all(np.array_equal(got[cell], want[0]) for cell in (0, 3))
    assert all(np.array_equal(got[cell], want[1]) for cell in (2, 5))


def test_a_copy_of_a_running_p_carries_nothing_of_ours(pocket):
    """Some scripts copy the running `p` and process the copy with their own settings."""
    seen = {}

    def postprocess_image(self, p, pp, *args):
        if p.batch_index == 1 and not seen:
            from modules import processing

            seen["nested"] = True
            nested = copy.copy(p)
            nested.script_args = make().script_args
            seen["pictures"] = array(processing.process_images(nested).images)
            seen["own"] = {name for name in vars(nested) if callable(vars(nested)[name])}

    want = frames()
    with script(postprocess_image=postprocess_image):
        got = frames()
    assert np.array_equal(got, want)
    assert len(seen["pictures"]) == 1
    assert not seen["own"] & {"sample", "init", "close", "setup_prompts"}


def test_what_adetailer_does_in_the_middle_of_a_run(pocket):
    """It ends the hooks of a copy, runs img2img for each frame, and begins the hooks of a copy again."""
    from modules import processing

    details = []

    def postprocess_image(self, p, pp, *args):
        if p.batch_index == 0:
            p.scripts.postprocess(copy.copy(p), processing.Processed(p, []))
        inner = make("img2img", init_images=[pp.image], denoising_strength=0.3)
        details.append(len(run(inner).images))
        if p.batch_index == p.batch_size - 1:
            again = copy.copy(p)
            p.scripts.before_process(again)
            p.scripts.process(again)

    before, want = of_host(), frames()
    with script(postprocess_image=postprocess_image):
        p = make(animatediff=video(format=["GIF", "Frame"]))
        result = run(p)
    assert details == [1, 1, 1, 1]
    assert np.array_equal(array(result.images[1:]), want)
    assert differences(before, of_host()) == []


def test_both_tabs_one_after_the_other(pocket):
    first = frames("txt2img"), frames("img2img")
    assert np.array_equal(frames("txt2img"), first[0])
    assert np.array_equal(frames("img2img"), first[1])


def test_the_script_executed_twice_holds_no_state(pocket):
    """An `import scripts.animatediff` makes a second copy of the file; both work on the same sessions."""
    import importlib.util
    from pathlib import Path

    import modules.scripts

    path = Path(modules.scripts.__file__).parents[2] / "scripts" / "animatediff.py"
    spec = importlib.util.spec_from_file_location("a_second_copy", path)
    second = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(second)
    p = make(animatediff=video())
    twin = second.AnimateDiffScript()
    twin.before_process(p, video())
    twin.process(p)
    result = run(p)
    assert len(result.images) == 1
    assert "animatediff_session" not in vars(p)
