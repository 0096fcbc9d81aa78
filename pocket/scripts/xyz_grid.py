"""X/Y/Z plot: a grid of runs that differ in up to three things. Other extensions add to `axis_options`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules import images, scripts, sd_models, sd_samplers, sd_schedulers
from modules.processing import Processed, fix_seed
from modules.shared import opts
from modules.ui_components import ToolButton
from modules.xyz_runs import TITLE, Axis, Grids, Plot, line_of, words_of

fill_values_symbol = "\U0001f4d2"


def format_value_add_label(p: Any, opt: "AxisOption", x: Any) -> str:
    """A value in the legend, with its axis's name."""
    return f"{opt.label}: {format_value(p, opt, x)}"


def format_value(p: Any, opt: "AxisOption", x: Any) -> Any:
    """A value in the legend."""
    return round(x, 8) if isinstance(x, float) else x


class AxisOption:
    """Something that can differ: how its values are read, checked, given to a copy of `p`, and written.

    A high `cost` says that it takes long to change; `choices` gives the values that a list offers; `prepare` makes a
    list of texts of what is typed.
    """

    is_img2img: bool | None = None  # in both tabs

    def __init__(
        self,
        label: str,
        type: Callable[[Any], Any],
        apply: Callable[[Any, Any, Sequence[Any]], Any],
        format_value: Callable[..., Any] = format_value_add_label,
        confirm: Callable[[Any, Sequence[Any]], Any] | None = None,
        cost: float = 0.0,
        choices: Callable[[], list[str]] | None = None,
        prepare: Callable[[str], list[str]] | None = None,
    ) -> None:
        self.label, self.type, self.apply, self.format_value = label, type, apply, format_value
        self.confirm, self.cost, self.choices, self.prepare = confirm, cost, choices, prepare


class AxisOptionImg2Img(AxisOption):
    """In the img2img tab only."""

    is_img2img = True


class AxisOptionTxt2Img(AxisOption):
    """In the txt2img tab only."""

    is_img2img = False


def apply_field(field: str) -> Callable[[Any, Any, Any], None]:
    """What gives a copy of `p` a value of one of its own fields."""
    return lambda p, x, xs: setattr(p, field, x)


def apply_prompt(p: Any, x: str, xs: Sequence[str]) -> None:
    """Puts a word in the place of the first one.

    Raises:
        RuntimeError: the first word is in neither prompt.
    """
    if xs[0] not in p.prompt and xs[0] not in p.negative_prompt:
        raise RuntimeError(f"Prompt S/R did not find {xs[0]} in prompt or negative prompt.")
    p.prompt, p.negative_prompt = (text.replace(xs[0], x) for text in (p.prompt, p.negative_prompt))


def apply_checkpoint(p: Any, x: str, xs: Any) -> None:
    """Has the run load another checkpoint."""
    p.override_settings = {**p.override_settings, "sd_model_checkpoint": sd_models.get_closet_checkpoint_match(x).name}


def _known(what: str, find: Callable[[str], Any]) -> Callable[[Any, Sequence[str]], None]:
    def confirm(p: Any, xs: Sequence[str]) -> None:
        for x in xs:
            if not find(x):
                raise RuntimeError(f"Unknown {what}: {x}")

    return confirm


def _sampler_names() -> list[str]:
    return [sampler.name for sampler in sd_samplers.visible_samplers()]


axis_options = [
    AxisOption("Nothing", str, lambda p, x, xs: None, format_value=lambda p, opt, x: ""),
    AxisOption("Seed", int, apply_field("seed")),
    AxisOption("Steps", int, apply_field("steps")),
    AxisOption("CFG Scale", float, apply_field("cfg_scale")),
    AxisOption("Prompt S/R", str, apply_prompt, format_value=format_value),
    AxisOption(
        "Sampler",
        str,
        apply_field("sampler_name"),
        format_value=format_value,
        confirm=_known("sampler", lambda x: x.lower() in sd_samplers.samplers_map),
        choices=_sampler_names,
    ),
    AxisOption(
        "Checkpoint name",
        str,
        apply_checkpoint,
        format_value=format_value,
        confirm=_known("checkpoint", sd_models.get_closet_checkpoint_match),
        cost=1.0,
        choices=lambda: sorted(sd_models.checkpoints_list, key=str.casefold),
    ),
    AxisOption(
        "Schedule type",
        str,
        apply_field("scheduler"),
        choices=lambda: [scheduler.label for scheduler in sd_schedulers.schedulers],
    ),
    AxisOption("Denoising", float, apply_field("denoising_strength")),
]


@dataclass
class Row:
    """The fields of one axis."""

    kind: Any
    values: Any
    chosen: Any
    fill: Any

    @property
    def shown(self) -> list[Any]:
        """What changes with the kind."""
        return [self.fill, self.values, self.chosen]


