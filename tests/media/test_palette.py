import io

import numpy as np
import pytest
from PIL import Image

from motion_module.media.palette import PaletteTracker


def picture(seed, colours=None, size=(96, 64)):
    """Smooth waves of colour with a little noise, or noise of few colours."""
    rng = np.random.default_rng(int(seed * 10))
    if colours:
        return Image.fromarray(rng.integers(0, 256, (colours, 3), np.uint8)[rng.integers(0, colours, size[::-1])])
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / 64
    waves = np.stack([np.sin(3 * x + seed), np.sin(4 * y - seed), np.cos(2 * x * y)], -1) / 2 + 0.5
    return Image.fromarray((np.clip(waves + rng.normal(0, 0.02, waves.shape), 0, 1) * 255).astype(np.uint8))


def error(image, quantized):
    return float(np.square(np.asarray(image, float) - np.asarray(quantized.convert("RGB"), float)).mean())


def test_few_colours_are_nearly_exact():
    image = picture(1, colours=40)
    assert error(image, PaletteTracker().quantize(image)) < 3  # half a cell of 4 levels


def test_better_than_pillows_default_along_a_clip():
    tracker = PaletteTracker()
    for step in range(8):
        image = picture(step / 10)
        assert error(image, tracker.quantize(image)) < error(image, image.quantize())


def test_a_cut_is_followed():
    tracker = PaletteTracker()
    for step in range(3):
        tracker.quantize(picture(step))
    after = picture(9, colours=200)
    tracker.quantize(after)
    assert error(after, tracker.quantize(after)) < 3 * error(after, PaletteTracker(steps=4).quantize(after)) + 3


def test_a_still_picture_stays_still():
    tracker = PaletteTracker()
    image = picture(1)
    shown = [np.asarray(tracker.quantize(image).convert("RGB"), int) for _ in range(12)]
    assert np.abs(shown[-1] - shown[-2]).mean() < 0.5


def test_dithering_keeps_local_averages():
    """A grey ramp too fine for its palette bands without dithering."""
    ramp = np.tile(np.linspace(100, 140, 512), (64, 1))
    image = Image.fromarray(np.stack([ramp, ramp, 255 - ramp], -1).astype(np.uint8))
    few = PaletteTracker(dither=True)
    few._palette = np.repeat(np.array([[100, 100, 155], [120, 120, 135], [140, 140, 115]], np.float32), 86, 0)[:256]
    few._steps = 0
    shown = np.asarray(few.quantize(image).convert("RGB"), float)
    blocks = shown[:, :, 0].reshape(8, 8, 64, 8).mean((1, 3))
    wanted = ramp.reshape(8, 8, 64, 8).mean((1, 3))
    assert np.abs(blocks - wanted).mean() < 2


@pytest.mark.parametrize("image", [Image.new("RGB", (1, 1)), Image.new("RGB", (5, 3), (9, 9, 9)), picture(0)])
def test_quantized_pictures_have_no_transparency(image):
    quantized = PaletteTracker().quantize(image)
    assert quantized.mode == "P"
    assert quantized.size == image.size
    assert "transparency" not in quantized.info
    quantized.save(io.BytesIO(), "GIF")
