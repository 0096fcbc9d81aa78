"""Axes for the X/Y/Z plot: typed, refused before the first cell, and forgotten with the cell that they belong to."""

import copy

import numpy as np
import pytest
from PIL import Image
from runs import array, frames, make, pictures, run, video
from snapshot import differences, of_host


@pytest.fixture
def plot(pocket):
    """The module of the host's plot."""
    from modules import scripts
    from motion_module.webui.page import xyz

    return next(data.module for data in scripts.scripts_data if data.path.endswith(f"/{xyz.FILE}"))


@pytest.fixture
def axes(plot):
    """The plot's axes by their field, as the page gets them."""
    from motion_module.params import VideoParams
    from motion_module.webui.page import xyz

    xyz.register()  # the host may load our script twice
    labels = [option.label for option in plot.axis_options]
    assert labels[:2] == ["Nothing", "Seed"]
    known = [xyz.label_of(field) for field in VideoParams.table().values()]
    assert [labels.count(label) for label in known if label in labels] == [1] * sum(map(known.__contains__, labels))
    table = VideoParams.table()
    return {
        name: next(option for option in plot.axis_options if option.label == xyz.label_of(field))
        for name, field in table.items()
        if xyz.label_of(field) in labels
    }


def test_fields_that_one_compares_have_an_axis(axes):
    wanted = {"enable", "model", "video_length", "fps", "closed_loop", "stride", "overlap", "blend", "freeinit_enable"}
    assert wanted <= set(axes)
    assert not {"video_source", "video_path", "format", "reverse", "request_id", "last_frame"} & set(axes)
    assert (axes["video_length"].type, axes["fps"].type) == (int, float)  # the host's ranges: 8-16 (+4)
    assert axes["closed_loop"].choices() == ["N", "R-P", "R+P", "A"]
    assert axes["freeinit_enable"].choices() == ["true", "false"]
    assert "mm_tiny_v2.safetensors" in axes["model"].choices()
    assert axes["video_length"].choices is axes["cfg_travel"].choices is None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("enable", "False", False), ("enable", " true", True), ("closed_loop", "r+p", "R+P"), ("model", "a, b ", "a, b")],
)
def test_values_are_read_as_people_write_them(axes, field, text, value):
    assert axes[field].type(text) == value


def cell_of(p, axes, **values):
    """A cell as the plot makes it: a shallow copy that is never closed."""
    from modules import processing

    cell = copy.copy(p)
    cell.override_settings = {}
    for field, value in values.items():
        axes[field].apply(cell, value, [value])
    return processing.process_images(cell)


def test_each_cell_has_its_own_values_and_leaves_nothing(axes):
    before = of_host()
    p = make(animatediff=video(format=["Frame"]))
    args = list(p.script_args)
    lengths = [len(cell_of(p, axes, video_length=n).images) for n in (2, 5)]
    assert lengths == [2, 5]
    assert np.array_equal(array(cell_of(p, axes, enable=False).images), pictures())
    windows = cell_of(p, axes, batch_size=2, closed_loop="A")
    assert np.array_equal(array(windows.images), frames(fields={"batch_size": 2, "closed_loop": "A"}))
    assert "batch_size: 2" in windows.infotexts[0] and "closed_loop: A" in windows.infotexts[0]
    assert np.array_equal(array(cell_of(p, axes).images), frames()), "a value outlived its cell"
    assert list(p.script_args) == args and not hasattr(p, "animatediff_axes")
    assert differences(before, of_host()) == []


def test_the_plot_gets_the_first_frame_and_the_video_is_saved(axes):
    """The plot pastes the first picture of each cell into its grid."""
    p = make(animatediff=video(format=["GIF"]))
    p.script_args = (1, *p.script_args[1:])  # the plot is chosen in the list of scripts
    result = cell_of(p, axes, video_length=3)
    assert np.array_equal(np.asarray(result.images[0].convert("RGB")), frames(fields={"video_length": 3})[0])
    [saved] = result.extra_generation_params["AnimateDiff files"]
    with Image.open(saved["GIF"]) as film:
        assert film.n_frames == 3


