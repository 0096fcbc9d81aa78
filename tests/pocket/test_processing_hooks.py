"""The order of a run: hooks, settings, batches, interrupts."""

import numpy as np
import pytest
from PIL import Image
from processing_runs import HOOKS, four_colours, img2img, pixels_of, recorder, result_of, runner_of, txt2img

pytestmark = pytest.mark.usefixtures("pocket")

BATCH = [
    "before_process_batch",
    "after_extra_networks_activate",
    "process_batch",
    "process_before_every_sampling",
    "post_sample",
    "postprocess_batch",
    "postprocess_batch_list",
]
PICTURE = ["postprocess_image", "postprocess_maskoverlay", "postprocess_image_after_composite"]


def names(seen):
    return [name for name, _, _ in seen]


def test_a_txt2img_run_calls_the_hooks_in_order_for_every_batch_and_picture():
    seen = []
    result_of(txt2img(recorder(seen), batch_size=2, n_iter=2))
    assert names(seen) == ["before_process", "process", *(BATCH + PICTURE * 2) * 2, "postprocess"]


def test_hires_fix_has_its_own_hooks_between_the_passes():
    seen = []
    result_of(txt2img(recorder(seen), enable_hr=True, hr_scale=2.0, hr_upscaler="Latent"))
    second = ["after_extra_networks_activate", "before_hr", "process_before_every_sampling"]
    assert names(seen) == ["before_process", "process", *BATCH[:4], *second, *BATCH[4:], *PICTURE, "postprocess"]


def test_inpainting_lets_scripts_blend_before_post_sample():
    seen = []
    mask = Image.new("L", (64, 64), 255)
    result_of(img2img(recorder(seen), mask=mask, inpainting_fill=1, inpaint_full_res=False))
    steps = names(seen).count("on_mask_blend") - 1
    assert steps > 0
    blends = ["on_mask_blend"] * (steps + 1)
    assert names(seen) == ["before_process", "process", *BATCH[:4], *blends, *BATCH[4:], *PICTURE, "postprocess"]
    assert [args[0].is_final_blend for name, args, _ in seen if name == "on_mask_blend"] == [False] * steps + [True]


def test_hooks_get_their_batch_and_nothing_else():
    seen = []
    result_of(txt2img(recorder(seen), prompt=["a", "b", "c", "d"], negative_prompt="n", batch_size=2, n_iter=2))
    for hook in ("before_process_batch", "process_batch"):
        batches = [kwargs for name, _, kwargs in seen if name == hook]
        assert [batch["batch_number"] for batch in batches] == [0, 1]
        assert [batch["prompts"] for batch in batches] == [["a", "b"], ["c", "d"]]
        assert [batch["seeds"] for batch in batches] == [[5, 6], [7, 8]]
        assert [batch["subseeds"] for batch in batches] == [[9, 10], [11, 12]]
    images = next(kwargs["images"] for name, _, kwargs in seen if name == "postprocess_batch")
    assert images.shape == (2, 3, 64, 64) and images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("make", [txt2img, img2img])
def test_what_hooks_raise_is_printed_and_the_run_goes_on(make, capsys):
    def fail(p, *args, **kwargs):
        raise RuntimeError("this hook is broken")

    seen, unharmed = [], []
    broken = recorder(seen, dict.fromkeys(HOOKS, fail)).alwayson_scripts[0]
    good = recorder(unharmed).alwayson_scripts[0]
    result = result_of(make(runner_of(broken, good)))
    assert len(result.images) == 1
    assert names(seen) == names(unharmed)
    printed = capsys.readouterr().err
    for hook in names(seen):
        assert f"*** Error running {hook}: " in printed
    assert printed.count("RuntimeError: this hook is broken") == len(seen)


def test_what_the_run_itself_raises_ends_it_and_puts_settings_back():
    from modules import shared

    def fail():
        raise ValueError("no prompts today")

    p = txt2img(override_settings={"s_noise": 0.5})
    p.setup_prompts = fail
    with pytest.raises(ValueError, match="no prompts today"):
        result_of(p)
    assert shared.opts.s_noise == 1.0


