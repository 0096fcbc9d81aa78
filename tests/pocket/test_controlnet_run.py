"""The pocket's ControlNet in whole runs over HTTP: what it changes, when, and that it leaves nothing behind."""

import numpy as np
import pytest
from controlnet_runs import at_each_step, base64_of, pictures, plain_colour, post, script, squares, unet, unit
from PIL import Image


def mean_difference(one, other):
    return np.abs(one - other).mean()


def test_a_unit_changes_the_picture_and_its_control_picture_follows_the_results(pocket):
    plain, guided = pictures(pocket), pictures(pocket, unit(squares()))
    assert len(plain) == 1 and len(guided) == 2
    assert mean_difference(plain[0], guided[0]) > 2
    assert np.array_equal(guided[1], squares())


def test_different_hints_give_different_pictures(pocket):
    dark, bright = (pictures(pocket, unit(plain_colour(*[level] * 3)))[0] for level in (0, 255))
    assert mean_difference(dark, bright) > 2


def test_the_same_request_gives_the_same_bits(pocket):
    one, other = (pictures(pocket, unit(squares())) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "fields",
    [{"weight": 0}, {"guidance_start": 1.0}, {"enabled": False}, {"advanced_weighting": [0.0] * 13}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_unit_that_does_nothing_changes_no_bit(pocket, fields):
    assert np.array_equal(pictures(pocket)[0], pictures(pocket, unit(squares(), **fields))[0])


@pytest.mark.parametrize("settings", [{}, {"batch_cond_uncond": False}, {"pad_cond_uncond": True}])
def test_marks_on_the_conditionings_do_not_stay(pocket, settings):
    """Prompts of unlike length, and the host's cache of conditionings, with and without a unit in turn."""
    fields = {"prompt": "a " * 90, "override_settings": settings}
    plain = pictures(pocket, **fields)[0]
    assert np.array_equal(pictures(pocket, unit(squares(), weight=0), **fields)[0], plain)
    assert np.array_equal(pictures(pocket, **fields)[0], plain)


@pytest.mark.parametrize(
    ("start", "end", "acting"),
    [(0, 1, [0, 0, 1, 2]), (0.5, 1, [2]), (0, 0.3, [0, 0, 1]), (0.2, 0.6, [1, 2]), (1, 1, [])],
)
def test_guidance_acts_in_the_steps_between_start_and_end(pocket, start, end, acting):
    """Of 4 steps, counted as the host does it for its callbacks: by what is done before the last preview."""
    calls, network, step = [], script, []

    def look(params):
        step[:] = [params.sampling_step]
        param = network().latest_network.control_params[0]
        if not hasattr(param, "counted"):
            param.counted, inner = True, param.control
            param.control = lambda *args: (calls.append(step[0]), inner(*args))[1]

    with at_each_step(look):
        pictures(pocket, unit(squares(), guidance_start=start, guidance_end=end), steps=4)
    assert calls == acting


def test_two_units_add_up(pocket):
    """Two halves are one whole to rounding, and two unlike units are neither of them."""
    whole, halves = pictures(pocket, unit(squares()))[0], pictures(pocket, *[unit(squares(), weight=0.5)] * 2)
    assert np.abs(whole - halves[0]).max() <= 1 and len(halves) == 3
    both = pictures(pocket, unit(squares()), unit(plain_colour(255, 0, 0)))[0]
    assert mean_difference(both, whole) > 1


def test_one_picture_guides_a_whole_batch(pocket):
    one = [pictures(pocket, unit(squares()), seed=seed)[0] for seed in (5, 6)]
    both = pictures(pocket, unit(squares()), batch_size=2, seed=5, override_settings={"return_grid": False})
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(one, both[-3:-1], strict=True))


@pytest.mark.parametrize("together", [True, False])
def test_a_folder_gives_each_picture_of_the_batch_its_own_hint(pocket, tmp_path, together):
    colours = [plain_colour(255, 0, 0), plain_colour(0, 255, 0), plain_colour(0, 0, 255)]
    for place, colour in enumerate(colours):
        Image.fromarray(colour).save(tmp_path / f"{place + 9}.png")  # 9, 10, 11: natural order
    rows = []
    with at_each_step(lambda params: rows.append(script().latest_network.control_params[0].hint_cond)):
        made = pictures(
            pocket,
            unit(animatediff_batch=True, batch_images=str(tmp_path)),
            batch_size=3,
            override_settings={"batch_cond_uncond": together},
        )
    hint = rows[0]
    assert hint.shape == (6 if together else 3, 3, 64, 64) and hint.device.type == "cpu"
    assert [row[:, 0, 0].argmax().item() for row in hint] == [0, 1, 2] * (2 if together else 1)
    single = [pictures(pocket, unit(colour), seed=5 + place)[0] for place, colour in enumerate(colours)]
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(single, made[-6:-3], strict=True))


