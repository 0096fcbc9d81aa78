"""The host as one object: a run asks nothing else of it, and it has what is said to be used."""

from contextlib import nullcontext

import numpy as np
from runs import frames

VERBS = (
    *("motion_layers", "row_layout", "noise_schedule", "in_memory", "lora_loads", "lora_files", "model_calls"),
    *("checkpoint_changes", "denoiser_callbacks"),
)


def names_of(protocol):
    """Every attribute and method that a protocol names."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    own = {name for base in bases for name in [*vars(base).get("__annotations__", {}), *vars(base)]}
    return {name for name in own if not name.startswith("_")}


def test_a_video_asks_the_host_for_each_of_its_verbs(pocket, monkeypatch):
    from motion_module.webui.hosts.a1111 import A1111

    plain, asked = frames(), []
    for name in VERBS:
        verb = getattr(A1111, name)

        def noted(*args, name=name, verb=verb):
            asked.append(name)
            return verb(*args)

        monkeypatch.setattr(A1111, name, noted)
    assert np.array_equal(plain, frames())
    assert set(asked) == set(VERBS)
    assert asked.count("motion_layers") == asked.count("in_memory") == asked.count("model_calls") == 1
    assert asked.count("row_layout") == 2  # steps


def test_another_kind_of_host_is_another_object(pocket, monkeypatch):
    """Each module of ours goes through the one object, not past it."""
    from motion_module.webui.hosts.a1111 import A1111

    moving = frames()
    monkeypatch.setattr(A1111, "motion_layers", lambda self, sd_model, model, call: nullcontext())
    assert not np.array_equal(moving, frames())


def test_the_loaded_checkpoint_has_what_is_used(pocket):
    """`shared.sd_model` is of a class that mypy cannot look into; tests/host_types.py has the rest."""
    from modules import shared
    from motion_module.webui.host_types import Checkpoint

    assert {name for name in names_of(Checkpoint) if not hasattr(shared.sd_model, name)} == set()


def test_a_host_has_every_method_of_the_protocol():
    from motion_module.webui.host import host
    from motion_module.webui.host_kind import Host

    assert len(names_of(Host)) > 10
    assert {name for name in names_of(Host) if not callable(getattr(host, name, None))} == set()
