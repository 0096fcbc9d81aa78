"""The host's batches, lists and scripts, and what becomes of them when each picture is a video."""

import numpy as np
import pytest
from PIL import Image
from runs import array, frames, make, run, runner_of, video
from snapshot import differences, of_host

from motion_module.params import VideoParams


def test_a_prompt_for_each_picture_becomes_one_for_each_video(pocket):
    """As prompt matrix does it: lists of prompts and seeds."""
    cat, dog = frames(prompt="a cat", seed=5), frames(prompt="a dog", seed=9)
    p = make(animatediff=video(format=["Frame"]), prompt=["a cat", "a dog"], seed=[5, 9], n_iter=2)
    assert np.array_equal(array(run(p).images), np.concatenate([cat, dog]))
    assert p.prompt == ["a cat", "a dog"] and p.n_iter == 2


def test_a_script_of_the_host_gets_pictures_also_from_the_api(pocket):
    """X/Y/Z plot and loopback measure and paste the pictures of a run."""
    p = make(animatediff=video(format=["GIF"]))
    p.script_args = (1, *p.script_args[1:])
    images = run(p).images
    assert len(images) == 1 and images[0].size == (64, 64)
    assert isinstance(run(make(animatediff=video(format=["GIF"]))).images[0], str)


@pytest.mark.parametrize("fields", [{}, {"batch_size": 2}], ids=["one window", "windows"])
@pytest.mark.parametrize(
    "skipping", [{"s_min_uncond": 100.0}, {"override_settings": {"skip_early_cond": 0.5}}], ids=["NGMS", "early"]
)
def test_skipped_negative_prompts(pocket, fields, skipping):
    got = frames(fields=fields, steps=4, **skipping)
    assert got.shape == (4, 64, 64, 3)
    assert not np.array_equal(got, frames(fields=fields, steps=4))


def picture(shade):
    return Image.new("RGB", (64, 64), (shade, 100, 255 - shade))


def test_img2img_with_a_picture_for_each_frame(pocket):
    """Each frame starts from its own picture alone: with little denoising it still shows it."""
    shades = [0, 80, 160, 240]
    got = frames(
        "img2img", {"video_length": 0}, init_images=[picture(s) for s in shades], denoising_strength=0.1, steps=20
    )
    assert len(got) == 4
    alone = [
        frames("img2img", {"video_length": 1}, init_images=[picture(s)], denoising_strength=0.1, steps=20)
        for s in shades
    ]
    distance = [[np.abs(frame.astype(int) - other[0]).mean() for other in alone] for frame in got]
    assert [int(np.argmin(row)) for row in distance] == [0, 1, 2, 3]


def test_img2img_with_some_pictures_more_is_refused(pocket):
    before = of_host()
    with pytest.raises(Exception, match="got 2 pictures; allowed is one, or one for each of the 4 frames") as caught:
        run(make("img2img", video(), init_images=[picture(0), picture(9)]))
    assert caught.value.status_code == 422
    assert differences(before, of_host()) == []


def test_the_first_picture_fades(pocket):
    """latent_scale 1: all but the first frame start from noise alone, so the picture does not matter to them."""
    one, two = (
        frames(
            "img2img", {"latent_scale": 1, "effect": 0.0}, init_images=[picture(shade)], denoising_strength=1.0, steps=4
        )
        for shade in (0, 255)
    )
    change = np.abs(one.astype(int) - two).mean(axis=(1, 2, 3))
    assert change[0] > 0
    assert change[1:].max() == 0


def test_the_button_that_upscales_one_picture_makes_no_video(pocket):
    p = make(animatediff=video())
    p.txt2img_upscale = True
    assert [image.size for image in run(p).images] == [(64, 64)]


