"""What a run says that went otherwise than one may think: overlaps, batch sizes, rates of sources."""

import re

import pytest
from runs import make, run, video
from video_files import film

from motion_module.params import VideoParams
from motion_module.webui.plan import infotext

LONG = {"video_length": 16, "batch_size": 8, "format": ["TXT", "PNG"]}


def comments(p, is_api):
    p.is_api = is_api
    return run(p).comments


@pytest.mark.parametrize(
    ("overlap", "said"),
    [
        (7, "overlap 7 makes 9 windows a step instead of 3."),
        (8, "overlap is 8, and batch_size is 8: two windows share half of it, 4 frames, which makes 3 windows a step"),
        (256, "overlap is 256, and batch_size is 8: two windows share half of it, 4 frames"),
    ],
)
def test_an_overlap_of_more_than_half_says_its_work(pocket, overlap, said):
    for is_api in (True, False):
        found = comments(make(animatediff=video(**LONG, overlap=overlap)), is_api)
        if not is_api:
            said = said.replace("overlap", "Overlap", 1).replace("batch_size", "Context batch size")
        assert f"AnimateDiff: {said}" in found


def test_clients_read_in_info_what_people_read_below_the_gallery(client):
    """Also what is known before the run: the page's comments never reach a client."""
    fields = {"video_length": 2, "overlap": 3, "format": ["GIF"]}
    reply = client.run(fields, prompt="[0]: a\n[1]: b", batch_size=3)
    told = reply.info["extra_generation_params"]["AnimateDiff messages"]
    assert "AnimateDiff: overlap has no effect: 2 frames fit into one window of 8." in told
    assert any(line.startswith("AnimateDiff: batch_size of the request, 3, has no effect") for line in told)
    assert any(line.startswith("Prompt travel: '[0]: a', '[1]: b' is read as ordinary text") for line in told)


@pytest.mark.parametrize("is_api", [True, False])
def test_the_page_and_clients_are_told_the_same(pocket, is_api):
    p = make("img2img", video(**LONG, overlap=7, model="", motion_scale=2, effect=0), batch_size=3)
    p.is_api = is_api
    result = run(p)
    *below, made = result.comments.splitlines()
    assert below == result.extra_generation_params["AnimateDiff messages"]
    assert len(below) == 3 and re.search(r"^\d+ frames, .* FPS, made in .*; in .*AnimateDiff", made)


def test_half_and_less_says_nothing(pocket):
    assert "windows a step" not in comments(make(animatediff=video(**LONG, overlap=4)), True)


@pytest.mark.parametrize(
    ("is_api", "said"),
    [(True, "batch_size of the request, 3, has no effect"), (False, "Batch size of the WebUI, 3, has no effect")],
)
def test_a_batch_size_of_the_webui_is_said_to_be_idle(pocket, is_api, said):
    found = comments(make(animatediff=video(), batch_size=3), is_api)
    assert f"AnimateDiff: {said}: all 4 frames of a video are one batch" in found
    assert "no effect" not in comments(make(animatediff=video(), batch_size=4), is_api)
    assert "no effect" not in comments(make(animatediff=video(), n_iter=2), is_api)


@pytest.mark.parametrize(
    ("fps", "every_nth", "used", "said"),
    [
        (
            240,
            1,
            120,
            "has 240 frames per second, but the fastest possible is 120 frames per second: the video plays slower",
        ),
        (
            10,
            20,
            1,
            "has 0.5 frames per second, but the slowest possible is 1 frame per second: the video plays faster",
        ),
    ],
)
def test_the_rate_of_a_source_can_be_pasted_again(pocket, tmp_path, fps, every_nth, used, said):
    from motion_module.webui.request import video_source

    path = film(tmp_path / "clip.mp4", range(41), fps=fps, sound=True)
    fields = {"video_source": str(path), "every_nth": every_nth, "video_length": 2, "enable": True, "keep_sound": True}
    with video_source.opened(VideoParams.from_json(fields)) as opened:
        assert opened.fps == used and opened.sound is None
        assert opened.messages[0].startswith(f"clip.mp4 {said}") and len(opened.messages) == 2
        entry = infotext.write(VideoParams(enable=True, fps=opened.fps))
    assert infotext.read(entry)["fps"] == used
