"""A table: every kind of picture file, in every place where a request may name some."""

import base64
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from control_videos import batch, request, unit
from http_client import SMALL, Client, png_base64, set_folder
from picture_kinds import KINDS, SIDE, UNKNOWN, folder_of_kinds
from PIL import Image
from test_i2i_batch import batch as tab_batch

from motion_module.errors import ParamError, UserError
from motion_module.params import VideoParams
from motion_module.webui.request import masks as masks_of_request
from motion_module.webui.request import video_source
from motion_module.webui.request.given_pictures import read_picture

SHORT = {"video_length": 0, "batch_size": 16, "format": ["Frame"]}


@pytest.fixture
def client(pocket, tmp_path):
    client = Client(pocket)
    set_folder("animatediff_frame_extract_path", str(tmp_path / "extracted"))
    return client


@pytest.fixture
def kinds(tmp_path):
    return tmp_path / "kinds", folder_of_kinds(tmp_path / "kinds")


def seen(client, units, video=SHORT, path="txt2img", **fields):
    """What ControlNet's first unit looks at, in every frame: (N, 64, 64, 3)."""
    reply = client.post(path, request(units, video, **fields))
    assert reply.status == 200, reply.body
    return reply.pictures[len(reply.pictures) // 2 :].astype(int)


def check(maps, kinds):
    assert len(maps) == len(kinds)
    names = list(KINDS)
    wrong = {
        names[place]: (shown[0, 0].tolist(), kind.pixels()[0, 0].tolist())
        for place, (shown, kind) in enumerate(zip(maps, kinds, strict=True))
        if np.abs(shown - kind.pixels()).max() > kind.near
    }
    assert wrong == {}


def left(folder):
    """What lies in a folder for frames."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_video_path(client, kinds, tmp_path):
    folder, expected = kinds
    check(seen(client, [unit()], {**SHORT, "video_path": str(folder)}), expected)
    assert left(tmp_path / "extracted") == []


def test_a_units_folder(client, kinds, tmp_path):
    folder, expected = kinds
    check(seen(client, [batch(folder)]), expected)
    assert left(tmp_path / "extracted") == []


def test_the_colour_behind_is_the_hosts(client, tmp_path):
    for place in range(2):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "in" / f"{place}.png")
    blue = {"override_settings": {"img2img_background_color": "#0000ff"}}
    for asked in ([batch(tmp_path / "in")], SHORT), ([unit()], {**SHORT, "video_path": str(tmp_path / "in")}):
        assert (seen(client, *asked, **blue) == (0, 0, 255)).all()


def test_plain_files_are_handed_over_as_they_are(client, tmp_path, monkeypatch):
    """Copies are made only where they are needed."""
    from motion_module.webui.controlnet.units import Unit

    given = []
    monkeypatch.setattr(Unit, "give", lambda self, source, *args: given.extend(source.files))
    folder = tmp_path / "in"
    folder.mkdir()
    for place, mode in enumerate(("RGB", "L", "P")):
        Image.new(mode, (64, 64)).save(folder / f"{place}.png")
    client.post("txt2img", request([batch(folder)], SHORT))
    assert given[:2] == [folder / "0.png", folder / "1.png"] and given[2].parent != folder


def test_masks_of_a_units_folder(client, kinds, tmp_path):
    """The real ControlNet takes the first channel of what Pillow reads of a mask's file."""
    from motion_module.webui.controlnet.units import Unit

    folder, expected = kinds
    given = []
    give = Unit.give

    def watched(self, *args):
        give(self, *args)
        lines = self.settings.batch_images.splitlines()
        masks = next(line.removeprefix("mask:") for line in lines if line.startswith("mask:"))
        given.extend(np.asarray(Image.open(path)) for path in sorted(Path(masks).iterdir()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unit, "give", watched)
        seen(client, [batch(folder, f"mask:{folder}")])
    assert len(given) == len(expected)
    for mask, kind in zip(given, expected, strict=True):
        assert mask.ndim == 2 and np.abs(mask.astype(int) - kind.grey()).max() <= kind.near


def test_inpaint_masks(pocket, kinds):
    folder, expected = kinds
    masks = masks_of_request.read_masks(
        video_source.VideoIn("mask_path", masks=tuple(sorted(folder.iterdir()))), len(expected)
    )
    for name, mask, kind in zip(KINDS, masks, expected, strict=True):
        assert mask.mode == "L" and np.abs(np.asarray(mask).astype(int) - kind.grey()).max() <= kind.near, name


def test_a_16_bit_mask_in_a_run(client, tmp_path):
    values = np.full((64, 64), 65535, np.uint16)
    values[:, :32] = 2000  # 3 %
    Image.fromarray(values).save(tmp_path / "1.png")
    body = {
        **SMALL,
        "init_images": [png_base64(np.full((64, 64, 3), 120))],
        "denoising_strength": 1.0,
        "inpainting_fill": 1,
        "mask_blur": 0,
        "inpaint_full_res": False,
        "alwayson_scripts": {
            "AnimateDiff": {
                "args": [{"enable": True, "video_length": 2, "format": ["Frame"], "mask_path": str(tmp_path)}]
            }
        },
    }
    for frame in client.post("img2img", body).pictures.astype(int):
        assert np.abs(frame[:, :24] - 120).max() <= 12 and np.abs(frame[:, 40:] - 120).mean() > 20


def test_last_frame(pocket, kinds):
    folder, expected = kinds
    for file, kind in zip(sorted(folder.iterdir()), expected, strict=True):
        for value in (base64.b64encode(file.read_bytes()).decode(), Image.open(file)):
            shown = np.asarray(read_picture(value)).astype(int)
            assert np.abs(shown - kind.pixels()).max() <= kind.near, file


def test_the_batch_tab(pocket, kinds, monkeypatch):
    """Pictures and masks of its folders, as `p` gets them."""
    from modules import processing

    folder, expected = kinds
    got = SimpleNamespace(pictures=[], masks=[])

    def stop(p):
        got.pictures, got.masks = list(p.init_images), list(p.animatediff_batch.masks)

    monkeypatch.setattr(processing, "process_images", stop)
    tab_batch(folder, masks=folder)
    for name, picture, mask, kind in zip(KINDS, got.pictures, got.masks, expected, strict=True):
        assert (picture.mode, mask.mode) == ("RGB", "L"), name
        assert np.abs(np.asarray(picture).astype(int) - kind.pixels()).max() <= kind.near, name
        assert np.abs(np.asarray(mask).astype(int) - kind.grey()).max() <= kind.near, name


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_meant_is_refused_by_name_in_every_place(client, tmp_path, name):
    save, says = UNKNOWN[name]
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "odd.tif")
    init = {"path": "img2img", "init_images": [png_base64(np.full((64, 64, 3), 120))]}
    places = [
        ([unit()], {"video_path": str(folder)}, {}),
        ([batch(folder)], {}, {}),
        ([], {"mask_path": str(folder)}, init),
    ]
    for units, fields, others in places:
        asked = {**SHORT, "video_length": 1, **fields}
        others = dict(others)
        reply = client.post(others.pop("path", "txt2img"), request(units, asked, **others))
        assert reply.status == 422, (fields, reply.body)
        assert "odd.tif" in reply.sentence and says in reply.sentence
    with pytest.raises(UserError, match=r"odd\.tif") as caught:
        tab_batch(folder)
    assert says in str(caught.value)
    if "pages" not in name:  # of several pictures the first one counts, as in the host's img2img
        with pytest.raises(ParamError, match="last_frame") as caught:
            read_picture(base64.b64encode((folder / "odd.tif").read_bytes()).decode())
        assert says in str(caught.value)
    assert left(tmp_path / "extracted") == []


def test_duplicates_are_found_in_pictures_of_any_kind(pocket, tmp_path):
    """Two 16-bit pictures that both are white once their values are cut at 255."""
    for place, value in enumerate((20000, 40000, 40000)):
        Image.fromarray(np.full((SIDE, SIDE), value, np.uint16)).save(tmp_path / f"{place}.png")
    asked = VideoParams.from_json({"enable": True, "video_path": str(tmp_path), "drop_duplicates": True})
    with video_source.opened(asked) as found:
        assert len(found.files) == 2


def test_many_pictures_need_no_more_memory_than_one(client, tmp_path):
    """They are copied one after the other, to files that go with the run."""
    for place in range(40):
        Image.new("P", (256, 256), place).save(tmp_path / f"{place}.png")
    asked = VideoParams.from_json({"enable": True, "video_path": str(tmp_path)})
    tracemalloc.start()
    with video_source.opened(asked) as found:
        peak = tracemalloc.get_traced_memory()[1]
        assert len(found.files) == 40
    tracemalloc.stop()
    assert peak < 40 * 256 * 256 * 3 / 4
