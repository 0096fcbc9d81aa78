"""What comes back over HTTP, and what lies on the disk then."""

import datetime
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from http_client import SMALL, Client, far, gif_frames, mp4_frames
from PIL import Image

V2 = "mm_tiny_v2.safetensors"


@pytest.fixture
def client(pocket):
    return Client(pocket)


def folder_of_today(client):
    return client.pocket["data"] / "outputs" / "txt2img-images" / "AnimateDiff" / datetime.date.today().isoformat()


@pytest.mark.parametrize(
    ("formats", "kinds", "endings"),
    [
        ("GIF", ["GIF"], [".gif"]),
        (["MP4", "GIF"], ["GIF", "MP4"], [".gif", ".mp4"]),
        (["MP4", "TXT"], ["MP4"], [".mp4", ".txt"]),
        (["PNG"], ["PNG"] * 8, [".png"] * 8),
        (["png", "txt"], ["PNG"] * 8, [".png"] * 8 + [".txt"]),
        (["Frame"], ["PNG"] * 8, []),
        (["GIF", "PNG"], ["GIF"], [".gif"] + [".png"] * 8),
        (["Frame", "GIF"], ["GIF"] + ["PNG"] * 8, [".gif"]),
        (
            ["GIF", "MP4", "PNG", "TXT", "Frame"],
            ["GIF", "MP4"] + ["PNG"] * 8,
            [".gif", ".mp4"] + [".png"] * 8 + [".txt"],
        ),
    ],
)
def test_what_is_returned_and_what_is_written(client, formats, kinds, endings):
    before = client.written()
    reply = client.run({"format": formats}, steps=1)
    assert reply.kinds == kinds
    new = [Path(path) for path in client.written() - before]
    assert sorted(path.suffix for path in new) == endings
    assert all(path.is_relative_to(folder_of_today(client)) for path in new)
    assert len(reply.info["infotexts"]) == len(kinds)


def test_every_file_holds_every_frame(client):
    reply = client.run({"format": ["GIF", "MP4", "PNG", "TXT", "Frame"]})
    frames, (paths,) = reply.pictures, reply.paths
    assert frames.shape == (8, 64, 64, 3) and len(np.unique(frames.reshape(8, -1), axis=0)) == 8
    pngs = sorted(Path(paths["PNG"]).iterdir())
    assert [path.name for path in pngs] == [f"{place:05}.png" for place in range(8)]
    assert np.array_equal(np.stack([np.asarray(Image.open(path)) for path in pngs]), frames)
    shown, _, _ = gif_frames(reply.files[0])
    assert len(shown) == 8
    assert np.abs(np.stack(shown).astype(int) - frames).mean() < 8  # a palette of 256 colours
    assert mp4_frames(paths["MP4"]) == (8, 8.0, (64, 64))
    assert Path(paths["GIF"]).read_bytes() == reply.files[0]
    assert Path(paths["MP4"]).read_bytes() == reply.files[1]
    assert Path(paths["TXT"]).read_text(encoding="utf-8").strip() == reply.info["infotexts"][0]


def test_two_videos_of_two_seeds(client):
    reply = client.run({"format": ["GIF", "MP4", "Frame"]}, n_iter=2)
    assert reply.kinds == ["GIF", "MP4"] * 2 + ["PNG"] * 16
    seeds = [int(text.split("Seed: ")[1].split(",")[0]) for text in reply.info["infotexts"]]
    assert seeds == [5, 5, 13, 13, *range(5, 21)]
    assert reply.info["all_seeds"] == list(range(5, 21))
    assert [Path(paths["GIF"]).stem.split("-")[1] for paths in reply.paths] == ["5", "13"]
    assert [Path(paths["GIF"]).read_bytes() for paths in reply.paths] == reply.files[0:4:2]
    assert np.array_equal(reply.pictures[:8], client.frames())
    assert np.array_equal(reply.pictures[8:], client.frames(seed=13))


def test_reverse_appends_the_frames_backwards(client):
    forth = client.frames(steps=1)
    back = forth[::-1]
    for reverse, expected in (
        ([0], [*forth, *back]),
        ([0, 1], [*forth, *back[1:]]),
        ([0, 2], [*forth, *back[:-1]]),
        (["Add Reverse Frame", "Remove head", "Remove tail"], [*forth, *back[1:-1]]),
        ([1, 2], forth),
    ):
        assert np.array_equal(client.frames({"reverse": reverse}, steps=1), np.stack(expected)), reverse


def test_a_closed_loop_that_fits_into_one_window_is_played_back(client):
    forth = client.frames(steps=1)
    assert np.array_equal(client.frames({"closed_loop": True}, steps=1), np.stack([*forth, *forth[-2:0:-1]]))


