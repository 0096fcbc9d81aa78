"""FILM, frame interpolation for large motion (Reda et al. 2022, arXiv 2202.04901), from its TorchScript file."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from motion_module.core.module.devices import tried
from motion_module.core.module.stored import DAMAGE, MissingError, UnreadableError, open_file
from motion_module.core.module.torch_file import open_archive
from motion_module.errors import CheckpointError, as_text
from motion_module.memory import is_out_of_memory

_MULTIPLE = 64  # the network halves its pictures six times
_MOST_CODE = 16 << 20  # bytes of source code, which is compressed in the file
_INPUTS = 3  # first picture, second picture, time


class Film:
    """Makes the picture between two.

    Args:
        network: takes x0 and x1 (1 3 h w, values 0..1, sides a multiple of 64) and dt (1 1, 0..1).
        stored: the precision of its file, which accelerators keep; a CPU computes in float32.
        device: where it computes.
    """

    def __init__(
        self, network: torch.jit.ScriptModule, stored: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        self._stored, self._device = stored, device
        self._dtype = torch.float32 if torch.device(device).type == "cpu" else stored
        self._network = network.eval().to(device=device, dtype=self._dtype)

    def on(self, device: torch.device | str) -> Film:
        """The same network on another device; this one is not to be used any more."""
        return Film(self._network, self._stored, device)

    @torch.no_grad()
    def __call__(self, first: Tensor, second: Tensor, time: float) -> Tensor:
        """The picture at a time between two.

        Args:
            first, second: 3 h w, values 0..1.
            time: above 0 (the first) and below 1 (the second).

        Returns:
            3 h w, float32 on the CPU, values 0..1.

        Raises:
            CheckpointError: the network does not do what FILM does.
        """
        _, height, width = first.shape
        x0, x1 = (_padded(picture[None].to(self._device, self._dtype)) for picture in (first, second))
        device = torch.device(self._device)
        made = tried("FILM", device, partial(self._made, x0, x1, time), partial(self._made_on_cpu, x0, x1, time))
        if not isinstance(made, Tensor) or made.shape != x0.shape:
            raise CheckpointError("The FILM file returned something other than one picture of the same size")
        return made[0, :, :height, :width].float().clamp(0, 1).cpu()

    def _made(self, first: Tensor, second: Tensor, time: float) -> Any:
        return self._network(first, second, torch.full((1, 1), time, device=self._device, dtype=self._dtype))

    def _made_on_cpu(self, first: Tensor, second: Tensor, time: float) -> Any:
        """The same on the CPU, where the network stays."""
        if torch.device(self._device).type != "cpu":
            self._device, self._dtype = "cpu", torch.float32
            self._network = self._network.to(device="cpu", dtype=torch.float32)
        return self._made(first.to("cpu", torch.float32), second.to("cpu", torch.float32), time)


def load_film(path: Path) -> Film:
    """Load FILM, on the CPU. A TorchScript file is a program: the caller vouches that the person put it where it lies.

    Raises:
        CheckpointError: the file is damaged or something else than FILM.
    """
    _check_archive(path)
    try:
        network = torch.jit.load(str(path), map_location="cpu")
        inputs = len(network.forward.schema.arguments) - 1  # without self
    except (*DAMAGE, AttributeError, TypeError, OSError) as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(path) from error
    if inputs != _INPUTS:
        raise CheckpointError(
            f"{as_text(path.name)} is a TorchScript file, but not FILM: it takes {inputs} inputs, FILM three"
        )
    stored = next((weights.dtype for weights in network.parameters()), torch.float32)
    return Film(network, stored)


def _check_archive(path: Path) -> None:
    """See that every byte of the archive is as it was written: torch's own loader may end the process otherwise.

    Raises:
        CheckpointError: it is not, it cannot be read, or it would unpack to far more than it is.
    """
    try:
        with open_file(path) as file:
            archive = open_archive(file)
            size = os.fstat(file.fileno()).st_size
            whole = sum(entry.file_size for entry in archive.infolist()) <= 2 * size + _MOST_CODE
            if whole and archive.testzip() is None:
                return
    except MissingError as error:
        raise CheckpointError(f"There is no file {as_text(path.name)}") from error
    except UnreadableError as error:
        raise CheckpointError(f"{as_text(path.name)} {error.phrase}; FILM's TorchScript file was expected") from error
    except (*DAMAGE, OSError) as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(path) from error
    raise _damaged(path)


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{as_text(path.name)} is damaged or not a TorchScript file; please download it again")


def _padded(picture: Tensor) -> Tensor:
    """1 3 h w -> the same with sides that are multiples of 64, widened by its own edge."""
    height, width = picture.shape[-2:]
    return F.pad(picture, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE), mode="replicate")
