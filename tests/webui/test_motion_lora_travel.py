"""Motion LoRA in the keys of a prompt: `8: <lora:pan:1>` counts from there on, and nothing of it stays."""

import numpy as np
import pytest
from loras import close, differ, lora_host, low_ranks, shot, spatial, write
from runs import HIRES, make, run, video
from snapshot import differences, of_host

from motion_module.errors import CheckpointError
from tests.core.lora_layouts import kohya


@pytest.fixture
def host(pocket, tiny):
    with lora_host(pocket, tiny) as made:
        yield made


@pytest.mark.parametrize("more", [{}, HIRES], ids=["one pass", "hires"])
def test_nearly_one_weight_is_the_lora_in_the_weights(host, more):
    """Added beside the layers' weights and added to them are the same to rounding."""
    write(host, "pan", low_ranks(), kohya, alpha=2.0)
    beside = shot("0: a cat<lora:pan:1>\n3: a cat<lora:pan:1.00001>", **more)
    assert close(beside, shot("a cat<lora:pan:1>", **more))
    assert differ(beside, shot("a cat", **more))


def test_it_counts_where_its_key_says(host):
    write(host, "pan", low_ranks())
    before, none, full = of_host(), shot("a cat"), shot("a cat<lora:pan:1>")
    comes = shot("0: a cat\n3: a cat<lora:pan:1>")
    held = shot("0: a cat<lora:pan:0>\n3: a cat<lora:pan:1>")
    assert differ(comes, none) and differ(comes, full) and np.array_equal(comes, held)
    away, left = (np.abs(comes.astype(int) - other).mean(axis=(1, 2, 3)) for other in (none, full))
    share = away / (away + left)  # 0: as without it, 1: as with it
    assert share[3] > share[0] + 0.1
    assert np.array_equal(none, shot("a cat")) and differences(before, of_host()) == []


def test_the_same_weight_in_each_key_counts_once(host):
    write(host, "pan", low_ranks())
    spatial(host)
    for name in ("pan", "spatial"):
        in_keys = shot(f"0: a cat<lora:{name}:0.5>\n3: a cat<lora:{name}:0.5>")
        assert close(in_keys, shot(f"a cat<lora:{name}:0.5>")), name


def test_another_kind_of_lora_has_one_weight(host):
    spatial(host)
    with pytest.raises(
        CheckpointError, match="^AnimateDiff: The LoRA spatial has different weights at different frames, which only"
    ):
        run(make(animatediff=video(), prompt="0: a cat<lora:spatial:1>\n3: a cat<lora:spatial:0.5>"))
    result = run(make(animatediff=video(), prompt="0: a cat<lora:spatial:1>\n3: a cat"))
    assert "The LoRA spatial counts in all frames: only those for motion modules change on the way." in result.comments
    assert close(shot("0: a cat<lora:spatial:1>\n3: a cat"), shot("a cat<lora:spatial:1>"))


def test_in_windows_and_after_a_run_that_fails_nothing_is_left(host, monkeypatch):
    from motion_module.core.module import frame_lora

    write(host, "pan", low_ranks())
    before, plain, prompt = of_host(), shot("a cat"), "0: a cat\n3: a cat<lora:pan:1>"
    windows = {"batch_size": 3, "overlap": 1, "windows_per_call": 2}
    assert len(run(make(animatediff=video(**windows, format=["Frame"]), prompt=prompt)).images) == 4
    with monkeypatch.context() as patch:
        patch.setattr(frame_lora, "times", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(make(animatediff=video(), prompt=prompt))
    assert np.array_equal(shot("a cat"), plain) and differences(before, of_host()) == []


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("0: a <lora:pan:0:0.5>\n3: b <lora:pan:0.2:0.5>", [["pan", "0", "0.5"]]),
        ("0: a <lora:pan:1>\n3: b <lora:pan:0.5> <lora:x:1>", [["pan", "1"], ["x", "1"]]),
        ("0: a <lora:pan:1> <lora:pan:1>\n3: b <lora:pan:2>", [["pan", "2.0"]]),
        ("<lora:y:1>\n0: a\n3: b <lora:x:1>\n<lora:y:2>", [["y", "1"], ["x", "1"], ["y", "2"]]),
        ("a <lora:pan:1> <lora:pan:1>", [["pan", "1"], ["pan", "1"]]),
        ("0: a\n3: b", []),
    ],
)
def test_the_host_is_told_of_each_lora_once(pocket, prompt, told):
    from modules import extra_networks
    from motion_module.travel_loras import lora_travels
    from motion_module.webui.sampling.lora_travel import told_to_host

    _, data = extra_networks.parse_prompt(prompt)
    said = told_to_host(data, lora_travels(prompt, 4, False, False))
    assert [tag.items for tag in said.get("lora", [])] == told
