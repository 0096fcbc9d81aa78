"""Runs inside a run stay pictures; runs that a script starts one after the other are videos."""

import copy
import gc
import weakref
from contextlib import closing

import numpy as np
import pytest
from neighbours import extension
from runs import array, frames, make, run, video

INNER = "do not become videos of their own"


class Detailer:
    """Starts img2img for each finished frame, with all scripts of the run around it, ours included.

    Args:
        allow: ask for videos all the same.
        fields: of the inner request.
    """

    def __init__(self, allow=False, fields=None):
        self.allow, self.fields, self.made = allow, fields or {}, []

    def postprocess_image(self, p, pp, *args):
        inner = make("img2img", video(**self.fields), init_images=[pp.image], denoising_strength=0.3, steps=2)
        inner.override_settings = {}
        if self.allow:
            inner.animatediff_allow_inner = True
        from modules import processing

        with closing(inner):
            self.made.append(processing.process_images(inner))
        pp.image = self.made[-1].images[0].convert("RGB")


def detailed(detailer, **fields):
    with extension("txt2img", detailer):
        return run(make(animatediff=video(format=["Frame"], **fields)))


def test_a_detailer_gets_pictures(pocket):
    plain = frames()
    detailer = Detailer()
    result = detailed(detailer)
    assert [len(inner.images) for inner in detailer.made] == [1, 1, 1, 1]
    assert all("AnimateDiff" not in inner.infotexts[0] for inner in detailer.made)
    assert np.array_equal(array(result.images), np.stack([np.asarray(one.images[0]) for one in detailer.made]))
    assert not np.array_equal(array(result.images), plain)
    told = result.extra_generation_params["AnimateDiff messages"]
    assert len([line for line in told if INNER in line]) == 1
    assert np.array_equal(frames(), plain)


def test_a_detailer_that_asks_for_videos_gets_them(pocket):
    detailer = Detailer(allow=True, fields={"format": ["Frame"], "video_length": 2})
    result = detailed(detailer)
    assert [len(inner.images) for inner in detailer.made] == [2, 2, 2, 2]
    assert len(result.images) == 4
    assert INNER not in result.comments


def test_an_inner_request_that_is_wrong_is_nobodys_concern(pocket):
    detailer = Detailer(fields={"model": "no such module"})
    assert len(detailed(detailer).images) == 4
    assert [len(inner.images) for inner in detailer.made] == [1, 1, 1, 1]


def test_controlnet_hears_that_an_inner_run_is_no_video(pocket):
    from motion_module.webui.compat import get_animatediff_arg

    heard = []

    class Asking(Detailer):
        def postprocess_image(self, p, pp, *args):
            heard.append((get_animatediff_arg(p).enable, get_animatediff_arg(make("img2img", video())).enable))

    detailed(Asking())
    assert heard == [(True, False)] * 4


def of_script(work, **request):
    """A script's `run(p)`, which starts runs itself; X/Y/Z plot and the others are called so by the host."""
    from modules import shared

    p = make(animatediff=video(), **request)
    p.script_args = (1, *p.script_args[1:])
    shared.state.begin(job="test")
    try:
        with closing(p):
            return work(p)
    finally:
        shared.state.end()


def is_video(result):
    return len(result.images) == 1 and "AnimateDiff: " in result.infotexts[0]


def processed(p):
    from modules import processing

    return processing.process_images(p)


def test_cells_of_a_plot_are_videos(pocket):
    results = of_script(lambda p: [processed(copy.copy(p)) for _ in range(3)])
    assert all(map(is_video, results))


def test_a_prompt_matrix_is_a_video_for_each_prompt(pocket):
    def matrix(p):
        p.prompt, p.seed, p.n_iter = ["a cat", "a dog"], [42, 42], 2
        return processed(p)

    assert len(of_script(matrix, negative_prompt="").images) == 2


def test_each_turn_of_a_loopback_is_a_video(pocket):
    assert all(map(is_video, of_script(lambda p: [processed(p) for _ in range(3)])))


@pytest.mark.parametrize("tiles", [1, 2])
def test_tiles_of_sd_upscale_are_videos(pocket, tiles):
    from PIL import Image

    def upscale(p):
        made = []
        for place in range(tiles):
            p.init_images = [Image.new("RGB", (64, 64), (90 * place, 60, 30))]
            made.append(processed(p))
        return made

    p = make("img2img", video())
    p.script_args = (1, *p.script_args[1:])
    with closing(p):
        assert all(map(is_video, upscale(p)))


def test_a_cell_that_another_extension_breaks_does_not_make_the_next_one_an_inner_run(pocket):
    class Breaking:
        broken = False

        def process(self, p):
            def fail(*args):
                raise ZeroDivisionError("not ours")

            if not self.broken:
                self.broken = True
                p.setup_conds = fail

    def cells(p):
        with pytest.raises(ZeroDivisionError):
            processed(copy.copy(p))
        return processed(copy.copy(p))

    with extension("txt2img", Breaking()):
        assert is_video(of_script(cells))


def test_a_cell_that_another_extension_breaks_is_not_held_for_ever(pocket):
    """Nobody closes it; the next run, a plain one too, lets it go."""
    from modules import processing

    class Breaking:
        def process(self, p):
            p.setup_conds = lambda: 1 / 0

    p = make(animatediff=video())
    with extension("txt2img", Breaking()), pytest.raises(ZeroDivisionError):
        processing.process_images(p)
    seen = weakref.ref(p)
    del p
    processed(make(steps=1))
    gc.collect()
    assert seen() is None
