"""WebUIs before 1.10 lack a hook: what needs it is refused in a sentence, before the run and on the page."""

import dataclasses

import pytest
from runs import make, run, video

from motion_module.errors import ParamError
from motion_module.params import VideoParams


@pytest.mark.parametrize(
    ("field", "label"), [("same_noise", "Same noise for every frame"), ("freenoise_enable", "FreeNoise")]
)
def test_a_webui_that_does_not_show_its_noise_cannot_have_it_changed(pocket, monkeypatch, field, label):
    """Before 1.10 there is no such hook, and nothing would happen."""
    from modules import scripts
    from motion_module.webui.plan.facts import Facts, host_shows_noise
    from motion_module.webui.plan.request import Request

    assert host_shows_noise()
    monkeypatch.delattr(scripts.Script, "process_before_every_sampling")
    with pytest.raises(ParamError) as refused:
        run(make("txt2img", video(**{field: True})))
    assert (
        refused.value.detail == f"AnimateDiff: {field} needs WebUI 1.10 or newer; switch it off, or update the WebUI."
    )
    assert len(run(make("txt2img", video())).images) == 1
    facts = dataclasses.replace(Facts(), shows_noise=False)
    assert Request.of(VideoParams(**{field: True}), facts), "nothing is refused while it is off"
    with pytest.raises(ParamError) as told:
        Request.of(VideoParams(enable=True, **{field: True}), facts)
    assert VideoParams.worded_for_page(told.value.whole).startswith(f"AnimateDiff: {label} needs WebUI 1.10")
