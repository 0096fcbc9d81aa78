"""What another extension keeps of ours and puts back, or calls, when our run is over - or in the middle of the next."""

import copy
import gc
import inspect
import weakref

import numpy as np
import pytest
from control_videos import folder_of
from neighbours import Keeper, extension
from runs import array, frames, make, pictures, run, video
from test_http_controlnet import page_unit, with_units

V1 = {"model": "mm_tiny_v1.safetensors", "freeinit_enable": True, "freeinit_iters": 2}
REQUEST = {"steps": 1, "negative_prompt": "0: bad\n2: worse"}


@pytest.fixture
def apart(pocket):
    """The person has `batch_cond_uncond` off, so that a run changes that, too."""
    from modules import shared

    shared.opts.data["batch_cond_uncond"] = False


def shot(tab="txt2img", fields=None):
    return frames(tab, {**V1, **(fields or {})}, **REQUEST)


def plain(tab="txt2img"):
    return pictures(tab, steps=2)


def depth():
    """How deep in calls the UNet of a plain picture is."""
    from modules import shared

    found = []
    unet = shared.sd_model.model.diffusion_model
    handle = unet.register_forward_pre_hook(lambda *_: found.append(len(inspect.stack(0))))
    norm = next(module for module in unet.modules() if type(module).__name__ == "GroupNorm32")
    inner = norm.register_forward_pre_hook(lambda *_: found.append(len(inspect.stack(0))))
    try:
        plain()
    finally:
        handle.remove()
        inner.remove()
    return found


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_everything_kept_and_put_back(apart, tab, monkeypatch):
    still, moving = plain(tab), shot(tab)
    keeper = Keeper()
    with monkeypatch.context() as patch:
        keeper.watch(patch)
        shot(tab)
    assert len(keeper.kept) > 60
    keeper.put_back()
    assert np.array_equal(still, plain(tab))
    assert np.array_equal(moving, shot(tab))
    assert np.array_equal(still, plain(tab))


def test_every_change_kept_alone(apart, monkeypatch, picked):
    keeper = Keeper()
    with monkeypatch.context() as patch:
        keeper.watch(patch)
        shot("img2img", {"last_frame": None})
    still, moving = plain("img2img"), shot("img2img")
    assert {module for module, _, _ in keeper.seen} >= {
        "core.module.norm",
        "core.module.placement",
        "core.denoising.schedule",
        "webui.run.borrowed_p",
    }
    for key in picked(keeper.seen, 3):
        one = Keeper(key)
        with monkeypatch.context() as patch:
            one.watch(patch)
            shot("img2img")
        one.put_back()
        assert np.array_equal(still, plain("img2img")), key
    assert np.array_equal(moving, shot("img2img"))


def test_ten_videos_do_not_pile_up(apart, monkeypatch):
    still, moving, deep = plain(), shot(), []
    for _ in range(10):
        keeper = Keeper()
        with monkeypatch.context() as patch:
            keeper.watch(patch)
            assert np.array_equal(moving, shot())
        keeper.put_back()
        deep.append(depth())
    assert deep[0] == deep[-1]
    assert np.array_equal(still, plain())


def test_what_each_call_shows_controlnet_kept_and_put_back(pocket, tmp_path, monkeypatch):
    from modules import shared

    shared.opts.data["control_net_no_detectmap"] = True
    folder = folder_of(tmp_path / "frames", 4)

    def guided():
        p = with_units([page_unit(input_mode="batch", batch_images=str(folder))], format=["Frame"], batch_size=2)
        return array(run(p).images)

    moving, still, keeper = guided(), plain(), Keeper()
    with monkeypatch.context() as patch:
        keeper.watch(patch)
        assert np.array_equal(moving, guided())
    assert any(change == "changing" for _, change, _ in keeper.seen)
    keeper.put_back()
    assert np.array_equal(still, plain())
    assert np.array_equal(moving, guided())


