"""What the undo tests hold against each other shows a change that is not taken back, whichever it is."""

from contextlib import ExitStack, contextmanager

from neighbours import CHANGES, borrowers, label
from runs import make, run, video
from snapshot import differences, of_host, of_p

from motion_module import patching

NOT_SEEN = {
    ("webui.host_counters", "replaced", "processing_has_refined_job_cou"): "the host's next job begins with it anew",
    ("webui.run.methods", "replaced", "running"): "is of an object of the run",
    ("webui.sampling.samplers", "replaced_call", "sample"): "is of the run's sampler",
    ("webui.sampling.samplers", "replaced_call", "sample_img2img"): "is of the run's sampler",
    ("webui.sampling.init_pictures", "replaced", "init_latent"): "the host makes it anew for each run",
    ("webui.run.borrowed_p", "replaced", "script_args_value"): "is the same without a ControlNet unit",
}


@contextmanager
def every_change(monkeypatch, made, left=None):
    """Notes each change (module, kind, name) in `made`; one of them, `left`, is taken back only after the block."""
    with ExitStack() as late, monkeypatch.context() as patch:
        for module in borrowers():
            for name in CHANGES:
                if hasattr(module, name):
                    patch.setattr(module, name, _watched(module, name, made, left, late))
        yield


def _watched(module, name, made, left, late):
    change = getattr(patching, name)

    @contextmanager
    def watched(owner, *args):
        key = (module.__name__.removeprefix("motion_module."), name, label(change, args[0] if args else None))
        made[key] = None
        with ExitStack() as now:
            yield (late if key == left else now).enter_context(change(owner, *args))

    return watched


def go(tab):
    """A run in which every change sets another value than there was; its `p`, and what that was like before."""
    fields = video(freeinit_enable=True, freeinit_iters=2, model="mm_tiny_v1.safetensors", video_length=2)
    p = make(tab, fields, steps=1, negative_prompt="0: bad\n1: worse")
    p.do_not_save_grid = False
    before = of_p(p)
    run(p)
    return p, before


def test_every_change_that_is_left_in_place_is_seen(pocket, monkeypatch):
    from modules import shared
    from motion_module.webui.sampling.scope import put_right

    shared.opts.data["batch_cond_uncond"] = False
    host, tried = of_host(values=False), {}
    for tab in ("txt2img", "img2img"):
        made = {}
        with every_change(monkeypatch, made):
            go(tab)
        for change in [change for change in made if change not in tried]:
            with every_change(monkeypatch, {}, change):
                p, own = go(tab)
                tried[change] = differences(host, of_host(values=False)) + differences(own, of_p(p))
            put_right()  # what was taken back in another order than it was made in
            assert differences(host, of_host(values=False)) == [], change
    assert len(tried) > 30
    assert {change for change, different in tried.items() if not different} == NOT_SEEN.keys()
