"""LoRA that keys of a prompt name, as in `8: <lora:pan_left:1>`: how much each of them counts in which frame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from motion_module.travel import mixes_of, own_texts

_LORA = re.compile(r"<lora:([^:>]+)((?::[^:>]*)*)>")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)\s*")


@dataclass(frozen=True)
class LoraTravel:
    """One LoRA that keys name.

    Attributes:
        weights: of each frame, straight between the keys; a key that does not name it has what stands outside of keys.
        named: the different weights with which it is named.
    """

    weights: tuple[float, ...]
    named: frozenset[float]

    @property
    def is_constant(self) -> bool:
        """Whether it counts as much in each frame."""
        return len(set(self.weights)) == 1


def lora_travels(prompt: str, frames: int, closed: bool, hold: bool) -> dict[str, LoraTravel]:
    """The LoRA that the keys of a prompt name, by name.

    Args:
        prompt: with its tags.
        frames: N, frames of the video.
        closed: whether the way leads back to the first key.
        hold: whether each key counts until the next one.
    """
    texts, outside = own_texts(prompt)
    named = {frame: list(_weights(text)) for frame, text in sorted(texts.items())}
    everywhere = list(_weights(outside))
    names = dict.fromkeys(name for tags in named.values() for name, _ in tags if name not in _unreadable(prompt))
    travels = {}
    for name in names:
        base = sum(weight for other, weight in everywhere if other == name)
        at = {frame: base + sum(weight for other, weight in tags if other == name) for frame, tags in named.items()}
        mixes = mixes_of(list(at), frames, closed, hold)
        weights = tuple(at[mix.left] + (at[mix.right] - at[mix.left]) * mix.share for mix in mixes)
        all_tags = (tag for tags in (*named.values(), everywhere) for tag in tags)
        travels[name] = LoraTravel(weights, frozenset(weight for other, weight in all_tags if other == name))
    return travels


def _weights(text: str) -> Iterator[tuple[str, float]]:
    """Name and weight of each tag that has one."""
    for name, rest in _LORA.findall(text):
        weight = _unet_weight(rest)
        if _NUMBER.fullmatch(weight):
            yield name, float(weight)


def _unreadable(text: str) -> set[str]:
    """LoRA with a weight that is no number; the host says so."""
    return {name for name, rest in _LORA.findall(text) if not _NUMBER.fullmatch(_unet_weight(rest))}


def _unet_weight(rest: str) -> str:
    """That of the UNet, in the ways in which the WebUI lets people write it: `:1`, `:0.5:1`, `:te=0:unet=1`."""
    given = [part.partition("=") for part in rest.split(":")[1:]]
    plain = [key for key, equals, _ in given if not equals]
    by_name = {key: value for key, equals, value in given if equals}
    return by_name.get("unet") or (plain[1] if len(plain) > 1 else by_name.get("te") or (plain or ["1"])[0])