def test_put_back_in_the_middle_of_the_next_run(apart, monkeypatch):
    from modules import script_callbacks

    moving = shot()
    keeper = Keeper()
    with monkeypatch.context() as patch:
        keeper.watch(patch)
        shot()
    host = [back for back in keeper.kept if "apply_model" in str(inspect.getclosurevars(back).nonlocals)]
    host += [back for back in keeper.kept if inspect.getclosurevars(back).nonlocals.get("name") == "forward"]
    assert len(host) > 20
    meddle = lambda params: [back() for back in host]  # noqa: E731
    script_callbacks.on_cfg_denoiser(meddle)
    try:
        assert np.array_equal(moving, shot())
    finally:
        script_callbacks.remove_callbacks_for_function(meddle)
    assert np.array_equal(moving, shot())


def test_every_callable_goes_through_a_stand_in(apart, monkeypatch):
    """A plain `replaced` is for values: a callable put in by it would be ours for ever in somebody's hand."""
    from motion_module.stand_in import StandIn
    from motion_module.webui.run.session import Session

    keeper = Keeper()
    with monkeypatch.context() as patch:
        keeper.watch(patch)
        shot("img2img")
        shot("txt2img", {"model": "mm_tiny_v2.safetensors"})
    values = [(key, value) for key, found in keeper.seen.items() for value in found]
    assert [key for key, value in values if callable(value) and not isinstance(value, (StandIn, Session))] == []


class Tiles:
    """Keeps `apply_model` when a sampler is made, and gives back what it has kept in its own `postprocess`."""

    def __init__(self):
        self.calls = 0

    def process(self, p):
        from modules import sd_samplers, shared

        self.create = sd_samplers.create_sampler

        def create(*args, **kwargs):
            model = shared.sd_model
            if not hasattr(model, "kept_by_tiles"):
                model.kept_by_tiles = model.apply_model
            model.apply_model = self.apply
            return self.create(*args, **kwargs)

        sd_samplers.create_sampler = create

    def apply(self, *args, **kwargs):
        from modules import shared

        self.calls += 1
        return shared.sd_model.kept_by_tiles(*args, **kwargs)

    def postprocess(self, p, processed):
        from modules import sd_samplers, shared

        sd_samplers.create_sampler = self.create
        shared.sd_model.apply_model = shared.sd_model.kept_by_tiles
        del shared.sd_model.kept_by_tiles


def test_a_tiling_extension_over_http(client):
    ask = {"steps": 2}
    moving, still = client.frames(video(format=["Frame"]), **ask), client.plain(**ask)
    with extension("txt2img", Tiles()) as tiles:
        assert np.array_equal(moving, client.frames(video(format=["Frame"]), **ask))
        assert tiles.calls == 2
        for _ in range(3):
            assert np.array_equal(still, client.plain(**ask))
        assert np.array_equal(moving, client.frames(video(format=["Frame"]), **ask))
    assert np.array_equal(still, client.plain(**ask))


@pytest.mark.parametrize("off", ["before the run is over", "afterwards", "never"])
def test_a_wrapper_round_ours(pocket, off):
    from modules import shared

    still, moving, model = plain(), shot(), shared.sd_model
    taken = {}

    class Wrapping:
        def process_before_every_sampling(self, p, **kwargs):
            taken["ours"] = ours = model.apply_model
            model.apply_model = lambda *args, **kwargs: ours(*args, **kwargs)

        def post_sample(self, p, args):
            if off == "before the run is over":
                model.apply_model = taken["ours"]

        def postprocess(self, p, processed):
            if off == "afterwards":
                model.apply_model = taken["ours"]

    try:
        with extension("txt2img", Wrapping()):
            assert np.array_equal(moving, shot())
        assert np.array_equal(still, plain())
        assert np.array_equal(moving, shot())
    finally:
        vars(model).pop("apply_model", None)


