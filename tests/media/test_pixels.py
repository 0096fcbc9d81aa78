"""Pictures of every kind become 8-bit RGB, or masks, with the values that their files mean."""

import numpy as np
import pytest
from picture_kinds import KINDS, SIDE, UNKNOWN, lying
from PIL import Image, TiffImagePlugin

from motion_module.media.errors import ReaderError
from motion_module.media.reading.pixels import as_mask, as_rgb, is_plain, read_mask, read_rgb

each = pytest.mark.parametrize("name", KINDS)
PLAIN = {"8-bit RGB", "8-bit grey", "16-bit RGB PNG", "TIFF that is turned"}  # which Pillow reads as they are meant


@pytest.fixture
def saved(tmp_path):
    def save(name):
        path = tmp_path / f"x{KINDS[name].suffix}"
        KINDS[name].save(path)
        return path

    return save


@each
def test_as_rgb(saved, name):
    picture = read_rgb(saved(name))
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int) - KINDS[name].pixels()).max() <= KINDS[name].near


@each
def test_as_a_mask(saved, name):
    mask = read_mask(saved(name))
    assert mask.mode == "L"
    assert np.abs(np.asarray(mask).astype(int) - KINDS[name].grey()).max() <= KINDS[name].near


@each
def test_whether_any_program_reads_it_alike(saved, name):
    assert is_plain(saved(name)) is (name in PLAIN)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path, name):
    save, says = UNKNOWN[name]
    save(tmp_path / "what.tif")
    for read in (read_rgb, read_mask, is_plain):
        with pytest.raises(ReaderError, match=says) as caught:
            read(tmp_path / "what.tif")
        assert "what.tif" in str(caught.value)


def test_every_value_of_16_bits_is_scaled():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Image.fromarray(values)
    right = np.rint(values / 257).astype(np.uint8)
    assert np.array_equal(np.asarray(as_rgb(picture))[..., 1], right)
    assert np.array_equal(np.asarray(as_mask(picture)), right)


@pytest.mark.parametrize("background", ["#ff0000", "red", "#f00"])
def test_transparency_is_laid_on_a_colour(background):
    picture = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert as_rgb(picture, background).getpixel((0, 0)) == (255, 0, 0)


def test_the_eight_orientations():
    """The host's own function is the oracle."""
    from PIL import ImageOps

    for number in range(1, 9):
        picture = lying()
        picture.paste((0, 255, 0), (0, 0, 5, 9))
        exif = picture.getexif()
        exif[0x0112] = number
        right = ImageOps.exif_transpose(picture)
        assert np.array_equal(np.asarray(as_rgb(picture)), np.asarray(right)), number


def test_a_broken_exif_leaves_the_picture_as_it_is(tmp_path):
    lying().save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_rgb(tmp_path / "x.jpg").size == (SIDE, SIDE)


def test_a_thumbnail_and_a_phones_second_picture_do_not_count(tmp_path):
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "x.tif", new=True) as file:
        lying().save(file, format="TIFF")
        file.newFrame()
        lying().resize((8, 8)).save(file, format="TIFF", tiffinfo={254: 1})
    with Image.open(tmp_path / "x.tif") as picture:
        assert picture.n_frames == 2
    lying().save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[lying()])
    for name in ("x.tif", "x.jpg"):
        assert read_rgb(tmp_path / name).size == (SIDE, SIDE), name