def test_pasting_an_infotext_sets_every_field_of_the_panel(pocket):
    from modules import infotext_utils

    fields = video(reverse=[0, 2], fps=12.5, closed_loop="A", format=["MP4", "PNG"], motion_scale=1.25)
    result = run(make(animatediff=fields))
    generation = infotext_utils.parse_generation_parameters(result.infotexts[0])
    script = next(s for s in runner_of("txt2img").scripts if s.title() == "AnimateDiff")
    *of_fields, _ = script.infotext_fields  # the last one is what was left out
    read = [function(generation) for _, function in of_fields]
    values = dict(zip(VideoParams.table(), read, strict=True))
    for component, value in zip((field for field, _ in of_fields), read, strict=True):
        assert isinstance(value, dict) or component.postprocess(value) is not None  # a dict changes nothing
    assert values["enable"] is True
    assert values["reverse"] == ["Add Reverse Frame", "Remove tail"]
    assert values["fps"] == 12.5 and values["closed_loop"] == "A" and values["format"] == ["MP4", "PNG"]
    assert values["motion_scale"] == 1.25 and values["video_length"] == 4


def base64_of(image):
    import base64
    import io

    written = io.BytesIO()
    image.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("resize_mode", [0, 1, 2, 3])
def test_a_video_ends_on_its_last_frame(pocket, resize_mode, prefix):
    """The last frame starts from the last picture alone: with little denoising it still shows it."""
    request = {"denoising_strength": 0.1, "steps": 20, "resize_mode": resize_mode}
    last = prefix + base64_of(picture(255).resize((128, 128)))
    got = frames("img2img", {"last_frame": last}, init_images=[picture(0)], **request).astype(int)
    ends = [frames("img2img", {"video_length": 1}, init_images=[picture(s)], **request)[0] for s in (0, 255)]
    near = [[np.abs(frame - end).mean() for end in ends] for frame in (got[0], got[-1])]
    assert near[0][0] < near[0][1] and near[1][1] < near[1][0]


@pytest.mark.parametrize("value", ["not base64!", "QUJD", "data:image/png;base64,"])
def test_a_last_frame_that_is_no_picture_is_refused(pocket, value):
    with pytest.raises(Exception, match="last_frame is .*allowed is a picture in base64") as caught:
        run(make("img2img", video(last_frame=value)))
    assert caught.value.status_code == 422


def test_a_last_frame_needs_a_first_one(pocket):
    with pytest.raises(Exception, match="last_frame needs a first frame"):
        run(make("txt2img", video(last_frame=base64_of(picture(9)))))


def test_the_init_picture_goes_through_the_vae_once(pocket, monkeypatch):
    from modules import shared

    encode, calls = type(shared.sd_model).encode_first_stage, []

    def counting(self, x):
        calls.append(x.shape)
        return encode(self, x)

    monkeypatch.setattr(type(shared.sd_model), "encode_first_stage", counting)
    frames("img2img")
    assert len(calls) == 1
    assert "encode_first_stage" not in vars(shared.sd_model)


def test_20_a_field_without_effect_is_named(pocket):
    result = run(make(animatediff=video(closed_loop="N", overlap=2)))
    assert "AnimateDiff: closed_loop has no effect: 4 frames fit into one window of 16." in result.comments
    assert "AnimateDiff: overlap has no effect: 4 frames fit into one window of 16." in result.comments
    assert "no effect" not in run(make(animatediff=video(batch_size=2, overlap=1))).comments


@pytest.mark.parametrize("over", [0, 1, 160])
def test_paths_that_windows_would_not_take_are_refused_before_anything_is_made(pocket, monkeypatch, tmp_path, over):
    from motion_module.media.writing.names import longest_path
    from motion_module.webui.output import folders

    p = make(animatediff=video(request_id="job"))
    p.outpath_samples = str(tmp_path / "deep")
    folder = folders.folder_of(p)
    monkeypatch.setattr(folders, "limit_of_paths", lambda: longest_path(folder, "job") - over)
    if not over:
        assert len(run(p).images) == 1
        return
    with pytest.raises(Exception) as caught:
        run(p)
    assert caught.value.status_code == 422 and not (tmp_path / "deep").exists()
    assert str(caught.value) == (
        f"AnimateDiff: the paths of the video's files would be up to {over} characters too long for Windows; choose a "
        f"shorter folder than {folder} (Settings, Paths for saving), or a shorter request_id, or turn long paths on in "
        "Windows."
    )
