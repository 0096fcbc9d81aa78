"""The runs of an X/Y/Z plot: values as they are typed, a run for each cell, and the grids of these."""

import copy
import csv
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import product
from typing import Any

from PIL import Image

from modules import errors, images, processing, shared
from modules.processing import Processed
from modules.shared import state

TITLE = "X/Y/Z plot"
NUMBER = r"[+-]?\d+(?:\.\d*)?"
RANGE = re.compile(rf"\s*({NUMBER})\s*-\s*({NUMBER})\s*(?:\(\s*({NUMBER})\s*\)|\[\s*(\d+)\s*\])?\s*")
"""8-16, 8-16 (+4): every fourth; 8-16 [3]: three of them."""


def words_of(text: str) -> list[str]:
    """The values in a line of comma-separated ones; those in quotes may have commas."""
    return [word.strip() for line in csv.reader(StringIO(text), skipinitialspace=True) for word in line]


def line_of(words: Sequence[str]) -> str:
    """The values in one line, as `words_of` reads them."""
    line = StringIO()
    csv.writer(line).writerow(words)
    return line.getvalue().strip()


def _numbers(word: str, kind: type) -> Iterator[Any]:
    """What a range stands for; any other text as it is."""
    found = RANGE.fullmatch(word)
    if found is None:
        if word:
            yield word
        return
    start, end, step = float(found[1]), float(found[2]), float(found[3] or 1)
    count = int(found[4]) if found[4] else math.floor((end - start) / step + 1e-9) + 1
    width = (end - start) / max(count - 1, 1) if found[4] else step
    yield from (kind(start + place * width) for place in range(count))


@dataclass
class Axis:
    """One of the three: its option, the values, and these as they were typed."""

    option: Any
    values: list[Any]
    typed: str

    @classmethod
    def read(cls, p: Any, option: Any, typed: str, chosen: list[str] | None, as_text: bool) -> "Axis":
        """The axis as it is chosen on the page; whatever its option's type and check raise goes on."""
        if option.label == "Nothing":
            return cls(option, [0], "")
        if option.choices is not None and not as_text:
            words, typed = list(chosen or []), line_of(chosen or [])
        else:
            words = words_of(typed) if option.prepare is None else option.prepare(typed)
        for kind in (int, float):
            if option.type == kind:
                words = [number for word in words for number in _numbers(word, kind)]
                break
        values = [option.type(word) for word in words]
        if not values:
            raise ValueError(f"X/Y/Z plot: {option.label} has no values")
        if option.confirm is not None:
            option.confirm(p, values)
        return cls(option, values, typed)

    def fix_seeds(self) -> None:
        """A seed of -1 becomes a random one, the same in all cells."""
        if self.option.label == "Seed":
            self.values = [random.randrange(2**32 - 2) if value == -1 else value for value in self.values]

    def legend(self, p: Any) -> list[Any]:
        """A text for each value, as the grid's drawing takes them."""
        return [[images.GridAnnotation(self.option.format_value(p, self.option, value))] for value in self.values]


