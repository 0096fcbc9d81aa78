"""The stand-in for Forge is as Forge is: the same checks pass in a real one (tests/running/forge_real.py)."""

from types import SimpleNamespace

import forge_facts
import forge_facts_beside
import pytest
from forge_stand_in import control, main_thread, units

MODULES = (forge_facts, forge_facts_beside)
CHECKS = {name: check for module in MODULES for name, check in vars(module).items() if name.startswith("check_")}


@pytest.fixture
def facts(forge, tmp_path):
    from modules import extra_networks

    return SimpleNamespace(
        sd_model=forge.sd_model,
        attention=forge.attention,
        memory=forge.memory,
        sampling=forge.sampling,
        networks=forge.networks,
        main_thread=main_thread,
        units=units,
        folder=tmp_path,
        controlnet=control.ControlNet,
        new_controlnet=_controlnet_of,
        patch=lambda up, down, alpha: ("lora", (up, down, alpha, None, None, None)),
        kind_of_network=extra_networks.extra_network_registry["lora"].name,
    )


def _controlnet_of(model):
    made = control.ControlNet(None)
    made.control_model = model
    return made


@pytest.mark.parametrize("name", CHECKS)
def test_the_stand_in_is_as_forge_is(facts, name):
    CHECKS[name](facts)