def test_override_settings_come_after_before_process_and_go_after_postprocess():
    from modules import shared

    values = []
    on = {hook: lambda *args, **kwargs: values.append(shared.opts.s_noise) for hook in HOOKS}
    result_of(txt2img(recorder([], on), override_settings={"s_noise": 0.5}))
    assert values[0] == 1.0 and set(values[1:]) == {0.5}
    assert shared.opts.s_noise == 1.0


def test_before_process_can_still_change_the_override_settings():
    from modules import shared

    values = []
    on = {
        "before_process": lambda p: p.override_settings.update(s_noise=0.25),
        "process": lambda p: values.append(shared.opts.s_noise),
    }
    result_of(txt2img(recorder([], on)))
    assert values == [0.25] and shared.opts.s_noise == 1.0


def test_settings_may_be_kept_and_unknown_ones_are_refused():
    from modules import shared

    result_of(txt2img(override_settings={"s_noise": 0.5}, override_settings_restore_afterwards=False))
    assert shared.opts.s_noise == 0.5
    with pytest.raises(KeyError, match="no_such_option"):
        result_of(txt2img(override_settings={"no_such_option": 1}))


def test_a_checkpoint_to_override_that_is_not_there_is_left_out():
    p = txt2img(override_settings={"sd_model_checkpoint": "not there"})
    assert len(result_of(p).images) == 1
    assert p.override_settings == {}


def test_close_lets_go_of_the_conditionings_and_may_be_called_twice():
    from modules import processing, shared

    p = txt2img()
    processing.process_images(p)
    assert p.c is not None and p.uc is not None
    p.close()
    p.close()
    assert p.c is None and p.uc is None and p.sampler is None
    assert processing.StableDiffusionProcessing.cached_c[0] is not None
    shared.opts.persistent_cond_cache = False
    p.close()
    assert processing.StableDiffusionProcessing.cached_c == [None, None]


def test_conditionings_are_made_once_for_equal_prompts(monkeypatch):
    from modules import prompt_parser

    made = []
    original = prompt_parser.get_multicond_learned_conditioning
    monkeypatch.setattr(
        prompt_parser, "get_multicond_learned_conditioning", lambda *args: made.append(args) or original(*args)
    )
    for prompt in ("one", "one", "two"):
        result_of(txt2img(prompt=prompt))
    assert len(made) == 2


def test_batches_are_the_same_pictures_as_runs_of_their_own():
    together = result_of(txt2img(batch_size=2, n_iter=2))
    alone = [result_of(txt2img(seed=seed)).images[0] for seed in (5, 6, 7, 8)]
    assert together.all_seeds == [5, 6, 7, 8]
    for a, b in zip(together.images, alone, strict=True):
        assert np.abs(pixels_of(a) - pixels_of(b)).max() <= 1


def test_variations_share_the_seed_and_count_subseeds():
    result = result_of(txt2img(batch_size=2, subseed_strength=0.5))
    assert result.all_seeds == [5, 5] and result.all_subseeds == [9, 10]
    assert (pixels_of(result.images[0]) != pixels_of(result.images[1])).any()


def test_seed_minus_one_is_drawn_and_told():
    result = result_of(txt2img(seed=-1, subseed=-1, batch_size=2))
    assert result.seed >= 0 and result.all_seeds == [result.seed, result.seed + 1]
    again = result_of(txt2img(seed=result.seed, batch_size=2))
    assert (pixels_of(again.images[1]) == pixels_of(result.images[1])).all()


@pytest.mark.parametrize(
    ("typed", "number"), [(7, 7), ("12", 12), ("-3", -3), ([1, 2], [1, 2])], ids=["int", "text", "negative", "list"]
)
def test_a_seed_is_taken_as_it_is_typed(typed, number):
    from modules.processing import get_fixed_seed

    assert get_fixed_seed(typed) == number


@pytest.mark.parametrize("typed", [None, "", "abc", -1])
def test_no_seed_is_a_random_one(typed):
    from modules.processing import get_fixed_seed

    drawn = {get_fixed_seed(typed) for _ in range(4)}
    assert len(drawn) > 1 and all(0 <= seed < 2**32 for seed in drawn)


