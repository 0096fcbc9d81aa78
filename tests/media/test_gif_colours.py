"""The colours of a GIF, read back by independent decoders: right, exact where they can be, and steady."""

import subprocess
import tracemalloc

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence
from smooth_clips import CLIPS, Flicker, flicker, gradient, shapes

from motion_module.media.reading.reader import extract
from motion_module.media.reading.timing import Selection
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.palette import PaletteTracker
from motion_module.media.writing.steady import SteadyPainter
from motion_module.settings import Settings

FRAMES, SIZE = 12, 128
BEST = Settings({"optimize_gif_palette": True})


def pixels_of(frames):
    return [np.asarray(frame) for frame in frames]


@pytest.fixture
def shown(save):
    """What a viewer sees of a GIF of these frames."""

    def read(frames, options=None):
        report = save(Clip(frames, ClipInfo()), ["GIF"], options)
        assert report.failures == {}
        with Image.open(report.files["GIF"][0]) as image:
            found = pixels_of(frame.convert("RGB") for frame in ImageSequence.Iterator(image))
        assert len(found) == len(frames)
        return found

    return read


def psnr(frames, found):
    errors = [max(np.square(one.astype(float) - other).mean(), 1e-9) for one, other in zip(frames, found, strict=True)]
    return float(np.mean(10 * np.log10(255**2 / np.array(errors))))


# What may be: (largest, mean) of the flicker, and the least PSNR, of the default and of the best-looking palette. A GIF
# with colours of its own for each frame has 35 and 4.1 (best-looking: 126 and 10.5), and the PSNR given here.
BOUNDS = {
    "slow gradient": (20, 0.7, 35.0, 34, 2.2, 33.2),
    "moving gradient": (23, 2.5, 35.0, 36, 7.6, 33.3),
    "gradient, noise of 1": (23, 0.7, 35.0, 35, 2.4, 33.3),
    "waves": (28, 2.2, 36.2, 38, 4.5, 34.0),
    "waves, noise of 1": (26, 1.3, 36.1, 36, 3.0, 34.0),
    "flat shapes, still ground": (0, 0, 41.4, 0, 0, 39.5),
    "flat shapes, slow ground": (15, 0.8, 41.2, 18, 1.2, 39.4),
    "confetti on a gradient": (33, 0.7, 33.5, 38, 2.3, 31.6),
    "pulsing spots": (35, 1.5, 30.8, 64, 5.5, 28.7),
    "slow fade": (20, 2.0, 36.4, 36, 5.2, 34.5),
    "fade to black": (0, 0, 39.6, 0, 0, 37.6),  # faster than what counts as steady
}


@pytest.mark.parametrize("best", [False, True], ids=["default", "best-looking"])
@pytest.mark.parametrize("name", CLIPS)
def test_smooth_pictures_do_not_flicker(shown, name, best):
    frames = CLIPS[name](FRAMES, SIZE)
    pixels, found = pixels_of(frames), shown(frames, BEST if best else None)
    largest, mean, least = BOUNDS[name][3:] if best else BOUNDS[name][:3]
    seen = flicker(pixels, found)
    assert seen.largest <= largest
    assert seen.mean <= mean
    assert psnr(pixels, found) >= least
    assert flicker(pixels, found, steady=0) == Flicker(0, 0, 0)  # what does not change at all is not touched


@pytest.mark.parametrize("name", ["slow gradient", "waves", "confetti on a gradient", "pulsing spots"])
def test_steadier_than_pillow(shown, name):
    frames = CLIPS[name](FRAMES, SIZE)
    pixels = pixels_of(frames)
    plain = pixels_of(frame.quantize().convert("RGB") for frame in frames)
    assert flicker(pixels, shown(frames)).largest < flicker(pixels, plain).largest
    assert psnr(pixels, shown(frames)) > psnr(pixels, plain)


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best-looking"])
def test_equal_frames_stay_equal(shown, options):
    """A still picture, a move, and the still picture again."""
    one, *others = gradient(4, SIZE, speed=9)
    found = shown([one, one, one, *others, others[-1], others[-1]], options)
    assert all((frame == found[0]).all() for frame in found[:3])
    assert all((frame == found[-1]).all() for frame in found[-3:])
    assert (found[2] != found[3]).any()


def coloured(colours, count, size=(48, 33)):
    """Frames of random pixels, all of them from so many colours."""
    rng = np.random.default_rng(colours)
    table = rng.permutation(256**3)[:colours]
    table = np.stack([table >> 16, table >> 8 & 255, table & 255], axis=1).astype(np.uint8)
    return [table[rng.permutation(np.arange(size[0] * size[1]) % colours)].reshape(*size, 3) for _ in range(count)]


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best-looking"])
@pytest.mark.parametrize("colours", [1, 2, 7, 254, 255, 256])
def test_few_colours_are_exact(shown, colours, options):
    frames = coloured(colours, 4)
    found = shown([Image.fromarray(frame) for frame in frames], options)
    assert all((one == other).all() for one, other in zip(frames, found, strict=True))


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best-looking"])
def test_each_frame_with_few_colours_is_exact(shown, options):
    """Other colours in every frame: 256 of them each, after a cut all new."""
    frames = [frame for start in range(4) for frame in coloured(253 + start, 2)]
    found = shown([Image.fromarray(frame) for frame in frames], options)
    assert all((one == other).all() for one, other in zip(frames, found, strict=True))