class Script(scripts.Script):
    """The plot among the scripts of a tab."""

    def title(self) -> str:
        """The name in the list of scripts."""
        return TITLE

    def ui(self, is_img2img: bool) -> list[Any]:
        """Three axes and how the grid is drawn; API clients know the order of what is returned."""
        self.current_axis_options = [option for option in axis_options if option.is_img2img in (None, is_img2img)]
        rows = [self._row(letter, 1 if letter == "X" else 0) for letter in "XYZ"]
        legend = self._box("Draw legend", "draw_legend", value=True)
        lone = self._box("Include Sub Images", "include_lone_images")
        subgrids = self._box("Include Sub Grids", "include_sub_grids")
        no_fixed_seeds = self._box("Keep -1 for seeds", "no_fixed_seeds")
        with gr.Row():
            vary = [self._box(f"Vary seeds for {letter}", f"vary_seeds_{letter.lower()}") for letter in "XYZ"]
        margin = gr.Slider(0, 500, 0, step=2, label="Grid margins (px)", elem_id=self.elem_id("margin_size"))
        as_text = self._box("Use text inputs instead of dropdowns", "csv_mode")
        for row in rows:
            self._connect(row, as_text)
        self.infotext_fields = [
            field for letter, row in zip("XYZ", rows, strict=True) for field in _pasted(letter, row)
        ]
        fields = [field for row in rows for field in (row.kind, row.values, row.chosen)]
        return [*fields, legend, lone, subgrids, no_fixed_seeds, *vary, margin, as_text]

    def _box(self, label: str, name: str, value: bool = False) -> gr.Checkbox:
        return gr.Checkbox(value, label=label, elem_id=self.elem_id(name))

    def _row(self, letter: str, chosen: int) -> Row:
        labels, low = [option.label for option in self.current_axis_options], letter.lower()
        with gr.Row():
            kind = gr.Dropdown(
                labels, value=labels[chosen], type="index", label=f"{letter} type", elem_id=self.elem_id(f"{low}_type")
            )
            values = gr.Textbox(label=f"{letter} values", lines=1, elem_id=self.elem_id(f"{low}_values"))
            several = gr.Dropdown([], label=f"{letter} values", visible=False, multiselect=True, interactive=True)
            fill = ToolButton(
                fill_values_symbol, elem_id=f"xyz_grid_fill_{low}_tool_button", visible=False, tooltip="Take all values"
            )
        return Row(kind, values, several, fill)

    def _choices(self, kind: int | None) -> list[str] | None:
        choices = self.current_axis_options[kind or 0].choices
        return None if choices is None else choices()

    def _connect(self, row: Row, as_text: Any) -> None:
        def select(kind: int | None, typed: str, chosen: list[str] | None, text: bool) -> list[Any]:
            """A list for what has choices; what was typed goes into it, and back."""
            choices = self._choices(kind)
            if choices is None:  # what is typed meanwhile stays
                return [gr.update(visible=False), gr.update(visible=True), gr.update(visible=False)]
            chosen = [value for value in [*(chosen or []), *words_of(typed)] if value in choices]
            return [
                gr.update(visible=True),
                gr.update(visible=text, value=line_of(chosen) if text else ""),
                gr.update(visible=not text, choices=choices, value=[] if text else chosen),
            ]

        def fill(kind: int | None, text: bool) -> list[Any]:
            choices = self._choices(kind) or []
            return [line_of(choices), gr.update()] if text else [gr.update(), choices]

        asked = [row.kind, row.values, row.chosen, as_text]
        row.kind.change(fn=select, inputs=asked, outputs=row.shown, show_progress=False)
        as_text.change(fn=select, inputs=asked, outputs=row.shown, show_progress=False)
        row.fill.click(fn=fill, inputs=[row.kind, as_text], outputs=[row.values, row.chosen], show_progress=False)

    def run(self, p: Any, *args: Any) -> Processed:
        """Makes the cells and their grid.

        Raises:
            Exception: what an axis says about a value, before anything is made.
        """
        typed, (legend, lone, subgrids, no_fixed_seeds, *vary, margin, as_text) = args[:9], args[9:]
        if not no_fixed_seeds:
            fix_seed(p)
        if not opts.return_grid:
            p.batch_size = 1
        options = self.current_axis_options
        axes = [Axis.read(p, options[typed[n] or 0], typed[n + 1], typed[n + 2], as_text) for n in (0, 3, 6)]
        for axis in axes if not no_fixed_seeds else []:
            axis.fix_seeds()
        plot = Plot(p, axes, vary)
        shown = Grids(legend, margin, lone, subgrids).draw(plot, *plot.run())
        sd_models.reload_model_weights()  # the last cell may have had another one
        if opts.grid_save:
            for picture, infotext in list(zip(shown.images, shown.infotexts, strict=True))[: _grids_of(plot, subgrids)]:
                _save(p, picture, infotext)
        return shown


def _grids_of(plot: Plot, subgrids: bool) -> int:
    return 1 + (plot.counts[2] if subgrids and plot.counts[2] > 1 else 0)


def _save(p: Any, grid: Any, infotext: str) -> None:
    images.save_image(
        grid,
        p.outpath_grids,
        "xyz_grid",
        seed=p.seed,
        prompt=p.prompt,
        extension=opts.grid_format,
        info=infotext,
        grid=True,
        p=p,
    )


def _pasted(letter: str, row: Row) -> list[tuple[Any, Any]]:
    def chosen(params: dict[str, Any]) -> Any:
        return gr.update(value=words_of(params.get(f"{letter} Values", "")))

    return [(row.kind, f"{letter} Type"), (row.values, f"{letter} Values"), (row.chosen, chosen)]