def test_img2img_gives_its_picture_to_a_unit_without_one(pocket):
    fields = {"path": "img2img", "init_images": [base64_of(squares())], "denoising_strength": 0.6, "resize_mode": 0}
    own, given = pictures(pocket, unit(), **fields), pictures(pocket, unit(squares()), **fields)
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(own, given, strict=True))
    assert not np.array_equal(pictures(pocket, unit(), **fields)[0], pictures(pocket, **fields)[0])


def test_only_masked_inpainting_sees_the_masked_part(pocket):
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[32:, 32:] = 255
    picture = squares()
    picture[40:56, 40:56] = (0, 255, 0)
    fields = {
        "path": "img2img",
        "init_images": [base64_of(picture)],
        "mask": base64_of(mask),
        "mask_blur": 0,
        "inpaint_full_res": True,
        "inpaint_full_res_padding": 0,
    }
    shown = pictures(pocket, unit(), **fields)[-1]
    assert abs(int((shown[:, :, 1] > shown[:, :, 0] + 100).sum()) - 32 * 32) < 400  # a quarter of the part is green
    assert np.array_equal(pictures(pocket, unit(inpaint_crop_input_image=False), **fields)[-1], picture)


@pytest.mark.parametrize(("option", "passes"), [("Both", [64, 128]), ("Low res only", [64]), ("High res only", [128])])
def test_hires_fix_has_a_hint_of_its_own_size(pocket, option, passes):
    sizes = []

    def look(params):
        param = script().latest_network.control_params[0]
        if not hasattr(param, "counted"):
            param.counted, inner = True, param.control
            param.control = lambda *args: (sizes.append(param.used_hint_cond.shape[2]), inner(*args))[1]

    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.7, "steps": 1}
    with at_each_step(look):
        made = pictures(pocket, unit(squares(), hr_option=option), **hires)
    assert sorted(set(sizes)) == passes
    assert [picture.shape[0] for picture in made] == [128, 128, 64]


def test_the_unet_is_guided_during_the_run_only(pocket):
    seen = []
    with at_each_step(lambda params: seen.append("forward" in vars(unet()))):
        pictures(pocket, unit(squares()))
        pictures(pocket)
    assert seen == [True, True, False, False]
    assert "forward" not in vars(unet()) and "_original_forward" not in vars(unet())
    assert script().latest_network is None


def test_someone_elses_forward_comes_back(pocket):
    def mine(*args, **kwargs):
        return type(unet()).forward(unet(), *args, **kwargs)

    unet().forward = mine
    try:
        pictures(pocket, unit(squares()))
        assert unet().forward is mine
    finally:
        del unet().forward


def test_after_an_error_while_sampling_the_next_run_gives_the_unet_back(pocket):
    def break_it(params):
        param = script().latest_network.control_params[0]
        param.hint_cond = param.hint_cond.repeat(5, 1, 1, 1)

    with at_each_step(break_it):
        status, _ = post(pocket, unit(squares()))
    assert status == 500
    assert "forward" in vars(unet()), "the real one has no hook in which a failed run ends either"
    assert len(pictures(pocket)) == 1
    assert "forward" not in vars(unet())


def test_an_interrupt_gives_the_unet_back(pocket):
    from modules import shared

    with at_each_step(lambda params: setattr(shared.state, "interrupted", True)):
        assert len(pictures(pocket, unit(squares()), steps=4)) == 2
    assert "forward" not in vars(unet()) and script().latest_network is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"module": "depth_midas"},
        {"weight": 3},
        {"resize_mode": "Sideways"},
        {"guidance_start": 0.8, "guidance_end": 0.2},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_unit_that_cannot_be_read_ends_the_run(pocket, wrong):
    status, body = post(pocket, unit(squares(), **wrong))
    assert status == 500 and body["error"] == "ValidationError"
    assert next(iter(wrong)) in body["errors"]


@pytest.mark.parametrize("wrong", [unit(squares(), model="no such"), unit()], ids=["model", "no picture"])
def test_what_fails_in_the_hook_is_swallowed_and_the_picture_is_a_plain_one(pocket, wrong):
    assert np.array_equal(pictures(pocket, wrong), pictures(pocket))


def test_a_units_folder_without_animatediff_is_refused(pocket, tmp_path):
    status, body = post(pocket, unit(input_mode="batch", batch_images=str(tmp_path)))
    assert status == 500 and "without AnimateDiff" in body["errors"]


def test_settings_and_save_detected_map_leave_control_pictures_out(pocket):
    assert len(pictures(pocket, unit(squares(), save_detected_map=False))) == 1
    assert len(pictures(pocket, unit(squares()), override_settings={"control_net_no_detectmap": True})) == 1