def test_few_new_colours_are_exact_over_a_smooth_picture(shown):
    """Flat shapes keep their very colours, though the smooth ground around them takes more than 256."""
    frames = shapes(FRAMES, SIZE)
    for frame, found in zip(pixels_of(frames)[1:], shown(frames)[1:], strict=True):
        yellow = (frame == (250, 230, 30)).all(axis=-1)
        assert yellow.any()
        assert (found[yellow] == (250, 230, 30)).mean() > 0.95  # those of the first frame keep what they got there


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best-looking"])
@pytest.mark.parametrize("number", [0, 1, SIZE * SIZE - 1])
def test_a_single_pixel_that_changes_is_exact(shown, number, options):
    one = pixels_of(CLIPS["waves"](1, SIZE))[0]
    other = one.copy()
    other.reshape(-1, 3)[number] = 255 - one.reshape(-1, 3)[number]
    before, after = shown([Image.fromarray(one), Image.fromarray(other)], options)
    assert (after.reshape(-1, 3)[number] == other.reshape(-1, 3)[number]).all()
    assert np.count_nonzero((after != before).any(axis=-1)) == 1


@pytest.mark.parametrize("best", [False, True], ids=["default", "best-looking"])
@pytest.mark.parametrize("name", ["confetti on a gradient", "waves, noise of 1", "flat shapes, still ground"])
def test_blocks_leave_no_seam(monkeypatch, name, best):
    """A drawing does not depend on how many pixels are worked through together."""
    frames = CLIPS[name](4, SIZE)
    painters = [SteadyPainter(PaletteTracker(), dither=best) for _ in range(2)]
    for frame in frames:
        drawings = []
        for painter, size in zip(painters, (1000, 1 << 20), strict=True):
            monkeypatch.setattr("motion_module.media.writing.planes._BLOCK", size)
            drawings.append(painter.draw(frame))
        first, second = drawings
        assert (first.indices == second.indices).all()
        assert (first.table == second.table).all()
        assert first.keeps == second.keeps


def test_a_cut_is_followed_at_once(shown):
    """No pixel of the scene before shines through."""
    frames = [*CLIPS["waves"](3, SIZE), *CLIPS["slow gradient"](3, SIZE), *CLIPS["waves"](3, SIZE)]
    found = shown(frames)
    for frame, picture in zip(pixels_of(frames), found, strict=True):
        assert psnr([frame], [picture]) > 33
        assert np.abs(frame.astype(int) - picture).max() < 40


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best-looking"])
@pytest.mark.parametrize("size", [(64, 48), (63, 33), (1, 1), (5, 3)])
def test_decoders_agree_and_nothing_is_seen_through(save, shown, size, options):
    """ffmpeg and Pillow lay the frames over each other alike; no pixel is transparent to a viewer."""
    frames = [frame.resize(size) for frame in CLIPS["confetti on a gradient"](7, SIZE)]
    pillow = shown(frames, options)
    (path,) = save(Clip(frames, ClipInfo()), ["GIF"], options).files["GIF"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgba", "-"], capture_output=True, check=True)
    ffmpeg = np.frombuffer(done.stdout, np.uint8).reshape(len(frames), size[1], size[0], 4)
    assert (ffmpeg[..., 3] == 255).all()
    assert all((one == other).all() for one, other in zip(pillow, ffmpeg[..., :3], strict=True))
    with Image.open(path) as image:
        assert "transparency" not in image.info
        for frame in ImageSequence.Iterator(image):
            assert np.asarray(frame.convert("RGBA"))[..., 3].min() == 255


def test_our_own_reader_sees_what_viewers_see(save, shown, tmp_path):
    frames = CLIPS["confetti on a gradient"](5, SIZE)
    (path,) = save(Clip(frames, ClipInfo()), ["GIF"]).files["GIF"]
    folder = tmp_path / "read"
    folder.mkdir()
    extract(path, Selection(), folder)
    read = pixels_of(Image.open(file).convert("RGB") for file in sorted(folder.iterdir()))
    assert all((one == other).all() for one, other in zip(read, shown(frames), strict=True))


@pytest.mark.parametrize("options", [None, BEST], ids=["default", "best"])
def test_a_frame_that_changes_nothing_has_no_colours_of_its_own(save, options):
    """Once a table of 256 black ones, 768 bytes; other tables than the first one's belong to frames that are drawn."""
    moving, still = CLIPS["moving gradient"](3, SIZE), 40
    sizes = []
    for frames in (moving, moving + [moving[-1]] * still):
        path = save(Clip(frames, ClipInfo()), ["GIF"], options).files["GIF"][0]
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < still * 300


def test_backwards_is_as_good_as_forwards(shown):
    """A clip with its frames reversed behind it, as the panel's option makes it."""
    frames = CLIPS["waves"](8, SIZE)
    found = shown([*frames, *frames[::-1]])
    pixels = pixels_of(frames)
    assert (found[7] == found[8]).all()
    assert psnr(pixels[::-1], found[8:]) > psnr(pixels, found[:8]) - 0.1
    assert flicker([*pixels, *pixels[::-1]], found).largest <= BOUNDS["waves"][0]


@pytest.mark.parametrize("name", ["flat shapes, still ground", "pulsing spots"])
def test_memory_is_bounded_for_few_colours_and_many(name):
    """The histograms are the largest thing; a frame of 512x512 is 786 kB."""
    size = 512
    first, second = CLIPS[name](2, size)
    painter = SteadyPainter(PaletteTracker())
    tracemalloc.start()
    try:
        for _ in range(2):
            painter.draw(first)
            painter.draw(second)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 60 * size * size * 3