def test_nothing_of_a_run_is_held(pocket, monkeypatch):
    """Who keeps our stand-ins keeps neither the run, nor the motion layers, nor the checkpoint."""
    from modules import sd_models, shared
    from motion_module.core.denoising.sliding import SlidingModel
    from motion_module.core.module.layers import LentLayer
    from motion_module.webui.run import session
    from motion_module.webui.sampling.loan import Loan

    p = make("txt2img", video(**V1), **REQUEST)
    with monkeypatch.context() as patch:
        keeper = Keeper().watch(patch)
        run(p)
    held = [one for back in keeper.kept for one in inspect.getclosurevars(back).nonlocals.values()]
    layers = [one[0] for one in held if isinstance(one, tuple) and one and isinstance(one[0], LentLayer)]
    stand_ins = [one for one in held if type(one).__name__ == "StandIn"]
    assert len(layers) == 20 and all(layer.empty and not list(layer.parameters()) for layer in layers)
    assert len(stand_ins) > 20
    seen = [weakref.ref(p), weakref.ref(shared.sd_model)]
    keeper.kept.clear()
    keeper.seen.clear()
    del p, held
    sd_models.load_model(sd_models.get_closet_checkpoint_match("other"))
    gc.collect()
    assert [one() is None for one in seen] == [True, True]
    kinds = (session.Session, Loan, SlidingModel)
    assert [one for one in gc.get_objects() if type(one) in kinds] == []
    assert all(stand_in.over for stand_in in stand_ins)


class Copying:
    """Keeps `p`, a copy and a deep copy of it from the middle of a run."""

    def process_batch(self, p, **kwargs):
        self.copies = [p, copy.copy(p)]
        scripts, p.scripts = p.scripts, None  # the host's scripts hold gradio's components
        try:
            self.copies.append(copy.deepcopy(p))
        finally:
            p.scripts = scripts
        self.copies[-1].scripts = scripts


def test_copies_of_p(pocket):
    with extension("txt2img", Copying()) as copying:
        moving = shot()
    still = plain()
    for one in copying.copies:
        one.seed = 42
        assert np.array_equal(moving, array(run(one).images))
        assert "animatediff_session" not in vars(one)
        assert "AnimateDiff" not in one.extra_generation_params
        assert np.array_equal(still, plain())


class Sampling:
    """Puts a `sample` of its own in the place of what it finds, and calls that, or the class's own."""

    def __init__(self, hook, calls_ours):
        self.calls_ours = calls_ours
        setattr(self, hook, self._replace)

    def process(self, p):
        """A hook."""

    def process_batch(self, p, **kwargs):
        """A hook."""

    def _replace(self, p, **kwargs):
        found = p.sample if self.calls_ours else type(p).sample.__get__(p)
        p.sample = lambda *args, **named: found(*args, **named)


@pytest.mark.parametrize("calls_ours", [True, False])
def test_another_sample_in_the_place_of_ours(pocket, calls_ours):
    moving, still = shot(), plain()
    with extension("txt2img", Sampling("process", calls_ours)):
        assert np.array_equal(moving, shot())
    assert np.array_equal(still, plain())
    assert np.array_equal(moving, shot())


def test_a_sample_that_never_comes_to_us_is_said(pocket):
    with (
        extension("txt2img", Sampling("process_batch", False)),
        pytest.raises(Exception, match="another extension") as e,
    ):
        shot()
    assert e.value.status_code == 422
    plain()


def test_an_option_that_was_kept(apart):
    """What is put back is the person's own setting, not what a request overrode it with."""
    from modules import shared

    shared.opts.data["batch_cond_uncond"] = True
    kept = {}

    class Keeping:
        def process_before_every_sampling(self, p, **kwargs):
            kept.update(value=shared.opts.data["batch_cond_uncond"])

    with extension("txt2img", Keeping()):
        frames(fields=V1, override_settings={"batch_cond_uncond": False}, **REQUEST)
    shared.opts.data["batch_cond_uncond"] = kept["value"]
    plain()
    assert shared.opts.data["batch_cond_uncond"] is True