def test_the_number_of_frames(client):
    three = client.frames({"video_length": 3, "batch_size": 16})
    assert len(three) == 3
    assert np.array_equal(three, client.frames({"video_length": 3, "batch_size": 3}))
    assert len(client.frames({"video_length": 0, "batch_size": 5}, steps=1)) == 5
    assert len(client.frames({"video_length": 1}, steps=1)) == 1
    reply = client.run({"video_length": 0, "batch_size": 5, "format": ["GIF", "MP4"]}, steps=1, batch_size=3)
    assert len(gif_frames(reply.files[0])[0]) == 5, "the host's batch size counts for nothing"
    assert mp4_frames(reply.paths[0]["MP4"])[0] == 5
    assert "video_length: 5" in reply.info["infotexts"][0]


def test_speed_and_loops_of_the_video(client):
    reply = client.run({"fps": 12, "loop_number": 3, "format": ["GIF", "MP4"]}, steps=1)
    _, durations, loop = gif_frames(reply.files[0])
    assert set(durations) == {80, 90} and abs(sum(durations) - 8 * 1000 / 12) <= 10
    assert loop == 3
    assert mp4_frames(reply.paths[0]["MP4"])[1] == 12
    assert gif_frames(client.run({"format": "GIF"}, steps=1).files[0])[2] == 0, "for ever"


