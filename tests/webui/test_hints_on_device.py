"""What of ControlNet's pictures goes to an accelerator, and that nothing of it is left when a run is over."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from control_videos import batch, folder_of, request, without_detected_maps
from controlnet_fakes import LiteModule, Network, Param

from motion_module.core.denoising import hint_store
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.webui.controlnet.hints import handed_out
from motion_module.windows import WindowPlan
from tests.core.copying_device import COPYING, Transfers

FRAMES, CONTEXT, STEPS = 64, 16, 3
WINDOWS = 5


@pytest.fixture(autouse=True)
def device(monkeypatch):
    from modules import devices

    monkeypatch.setattr(devices, "get_device_for", lambda task: COPYING)


@pytest.fixture
def copies(monkeypatch):
    """The smaller copies that are there."""
    made, init = weakref.WeakSet(), hint_store._Copy.__init__

    def noted(self, *args):
        made.add(self)
        init(self, *args)

    monkeypatch.setattr(hint_store._Copy, "__init__", noted)
    return made


def hint(both=True, size=8):
    """Of 8 bits; each frame has its own mean."""
    rows = (torch.arange(FRAMES, dtype=torch.uint8).view(-1, 1, 1, 1) * 3).expand(-1, 3, size, size).float() / 255.0
    return torch.cat([rows, rows] if both else [rows])


def denoise(params, network, together=True, passes=((False, 1),), context=CONTEXT):
    """The last output, and bytes that go over in each step after the first of each pass."""
    p = SimpleNamespace(batch_size=FRAMES, is_hr_pass=False)
    over, rows = [], 2 * FRAMES
    with handed_out(p, params, {}) as around:
        model = SlidingModel(network, CallFrames(), FRAMES, WindowPlan(context=context), together, around)
        for p.is_hr_pass, size in passes:
            for step in range(STEPS):
                model.begin(step)
                with Transfers() as transfers:
                    out = model(torch.zeros(rows, 1, size, size), torch.zeros(rows), torch.zeros(rows, 2, 3))
                over += [transfers.bytes] if step else []
    return out[:, 0, 0, 0], over


@pytest.mark.parametrize("kind", ["ControlNet", "T2I_Adapter"])
@pytest.mark.parametrize("together", [True, False], ids=["branches together", "apart"])
def test_a_window_of_canny_is_an_eighth_of_what_its_rows_are(kind, together):
    whole = hint(both=together)  # as ControlNet makes it for branches together, and apart
    param = Param(whole, kind, model=SimpleNamespace(reset=lambda: None))
    seen, over = denoise([param], Network(param), together)
    frame = whole[0].numel()
    assert over == [WINDOWS * CONTEXT * frame] * (STEPS - 1)
    assert 8 * WINDOWS * CONTEXT * frame == WINDOWS * 2 * CONTEXT * frame * whole.element_size()
    assert torch.allclose(seen, hint().mean(dim=(1, 2, 3)), atol=1e-6)


def test_of_one_window_nothing_goes_over_again(copies):
    for together in (True, False):
        param = Param(hint(both=together))
        assert denoise([param], Network(param), together, context=FRAMES)[1] == [0] * (STEPS - 1)
    assert not copies


def test_each_pass_of_a_hires_fix_has_one_copy(copies):
    low, tall = hint(), hint(size=16)
    param, network = Param(low, high=tall), None
    counts = []

    def counted(x, t, cond):
        gc.collect()
        counts.append(len(copies))
        return network(x, t, cond)

    network = Network(param)
    _, over = denoise([param], counted, passes=((False, 1), (True, 2)))
    assert over == [WINDOWS * CONTEXT * each[0].numel() for each in (low, low, tall, tall)]
    assert set(counts) == {1} and param.hint_cond is low and param.hr_hint_cond is tall


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_all_is_as_it_was(fails, copies):
    low, tall, image = hint(), hint(size=16), hint() * 2.0 - 1.0
    bits = [each.clone() for each in (low, tall, image)]
    module = LiteModule(image)
    params = [Param(low, high=tall), Param(hint(), "Controlllite", model=SimpleNamespace(modules={"a": module}))]

    def network(x, t, cond):
        assert len(copies) == 3 and module.cond_image is not image
        if fails:
            raise RuntimeError("out of memory")
        return x

    error = None
    try:
        denoise(params, network)
    except RuntimeError as caught:
        error = caught  # with its frames, and what they hold
    gc.collect()
    assert (str(error) == "out of memory") is fails and not copies
    assert params[0].hint_cond is low and params[0].hr_hint_cond is tall and module.cond_image is image
    for each, before in zip((low, tall, image), bits, strict=True):
        assert torch.equal(each, before) and each._version == 0


@pytest.mark.parametrize("together", [True, False], ids=["branches together", "apart"])
def test_the_pictures_of_lllite_go_over_once_for_all_modules(together):
    whole = hint(both=together)
    image = whole * 2.0 - 1.0  # as its hook makes it
    modules = {name: LiteModule(image) for name in "abc"}
    param = Param(whole, "Controlllite", model=SimpleNamespace(modules=modules))

    def network(x, t, cond):
        return torch.stack([module.see(x) for module in modules.values()]).mean(0)

    seen, over = denoise([param], network, together)
    of_window = CONTEXT * whole[0].numel()
    calls = WINDOWS * (1 if together else 2)
    assert over == [WINDOWS * of_window + calls * of_window] * (STEPS - 1), "the unit's hint, and the modules' image"
    assert torch.allclose(seen, (hint() * 2 - 1).mean(dim=(1, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("together", [True, False], ids=["branches together", "apart"])
@pytest.mark.parametrize("module", ["none", "canny"])
def test_a_run_with_another_device_makes_the_same_frames(client, tmp_path, monkeypatch, together, module):
    from modules import devices

    without_detected_maps(client)
    unit = batch(folder_of(tmp_path / "frames", 5), module=module)
    options = {"override_settings": {"batch_cond_uncond": together}}
    sent, moved = hint_store._sent, []
    monkeypatch.setattr(hint_store, "_sent", lambda held, *to: moved.append(held.dtype) or sent(held, *to))
    found = client.post("txt2img", request([unit], {"batch_size": 2}, **options)).pictures
    assert len(found) == 5 and set(moved) == {torch.uint8}
    monkeypatch.setattr(devices, "get_device_for", lambda task: torch.device("cpu"))
    moved.clear()
    plain = client.post("txt2img", request([unit], {"batch_size": 2}, **options)).pictures
    assert np.array_equal(found, plain) and not moved
