"""Inpainting with a mask for each frame: from folders of masks, on ordinary and on inpainting checkpoints."""

import numpy as np
import pytest
import torch
from http_client import SMALL, Client, png_base64
from PIL import Image
from runs import array, make, run, video
from snapshot import differences, of_host

from motion_module.webui.sampling.frame_masks import init_each
from motion_module.webui.sampling.host_init import Frames

MASKED = {"mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False, "steps": 1, "denoising_strength": 0.9}
GREY = Image.new("RGB", (64, 64), (120, 130, 140))
BOXES = [(0, 0, 16, 16), (24, 0, 40, 16), (48, 40, 64, 56)]


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def white(*boxes, size=(64, 64)):
    mask = Image.new("L", size, 0)
    for box in boxes:
        mask.paste(255, box)
    return mask


@pytest.fixture
def masks(tmp_path):
    """A folder with a mask for each of three frames."""
    for number, box in enumerate(BOXES):
        white(box).save(tmp_path / f"{number}.png")
    return tmp_path


def made(masks, fields=None, **request):
    """The frames, and `p` as the run has left it."""
    asked = video(video_length=3, format=["Frame"], mask_path=str(masks), **(fields or {}))
    p = make("img2img", asked, **{**MASKED, "init_images": [GREY], **request})
    return array(run(p).images).astype(int), p


def kept(frame, box):
    """The largest difference to the picture outside of the box."""
    outside = np.ones((64, 64), bool)
    outside[box[1] : box[3], box[0] : box[2]] = False
    return np.abs(frame - np.array((120, 130, 140)))[outside].max()


def changed(frame, box):
    return np.abs(frame - np.array((120, 130, 140)))[box[1] : box[3], box[0] : box[2]].mean()


@pytest.mark.parametrize("only_masked", [False, True])
def test_each_frame_changes_where_its_own_mask_is(masks, only_masked):
    frames, _ = made(masks, inpaint_full_res=only_masked, inpaint_full_res_padding=4)
    for frame, box in zip(frames, BOXES, strict=True):
        assert kept(frame, box) <= 1 and changed(frame, box) > 5


def test_masks_without_a_picture_have_no_effect_and_it_is_said(masks):
    asked = video(video_length=3, format=["Frame"], mask_path=str(masks))
    result, plain = run(make("txt2img", asked)), run(make("txt2img", {**asked, "mask_path": ""}))
    said = "AnimateDiff: mask_path has no effect: there is neither a picture to inpaint nor a video."
    assert said in result.comments and said not in plain.comments
    assert np.array_equal(array(result.images), array(plain.images))
    masked = make("img2img", asked, **{**MASKED, "init_images": [GREY]})
    assert said not in run(masked).comments


def test_the_latents_are_masked_frame_by_frame(masks):
    _, p = made(masks)
    assert p.mask.shape == p.nmask.shape == (3, 4, 8, 8)
    for place, (left, top, right, bottom) in enumerate(BOXES):
        inside = p.nmask[place, 0, top // 8 : bottom // 8, left // 8 : right // 8]
        assert inside.all() and p.nmask[place, 0].sum() == inside.numel()


def test_parts_have_one_size_and_follow_the_mask(tmp_path, monkeypatch):
    """Masks of 10x20, 30x10 and none; the part is large enough for each and lies inside the picture."""
    boxes = [(2, 2, 12, 22), (60, 40, 90, 50), None]
    for number, box in enumerate(boxes):
        white(*[box] if box else [], size=(100, 60)).save(tmp_path / f"{number}.png")
    places = []
    from motion_module.webui.sampling import init_pictures

    def kept_overlays(*args, join=init_pictures.init_each):
        overlays = join(*args)
        places.extend(overlay.paste_to for overlay in overlays)
        return overlays

    monkeypatch.setattr(init_pictures, "init_each", kept_overlays)
    wide = GREY.resize((100, 60))
    frames, _ = made(tmp_path, init_images=[wide], inpaint_full_res=True, inpaint_full_res_padding=0)
    assert {(width, height) for _, _, width, height in places} == {(30, 30)}
    for (left, top, width, height), box in zip(places, boxes, strict=True):
        assert left >= 0 and top >= 0 and left + width <= 100 and top + height <= 60
        if box:
            assert left <= box[0] and top <= box[1] and left + width >= box[2] and top + height >= box[3]
    assert places[2] == places[1]
    assert np.abs(frames[2] - np.array((120, 130, 140))).max() <= 1  # nothing of it is masked


def test_one_mask_serves_all_frames(tmp_path):
    white(BOXES[1]).save(tmp_path / "only.png")
    frames, p = made(tmp_path)
    assert p.mask.shape == (4, 8, 8)
    assert max(kept(frame, BOXES[1]) for frame in frames) <= 1 and min(changed(f, BOXES[1]) for f in frames) > 5


def test_masks_of_another_size_are_fitted(tmp_path):
    for number in range(3):
        white((0, 0, 64, 128), size=(128, 128)).save(tmp_path / f"{number}.png")
    frames, _ = made(tmp_path, inpaint_full_res=True)
    assert max(kept(frame, (0, 0, 36, 64)) for frame in frames) <= 1  # the edge is soft now


def test_one_mask_of_another_size_is_fitted(tmp_path):
    white((0, 0, 64, 128), size=(128, 128)).save(tmp_path / "only.png")
    frames, _ = made(tmp_path, inpaint_full_res=True)
    assert max(kept(frame, (0, 0, 36, 64)) for frame in frames) <= 1
    assert min(changed(frame, (4, 4, 28, 60)) for frame in frames) > 5


@pytest.mark.parametrize("fill", [0, 2, 3])
def test_every_kind_of_masked_content(masks, fill):
    frames, _ = made(masks, inpainting_fill=fill)
    assert max(kept(frame, box) for frame, box in zip(frames, BOXES, strict=True)) <= 1


def test_masks_that_the_settings_return_are_those_of_the_frames(masks, monkeypatch):
    from motion_module.webui.output import videos

    seen = []
    save = videos.save_videos
    monkeypatch.setattr(
        videos, "save_videos", lambda p, processed, *rest: (seen.extend(processed.images), save(p, processed, *rest))
    )
    made(masks, override_settings={"return_mask": True})
    returned = [np.asarray(picture.convert("L")) for picture in seen[1::2]]
    for mask, box in zip(returned, BOXES, strict=True):
        assert mask[box[1], box[0]] == 255 and mask.sum() == 255 * 16 * 16


def test_colours_that_a_loop_goes_by_stay_those_of_their_frames():
    """Loopback scripts set them once, for all rounds."""
    colours = [object() for _ in range(3)]
    p = make("img2img", False, **MASKED, init_images=[GREY])
    p.color_corrections = list(colours)
    init_each(Frames(p, p.init, [GREY] * 3, ["a red ball"] * 3, [1, 2, 3], [0, 0, 0]), [white(box) for box in BOXES])
    assert p.color_corrections == colours


def test_two_videos_with_the_same_masks(masks):
    frames, _ = made(masks, n_iter=2)
    assert len(frames) == 6
    assert max(kept(frame, box) for frame, box in zip(frames, BOXES * 2, strict=True)) <= 1


@pytest.mark.parametrize("numbers", [2, 4])
def test_masks_that_are_not_as_many_as_frames(tmp_path, pocket, numbers):
    for number in range(numbers):
        white(BOXES[0]).save(tmp_path / f"{number}.png")
    client, before = Client(pocket), of_host(values=False)
    fields = {"enable": True, "video_length": 3, "format": ["GIF"], "mask_path": str(tmp_path)}
    body = {
        **SMALL,
        "init_images": [png_base64(np.array(GREY))],
        "alwayson_scripts": {"AnimateDiff": {"args": [fields]}},
    }
    reply = client.post("img2img", body)
    assert reply.status == 422 and f"has {numbers} masks for 3 frames" in reply.sentence
    assert differences(before, of_host(values=False)) == []


def test_only_black_masks_have_no_part(tmp_path):
    for number in range(3):
        white().save(tmp_path / f"{number}.png")
    frames, _ = made(tmp_path)  # the whole picture: nothing changes
    assert np.abs(frames - np.array((120, 130, 140))).max() <= 1
    before = of_host(values=False)
    with pytest.raises(Exception, match="all 3 masks are black"):
        made(tmp_path, inpaint_full_res=True)
    assert differences(before, of_host(values=False)) == []


# Inpainting checkpoints


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory):
    import weights

    return weights.make_checkpoint(
        tmp_path_factory.mktemp("inpainting") / "inpaint.safetensors", seed=4, inpainting=True
    )


@pytest.fixture
def inpainting_host(pocket, inpainting):
    from modules import initialize_pocket, sd_models, shared

    info = sd_models.CheckpointInfo(str(inpainting))
    info.register()
    shared.opts.data["sd_model_checkpoint"] = info.title
    yield sd_models.reload_model_weights()
    initialize_pocket.reset_options()
    sd_models.reload_model_weights()


def test_an_inpainting_checkpoint_gets_mask_and_picture_of_each_frame(inpainting_host, masks, monkeypatch):
    """Windows of two of three frames: the rows of each call are those of its frames."""
    calls = []
    model = type(inpainting_host.model)
    forward = model.forward

    def seen(self, x, t, c_concat=None, **kwargs):
        calls.append((x.shape[0], c_concat[0].clone()))
        return forward(self, x, t, c_concat=c_concat, **kwargs)

    monkeypatch.setattr(model, "forward", seen)
    encoded = []
    encode = inpainting_host.encode_first_stage
    monkeypatch.setattr(inpainting_host, "encode_first_stage", lambda x: (encoded.append(len(x)), encode(x))[1])
    frames, p = made(masks, {"batch_size": 2, "overlap": 0, "stride": 1}, cfg_scale=1.0 + 6.0)
    assert p.image_conditioning.shape == (3, 5, 8, 8) and p.is_using_inpainting_conditioning
    rows = torch.cat([c_concat for _, c_concat in calls])
    for row in rows:
        assert any(torch.equal(row, own) for own in p.image_conditioning)
    for place, box in enumerate(BOXES):
        assert torch.equal(p.image_conditioning[place, 0], p.nmask[place, 0])
        assert kept(frames[place], box) <= 1
    assert max(encoded) == 1 and len(encoded) == 4  # the picture once, and three masked ones


def test_an_inpainting_checkpoint_encodes_one_picture_and_one_masked_picture_once(inpainting_host, monkeypatch):
    seen = []
    encode = inpainting_host.encode_first_stage
    monkeypatch.setattr(inpainting_host, "encode_first_stage", lambda x: (seen.append(len(x)), encode(x))[1])
    run(make("img2img", video(video_length=5), mask=white(BOXES[0]), **MASKED))
    assert seen == [1, 1]


def test_an_inpainting_checkpoint_makes_videos_from_text_too(inpainting_host):
    frames = array(run(make("txt2img", video(format=["Frame"]), steps=1)).images)
    assert frames.shape == (4, 64, 64, 3)
