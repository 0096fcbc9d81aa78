"""Lets sd-webui-controlnet load the tests' control models, which are narrower than those that people have.

ControlNet takes a model's sizes from a table for Stable Diffusion's widths; here they are read from the weights. Without
ControlNet this does nothing.
"""

import sys

HEADS = {64: 4, 768: 8}  # by the width of the text: the tests' models, the reference's


def sized(config, state_dict):
    """The configuration with the sizes that the weights have."""
    width = state_dict["input_blocks.0.0.weight"].shape[0]
    levels = (f"input_blocks.{block}.0.out_layers.3.weight" for block in (1, 4, 7, 10))
    mult = [state_dict[key].shape[0] // width for key in levels]
    return {**config, "model_channels": width, "channel_mult": mult, "num_heads": HEADS[config["context_dim"]]}


def read_sizes(guess):
    """Have ControlNet's loader make models of the weights' own sizes."""
    make = guess.PlugableControlModel

    def made(config, state_dict=None):
        return make(config if state_dict is None else sized(config, state_dict), state_dict)

    guess.PlugableControlModel = made


if "scripts.controlnet_model_guess" in sys.modules:
    read_sizes(sys.modules["scripts.controlnet_model_guess"])