def test_what_fields_do_not_allow_together_fails_in_its_cell_alone(axes):
    before = of_host()
    p = make(animatediff=video(format=["Frame"], closed_loop="N"))
    with pytest.raises(Exception, match="stride is 2; with closed_loop N it has to be 1"):
        cell_of(p, axes, stride=2)
    assert len(cell_of(p, axes, stride=1).images) == 4
    assert differences(before, of_host()) == []


@pytest.mark.parametrize(
    ("field", "values", "sentence"),
    [
        ("video_length", [8, 20000], "video_length is 20000; allowed is a whole number from 0 to 10,000"),
        ("fps", [8.0, 0.0], "fps is 0.0; allowed is a number from 1 to 120"),
        ("model", ["mm_tiny_v2.safetensors", "gone.ckpt"], "model is 'gone.ckpt'; allowed is one of .*mm_tiny_v2"),
    ],
)
def test_values_are_refused_before_the_first_cell(axes, field, values, sentence):
    from motion_module.errors import ParamError

    p = make(animatediff=video())
    axes[field].confirm(p, values[:1])
    with pytest.raises(ParamError, match=sentence) as caught:
        axes[field].confirm(p, values)
    assert caught.value.status_code == 422


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("enable", "maybe", "Enable AnimateDiff is 'maybe'; allowed is on or off"),
        ("blend", "no", "Blend is 'no'; allowed is"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_refused(axes, field, text, sentence):
    from motion_module.errors import ParamError

    with pytest.raises(ParamError, match=sentence):
        axes[field].type(text)


def test_values_that_travel_stand_in_quotes(plot, axes):
    """The plot cuts what is typed at commas, but not between quotes; a number's axis stays one of numbers."""
    from modules.xyz_runs import words_of

    typed = words_of('"0: 1, 2: 0.5, hold", "", "0:2;3:1"')
    assert [axes["effect_travel"].type(word) for word in typed] == ["0: 1, 2: 0.5, hold", "", "0: 2, 3: 1"]
    lines = [
        cell_of(make(animatediff=video()), axes, effect_travel=value).infotexts[0] for value in ("", "0: 1, 2: 0.5")
    ]
    assert ["effect_travel" in line for line in lines] == [False, True]


def test_a_value_that_cannot_travel_is_a_sentence(axes):
    from motion_module.errors import SaidError

    with pytest.raises(SaidError, match="^CFG travel is '0: 7, 8: 31'; allowed at frame 8 is a number from 1 to 30"):
        axes["cfg_travel"].type("0: 7, 8: 31")
    with pytest.raises(Exception, match="effect_travel is '0: 1, 9: 0.5'; frame 9 is beyond the last frame, 3, of 4"):
        cell_of(make(animatediff=video()), axes, effect_travel="0: 1, 9: 0.5")


def test_numbers_of_levels_stand_in_quotes_too(plot, axes):
    from modules.xyz_runs import words_of
    from motion_module.errors import SaidError

    typed = words_of('"1, 1, 0.5, 0", "", "0;1;1;1"')
    assert [axes["effect_blocks"].type(word) for word in typed] == ["1, 1, 0.5, 0", "", "0, 1, 1, 1"]
    with pytest.raises(SaidError, match="^Effect by level is '1, 3'; allowed is numbers from 0 to 2"):
        axes["effect_blocks"].type("1, 3")
    assert (axes["pe_stretch"].type, axes["motion_start"].type, axes["motion_end"].type) == (int, float, float)
    levels = "1, 0, 0, 0"
    cell = cell_of(make(animatediff=video(format=["Frame"])), axes, effect_blocks=levels, motion_end=0.0)
    assert np.array_equal(array(cell.images), frames(fields={"effect_blocks": levels, "motion_end": 0.0}))
    assert 'effect_blocks: "1, 0, 0, 0", motion_end: 0' in cell.infotexts[0].replace("\\", "")


def test_an_axis_without_a_video_is_refused(axes):
    from motion_module.errors import ParamError

    with pytest.raises(ParamError, match=r"the axis \[AnimateDiff\] FPS has no effect; switch it on"):
        axes["fps"].confirm(make(), [8.0])


def test_other_extensions_see_the_values_of_the_cell(axes):
    """ControlNet asks for them before our hooks have run."""
    from motion_module.webui.compat import get_animatediff_arg

    p = make(animatediff=video(video_length=4))
    cell = copy.copy(p)
    axes["video_length"].apply(cell, 7, [7])
    assert get_animatediff_arg(cell).video_length == 7
    assert get_animatediff_arg(p).video_length == 4


def test_the_host_is_asked_to_add_them_before_it_makes_its_page(pocket):
    from modules import script_callbacks

    registered = dict(script_callbacks.enumerate_callbacks())["before_ui"]
    assert any(item.callback.__module__ == "motion_module.webui.page.xyz" for item in registered)


def test_without_a_plot_nothing_happens(pocket, monkeypatch):
    from modules import script_callbacks, scripts
    from motion_module.webui.page import xyz

    others = [data for data in scripts.scripts_data if not hasattr(data.module, "axis_options")]
    monkeypatch.setattr(scripts, "scripts_data", others)
    callbacks = dict(script_callbacks.enumerate_callbacks())["before_ui"]
    xyz.register()
    assert dict(script_callbacks.enumerate_callbacks())["before_ui"] == callbacks
    assert np.array_equal(array(run(make()).images), pictures())


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("video_length", "8", 8),
        ("video_length", 8, 8),
        ("video_length", "8.0", 8),
        ("fps", "12.5", 12.5),
        ("fps", 8, 8),
    ],
)
def test_numbers_are_read_as_people_write_them(axes, field, text, value):
    got = axes[field].type(text)
    assert got == value and (field == "fps" or isinstance(got, int))


