"""A small stand-in for Forge, written from facts that were measured on Forge main dfdcbab.

It has what `hosts/forge*.py` and `forge_units.py` use, and nothing else: a UNet that tells its layers about a call, a
step that asks the model for whole branches, LoRA merged and taken back by the names of weights, ControlNets in a chain.
Nothing here is Forge's code. Where it does what looks odd, Forge does that, and a comment says so.
"""
