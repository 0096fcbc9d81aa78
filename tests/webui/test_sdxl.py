"""AnimateDiff-SDXL and HotShot-XL on an SDXL checkpoint, and both families of checkpoints in one host.

With effect 0 and the checkpoint's own noise schedule a video is a plain batch of the host, whose pictures are held
against the real WebUI's in test_reference_xl.py.
"""

import re
import shutil

import numpy as np
import pytest
import torch
from control_videos import picture, unit
from control_videos import request as with_units
from http_client import Client, far, png_base64
from loras import close, differ, low_ranks, merged, shot, write
from PIL import Image
from runs import frames, make, pictures, run, video
from snapshot import differences, of_host, of_p

from motion_module.settings import KEEP

SDXL, HOTSHOT, OWN_NAMES = "mm_tiny_sdxl.safetensors", "mm_tiny_hotshot.safetensors", "hsxl_tiny.safetensors"
KINDS = [SDXL, HOTSHOT, OWN_NAMES]
LORA = "<lora:tiny_xl_lora:0.7>"
LONG = "bad, " * 60  # more than 75 tokens
WIDE = {"width": 96, "height": 64}
HIRES = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
STILL = {"model": SDXL, "effect": 0.0}  # nothing joins the frames


@pytest.fixture
def own_schedule(pocket_xl):
    """The checkpoint keeps its noise schedule in videos, as in plain pictures."""
    from modules import shared

    shared.opts.data["animatediff_alpha_schedule"] = KEEP


@pytest.fixture
def both_families(pocket_xl, tiny):
    """The folder of motion modules has one for SD1.5, too; "sd15" is the title of the SD1.5 checkpoint."""
    from modules import sd_models

    added = pocket_xl["sdxl"].parent / tiny["v3"].name
    shutil.copy(tiny["v3"], added)
    yield {**pocket_xl, "sd15": sd_models.get_closet_checkpoint_match("tiny.safetensors").title}
    added.unlink()


def apart(one, other):
    return np.abs(one.astype(int) - other).max()


