import pytest

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.request.read import read_params


@pytest.mark.parametrize("args", [[], [None], [False], [[]], [{}], [{"enable": False}], [False, "anything", None, -5]])
def test_off(args):
    assert not read_params(args).enable


def test_an_object_with_fields():
    params = read_params([{"enable": True, "video_length": 8}, "the panel's default of the next field"])
    assert params.enable and params.video_length == 8


def test_one_object_for_each_field():
    params = read_params([{"enable": True}, {"video_length": 8}, {"format": "MP4"}, ""])
    assert params == VideoParams(enable=True, video_length=8, format=["MP4"])


def test_a_field_given_twice_is_refused():
    with pytest.raises(ParamError, match="fps appears twice"):
        read_params([{"fps": 8}, {"fps": 9}])


def test_the_panels_values_come_in_the_order_of_the_table():
    values = [VideoParams.default_of(name) for name in VideoParams.table()]
    values[0] = True
    values[list(VideoParams.table()).index("format")] = ["MP4"]
    assert read_params(values) == VideoParams(enable=True, format=["MP4"])


def test_parameters_as_an_object_pass_through():
    params = VideoParams(enable=True)
    assert read_params([params]) is params


@pytest.mark.parametrize("first", ["GIF", 1, 1.5, ["enable"], [True]])
def test_anything_else_is_refused(first):
    with pytest.raises(ParamError, match=r"args\[0\] is"):
        read_params([first])


def test_a_typo_is_named_even_where_nothing_is_enabled():
    with pytest.raises(ParamError, match="enabel"):
        read_params([{"enabel": True}])
