"""Other extensions that people use, and how each is made to change its picture."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import loras
from control_videos import STILL

import weights
from tests.running.data import move_checkpoint

Place = int | str
"""Of an argument: its label, or its number where several have the same label."""


@dataclass(frozen=True)
class Way:
    """How a script is made to act.

    Attributes:
        changed: its arguments that are not what they start with.
        body: what the request has besides.
        switch: the argument that is true while the script acts; None if it has none.
        module: the motion module.
        without: what the request has when the script is not to act, where leaving the arguments alone does not do that.
    """

    changed: dict[Place, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    switch: Place | None = 0
    module: str = STILL["model"]
    without: dict[str, Any] = field(default_factory=dict)


BROAD = {"override_settings": {"sd_model_checkpoint": "broad.safetensors"}}
"""Its innermost level is 320 channels wide, as the outermost one of real checkpoints; FreeU looks for that number."""
SMALL_TILES = {"Latent tile width": 16, "Latent tile height": 16, "Latent tile overlap": 4}
RESCALED = {"CFG rescale": 0.7}
KNOWN = {
    "tiled diffusion": [
        Way({"Method": method, **SMALL_TILES, "Latent tile batch size": 1}, {"width": 192})
        for method in ("MultiDiffusion", "Mixture of Diffusers")
    ],
    "tiled vae": [Way({"Decoder Tile Size": 8}, {"width": 320})],  # tiles overlap by 22
    "regional prompter": [
        Way({"Generation Mode": mode}, {"prompt": "a red ball BREAK a blue sky"}) for mode in ("Attention", "Latent")
    ],
    "dynamic prompts": [Way(body={"prompt": "a {red} ball"})],  # several would be one for each picture
    "dynamic thresholding": [Way({"Mimic CFG Scale": 3})],
    "freeu": [Way({"Backbone 3 Scale": 1.5, "Skip 3 Scale": 0.5}, BROAD, module="mm_broad.safetensors")],
    "negpip": [Way(body={"prompt": "a red ball and a (blue:-0.8) sky"})],
    "cutoff": [Way({"Target tokens (comma separated)": "red, blue"}, {"prompt": "a red ball, a blue sky"})],
    "lora block weight": [
        Way(body={"prompt": "a red ball <lora:spatial:1:lbw=ALL0.5>"}, switch="LoRA Block Weight"),
    ],
    "neutral prompt": [
        Way(RESCALED, switch=None),
        Way(
            body={"prompt": "a red ball AND_PERP a blue sky :0.8"},
            switch=None,
            without={"override_settings": {"neutral_prompt_enabled": False}},
        ),
    ],
    "resharpen": [Way({"Sharpness": 0.8})],
    "vectorscope cc": [Way({"Alt. (Stronger Effects)": True, "Brightness": 1, "Saturation": 1.5, "R": 1})],
    "cads": [Way({"Tau 1": 0.2})],
    "self attention guidance": [Way()],
    "kohya hires.fix": [Way({"Stop at": 0.5})],
    "incantations": [  # its smoothed energy guidance moves weights of random numbers by less than 1 of 255
        Way(switch=4),  # semantic guidance
        Way({"PAG Scale": 20}, switch=12),  # perturbed attention guidance
    ],
}
"""The beginning of a script's title in lower case -> ways to make it act."""


def known(name: str) -> list[Way]:
    """What is tried of a script; nothing for one that is not in the table."""
    return next((ways for beginning, ways in KNOWN.items() if name.startswith(beginning)), [])


def has_switch(info: dict[str, Any]) -> bool:
    """Whether a script's first argument switches it on and off."""
    first = info["args"][0] if info["args"] else {"value": 0}
    return isinstance(first["value"], bool) or (first["value"] is None and first["label"].lower() == info["name"])


def arguments(info: dict[str, Any], way: Way, acting: bool) -> dict[str, Any]:
    """Of a script that acts, or does not, for `alwayson_scripts`."""
    labels, values = [arg["label"] for arg in info["args"]], [arg["value"] for arg in info["args"]]
    changed = {} if way.switch is None else {way.switch: acting}
    for place, value in (changed | (way.changed if acting else {})).items():
        values[place if isinstance(place, int) else labels.index(place)] = value
    return {"args": values}


@contextmanager
def files_for(client):
    """What they need that a WebUI for tests does not have: a LoRA; a checkpoint with its motion module."""
    data, lora = client.pocket["data"], client.pocket["lora"] / "spatial.safetensors"
    checkpoint = data / "models" / "Stable-diffusion" / "broad.safetensors"
    module = data / "own" / "motion" / "mm_broad.safetensors"
    loras.spatial(client.pocket)
    sizes = weights.Sizes(channel_mult=(1, 2, 2, 10))
    made = weights.make_checkpoint(data / checkpoint.name, channel_mult=sizes.channel_mult)
    move_checkpoint(made, checkpoint.parent, data)
    weights.make_motion_module(module, version="v3", widths=sizes.widths)
    for what in ("checkpoints", "loras"):
        client.post(f"refresh-{what}", {})
    try:
        yield
    finally:
        for path in (lora, module, checkpoint, checkpoint.with_suffix(".yaml")):
            path.unlink()
        client.post("refresh-checkpoints", {})
