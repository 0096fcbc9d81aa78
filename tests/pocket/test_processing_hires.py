"""Hires fix: sizes, upscalers, the second pass's own sampler, steps and prompts."""

import pytest
from PIL import Image
from processing_runs import four_colours, pixels_of, recorder, result_of, txt2img

pytestmark = pytest.mark.usefixtures("pocket")


def hires(runner=None, **changes):
    return txt2img(
        runner, **{"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.5} | changes
    )


@pytest.mark.parametrize(
    "upscaler", ["Latent", "Latent (nearest-exact)", "Latent (bicubic antialiased)", "Nearest", "Lanczos", "None"]
)
def test_every_upscaler_gives_the_larger_size(upscaler):
    result = result_of(hires(hr_upscaler=upscaler))
    assert result.images[0].size == (96, 96)
    assert f"Denoising strength: 0.5, Hires upscale: 1.5, Hires upscaler: {upscaler}" in result.info
    assert "Size: 64x64" in result.info


def test_an_unknown_upscaler_or_checkpoint_ends_the_run():
    with pytest.raises(ValueError, match="could not find upscaler named ESRGAN"):
        result_of(hires(hr_upscaler="ESRGAN"))
    with pytest.raises(ValueError, match="Could not find checkpoint with name nowhere"):
        result_of(hires(hr_checkpoint_name="nowhere"))


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ((512, 512, 2.0, 0, 0), (1024, 1024, 0, 0)),
        ((512, 768, 1.5, 0, 0), (768, 1152, 0, 0)),
        ((512, 512, 2.0, 768, 0), (768, 768, 0, 0)),
        ((512, 768, 2.0, 0, 1152), (768, 1152, 0, 0)),
        ((512, 512, 2.0, 1024, 768), (1024, 1024, 0, 32)),
        ((512, 512, 2.0, 768, 1024), (1024, 1024, 32, 0)),
    ],
)
def test_target_sizes(wanted, target):
    from modules.processing_hires import target_of

    assert target_of(*wanted, 8) == target


@pytest.mark.parametrize(
    ("size", "first"), [((1024, 1024), (512, 512)), ((1024, 512), (768, 384)), ((640, 1536), (384, 832))]
)
def test_old_first_pass_sizes(size, first):
    from modules.processing import old_hires_fix_first_pass_dimensions

    assert old_hires_fix_first_pass_dimensions(*size) == first


def test_a_size_of_other_proportions_is_cut_out_of_the_middle():
    result = result_of(hires(hr_resize_x=128, hr_resize_y=96))
    assert result.images[0].size == (128, 96) and "Hires resize: 128x96" in result.info
    assert "Hires upscale:" not in result.info


def test_the_final_size_may_be_asked_for_as_once_it_was():
    from modules import shared

    shared.opts.use_old_hires_fix_width_height = True
    p = hires(width=768, height=1152)
    for _ in range(2):
        p.calculate_target_resolution()
        assert (p.width, p.height) == (448, 640)
        assert (p.hr_upscale_to_x, p.hr_upscale_to_y, p.truncate_x, p.truncate_y) == (806, 1152, 4, 0)


def test_the_second_pass_has_its_own_sampler_steps_and_prompts():
    seen = []
    p = hires(
        recorder(seen),
        hr_sampler_name="DPM++ 2M",
        hr_second_pass_steps=3,
        hr_prompt="a green ball",
        hr_negative_prompt="grey",
        batch_size=2,
    )
    text = result_of(p).infotexts[1]
    for part in (
        "Hires sampler: DPM++ 2M",
        "Hires steps: 3",
        "Hires prompt: a green ball",
        "Hires negative prompt: grey",
    ):
        assert part in text
    assert p.all_hr_prompts == ["a green ball"] * 2
    plain = result_of(hires(batch_size=2)).infotexts[1]
    assert "Hires prompt" not in plain and "Hires sampler" not in plain


def test_the_second_pass_starts_from_larger_samples_and_fresh_noise():
    shapes = []
    on = {
        "process_before_every_sampling": lambda p, x, noise, **kwargs: shapes.append(
            (x.shape, noise.shape, p.is_hr_pass)
        )
    }
    result_of(hires(recorder([], on), batch_size=2))
    assert shapes == [((2, 4, 8, 8), (2, 4, 8, 8), False), ((2, 4, 12, 12), (2, 4, 12, 12), True)]


def test_post_sample_gets_decoded_pictures():
    kinds = []
    on = {"post_sample": lambda p, args: kinds.append((type(args.samples).__name__, args.samples[0].shape))}
    result_of(hires(recorder([], on)))
    assert kinds == [("DecodedSamples", (3, 96, 96))]


def test_an_interrupt_in_the_first_pass_leaves_the_second_out():
    from modules import script_callbacks, shared

    def interrupt(params):
        shared.state.interrupt()

    script_callbacks.on_cfg_denoiser(interrupt)
    try:
        seen = []
        result = result_of(hires(recorder(seen)))
    finally:
        script_callbacks.remove_callbacks_for_function(interrupt)
    assert result.images[0].size == (64, 64)
    assert "before_hr" not in [name for name, _, _ in seen]


def test_pictures_before_the_second_pass_can_be_saved(tmp_path):
    for upscaler in ("Latent", "Nearest"):
        p = hires(
            do_not_save_samples=False,
            hr_upscaler=upscaler,
            override_settings={"save_images_before_highres_fix": True, "save_to_dirs": False},
        )
        p.outpath_samples = str(tmp_path / upscaler)
        result_of(p)
        (first,) = (tmp_path / upscaler).glob("*-before-highres-fix.png")
        assert Image.open(first).size == (64, 64)


@pytest.mark.parametrize("upscaler", ["Latent", "Nearest"])
def test_a_given_picture_takes_the_place_of_the_first_pass(upscaler):
    p = hires(hr_upscaler=upscaler)
    p.firstpass_image = four_colours()
    result = result_of(p)
    assert result.images[0].size == (96, 96)
    assert (pixels_of(result.images[0]) != pixels_of(result_of(hires(hr_upscaler=upscaler)).images[0])).any()


def test_older_requests_give_both_sizes():
    p = txt2img(enable_hr=True, width=96, height=96, firstphase_width=64, firstphase_height=64)
    assert (p.width, p.height, p.hr_upscale_to_x, p.hr_upscale_to_y) == (64, 64, 96, 96)


def test_both_passes_are_counted_as_jobs():
    from modules import shared

    counts = []
    on = {"before_hr": lambda p: counts.append((shared.state.job_count, shared.state.job_no))}
    result_of(hires(recorder([], on), n_iter=2))
    assert counts == [(4, 1), (4, 3)]


def test_conditionings_of_equal_prompts_are_shared_between_passes():
    p = hires(hr_second_pass_steps=0)
    from modules import processing

    processing.process_images(p)
    assert p.hr_c is not None
    p.close()
    assert p.hr_c is None and p.hr_uc is None