def test_an_interrupt_ends_sampling_and_the_partial_picture_goes_through_all_hooks():
    from modules import script_callbacks, shared

    calls = []

    def interrupt(params):
        calls.append(params.sampling_step)
        shared.state.interrupt()

    script_callbacks.on_cfg_denoiser(interrupt)
    try:
        seen = []
        result = result_of(txt2img(recorder(seen), steps=6, batch_size=2, n_iter=3))
    finally:
        script_callbacks.remove_callbacks_for_function(interrupt)
    assert len(calls) == 1
    assert len(result.images) == 2 and len(result.infotexts) == 2
    assert names(seen) == ["before_process", "process", *BATCH, *PICTURE * 2, "postprocess"]


def test_stopping_finishes_the_batch_and_makes_no_other():
    from modules import shared

    on = {"process_batch": lambda p, **kwargs: shared.state.stop_generating()}
    result = result_of(txt2img(recorder([], on), n_iter=3))
    assert len(result.images) == 1
    full = result_of(txt2img())
    assert (pixels_of(result.images[0]) == pixels_of(full.images[0])).all()


def test_skipping_ends_one_batch_and_the_next_is_whole():
    from modules import script_callbacks, shared

    skipped = []

    def skip(params):
        if not skipped:
            skipped.append(True)
            shared.state.skip()

    script_callbacks.on_cfg_denoiser(skip)
    try:
        result = result_of(txt2img(n_iter=2))
    finally:
        script_callbacks.remove_callbacks_for_function(skip)
    whole = result_of(txt2img(n_iter=2))
    assert (pixels_of(result.images[0]) != pixels_of(whole.images[0])).any()
    assert (pixels_of(result.images[1]) == pixels_of(whole.images[1])).all()


def test_a_script_may_replace_samples_pictures_and_the_list_of_them():
    import torch

    red = Image.new("RGB", (8, 8), "red")
    on = {
        "post_sample": lambda p, args: setattr(args, "samples", torch.zeros_like(args.samples)),
        "postprocess_image_after_composite": lambda p, args: setattr(args, "image", red),
    }
    assert result_of(txt2img(recorder([], on))).images == [red]

    def only_first(p, args, **kwargs):
        args.images = args.images[:1]

    assert len(result_of(txt2img(recorder([], {"postprocess_batch_list": only_first}), batch_size=2)).images) == 1


def test_before_process_batch_may_empty_the_prompts_and_so_end_the_run():
    on = {"before_process_batch": lambda p, **kwargs: p.prompts.clear()}
    result = result_of(txt2img(recorder([], on), n_iter=2))
    assert result.images == [] and len(result.infotexts) == 1


def test_setup_is_called_once_when_runner_and_arguments_are_there():
    from modules import processing, scripts

    calls = []

    class Setup(scripts.Script):
        def setup(self, p, *args):
            calls.append(args)

    class OnlyPage(Setup):
        setup_for_ui_only = True

    for is_api, expected in ((False, 2), (True, 1)):
        calls.clear()
        p = processing.StableDiffusionProcessingTxt2Img(prompt="x")
        p.is_api = is_api
        p.scripts = runner_of(Setup(), OnlyPage())
        assert calls == []
        p.script_args = [0]
        p.script_args = [0, 1]
        assert len(calls) == expected


def test_what_is_not_modelled_says_so():
    from modules.errors import NotModelledError

    with pytest.raises(NotModelledError, match="Face restoration"):
        result_of(txt2img(restore_faces=True))
    with pytest.raises(NotModelledError, match="Colour correction"):
        result_of(img2img(override_settings={"img2img_color_correction": True}))


def test_there_must_be_a_prompt_and_as_many_negative_ones():
    with pytest.raises(ValueError, match="no prompt"):
        result_of(txt2img(prompt=[]))
    with pytest.raises(RuntimeError, match="2 prompts and 3 negative"):
        result_of(txt2img(prompt=["a", "b"], negative_prompt=["a", "b", "c"]))


def test_comments_reach_the_person_once():
    on = {"process": lambda p: (p.comment("look here"), p.comment("look here"))}
    assert result_of(txt2img(recorder([], on))).comments == "look here\n"


def test_too_many_init_pictures_are_refused():
    with pytest.raises(RuntimeError, match="bad number of images passed: 3; expecting 2"):
        result_of(img2img(init_images=[four_colours()] * 3, batch_size=2))