@pytest.mark.parametrize("settings", [{}, {"batch_cond_uncond": False}], ids=["together", "apart"])
@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"prompt": "a cat AND a dog :0.7"},
        {"negative_prompt": LONG},
        {"prompt": f"a cat, {LONG}"},
        {"prompt": "[a cat:a dog:0.5] AND a bird", "negative_prompt": LONG},
        {"negative_prompt": ""},
        {"prompt": f"a cat {LORA}"},
        {"cfg_scale": 1.0},
        {"s_min_uncond": 100.0},
        {"override_settings": {"sdxl_crop_top": 64, "sdxl_crop_left": 32}},
        {"override_settings": {"sdxl_clip_l_skip": True, "CLIP_stop_at_last_layers": 3}},
        {"override_settings": {"pad_cond_uncond_v0": True}, "negative_prompt": LONG},
    ],
    ids=[
        *("plain", "AND", "long negative", "long prompt", "editing, AND, long negative", "empty negative"),
        *("LoRA", "CFG 1", "NGMS", "crops", "CLIP skip", "long negative that is cut off"),
    ],
)
def test_without_effect_a_video_is_a_plain_batch(own_schedule, settings, request_fields):
    """Texts of different length are padded in a video, whatever the setting says (docs/behaviour.md 3.3)."""
    overrides = {**request_fields.get("override_settings", {}), **settings}
    request = {"steps": 3, **WIDE, **request_fields}
    ours = frames(fields={**STILL, "video_length": 3}, **{**request, "override_settings": dict(overrides)})
    padded = {**overrides, "pad_cond_uncond": True}
    plain = pictures(batch_size=3, **{**request, "override_settings": padded})
    assert apart(ours, plain) <= 1
    assert len(np.unique(ours.reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M", "DPM++ SDE", "Heun", "DDIM", "UniPC"])
def test_without_effect_every_sampler_makes_the_plain_pictures(own_schedule, sampler):
    request = {"sampler_name": sampler, "steps": 4}
    assert apart(frames(fields={**STILL, "video_length": 3}, **request), pictures(batch_size=3, **request)) <= 1


@pytest.mark.parametrize(
    "request_fields",
    [HIRES, {**HIRES, "hr_prompt": "a dog", "hr_negative_prompt": ""}],
    ids=["the same prompts", "prompts of its own"],
)
def test_without_effect_hires_fix_is_a_plain_batch(own_schedule, request_fields):
    """The second pass has the sizes of its own pictures in the vector."""
    request = {"steps": 3, **WIDE, **request_fields}
    assert apart(frames(fields={**STILL, "video_length": 3}, **request), pictures(batch_size=3, **request)) <= 1


@pytest.mark.parametrize("inpaints", [False, True], ids=["img2img", "inpainting"])
def test_without_effect_the_first_frame_of_img2img_is_a_plain_picture(own_schedule, monkeypatch, inpaints):
    """Of the second noise of its seed: the first is for frames that leave the picture (docs/behaviour.md 5)."""
    from modules.processing import StableDiffusionProcessingImg2Img

    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    request = {"steps": 3, **({"mask": mask, "mask_blur": 0, "inpainting_fill": 1} if inpaints else {})}
    ours = frames("img2img", {**STILL, "video_length": 3}, **request)
    sample = StableDiffusionProcessingImg2Img.sample

    def with_the_second_noise(self, *args, **kwargs):
        self.rng.next()
        return sample(self, *args, **kwargs)

    monkeypatch.setattr(StableDiffusionProcessingImg2Img, "sample", with_the_second_noise)
    assert apart(ours[:1], pictures("img2img", **request)) <= 1
    assert apart(ours[:1], ours[2:]) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_is_cut_into_windows_and_joined_again(own_schedule, kind):
    windows = {"video_length": 10, "batch_size": 4, "overlap": 2}
    request = {"steps": 3, "prompt": "a cat AND a dog :0.7"}
    still = frames(fields={**STILL, **windows, "model": kind}, **request)
    if kind == SDXL:
        assert apart(still, pictures(batch_size=10, **request)) <= 1
    made = {loop: frames(fields={"model": kind, **windows, "closed_loop": loop}, **request) for loop in ("N", "A")}
    made["no windows"] = frames(fields={"model": kind, "video_length": 10}, **request)
    videos = [*made.values(), still]
    assert {one.shape for one in videos} == {(10, 64, 64, 3)}
    assert min(apart(one, other) for i, one in enumerate(videos) for other in videos[:i]) > 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "request_fields",
    [{}, {"prompt": f"a cat AND a dog :0.7 {LORA}", "negative_prompt": LONG}, {"negative_prompt": ""}],
    ids=["plain", "AND, LoRA, long negative", "empty negative"],
)
def test_one_video_however_the_host_calls_the_model(pocket_xl, kind, request_fields):
    """HotShot-XL's norms go over all frames of a call: a row too many, or missing, shows in every frame."""
    videos = [
        frames(fields={"model": kind, "video_length": 5}, override_settings=dict(settings), **request_fields)
        for settings in ({}, {"batch_cond_uncond": False}, {"pad_cond_uncond": True})
    ]
    assert [apart(videos[0], other) <= 1 for other in videos[1:]] == [True] * 2


def test_both_layouts_of_hotshot_are_one_module(pocket_xl):
    assert np.array_equal(frames(fields={"model": HOTSHOT}), frames(fields={"model": OWN_NAMES}))
    assert apart(frames(fields={"model": HOTSHOT}), frames(fields={"model": SDXL})) > 10


TRAVEL = "photo\n0: a red cat\n4: a blue dog\ntail"
KEYS = {0: "photo, a red cat, tail", 4: "photo, a blue dog, tail", 7: "photo, a blue dog, tail"}


@pytest.mark.parametrize("request_fields", [{}, HIRES], ids=["one pass", "hires"])
@pytest.mark.parametrize("windows", [{}, {"batch_size": 4, "overlap": 1}], ids=["one window", "windows"])
def test_each_frame_has_the_picture_of_its_prompt(own_schedule, windows, request_fields):
    request = {"steps": 3, **WIDE, **request_fields}
    made = frames(fields={**STILL, "video_length": 8, **windows}, prompt=TRAVEL, **request)
    for frame, prompt in KEYS.items():
        assert apart(made[frame : frame + 1], pictures(prompt=prompt, **{**request, "seed": 42 + frame})) <= 1
    between = [apart(made[2:3], pictures(prompt=prompt, **{**request, "seed": 44})) for prompt in KEYS.values()]
    assert min(between) > 1, "frame 2 is half way"


def test_the_negative_prompt_travels_too(own_schedule):
    made = frames(fields={**STILL, "video_length": 8}, negative_prompt="0: grey\n7: blue water", steps=3)
    assert apart(made[7:], pictures(negative_prompt="blue water", seed=49, steps=3)) <= 1
    assert apart(made[7:], pictures(negative_prompt="grey", seed=49, steps=3)) > 1


def slerped(first, second, share):
    """docs/behaviour.md 4, written out."""
    first, second = first.double().flatten(), second.double().flatten()
    angle = torch.arccos(first @ second / first.norm() / second.norm())
    if angle.cos().abs() > 0.9995:
        return first + share * (second - first)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / torch.sin(angle)


@pytest.mark.parametrize("part", ["crossattn", "vector"])
def test_both_parts_of_the_conditioning_travel(pocket_xl, monkeypatch, part):
    """Rows of frames 0..3 between the prompts of their keys, then those of the negative prompt."""
    from modules import prompt_parser, shared

    model, seen = shared.sd_model, []
    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda x, t, c: seen.append(c) or forward(x, t, c))
    run(make(animatediff=video(model=SDXL), prompt="0: a red cat\n3: a blue dog", steps=1, **WIDE))
    rows = seen[0][part]
    assert len(rows) == 8

    def of(*texts, **more):
        with torch.no_grad():
            return model.get_learned_conditioning(prompt_parser.SdConditioning(texts, width=96, height=64, **more))

    first, last = of("a red cat", "a blue dog")[part]
    for frame in range(4):
        want = slerped(first, last, frame / 3).reshape(first.shape).float()
        torch.testing.assert_close(rows[frame], want, atol=1e-5, rtol=1e-4)
    for row in rows[4:]:
        torch.testing.assert_close(row, of("bad", is_negative_prompt=True)[part][0], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(first, last, atol=1e-2)


def test_freeinit_and_image_to_video(pocket_xl):
    """FreeInit reads the last step of the schedule; the last frame is one more picture to encode."""
    plain = frames(fields={"model": SDXL})
    assert apart(plain, frames(fields={"model": SDXL, "freeinit_enable": True, "freeinit_iters": 2})) > 10
    green = png_base64(np.full((64, 64, 3), (20, 200, 60)))
    to_there = frames("img2img", {"model": HOTSHOT, "last_frame": green})
    assert apart(to_there, frames("img2img", {"model": HOTSHOT})) > 10
    assert np.array_equal(plain, frames(fields={"model": SDXL}))


@pytest.mark.parametrize("kind", [SDXL, HOTSHOT])
def test_the_host_is_the_same_afterwards(pocket_xl, kind):
    before, plain = of_host(), pictures(batch_size=2)
    fields = {"model": kind, "video_length": 8, "batch_size": 8}  # HotShot-XL has a remark about other numbers
    p = make(animatediff=video(**fields), prompt="0: a cat\n2: a dog", **HIRES)
    own = of_p(p)
    run(p)
    assert differences(own, of_p(p)) == []
    assert differences(before, of_host()) == []
    assert np.array_equal(plain, pictures(batch_size=2))


def test_a_lora_leaves_no_trace(pocket_xl):
    plain, without = pictures(batch_size=2), frames(fields={"model": SDXL})
    with_lora = frames(fields={"model": SDXL}, prompt=f"a cat walking {LORA}")
    assert apart(with_lora, without) > 10
    assert np.array_equal(plain, pictures(batch_size=2))
    assert np.array_equal(without, frames(fields={"model": SDXL}))


@pytest.mark.parametrize("kind", ["sdxl", "hotshot"])
def test_a_motion_lora_beside_an_ordinary_one(pocket_xl, kind):
    """The same frames as of a motion module that has the motion LoRA's changes in its file."""
    host = {**pocket_xl, "motion": pocket_xl["sdxl"].parent}
    ranks = low_ranks(blocks={"down_blocks.1.motion_modules.0": 64, "up_blocks.2.motion_modules.2": 32})
    write(host, "zoom", ranks)
    name = merged(host, kind, (ranks, 0.5))
    try:
        with_lora = shot(f"a cat <lora:zoom:0.5> {LORA}", kind)
        assert close(with_lora, shot(f"a cat  {LORA}", model=name))
    finally:
        (host["motion"] / name).unlink()
    assert differ(with_lora, shot(f"a cat  {LORA}", kind))


def test_a_control_unit_is_refused_in_one_sentence(pocket_xl):
    """The control models that there are are for SD1.5; the host goes on without them, and a video must not."""
    client = Client(pocket_xl)
    plain = client.plain()
    body = with_units([unit(image=png_base64(picture(0)))], {"model": SDXL})
    reply = client.post("txt2img", body)
    assert reply.status == 422
    assert "ControlNet model control_tiny is not compatible with sd model SDXL" in reply.sentence
    assert np.array_equal(plain, client.plain())


def test_the_checkpoint_changes_both_ways_with_the_request(both_families):
    """Each way the video is the one that its checkpoint makes alone, and the next plain picture is as before."""
    from modules import sd_models, shared

    client, sd15, xl = Client(both_families), both_families["sd15"], both_families["title"]
    in_15, in_xl = ({"sd_model_checkpoint": title} for title in (sd15, xl))
    v3, sdxl = {"model": "mm_tiny_v3.safetensors"}, {"model": SDXL}

    def choose(title):
        client.post("options", {"sd_model_checkpoint": title})
        sd_models.reload_model_weights()
        assert shared.sd_model.sd_checkpoint_info.title == title

    xl_alone, xl_plain = client.frames(sdxl), client.plain(batch_size=2)
    from_xl = client.frames(v3, override_settings=in_15)
    assert np.array_equal(xl_plain, client.plain(batch_size=2)), "SDXL is there again"
    choose(sd15)
    alone, plain = client.frames(v3), client.plain(batch_size=2)
    from_15 = client.frames(sdxl, override_settings=in_xl)
    assert np.array_equal(plain, client.plain(batch_size=2)), "SD1.5 is there again"
    assert np.array_equal(from_xl, alone)
    assert np.array_equal(from_15, xl_alone)


@pytest.mark.parametrize(("checkpoint", "first"), [("sd15", "mm_tiny_v3.safetensors"), ("title", OWN_NAMES)])
def test_without_a_name_the_module_goes_with_the_checkpoint_of_the_request(both_families, checkpoint, first):
    """It is the first that fits the checkpoint that the request brings."""
    override = {"sd_model_checkpoint": both_families[checkpoint]}
    reply = Client(both_families).run({"model": ""}, override_settings=override, steps=1)
    assert f"model: {first}" in reply.info["infotexts"][0]


@pytest.mark.parametrize(
    ("module", "checkpoint", "told"),
    [
        (
            "mm_tiny_v3.safetensors",
            "title",
            r"mm_tiny_v3.safetensors \(AnimateDiff v3\) is made for SD1.5 with widths 32/64/64/64, but the checkpoint is "
            r"SDXL with widths 32/64/64; motion modules here that fit: hsxl_tiny.safetensors, "
            r"mm_tiny_hotshot.safetensors, mm_tiny_sdxl.safetensors",
        ),
        (SDXL, "sd15", r"\(AnimateDiff-SDXL\) is made for SDXL.*the checkpoint is SD1.5.*fit: mm_tiny_v3.safetensors"),
        (OWN_NAMES, "sd15", r"\(HotShot-XL\) is made for SDXL.*the checkpoint is SD1.5.*fit: mm_tiny_v3.safetensors"),
    ],
)
def test_a_module_of_the_other_family_is_one_sentence(both_families, module, checkpoint, told):
    client = Client(both_families)
    plain, host = client.plain(), of_host()
    override = {"sd_model_checkpoint": both_families[checkpoint]}
    body = {"prompt": "a", "steps": 1, "width": 64, "height": 64, "override_settings": override}
    args = [{"enable": True, "model": module, "video_length": 4}]
    reply = client.post("txt2img", {**body, "alwayson_scripts": {"AnimateDiff": {"args": args}}})
    assert reply.status == 422
    assert re.search(told, reply.sentence)
    assert np.array_equal(plain, client.plain())
    if checkpoint == "title":
        assert differences(host, of_host()) == []


@pytest.mark.parametrize(
    "second",
    [
        {**HIRES, "hr_checkpoint_name": "sd15"},
        {"steps": 4, "refiner_checkpoint": "sd15", "refiner_switch_at": 0.5},
    ],
    ids=["hires fix", "refiner"],
)
def test_a_second_checkpoint_of_the_other_family_is_one_sentence(both_families, second):
    """Hires fix and the refiner may have a checkpoint of their own; the motion module fits one of the two."""
    client = Client(both_families)
    second = {name: both_families["sd15"] if value == "sd15" else value for name, value in second.items()}
    body = {"prompt": "a", "steps": 1, "width": 64, "height": 64, **second}
    args = [{"enable": True, "model": SDXL, "video_length": 4}]
    plain = client.plain()
    reply = client.post("txt2img", {**body, "alwayson_scripts": {"AnimateDiff": {"args": args}}})
    assert reply.status == 422, reply.body
    assert "made for SDXL" in reply.sentence or "for SDXL models" in reply.sentence
    assert np.array_equal(plain, client.plain())


def test_without_a_module_of_its_family_the_sentence_names_both(pocket_xl, tiny):
    from modules import shared

    shared.opts.data["animatediff_model_path"] = str(tiny["v1"].parent)
    with pytest.raises(Exception, match=r"is made for SD1.5.*the checkpoint is SDXL.*that fit: none") as caught:
        frames(fields={"model": ""})
    assert caught.value.status_code == 422


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_of_the_infotext_alone_makes_the_same_video(pocket_xl, kind):
    client = Client(pocket_xl)
    fields = {"model": kind, "video_length": 6, "batch_size": 4, "closed_loop": "A", "format": ["GIF", "Frame"]}
    request = {"prompt": f"a (red:1.3) ball {LORA}", "negative_prompt": LONG, **WIDE}
    first = client.run(fields, **request, override_settings={"sdxl_clip_l_skip": True})
    text = first.info["infotexts"][0]
    assert f"model: {kind}" in text and "Model: tiny_xl" in text and "Size: 96x64" in text
    again = client.post("txt2img", {"infotext": text, "override_settings": {"sdxl_clip_l_skip": True}})
    assert again.status == 200, again.body
    assert again.kinds == first.kinds
    assert far(first.pictures, again.pictures) == 0
    told = client.post("png-info", {"image": first.body["images"][1]}).body
    assert f"model: {kind}" in told["parameters"]["AnimateDiff"]