@pytest.mark.parametrize("text", ["abc", "", "1e", "8 frames", "nan", "inf", "9" * 5000, "0x10", "true"])
@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("video_length", "Number of frames is .*; allowed is a whole number from 0 to 10,000"),
        ("fps", "FPS is .*; allowed is a number from 1 to 120"),
    ],
)
def test_what_is_no_number_is_a_sentence(axes, field, said, text):
    """The plot makes every value with the axis's type, and shows what that raises."""
    from motion_module.errors import SaidError

    with pytest.raises(SaidError, match=f"^{said}") as caught:
        axes[field].type(text)
    assert type(caught.value).__name__ == "AnimateDiff", "the page shows it before the sentence"
    assert repr(text)[:60] in str(caught.value)
    assert len(str(caught.value)) < 200 and caught.value.status_code == 422


def test_only_axes_of_numbers_take_ranges(axes):
    """The plot compares the type with `int` and with `float`."""
    kinds = {name: [kind for kind in (int, float) if axis.type == kind] for name, axis in axes.items()}
    assert (kinds["stride"], kinds["effect"], kinds["blend"], kinds["enable"]) == ([int], [float], [], [])
    assert axes["stride"].type != axes["effect"].type and len({axes["stride"].type, int}) == 1


def test_the_plot_makes_a_video_for_each_value(client):
    """Each cell is the video of a run with that value, and the next run has its own again."""
    info = next(each for each in client.get("script-info") if each["name"] == "x/y/z plot" and not each["is_img2img"])
    labels, args = [arg["label"] for arg in info["args"]], [arg["value"] for arg in info["args"]]
    axes = info["args"][labels.index("X type")]["choices"]
    chosen = {"X type": axes.index("[AnimateDiff] Motion scale"), "Y type": 0, "Z type": 0, "X values": "1, 2"}
    for label, value in chosen.items():
        args[labels.index(label)] = value
    video = {"video_length": 4, "model": "mm_tiny_v3.safetensors", "format": ["GIF", "PNG"]}
    before = client.frames({**video, "format": ["PNG"]})
    files = client.written()
    reply = client.run(video, script_name="x/y/z plot", script_args=args)
    assert len({path for path in client.written() - files if path.endswith(".gif")}) == 2, reply.kinds
    assert np.array_equal(client.frames({**video, "format": ["PNG"]}), before)
