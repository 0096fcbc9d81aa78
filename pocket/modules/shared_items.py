"""Lists for the settings' dropdowns, and the class that makes `shared.sd_model` load on demand.

The imports are inside the functions because all these modules import `shared`, which imports this one.
"""

import sys
from typing import Any


def sd_vae_items() -> list[str]:
    """Names of the VAE one can choose."""
    from modules import sd_vae

    return ["Automatic", "None", *sd_vae.vae_dict]


def refresh_vae_list() -> None:
    """Look for VAE files again."""
    from modules import sd_vae

    sd_vae.refresh_vae_list()


def list_checkpoint_tiles(use_short: bool = False) -> list[str]:
    """Titles of the checkpoints."""
    from modules import sd_models

    return sd_models.checkpoint_tiles(use_short)


def refresh_checkpoints() -> None:
    """Look for checkpoints again."""
    from modules import sd_models

    sd_models.list_models()


def list_samplers() -> list[Any]:
    """All samplers, shown or hidden."""
    from modules import sd_samplers

    return sd_samplers.all_samplers


def sampler_names() -> list[str]:
    """Names of all samplers."""
    return [sampler.name for sampler in list_samplers()]


def ui_reorder_categories() -> list[str]:
    """The parts of a tab, which a person may put into another order."""
    from modules.ui_generation import CATEGORIES

    return list(CATEGORIES)


def upscaler_names() -> list[str]:
    """Names of the upscalers for pictures."""
    from modules import shared

    return [upscaler.name for upscaler in shared.sd_upscalers]


def option_names() -> list[str]:
    """Names of all options."""
    from modules import shared

    return list(shared.opts.data_labels)


def get_infotext_names() -> list[str]:
    """Every name that an infotext may contain: options' and paste fields'."""
    from modules import infotext_utils, shared

    names = {info.infotext: None for info in shared.opts.data_labels.values() if info.infotext}
    for tab in infotext_utils.paste_fields.values():
        names |= {name: None for _, name in tab.get("fields") or [] if isinstance(name, str)}
    return list(names)


class Shared(sys.modules[__name__].__class__):  # type: ignore[misc]
    """The module type of `modules.shared`: reading `shared.sd_model` loads the model if there is none yet."""

    @property
    def sd_model(self) -> Any:
        """The loaded checkpoint."""
        from modules import sd_models

        return sd_models.model_data.get_sd_model()

    @sd_model.setter
    def sd_model(self, value: Any) -> None:
        from modules import sd_models

        sd_models.model_data.set_sd_model(value)
