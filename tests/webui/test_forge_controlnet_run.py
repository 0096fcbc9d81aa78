"""What a run does for Forge's ControlNet, which reads its units again while the host samples, and fails unheard."""

from types import SimpleNamespace

import pytest
from control_videos import picture
from forge_stand_in import units as external
from http_client import png_base64
from runs import make, video
from runs import run as run_whole
from test_forge_units import processing

from motion_module.errors import UserError
from motion_module.params import VideoParams

CANNY = external.MODELS[1]
SHOWN = png_base64(picture(1))
PERSONS = "the person's own"


@pytest.fixture
def run(forge, monkeypatch):
    """One with a unit that shows a picture."""
    from motion_module.webui.controlnet.control import Control

    p = processing({"module": "None", "model": CANNY, "image": SHOWN}, script_args_value=PERSONS)
    control = Control(p, VideoParams(), None)
    return SimpleNamespace(borrowed=SimpleNamespace(p=p), work=SimpleNamespace(control=control))


@pytest.fixture
def errors(monkeypatch):
    """The host's list of them."""
    from modules import errors

    noted = []
    monkeypatch.setattr(errors, "exception_records", noted, raising=False)
    return noted


def test_its_units_are_there_while_the_host_samples_and_then_the_persons_own(run):
    from motion_module.webui.run.methods import _arguments

    p, given = run.borrowed.p, run.work.control.script_args(4, None)
    with _arguments(run):
        assert p.script_args_value is given
        assert given[1].model == CANNY and given[1].control_mode == "Balanced", "in Forge's words"
    assert p.script_args_value is PERSONS
    with pytest.raises(ZeroDivisionError), _arguments(run):
        p = 1 / 0
    assert run.borrowed.p.script_args_value is PERSONS


def test_where_controlnet_does_not_the_person_keeps_them(run, monkeypatch):
    from motion_module.webui.controlnet.forge_units import ForgeUnit
    from motion_module.webui.run.methods import _arguments

    run.work.control.script_args(4, None)
    monkeypatch.setattr(ForgeUnit, "hands_out_by_itself", False)
    with _arguments(run):
        assert run.borrowed.p.script_args_value is PERSONS


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("mask is missing", "ControlNet could not prepare its units for sampling: mask is missing (the log has more)"),
        ("", "ControlNet could not prepare its units for sampling (the log has more)"),
    ],
)
def test_a_failure_that_the_host_forgets_ends_the_run(run, errors, said, sentence):
    with run.work.control.handing_out(4) as around:
        with around(None):
            pass
        errors.append({"exception": "of somebody else", "traceback": [["extensions/other.py", ""]]})
        with around(None):
            pass
        errors.append({"exception": said, "traceback": [["sd_forge_controlnet/scripts/controlnet.py", ""]]})
        with pytest.raises(UserError) as caught, around(None):
            raise AssertionError("the model is called")
    assert str(caught.value.sentence).rstrip(".") == sentence


def test_a_run_hands_them_over_while_it_samples(pocket, monkeypatch):
    from modules import sd_samplers_kdiffusion
    from motion_module.webui.controlnet.control import Control

    p, seen = make("txt2img", video(), steps=1), []
    again = [*p.script_args]
    monkeypatch.setattr(Control, "read_again", property(lambda control: again))
    sample = sd_samplers_kdiffusion.KDiffusionSampler.sample

    def watched(sampler, p, *args, **kwargs):
        seen.append(p.script_args_value is again)
        return sample(sampler, p, *args, **kwargs)

    monkeypatch.setattr(sd_samplers_kdiffusion.KDiffusionSampler, "sample", watched)
    run_whole(p)
    assert seen == [True] and p.script_args_value is not again
