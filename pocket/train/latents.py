"""The code that the autoencoder is taught: what the four latent channels of a picture are.

A free autoencoder of this size needs most of the training time to find a code, and every later stage has to wait for
it. This one is given: the mean colour of each 8x8 cell, and the distance to the shape's outline at the cell's lower
right corner. It is smooth in place and size, so motion is easy to learn in it, and it says on a doubled grid where the
outline is. Encoder and decoder learn it as teachers' work while the denoiser already trains.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from train.world import SIZE, Scene, draw, signed_distance

CELL = 8  # pixels of a latent's side
CHANNELS = 4
SIDES = (CHANNELS, SIZE // CELL, SIZE // CELL)  # of a frame's latents
SCALE_FACTOR = 1.0
COLOUR_MEAN, COLOUR_STD = 0.49, 0.37
_DISTANCE_MEAN, _DISTANCE_STD = 0.53, 0.43
_REACH = 12.0  # pixels; distances far beyond it look alike


def latents_of(scene: Scene) -> Tensor:
    """The scene's frames as latents: `f 4 8 8`, mean about 0 and deviation about 1 in each channel."""
    return torch.cat([_colours(draw(scene)), distance_channel(scene)], 1)


def thumbnails(latents: Tensor) -> Tensor:
    """The mean colours of the cells: `b 4 h w -> b 3 h w`, 0..1."""
    return (latents[:, :3] * COLOUR_STD + COLOUR_MEAN).clamp(0, 1)


def distances(latents: Tensor) -> Tensor:
    """Distance to the outline in pixels (negative inside, flat beyond some 12) at the cells' corners: `b h w`."""
    return (latents[:, 3] * _DISTANCE_STD + _DISTANCE_MEAN) * _REACH


def _colours(pixels: Tensor) -> Tensor:
    return (functional.avg_pool2d(pixels, CELL) - COLOUR_MEAN) / COLOUR_STD


def distance_channel(scene: Scene) -> Tensor:
    """The fourth channel of the scene's frames: `f 1 8 8`."""
    corners = torch.arange(CELL, SIZE + 1, CELL, dtype=torch.float32)
    x, y, radius = (torch.tensor(track)[:, None, None] for track in (scene.x, scene.y, scene.radius))
    across, down = (corners[None, None, :] - x) / radius, (corners[None, :, None] - y) / radius
    p = torch.stack(torch.broadcast_tensors(across, down))
    reached = signed_distance(scene.shape, p) * radius / _REACH
    return ((torch.tanh(reached) - _DISTANCE_MEAN) / _DISTANCE_STD)[:, None]
