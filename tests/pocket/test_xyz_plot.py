"""The pocket's X/Y/Z plot: how values are written, what each cell is, and what the grid shows."""

import pytest
from processing_runs import pixels_of, result_of, txt2img

ORDER = ["X type", "X values", "X values", "Y type", "Y values", "Y values", "Z type", "Z values", "Z values"]
ORDER += ["Draw legend", "Include Sub Images", "Include Sub Grids", "Keep -1 for seeds"]
ORDER += ["Vary seeds for X", "Vary seeds for Y", "Vary seeds for Z", "Grid margins (px)"]
ORDER += ["Use text inputs instead of dropdowns"]
"""The WebUI 1.10.1's; API clients send values in it."""


@pytest.fixture
def script(pocket):
    from modules import scripts

    return scripts.scripts_txt2img.script("X/Y/Z plot")


def plotted(script, p=None, **changes):
    """The result of a plot of tiny pictures; `x="Steps: 1, 2"` is an axis, other names are the plot's fields."""
    from modules import scripts, shared

    p = p or txt2img(scripts.ScriptRunner())
    names = [option.label for option in script.current_axis_options]
    args = []
    for letter in "xyz":
        kind, _, values = changes.pop(letter, "Nothing").partition(": ")
        listed = script.current_axis_options[names.index(kind)].choices is not None
        args += [names.index(kind), "" if listed else values, values.split(", ") if listed else []]
    fields = {
        "legend": False,
        "cells": False,
        "subgrids": False,
        "random": False,
        "vx": False,
        "vy": False,
        "vz": False,
    }
    fields = {**fields, "margin": 0, "csv": False, **changes}
    shared.opts.grid_save = False
    shared.state.begin("test")
    try:
        return script.run(p, *args, *fields.values())
    finally:
        shared.state.end()


def test_fields_are_those_of_the_webui_in_its_order(script):
    assert [control.label for control in script.controls] == ORDER
    ids = ["x_type", "x_values", None, "y_type", "y_values", None, "z_type", "z_values", None]
    assert [control.elem_id for control in script.controls][:9] == [
        name and f"script_txt2img_xyz_plot_{name}" for name in ids
    ]


@pytest.mark.parametrize(
    ("typed", "kind", "values"),
    [
        ("1, 2,3", int, [1, 2, 3]),
        ("1-4", int, [1, 2, 3, 4]),
        ("8-16 (+4), 20", int, [8, 12, 16, 20]),
        ("9-5 (-2)", int, [9, 7, 5]),
        ("1-10 [4]", int, [1, 4, 7, 10]),
        ("-3--1", int, [-3, -2, -1]),
        ("1-2 (+0.5)", float, [1.0, 1.5, 2.0]),
        ("0-1 [3]", float, [0.0, 0.5, 1.0]),
        ('a, "b, c", 1-3', str, ["a", "b, c", "1-3"]),
    ],
)
def test_values_are_written_as_in_the_webui(pocket, typed, kind, values):
    from modules.xyz_runs import Axis

    class Option:
        label, choices, prepare, confirm, type = "Any", None, None, None, kind

    axis = Axis.read(None, Option, typed, None, False)
    assert (axis.values, axis.typed) == (values, typed)


def test_each_cell_is_the_picture_of_a_run_with_its_values(script):
    from modules import scripts

    shown = plotted(script, x="Steps: 1, 2", y="Prompt S/R: red, blue", cells=True)
    whole, *cells = shown.images
    assert whole.size == (128, 128)
    runs = [(1, "a red ball"), (2, "a red ball"), (1, "a blue ball"), (2, "a blue ball")]
    for place, (steps, prompt) in enumerate(runs):
        wanted = result_of(txt2img(scripts.ScriptRunner(), steps=steps, prompt=prompt, negative_prompt="blue")).images[
            0
        ]
        assert (pixels_of(cells[place]) == pixels_of(wanted)).all(), (steps, prompt)
        x, y = place % 2 * 64, place // 2 * 64
        assert (pixels_of(whole.crop((x, y, x + 64, y + 64))) == pixels_of(wanted)).all()
    assert "X Type: Steps" in shown.infotexts[0] and 'X Values: "1, 2"' in shown.infotexts[0]
    assert "Y Type: Prompt S/R" in shown.infotexts[0] and "Script: X/Y/Z plot" in shown.infotexts[0]
    assert [f"Steps: {steps}," in shown.infotexts[1 + place] for place, (steps, _) in enumerate(runs)] == [True] * 4


