"""UNets that extensions put in the place of the checkpoint's own. Here only the checkpoint's own is used."""

from typing import Any

import torch

from modules import errors, script_callbacks, shared

unet_options: list[Any] = []


class SdUnetOption:
    """A UNet that an extension offers, for the checkpoint named `model_name`."""

    model_name: str | None = None
    label: str | None = None

    def create_unet(self) -> "SdUnet":
        """Make the UNet."""
        raise NotImplementedError


class SdUnet(torch.nn.Module):
    """A UNet that an extension brings."""

    def activate(self) -> None:
        """It is put in place."""

    def deactivate(self) -> None:
        """It is taken away."""


current_unet_option: SdUnetOption | None = None
current_unet: SdUnet | None = None  # extensions look here whether the checkpoint's own is used


def list_unets() -> None:
    """Ask the extensions for UNets."""
    unet_options[:] = script_callbacks.list_unets_callback()


def get_unet_option(option: str | None = None) -> Any:
    """The offered UNet that the settings (or `option`) choose; None for the checkpoint's own."""
    wanted = option or shared.opts.sd_unet
    if wanted == "Automatic":
        name = shared.sd_model.sd_checkpoint_info.model_name
        return next((offered for offered in unet_options if offered.model_name == name), None)
    return next((offered for offered in unet_options if offered.label == wanted), None)


def apply_unet(option: str | None = None) -> None:
    """Put the chosen UNet in place.

    Raises:
        NotModelledError: an extension's UNet is chosen.
    """
    chosen = get_unet_option(option)
    if chosen is not None:
        raise errors.NotModelledError(f"This host cannot use the UNet {chosen.label!r} of an extension.")
