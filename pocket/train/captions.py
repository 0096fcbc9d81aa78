"""What people would write to get a scene: a template, with synonyms, words left out, and other words around it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from train.world import COLOURS, Scene

SHAPE_WORDS: Mapping[str, Sequence[str]] = {
    "circle": ("circle", "circle", "ball", "disc", "dot"),
    "square": ("square", "square", "box", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "ring": ("ring", "ring", "donut", "hoop"),
}
COLOUR_WORDS: Mapping[str, Sequence[str]] = {"purple": ("purple", "purple", "violet"), "cyan": ("cyan", "turquoise")}
SIZE_WORDS: Mapping[str, Sequence[str]] = {"small": ("small", "little", "tiny"), "large": ("big", "large", "huge")}
MOTION_WORDS: Mapping[str, Sequence[str]] = {
    "left": ("moving left", "moving to the left", "going left", "sliding left", "drifting to the left", "flying left"),
    "right": (
        "moving right",
        "moving to the right",
        "going right",
        "sliding right",
        "drifting to the right",
        "flying right",
    ),
    "up": ("moving up", "moving upwards", "going up", "rising", "floating up", "flying up"),
    "down": ("moving down", "moving downwards", "going down", "falling", "dropping", "sinking"),
    "circling": ("circling", "moving in a circle", "going around in circles", "orbiting", "circling around"),
    "growing": ("growing", "growing bigger", "getting bigger", "getting larger", "expanding"),
    "shrinking": ("shrinking", "getting smaller", "becoming smaller", "shrinking away"),
    "still": ("standing still", "at rest", "not moving", "staying still", "resting"),
}
TOLD = 0.5  # so often a caption tells a size that has words
_SIZES = {word for words in SIZE_WORDS.values() for word in words}
_GROUND = ("{} background", "{} background", "on a {} background", "in front of a {} background", "on {}")
_LEAD = ("", "", "", "a video of ", "an animation of ", "a picture of ", "gif of ")
_OTHER_WORDS = (
    "masterpiece", "best", "quality", "high", "detailed", "simple", "flat", "smooth", "loop",
    "cartoon", "drawing", "art", "digital", "minimal", "beautiful", "4k", "hd", "style", "nice",
    "cute", "vector", "graphic", "scene", "shiny", "dramatic", "light",
)  # fmt: skip


def caption_of(scene: Scene, rng: random.Random, motion: bool = True) -> str:
    """One of many ways to say what is in a scene; the motion is left out on request (for single frames)."""
    shape = rng.choice(SHAPE_WORDS[scene.shape])
    colour = rng.choice(COLOUR_WORDS.get(scene.colour, (scene.colour,)))
    size = rng.choice(SIZE_WORDS[scene.size]) if scene.size in SIZE_WORDS and rng.random() < TOLD else ""
    moving = rng.choice(MOTION_WORDS[scene.motion]) if motion else ""
    thing = " ".join(word for word in (size, colour, shape) if word)
    ground = rng.choice(_GROUND).format(rng.choice(COLOUR_WORDS.get(scene.background, (scene.background,))))
    return _around(_arranged(thing, moving, ground, rng), rng)


def other_words(rng: random.Random) -> str:
    """A caption that says nothing about the picture: empty, or words without a meaning here."""
    return ", ".join(rng.sample(_OTHER_WORDS, rng.choice((0, 0, 1, 2, 4))))


def tells_size(caption: str) -> bool:
    """Whether a caption says how large the shape is."""
    return not _SIZES.isdisjoint(caption.replace(",", " ").split())


def vocabulary() -> set[str]:
    """Every text whose tokens have a meaning of their own."""
    tables = (SHAPE_WORDS, SIZE_WORDS, MOTION_WORDS, COLOUR_WORDS)
    words = {text for table in tables for texts in table.values() for text in texts}
    return words | set(COLOURS) | set(_GROUND) | set(_LEAD) | {"a", "an", ","}


def _arranged(thing: str, moving: str, ground: str, rng: random.Random) -> str:
    article = ("an " if thing[0] in "aeiou" else "a ") if rng.random() < 0.85 else ""
    subject = article + thing
    comma = "" if ground.startswith(("on", "in")) and rng.random() < 0.7 else ","
    if not moving:
        return f"{subject}{comma} {ground}"
    draw = rng.random()
    if draw < 0.7:
        return f"{rng.choice(_LEAD)}{subject} {moving}{comma} {ground}"
    if draw < 0.8:
        return f"{subject}{comma} {ground}, {moving}"
    if draw < 0.9:
        return f"{subject}, {moving}, {ground}"
    return f"{ground}, {subject} {moving}"


def _around(text: str, rng: random.Random) -> str:
    """Sometimes with words before or behind that mean nothing, so that they do no harm."""
    draw = rng.random()
    extra = ", ".join(rng.sample(_OTHER_WORDS, rng.randint(1, 3)))
    if draw < 0.12:
        return f"{extra}, {text}"
    return f"{text}, {extra}" if draw < 0.24 else text