@dataclass
class Plot:
    """The runs of one plot; cells are numbered with x going first, then y, then z."""

    p: Any
    axes: list[Axis]
    vary_seeds: Sequence[bool]

    @property
    def counts(self) -> list[int]:
        """How many values x, y and z have."""
        return [len(axis.values) for axis in self.axes]

    def run(self) -> tuple[Processed, list[Any], list[str]]:
        """Makes all cells, those that share what takes long to change one after another.

        Returns:
            The first result, a result for each cell (None: it failed or was not made), and the infotexts of one grid
            for each z, and before these the whole one's.
        """
        total = math.prod(self.counts)
        state.job_count = total * self.p.n_iter
        shared.total_tqdm.updateTotal(self._steps())
        results: list[Any] = [None] * total
        infotexts = [""] * (1 + self.counts[2])
        order = sorted((2, 1, 0), key=lambda place: -self.axes[place].option.cost)
        for places in product(*(range(self.counts[place]) for place in order)):
            if state.interrupted or state.stopping_generation:
                break
            at = [places[order.index(axis)] for axis in range(3)]
            number = at[0] + self.counts[0] * (at[1] + self.counts[1] * at[2])
            state.job = f"{number + 1} out of {total}"
            cell, results[number] = self._cell(at)
            if results[number] is not None and at[:2] == [0, 0]:
                infotexts[1 + at[2]] = self._infotext(cell, "XY")
                infotexts[0] = infotexts[0] or self._infotext(cell, "XYZ")
        first = next((result for result in results if result is not None), Processed(self.p, [], self.p.seed, ""))
        return first, results, infotexts

    def _steps(self) -> int:
        values = next((axis.values for axis in self.axes if axis.option.label == "Steps"), None)
        cells = math.prod(self.counts)
        return self.p.n_iter * (self.p.steps * cells if values is None else sum(values) * cells // len(values))

    def _cell(self, at: list[int]) -> tuple[Any, Any]:
        """A copy of `p` with its values, and what it makes; what it raises is printed, and the next one goes on."""
        cell = copy.copy(self.p)
        cell.styles = list(cell.styles or [])
        for axis, place in zip(self.axes, at, strict=True):
            axis.option.apply(cell, axis.values[place], axis.values)
        width = 1
        for place, count, vary in zip(at, self.counts, self.vary_seeds, strict=True):
            if vary:
                cell.seed += place * width
                width *= count
        with errors.swallowed("Error generating a picture of X/Y/Z plot"):
            result = processing.process_images(cell)
            return cell, result if result.images else None
        return cell, None

    def _infotext(self, cell: Any, names: str) -> str:
        cell.extra_generation_params = {**cell.extra_generation_params, "Script": TITLE}
        for name, axis in zip(names, self.axes, strict=False):
            if axis.option.label != "Nothing":
                cell.extra_generation_params |= {f"{name} Type": axis.option.label, f"{name} Values": axis.typed}
        return processing.create_infotext(cell, cell.all_prompts, cell.all_seeds, cell.all_subseeds)


@dataclass
class Grids:
    """How a plot is shown."""

    legend: bool
    margin: int
    cells: bool
    subgrids: bool

    def draw(self, plot: Plot, first: Processed, results: list[Any], infotexts: list[str]) -> Processed:
        """The plot's one result: the whole grid, then a grid for each z and the cells, where these are wanted."""
        columns, rows, depth = plot.counts
        blank = Image.new("RGB", first.images[0].size if first.images else (first.width, first.height))
        cells = [blank if result is None else result.images[0] for result in results]
        named = [first if result is None else result for result in results]
        legends = [axis.legend(plot.p) for axis in plot.axes]
        area = columns * rows
        planes = [
            self._drawn(cells[start : start + area], rows, legends[:2], self.margin)
            for start in range(0, area * depth, area)
        ]
        whole = self._drawn(planes, 1, [legends[2], [[images.GridAnnotation()]]], 0)
        shown = copy.copy(first)
        shown.index_of_first_image = 1
        subgrids = planes if self.subgrids else []
        lone = list(range(len(cells))) if self.cells else []
        shown.images = [whole, *subgrids, *(cells[place] for place in lone)]
        shown.infotexts = [
            infotexts[0],
            *infotexts[1 : 1 + len(subgrids)],
            *(infotexts[0] if results[place] is None else results[place].infotexts[0] for place in lone),
        ]
        behind = [*(named[place * area] for place in range(len(subgrids))), *(named[place] for place in lone)]
        shown.all_prompts = [result.prompt for result in behind or [first]]
        shown.all_seeds = [result.seed for result in behind or [first]]
        shown.info = infotexts[0]
        return shown

    def _drawn(self, pictures: list[Any], rows: int, legends: list[Any], margin: int) -> Image.Image:
        grid = images.image_grid(pictures, rows=rows)
        width, height = (max(picture.size[side] for picture in pictures) for side in (0, 1))
        return images.draw_grid_annotations(grid, width, height, *legends, margin) if self.legend else grid