def test_third_axis_makes_a_grid_of_grids(script):
    shown = plotted(script, x="Seed: 1", z="Steps: 1, 2", subgrids=True)
    assert [image.size for image in shown.images] == [(128, 64), (64, 64), (64, 64)]
    assert len(shown.infotexts) == 3 and len(shown.all_seeds) == 2
    assert plotted(script, x="Seed: 1", z="Steps: 1, 2").images[0].size == (128, 64)


def test_legend_names_axes_and_values(script):
    plain = plotted(script, x="Steps: 1, 2", y="CFG Scale: 2, 3").images[0]
    told = plotted(script, x="Steps: 1, 2", y="CFG Scale: 2, 3", legend=True, margin=10).images[0]
    assert told.width == 48 + plain.width + 10 and told.height > plain.height + 10
    right, bottom = (
        told.crop((told.width - 64, told.height - 64, told.width, told.height)),
        plain.crop((64, 64, 128, 128)),
    )
    assert (pixels_of(right) == pixels_of(bottom)).all()
    beside = told.crop((0, told.height - 138, 48, told.height))
    assert pixels_of(beside).min() < 80, "words"


def test_seeds(script):
    seeds = plotted(script, x="Seed: -1, -1, 7", cells=True).all_seeds
    assert seeds[2] == 7 and -1 not in seeds and seeds[0] != seeds[1]
    assert plotted(script, x="CFG Scale: 2, 3", y="Steps: 1, 2", cells=True, vx=True, vy=True).all_seeds == [5, 6, 7, 8]


def test_a_cell_that_fails_is_empty_and_the_others_go_on(script, capsys):
    shown = plotted(script, x="Prompt S/R: red, green", y="Steps: 1, 0", cells=True)
    assert len(shown.images) == 5
    empty = [not pixels_of(image).any() for image in shown.images[1:]]
    assert empty == [False, False, True, True]
    assert "Error generating a picture of X/Y/Z plot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("Prompt S/R: green, red", "did not find green"),
        ("Sampler: Euler, Nobody", "Unknown sampler: Nobody"),
        ("Checkpoint name: nobody.ckpt", "Unknown checkpoint"),
        ("Steps: many", "many"),
        ("Steps: ", "Steps has no values"),
    ],
)
def test_wrong_values_are_refused(script, axis, said):
    with pytest.raises(Exception, match=said):
        plotted(script, x=axis)


def test_interrupted_plot_shows_what_is_there(script, monkeypatch):
    from modules import processing, shared

    made = processing.process_images

    def interrupting(p):
        result = made(p)
        shared.state.interrupted = True
        return result

    monkeypatch.setattr(processing, "process_images", interrupting)
    shown = plotted(script, x="Steps: 1, 2", cells=True)
    assert [pixels_of(image).any() for image in shown.images[1:]] == [True, False]


def test_what_takes_long_to_change_changes_least(script, monkeypatch):
    from modules import processing

    made, seen = processing.process_images, []

    def noted(p):
        seen.append((p.override_settings["sd_model_checkpoint"], p.steps))
        return made(p)

    monkeypatch.setattr(processing, "process_images", noted)
    name = script.current_axis_options[6].choices()[0]
    plotted(script, x=f"Checkpoint name: {name}, {name}", y="Steps: 1, 2")
    assert [steps for _, steps in seen] == [1, 2, 1, 2]


def test_grid_is_saved_with_its_infotext(script, pocket):
    from PIL import Image

    from modules import images, scripts, shared

    p = txt2img(scripts.ScriptRunner(), outpath_grids=str(pocket["data"] / "grids"))
    names = [option.label for option in script.current_axis_options]
    steps, nothing = names.index("Steps"), names.index("Nothing")
    args = [steps, "1, 2", [], nothing, "", [], nothing, "", []]
    shared.state.begin("test")
    script.run(p, *args, True, False, False, False, False, False, False, 0, False)
    shared.state.end()
    [path] = (pocket["data"] / "grids").rglob("xyz_grid-*.png")
    with Image.open(path) as image:
        assert "X Type: Steps" in images.read_info_from_image(image)[0]
