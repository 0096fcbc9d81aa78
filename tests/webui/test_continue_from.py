"""A video goes on: its frames stay, the new ones follow, and everything that counts frames counts on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from http_client import SMALL, Client, mp4_frames
from PIL import Image
from runs import array, make, run, video
from safetensors.torch import save_file
from snapshot import differences, of_host
from test_held_frames import rebuilt
from test_http_hints import Panel
from video_files import film

from motion_module.core.denoising.latents_file import latents_as_file
from motion_module.errors import ParamError
from motion_module.webui.request.continued import FAMILY, FPS, latents_file
from motion_module.wording import for_client

OLD = 5


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


@pytest.fixture
def clip(tmp_path):
    """A folder of frames that get lighter."""
    (tmp_path / "clip").mkdir()
    for number in range(OLD):
        Image.new("RGB", (64, 64), (30 * number, 40, 200)).save(tmp_path / "clip" / f"{number}.png")
    return tmp_path / "clip"


def asked(clip, **fields):
    return video(**{"video_length": 3, "format": ["Frame"], "continue_from": str(clip), **fields})


def frames(clip, tab="txt2img", fields=None, **request):
    return array(run(make(tab, asked(clip, **(fields or {})), **{"steps": 4, **request})).images).astype(int)


def is_kept(found, clip, frame):
    with Image.open(clip / f"{frame}.png") as picture:
        return np.abs(found[frame] - rebuilt(picture)).max() <= 3


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
@pytest.mark.parametrize("fields", [{}, {"batch_size": 4, "overlap": 2, "schedule": "static"}], ids=["one", "windows"])
def test_the_old_frames_stay_and_new_ones_are_added(clip, tab, fields):
    found = frames(clip, tab, fields)
    assert len(found) == OLD + 3
    assert all(is_kept(found, clip, frame) for frame in range(OLD))
    assert not any(np.abs(found[frame] - found[OLD - 1]).max() <= 3 for frame in range(OLD, OLD + 3))


def test_the_new_frames_see_the_last_old_ones(clip):
    """With the same noise and prompt, other old frames make other new ones."""
    found = frames(clip)
    for file in clip.glob("*.png"):
        Image.new("RGB", (64, 64), (10, 240, 10)).save(file)
    assert np.abs(frames(clip)[OLD:] - found[OLD:]).mean() > 0.5


def test_windows_of_old_frames_alone_are_not_computed(clip, monkeypatch):
    from motion_module.core.denoising import sliding

    calls = []
    call = sliding.SlidingModel._make
    monkeypatch.setattr(
        sliding.SlidingModel, "_make", lambda self, given: calls.append(sorted({*given.of.shown})) or call(self, given)
    )
    frames(clip, fields={"batch_size": 4, "overlap": 1, "schedule": "static"}, steps=1)
    assert calls and all(max(window) >= OLD for window in calls)


def test_without_a_number_one_context_batch_is_added(clip):
    assert len(frames(clip, fields={"video_length": 0, "batch_size": 4}, steps=1)) == OLD + 4


def test_prompts_and_seeds_count_on(clip):
    result = run(make("txt2img", asked(clip), prompt=f"0: a cat\n{OLD + 2}: a dog", steps=1))
    assert result.all_seeds[OLD] == result.all_seeds[0] + OLD
    with pytest.raises(ParamError, match="beyond the last frame, 7, of 8 frames"):
        run(make("txt2img", asked(clip), prompt=f"0: a cat\n{OLD + 3}: a dog"))


def test_the_infotext_asks_for_the_same_again(clip):
    from modules import infotext_utils
    from motion_module.webui.plan import infotext

    result = run(make("txt2img", asked(clip), steps=1))
    read = infotext.read(infotext_utils.parse_generation_parameters(result.infotexts[0])["AnimateDiff"])
    assert (read["video_length"], read["continue_from"]) == (3, str(clip))


def test_kept_latents_are_what_stays(clip):
    """They are not encoded anew: whatever the pictures show, the frames are what the latents say."""
    torch.manual_seed(1)
    latents = torch.randn(OLD, 4, 8, 8)
    save_file({"latents": latents.half()}, latents_file(clip))
    from modules import processing, shared

    decoded = processing.decode_latent_batch(shared.sd_model, latents.half().float(), target_device=torch.device("cpu"))
    expected = [((each + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu().numpy() * 255 for each in decoded]
    found = frames(clip)
    assert all(np.abs(found[frame] - expected[frame]).max() <= 1.01 for frame in range(OLD))


def test_a_run_keeps_its_latents_and_goes_on_from_them(pocket, monkeypatch):
    from modules import shared

    monkeypatch.setitem(shared.opts.data, "animatediff_keep_latents", True)
    client = Client(pocket)
    fields = {"model": "mm_tiny_v2.safetensors", "video_length": 4, "format": ["MP4", "PNG"], "fps": 6}
    first = client.run(fields, steps=3)
    (paths,) = first.paths
    assert latents_file(Path(paths["MP4"])).is_file()
    more = client.run({**fields, "video_length": 2, "fps": 8, "continue_from": paths["MP4"]}, steps=3)
    (after,) = more.paths
    assert mp4_frames(after["MP4"])[:2] == (6, 6), "at the rate of the old one"
    old, new = (sorted(Path(each["PNG"]).glob("*.png")) for each in (paths, after))
    for one, other in zip(old, new, strict=False):
        with Image.open(one) as before, Image.open(other) as now:
            assert np.abs(np.asarray(before, int) - np.asarray(now, int)).max() <= 1
    assert len(client.run({**fields, "video_length": 2, "continue_from": after["PNG"]}, steps=1).files) >= 1


def test_latents_are_kept_only_where_the_setting_says_so(pocket):
    (paths,) = Client(pocket).run({"video_length": 2, "format": ["GIF"]}, steps=1).paths
    assert not latents_file(Path(paths["GIF"])).exists()


def test_a_film_that_nobody_kept_latents_of(tmp_path):
    path = film(tmp_path / "some film.mp4", range(OLD), fps=5, size=(64, 64))
    assert len(frames(path, steps=1)) == OLD + 3


@pytest.mark.parametrize(
    ("fields", "request_", "said"),
    [
        ({}, {"width": 128}, "continue_from is a video of 64x64, but the request is 128x64"),
        ({"freeinit_enable": True}, {}, "needs a single sampling pass; switch freeinit_enable off"),
        ({}, {"enable_hr": True, "denoising_strength": 0.5}, "needs a single sampling pass; switch hires fix off"),
        ({"continue_from": "/no/such/film.mp4"}, {}, "continue_from is '/no/such/film.mp4'"),
        ({"video_length": 99_999}, {}, "video_length is 99999"),
    ],
    ids=str,
)
def test_what_cannot_be_continued_is_refused(clip, fields, request_, said):
    before = of_host(values=False)
    with pytest.raises(ParamError) as refused:
        run(make("txt2img", asked(clip, **fields), **request_))
    assert said in for_client(refused.value.whole), for_client(refused.value.whole)
    assert differences(before, of_host(values=False)) == []


def test_a_video_to_start_from_is_as_long_as_the_whole(clip, tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(20):
        Image.new("RGB", (64, 64), (10 * number,) * 3).save(tmp_path / "source" / f"{number}.png")
    fields = {"video_path": str(tmp_path / "source")}
    found = frames(clip, "img2img", fields, init_images=[None], denoising_strength=0.1, steps=2)
    assert len(found) == OLD + 3 and is_kept(found, clip, OLD - 1)
    for number in range(OLD, OLD + 3):
        Image.new("RGB", (64, 64), (0, 255, 0)).save(tmp_path / "source" / f"{number}.png")
    other = frames(clip, "img2img", fields, init_images=[None], denoising_strength=0.1, steps=2)
    assert np.abs(other[OLD:] - found[OLD:]).mean() > 3, "new frames start from the source's frames of their numbers"


def test_a_video_to_start_from_that_is_no_longer_than_the_old_one_is_refused(clip, tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(OLD):
        Image.new("RGB", (64, 64)).save(tmp_path / "source" / f"{number}.png")
    with pytest.raises(ParamError, match="give it pictures for the whole video") as refused:
        run(make("img2img", asked(clip, video_path=str(tmp_path / "source"), video_length=0), init_images=[None]))
    assert f"has pictures for {OLD} frames" in refused.value.whole


def test_the_frames_of_a_film_are_counted_before_prompts_are_judged(tmp_path):
    path = film(tmp_path / "film.mp4", range(OLD), fps=5, size=(64, 64))
    assert len(frames(path, prompt=f"0: a cat\n{OLD + 2}: a dog", steps=1)) == OLD + 3
    with pytest.raises(ParamError, match="beyond the last frame, 7, of 8 frames"):
        run(make("txt2img", asked(path), prompt=f"0: a cat\n{OLD + 3}: a dog"))


def test_the_rate_is_that_of_the_frames(pocket, clip, tmp_path):
    """Of a GIF only reading tells it; a file with frames between has more than the latents that were kept."""
    frames_of_gif = [Image.new("RGB", (64, 64), (30 * number, 0, 0)) for number in range(OLD)]
    frames_of_gif[0].save(tmp_path / "a.gif", save_all=True, append_images=frames_of_gif[1:], duration=250)
    client, fields = Client(pocket), {"model": "mm_tiny_v2.safetensors", "video_length": 2, "format": ["MP4"]}
    (paths,) = client.run({**fields, "continue_from": str(tmp_path / "a.gif")}, steps=1).paths
    assert mp4_frames(paths["MP4"])[1] == 4
    latents_file(clip).write_bytes(latents_as_file(torch.zeros(OLD, 4, 8, 8), {FPS: "6"}))
    (paths,) = client.run({**fields, "continue_from": str(clip)}, steps=1).paths
    assert mp4_frames(paths["MP4"])[1] == 6


@pytest.mark.parametrize(
    "request_", [{"mask": Image.new("L", (64, 64), 255)}, {"mask_path": True}], ids=["one", "many"]
)
def test_inpaint_masks_are_refused(clip, tmp_path, request_):
    (tmp_path / "masks").mkdir()
    Image.new("L", (64, 64), 255).save(tmp_path / "masks" / "0.png")
    fields = {"mask_path": str(tmp_path / "masks")} if request_.pop("mask_path", None) else {}
    with pytest.raises(ParamError, match="has no use for inpaint masks"):
        run(make("img2img", asked(clip, **fields), **request_))


def test_latents_of_another_size_are_none_of_these_frames(clip):
    latents_file(clip).write_bytes(latents_as_file(torch.randn(2, 4, 4, 4), {}))
    found = frames(clip)
    assert len(found) == OLD + 3 and is_kept(found, clip, OLD - 1)


def test_latents_of_another_kind_of_checkpoint_are_refused(clip):
    latents_file(clip).write_bytes(latents_as_file(torch.randn(OLD, 4, 8, 8), {FAMILY: "SDXL"}))
    before = of_host(values=False)
    with pytest.raises(ParamError, match=r"has latents of SDXL, and the checkpoint is SD1\.5"):
        run(make("txt2img", asked(clip)))
    assert differences(before, of_host(values=False)) == []


@pytest.mark.parametrize(
    ("name", "latents"),
    [
        ("00001-42.mp4", "00001-42"),
        ("00001-42.h265.mp4", "00001-42"),
        ("00001-42.prores422.mov", "00001-42"),
        ("my.holiday.mp4", "my.holiday"),
    ],
)
def test_latents_are_found_beside_every_format(tmp_path, name, latents):
    assert latents_file(tmp_path / name) == tmp_path / f"{latents}.latents.safetensors"


def test_a_link_out_of_the_folders_that_may_be_read_is_not_followed(clip, tmp_path_factory, monkeypatch):
    from modules import shared

    outside = tmp_path_factory.mktemp("outside") / "x.safetensors"
    outside.write_bytes(latents_as_file(torch.randn(OLD, 4, 8, 8), {}))
    latents_file(clip).symlink_to(outside)
    monkeypatch.setattr(shared.cmd_opts, "listen", True)
    monkeypatch.setitem(shared.opts.data, "animatediff_allowed_folders", str(clip.parent))
    found = frames(clip)
    assert is_kept(found, clip, 1)


def test_a_held_frame_is_a_new_one(clip):
    blue = Image.new("RGB", (64, 64), (0, 0, 255))
    with pytest.raises(ParamError, match="the first 5 frames are those of continue_from"):
        run(make("txt2img", asked(clip, hold=[[2, blue]])))
    assert np.abs(frames(clip, fields={"hold": [[OLD + 1, blue]]})[OLD + 1] - rebuilt(blue)).max() <= 3


def test_the_plan_counts_the_calls_that_are_made(clip, monkeypatch):
    from motion_module.core.denoising import sliding
    from motion_module.webui.routes.planned import planned

    calls = []
    call = sliding.SlidingModel._make
    monkeypatch.setattr(sliding.SlidingModel, "_make", lambda self, given: calls.append(1) or call(self, given))
    for schedule in ("static", "uniform"):
        fields = {"batch_size": 4, "overlap": 1, "schedule": schedule}
        foreseen = planned(make("txt2img", asked(clip, **fields), steps=3))["model_calls"]
        calls.clear()
        frames(clip, fields=fields, steps=3)
        assert len(calls) == foreseen


def test_samplers_that_look_at_other_answers_get_all_of_them(clip, monkeypatch):
    """CFG++ goes on with the noise that the negative prompt makes of every frame."""
    fields = {"batch_size": 4, "overlap": 1, "schedule": "static"}
    found = frames(clip, fields=fields, sampler_name="DDIM CFG++")
    assert all(is_kept(found, clip, frame) for frame in range(OLD)) and np.isfinite(found).all()
    from motion_module.core.denoising.sliding import Wanted

    monkeypatch.setattr(Wanted, "only", lambda self, frames: pytest.fail("windows are left out"))
    frames(clip, fields=fields, sampler_name="DDIM CFG++", steps=2)


def test_a_live_preview_shows_the_old_frames(clip, monkeypatch):
    """Of windows that are left out the model says nothing."""
    from modules import sd_samplers_common

    torch.manual_seed(3)
    kept = torch.randn(OLD, 4, 8, 8).half()
    latents_file(clip).write_bytes(latents_as_file(kept, {}))
    seen = []
    store = sd_samplers_common.store_latent
    monkeypatch.setattr(
        sd_samplers_common, "store_latent", lambda latents: seen.append(latents.clone()) or store(latents)
    )
    frames(clip, fields={"batch_size": 4, "overlap": 1, "schedule": "static"}, steps=3)
    assert len(seen) == 3 and all(torch.equal(latents[:OLD].half(), kept) for latents in seen)


def test_the_panel_knows_the_frames_of_the_whole(pocket, clip):
    panel = Panel(pocket["url"], "txt2img")
    around = {"webui width": 64, "webui height": 64, "webui prompt": f"0: a cat\n{OLD + 1}: rain"}
    line = panel.change("continue_from", str(clip), enable=True, video_length=3, **around)
    assert f"{OLD + 3} frames" in line and "beyond the last frame" not in line


def test_a_picture_for_each_frame_is_refused(clip):
    with pytest.raises(ParamError, match="needs one picture on img2img, or none"):
        run(make("img2img", asked(clip), init_images=[Image.new("RGB", (64, 64))] * 3))


@pytest.mark.parametrize("content", [b"no latents", None])
def test_damaged_latents_are_named(clip, content):
    if content is None:
        save_file({"latents": torch.full((2, 4, 8, 8), float("nan"))}, latents_file(clip))
    else:
        latents_file(clip).write_bytes(content)
    with pytest.raises(ParamError, match="has damaged latents beside it; remove"):
        run(make("txt2img", asked(clip)))


def test_everything_is_taken_back(clip):
    before = of_host()
    frames(clip, steps=1)
    assert differences(before, of_host()) == []


def test_over_the_api(pocket, clip):
    fields = {"enable": True, "model": "mm_tiny_v2.safetensors", "format": ["Frame"], "video_length": 2}
    fields["continue_from"] = str(clip)
    reply = Client(pocket).post("txt2img", {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert reply.status == 200 and len(reply.pictures) == OLD + 2
    plan = Client(pocket).plan({**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": [fields]}}})
    assert plan.body["frames"] == OLD + 2


def test_what_the_model_would_change_of_the_last_old_frame_is_carried_on(clip, monkeypatch):
    """So that the new frames begin where the old ones end. One step makes what the denoiser answers; random weights
    guess worse than nobody would, so that nothing of it were credible."""
    from motion_module.core.denoising import frozen
    from motion_module.webui.output import kept_latents
    from motion_module.webui.sampling.init_pictures import Pictures

    made = []
    monkeypatch.setattr(kept_latents, "note", lambda latents, number, samples: made.append(samples.clone()))
    fields = {"batch_size": 4, "overlap": 2, "schedule": "static"}
    with monkeypatch.context() as patch:
        patch.setattr(frozen, "_credible", lambda *_: 1.0)
        frames(clip, fields=fields, steps=1)
    frames(clip, fields=fields, steps=1)
    monkeypatch.setattr(Pictures, "_edges", lambda self, frames: ())
    frames(clip, fields=fields, steps=1)
    assert torch.equal(made[1], made[2]), "what is not credible is not added"
    added = made[0] - made[2]
    assert torch.equal(made[0][:OLD], made[2][:OLD]) and added[OLD].abs().mean() > 0.1
    assert torch.allclose(added[OLD], 2 * added[OLD + 1], atol=1e-4) and not added[OLD + 2].any()


@pytest.mark.parametrize(
    ("fields", "more", "edges"),
    [
        ({}, 3, {4: [5, 6, 7]}),
        ({"overlap": 2}, 3, {4: [5, 6]}),
        ({"overlap": 0}, 3, {4: []}),
        ({"overlap": 3}, 1, {4: [5]}),  # there are no more
        ({"closed_loop": "A", "overlap": 2}, 12, {4: [5, 6], 0: [16, 15]}),
        ({"closed_loop": "A", "overlap": 2, "batch_size": 7}, 3, {4: [5], 0: [7]}),  # each frame follows one of them
        ({"closed_loop": "A", "overlap": 2}, 3, {4: [5, 6]}),  # one window plays it back instead
        ({"closed_loop": "A", "overlap": 2, "schedule": "static"}, 12, {4: [5, 6]}),
    ],
)
def test_where_new_frames_follow_old_ones(clip, fields, more, edges):
    from motion_module.params import VideoParams
    from motion_module.webui.sampling.clip_frames import ClipFrames
    from motion_module.webui.sampling.init_pictures import Pictures

    params = VideoParams(**{"batch_size": 12, **fields})
    pictures = Pictures(make(), params, clip=ClipFrames((), torch.zeros(OLD, 4, 8, 8)))
    frozen = pictures.frozen(torch.zeros(OLD + more, 4, 8, 8))
    assert {edge.frame: list(edge.beyond) for edge in frozen.edges} == edges
