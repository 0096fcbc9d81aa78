"""The cells of a colour cube, compared with a plain count of all cells of the same cube."""

import numpy as np
import pytest

from motion_module.media.writing.cells import joined, occupied_cells

PIXELS = 70_000  # more than are worked through together


def random_pixels(levels):
    """Pixels of random colours whose channels have so many levels next to each other."""
    rng = np.random.default_rng(levels)
    return rng.integers(128 - levels // 2, 128 + levels // 2, (3, PIXELS)).astype(np.uint8)


def expected(planes, bits):
    """Mean colours of the occupied cells, in the order of a cell's place in the cube, and the pixels in each."""
    numbers = (planes >> (8 - bits)).astype(int).T @ (1 << np.array([2 * bits, bits, 0]))
    cells, counts = np.unique(numbers, return_counts=True)
    means = [np.bincount(numbers, plane)[cells] / counts for plane in planes]
    return np.stack(means, axis=1), counts


def in_order(cells):
    return np.lexsort((cells.colours.astype(np.uint8) >> (8 - cells.bits)).T[::-1])


@pytest.mark.parametrize(("levels", "bits"), [(20, 7), (60, 6), (90, 5), (250, 5)])
def test_as_fine_as_the_number_of_colours_allows(levels, bits):
    planes = random_pixels(levels)
    cells = occupied_cells(planes)
    assert cells.bits == bits
    colours, counts = expected(planes, bits)
    order = in_order(cells)
    assert np.allclose(cells.colours[order], colours, atol=1e-4)
    assert (cells.counts[order] == counts).all()
    assert (cells.colours[cells.of_pixel].T.astype(np.uint8) >> (8 - bits) == planes >> (8 - bits)).all()


@pytest.mark.parametrize("levels", [20, 60, 90])
def test_pixels_that_do_not_count_change_nothing(levels):
    planes = random_pixels(levels)
    counting = np.random.default_rng(1).random(PIXELS) < 0.5
    planes[:, ~counting] = np.random.default_rng(2).integers(0, 256, (3, np.count_nonzero(~counting)))
    cells, alone = occupied_cells(planes, counting), occupied_cells(planes[:, counting])
    assert (cells.colours == alone.colours).all()
    assert (cells.counts == alone.counts).all()
    assert (cells.of_pixel[counting] == alone.of_pixel).all()
    assert (cells.of_pixel[~counting] == len(cells.colours)).all()


def test_joined_cells_keep_pixels_and_their_mean():
    cells = occupied_cells(random_pixels(90))
    fewer = joined(cells)
    assert len(fewer.colours) < len(cells.colours)
    assert fewer.counts.sum() == cells.counts.sum() == PIXELS
    means = [np.average(each.colours, axis=0, weights=each.counts) for each in (cells, fewer)]
    assert np.allclose(*means, atol=0.01)
