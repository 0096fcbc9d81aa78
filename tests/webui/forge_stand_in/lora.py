"""What LoRA add to a weight."""

import torch


def merge_lora_to_weight(patches, weight, key="online lora", computation_dtype=torch.float32):
    """Another tensor with what they add.

    Args:
        patches: strength, ("lora", (up, down, alpha, ...)), share of the weight, and two that are None here, of each.
    """
    made = weight.to(computation_dtype).clone()
    for strength, (_, (up, down, alpha, *_)), *_ in patches:
        scale = strength * (1.0 if alpha is None else alpha / len(down))
        made += scale * (up.flatten(1).to(made) @ down.flatten(1).to(made)).reshape(weight.shape)
    return made.to(weight.dtype)
