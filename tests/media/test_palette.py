import numpy as np
import pytest
from PIL import Image

from motion_module.media.writing.palette import COLOURS, PaletteTracker, dithered, exact_indices, exact_table


def picture(seed, colours=None, size=(96, 64)):
    """Smooth waves of colour with a little noise, or noise of few colours."""
    rng = np.random.default_rng(int(seed * 10))
    if colours:
        return Image.fromarray(rng.integers(0, 256, (colours, 3), np.uint8)[rng.integers(0, colours, size[::-1])])
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / 64
    waves = np.stack([np.sin(3 * x + seed), np.sin(4 * y - seed), np.cos(2 * x * y)], -1) / 2 + 0.5
    return Image.fromarray((np.clip(waves + rng.normal(0, 0.02, waves.shape), 0, 1) * 255).astype(np.uint8))


def planes(image):
    return np.asarray(image).reshape(-1, 3).T


def quantized(tracker, image):
    places = tracker.follow(planes(image))
    assert places.max() < COLOURS  # the last place stands for no colour
    return Image.fromarray(tracker.table[places].reshape(*image.size[::-1], 3))


def error(image, quantized):
    return float(np.square(np.asarray(image, float) - np.asarray(quantized.convert("RGB"), float)).mean())


def test_few_colours_are_nearly_exact():
    image = picture(1, colours=40)
    assert error(image, quantized(PaletteTracker(), image)) < 3  # half a cell of 4 levels


@pytest.mark.parametrize("colours", [1, 2, 40, 255, 256])
def test_tables_of_few_colours_are_exact(colours):
    image = picture(1, colours=colours, size=(97, 64))
    table = exact_table(planes(image), colours)
    assert table.shape == (256, 3)
    assert (planes(image) == table[exact_indices(planes(image), table)].T).all()
    assert exact_table(planes(image), colours - 1) is None


def test_better_than_pillows_default_along_a_clip():
    tracker = PaletteTracker()
    for step in range(8):
        image = picture(step / 10)
        assert error(image, quantized(tracker, image)) < error(image, image.quantize())


def test_a_cut_is_followed():
    tracker = PaletteTracker()
    for step in range(3):
        quantized(tracker, picture(step))
    after = picture(9, colours=200)
    quantized(tracker, after)
    assert error(after, quantized(tracker, after)) < 3 * error(after, quantized(PaletteTracker(steps=4), after)) + 3


def test_a_still_picture_stays_still():
    tracker = PaletteTracker()
    image = picture(1)
    shown = [np.asarray(quantized(tracker, image), int) for _ in range(12)]
    assert np.abs(shown[-1] - shown[-2]).mean() < 0.5


def test_no_colour_is_far_off():
    """A few pixels of a colour that nothing else has get an entry of their own, from one that others can replace."""
    pixels = np.asarray(picture(1)).copy()
    pixels[10:12, 10:12] = (255, 0, 255)
    tracker = PaletteTracker()
    shown = np.asarray(quantized(tracker, Image.fromarray(pixels)), int)
    assert np.abs(shown[10:12, 10:12] - (255, 0, 255)).max() <= 4


def test_only_what_counts_moves_a_palette():
    """A place that no colour has stands for the other pixels."""
    whole, alone = PaletteTracker(), PaletteTracker()
    counting = np.random.default_rng(0).random(96 * 64) < 0.7
    for step in range(3):
        pixels = planes(picture(step / 10)).copy()
        pixels[:, ~counting] = planes(picture(9, colours=200))[:, ~counting]
        places = whole.follow(pixels, counting)
        assert (places[counting] == alone.follow(pixels[:, counting])).all()
        assert (places[~counting] == COLOURS).all()
    assert (whole.table == alone.table).all()


def test_a_palette_needs_pixels():
    with pytest.raises(ValueError, match="no pixels"):
        PaletteTracker().table  # noqa: B018


def test_dithering_keeps_local_averages():
    """A grey ramp too fine for its palette bands without dithering."""
    ramp = np.tile(np.linspace(100, 140, 512), (64, 1))
    image = np.stack([ramp, ramp, 255 - ramp], -1).astype(np.uint8)
    few = np.repeat(np.array([[100, 100, 155], [120, 120, 135], [140, 140, 115]], np.uint8), 86, 0)[:256]
    places = dithered(Image.fromarray(image), few)
    assert places.max() < COLOURS
    shown = few[places].reshape(64, 512, 3).astype(float)
    blocks = shown[:, :, 0].reshape(8, 8, 64, 8).mean((1, 3))
    wanted = ramp.reshape(8, 8, 64, 8).mean((1, 3))
    assert np.abs(blocks - wanted).mean() < 2
