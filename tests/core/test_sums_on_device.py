"""Windows are summed up on a GPU where the sums are small, and come to the same there."""

import pytest
import torch

from motion_module.core.denoising import sliding
from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.sliding import _Blend
from motion_module.core.module.devices import place_of_video
from motion_module.windows import BLENDS

FRAMES, CONTEXT = 9, 4
WINDOWS = [[0, 1, 2, 3], [2, 3, 4, 5], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("device", "frames", "place"),
    [("cuda", 64, "cuda"), ("cuda", 2048, "cuda"), ("cuda", 2049, "cpu"), ("mps", 64, "cpu"), ("cpu", 64, "cpu")],
)
def test_where_they_are_summed_up(device, frames, place):
    assert place_of_video(torch.device(device), 4 * 2 * frames * 4 * 64 * 64).type == place


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("together", [True, False])
def test_piece_by_piece_is_the_same(monkeypatch, blend, together):
    """As on a GPU, whose sums of one row have no order of their own."""
    layout = RowLayout.of_call(2 * FRAMES, FRAMES, 1)
    outs = [torch.randn(2 * CONTEXT, 4, 2, 2) for _ in WINDOWS]

    def made():
        sums = _Blend(layout, blend, 2)
        calls = [(window, [*layout.branches()]) for window in WINDOWS]
        if together:
            rows = [branch[frame] for branch in layout.branches() for window in WINDOWS for frame in window]
            sums.add(rows, CONTEXT, torch.cat(outs))
        else:
            for (window, branches), out in zip(calls, outs, strict=True):
                sums.add([branch[frame] for branch in branches for frame in window], CONTEXT, out)
        return sums.result()

    whole = made()

    class OfGpu(torch.Tensor):
        @property
        def device(self):
            return torch.device("cuda")

    pieces, cut = [], sliding._pieces
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: self.as_subclass(OfGpu))
    monkeypatch.setattr(sliding.torch, "tensor", lambda *a, device=None, **k: torch.as_tensor(*a, **k))
    monkeypatch.setattr(sliding, "_pieces", lambda *of: pieces.append(cut(*of)) or pieces[-1])
    assert torch.equal(made().as_subclass(torch.Tensor), whole)
    assert blend == "overwrite" or {len(each) for each in pieces} == {2 * len(WINDOWS) if together else 2}