def test_names_of_the_files(client):
    names = []
    for mark in ("", "job-17_B", ""):
        (paths,) = client.run({"format": ["GIF", "PNG"], "request_id": mark}, steps=1, seed=77).paths
        assert Path(paths["GIF"]).parent == folder_of_today(client)
        assert Path(paths["PNG"]).name == Path(paths["GIF"]).stem
        names.append(Path(paths["GIF"]).stem)
    numbers = [int(name.split("-")[0]) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert [name.split("-", 1)[1] for name in names] == ["77", "77-job-17_B", "77"]
    assert all(len(name.split("-")[0]) == 5 for name in names)
    leftovers = [path for path in folder_of_today(client).iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_every_picture_has_its_own_infotext(client):
    reply = client.run({"format": ["GIF", "PNG", "Frame"]})
    infotexts = reply.info["infotexts"]
    assert [json.dumps(text).count("Seed: ") for text in infotexts] == [1] * 9
    pictures = [Image.open(io.BytesIO(data)) for data in reply.files]
    assert pictures[0].info["comment"].decode() == infotexts[0]
    assert [picture.info["parameters"] for picture in pictures[1:]] == infotexts[1:]
    on_disk = sorted(Path(reply.paths[0]["PNG"]).iterdir())
    assert [Image.open(path).info["parameters"] for path in on_disk] == infotexts[1:]
    assert "Seed: 12," in infotexts[8] and infotexts[0] == infotexts[1]


@pytest.mark.parametrize("place", [0, 1], ids=["GIF", "PNG"])
def test_the_host_reads_the_infotext_back(client, place):
    reply = client.run({"format": ["GIF", "Frame"], "fps": 12.5}, steps=1, prompt='a "red, ball": 5')
    told = client.post("png-info", {"image": reply.body["images"][place]}).body
    assert told["info"] == reply.info["infotexts"][place]
    entry = told["parameters"]["AnimateDiff"]
    assert "fps: 12.5" in entry and "model: mm_tiny_v1.safetensors" in entry and "enable: true" in entry
    assert told["parameters"]["Prompt"] == 'a "red, ball": 5'


def test_without_infotexts_in_pictures_there_is_none_in_videos(client):
    client.post("options", {"enable_pnginfo": False})
    reply = client.run({"format": ["GIF", "Frame"]}, steps=1)
    assert "comment" not in Image.open(io.BytesIO(reply.files[0])).info
    assert "parameters" not in Image.open(io.BytesIO(reply.files[1])).info


def test_a_request_of_the_infotext_alone_makes_the_same_video(client):
    video = {
        "model": V2,
        "video_length": 10,
        "batch_size": 6,
        "overlap": 3,
        "stride": 2,
        "closed_loop": "A",
        "fps": 12.5,
        "loop_number": 2,
        "reverse": [0, 2],
        "format": ["GIF", "Frame"],
        "motion_scale": 1.5,
        "effect": 0.75,
        "blend": "flat",
        "freenoise_enable": True,
    }
    first = client.run(video, sampler_name="Euler a", negative_prompt="blue: x, y")
    again = client.post("txt2img", {"infotext": first.info["infotexts"][0]})
    assert again.status == 200, again.body
    assert again.kinds == first.kinds == ["GIF"] + ["PNG"] * 19
    assert np.array_equal(first.pictures, again.pictures)
    assert gif_frames(first.files[0])[1:] == gif_frames(again.files[0])[1:]
    assert again.info["extra_generation_params"]["AnimateDiff"] == first.info["extra_generation_params"]["AnimateDiff"]


def test_a_field_of_the_request_goes_before_the_infotext(client):
    text = client.run({"format": ["GIF"]}, steps=1).info["infotexts"][0]
    body = {"infotext": text, "alwayson_scripts": {"animatediff": {"args": [False]}}}
    reply = client.post("txt2img", body)
    assert reply.kinds == ["PNG"]
    assert np.array_equal(reply.pictures, client.plain(steps=1))


def test_frames_in_the_webui_s_own_place(client):
    client.post("options", {"animatediff_save_to_custom": False})
    before = client.written()
    reply = client.run({"format": ["GIF", "PNG"]}, steps=1, save_images=True)
    new = [Path(path) for path in client.written() - before]
    own = client.pocket["data"] / "outputs" / "txt2img-images" / datetime.date.today().isoformat()
    assert sorted(path.suffix for path in new) == [".gif"] + [".png"] * 8
    assert {path.parent for path in new if path.suffix == ".png"} == {own}
    assert set(reply.paths[0]) == {"GIF"}


def test_the_host_saves_nothing_besides_by_default(client):
    before = client.written()
    client.run({"format": ["GIF", "PNG"]}, steps=1, save_images=True, n_iter=2)
    new = [Path(path) for path in client.written() - before]
    assert all(path.is_relative_to(folder_of_today(client)) for path in new)
    assert sorted(path.suffix for path in new) == [".gif"] * 2 + [".png"] * 16


def test_hires_fix_doubles_every_frame(client):
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    reply = client.run({"format": ["MP4", "Frame"]}, **hires, hr_second_pass_steps=2)
    assert reply.pictures.shape == (8, 128, 128, 3)
    assert mp4_frames(reply.paths[0]["MP4"]) == (8, 8.0, (128, 128))
    assert len(np.unique(reply.pictures.reshape(8, -1), axis=0)) == 8
    assert "Hires upscale: 2" in reply.info["infotexts"][0]
    small = client.frames()
    shrunk = reply.pictures.reshape(8, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    likeness = [[np.abs(shrunk[i] - small[j]).mean() for j in range(8)] for i in range(8)]
    assert np.mean(np.diag(likeness)) < np.mean(likeness), "each frame is an enlargement of its own small one"


def test_the_same_request_twice_is_the_same_video(client):
    assert far(client.frames(sampler_name="Euler a"), client.frames(sampler_name="Euler a")) == 0


def test_the_host_lists_the_extension(client):
    listed = client.get("scripts")
    assert "animatediff" in listed["txt2img"] and "animatediff" in listed["img2img"]
    (info,) = [
        script for script in client.get("script-info") if script["name"] == "animatediff" and not script["is_img2img"]
    ]
    assert info["is_alwayson"] and info["args"][0]["value"] is False
    labels = [arg["label"] for arg in info["args"]]
    assert {"Motion module", "Number of frames", "FPS", "Save format"} <= set(labels)
    model = info["args"][labels.index("Motion module")]
    assert model["choices"] == ["mm_tiny_v1.safetensors", V2, "mm_tiny_v3.safetensors"]


@pytest.mark.parametrize("name", ["AnimateDiff", "animatediff", "ANIMATEDIFF"])
def test_the_script_s_name_in_any_case(client, name):
    fields = {"enable": True, "video_length": 2, "format": "GIF"}
    reply = client.post("txt2img", {**SMALL, "steps": 1, "alwayson_scripts": {name: {"args": [fields]}}})
    assert reply.kinds == ["GIF"]


def test_the_panel_s_values_in_order_do_the_same(client):
    """Some clients send what script-info lists, one value for each field."""
    (info,) = [
        script for script in client.get("script-info") if script["name"] == "animatediff" and not script["is_img2img"]
    ]
    said = {"AnimateDiff": True, "Number of frames": 4, "Save format": ["PNG"], "Motion module": V2}
    args = [said.get(arg["label"], arg["value"]) for arg in info["args"]]
    assert set(said) <= {arg["label"] for arg in info["args"]}
    reply = client.post("txt2img", {**SMALL, "alwayson_scripts": {"AnimateDiff": {"args": args}}})
    assert reply.status == 200, reply.body
    assert np.array_equal(reply.pictures, client.frames({"video_length": 4, "batch_size": 16, "model": V2}))


def test_two_clients_at_once_get_each_their_own(client):
    alone = [client.frames({"model": V2}), client.plain(seed=8), client.frames({"effect": 0.5})]
    jobs = [lambda c: c.frames({"model": V2}), lambda c: c.plain(seed=8), lambda c: c.frames({"effect": 0.5})]
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(lambda job: job(Client(client.pocket)), jobs))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_pictures_that_are_not_wanted_are_saved_all_the_same(client):
    reply = client.run({"format": ["GIF", "PNG"]}, steps=1, send_images=False)
    assert reply.body["images"] == []
    assert Path(reply.paths[0]["GIF"]).is_file() and len(list(Path(reply.paths[0]["PNG"]).iterdir())) == 8


def test_the_place_of_the_frames_may_come_with_the_request(client):
    before = client.written()
    settings = {"animatediff_save_to_custom": False}
    client.run({"format": ["GIF", "PNG"]}, steps=1, save_images=True, override_settings=settings)
    new = [Path(path) for path in client.written() - before]
    assert sorted(path.suffix for path in new) == [".gif"] + [".png"] * 8
