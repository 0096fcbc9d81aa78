"""LoRA files for motion modules, and runs with them that leave nothing behind."""

import sys
from contextlib import contextmanager

import numpy as np
import torch
from runs import frames, pictures
from safetensors.torch import load_file, save_file

from tests.core.lora_layouts import guoyww
from weights import Sizes

RANK = 4
GUOYWW = "temporal_transformer.transformer_blocks.0.attention_blocks"
SPATIAL = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"


@contextmanager
def lora_host(pocket, tiny):
    """The host without any network in memory or on disk, and without modules of this test afterwards."""
    import networks

    try:
        yield {**pocket, "motion": tiny["v1"].parent, "networks": networks, **tiny}
    finally:
        for path in [*pocket["lora"].iterdir(), *tiny["v1"].parent.glob("merged*")]:
            path.unlink()
        networks.load_networks([])
        networks.networks_in_memory.clear()
        networks.list_available_networks()
        pictures(steps=1)  # every layer gives its networks back when it is called


def blocks_of(version):
    """Names of a module's blocks and their widths, of a few places only."""
    widths = Sizes().widths
    found = {f"down_blocks.{i}.motion_modules.1": width for i, width in enumerate(widths)}
    middle = {"mid_block.motion_modules.0": widths[-1]} if version == "v2" else {}
    return {**found, "up_blocks.3.motion_modules.2": widths[0], **middle}


def low_ranks(version="v2", seed=0, strength=0.3, blocks=None):
    """(block, attention, layer) -> (down, up); of other blocks than a version's where their widths are given."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for block, width in (blocks or blocks_of(version)).items():
        for number in (0, 1):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                down, up = torch.randn(RANK, width, generator=generator), torch.randn(width, RANK, generator=generator)
                made[block, number, layer] = down * strength, up * strength
    return made


def layer_name(block, number, layer):
    """As in the published motion modules."""
    return f"{block}.{GUOYWW}.{number}.{layer}"


def write(host, name, ranks, layout=guoyww, alpha=None):
    state = {}
    for place, (down, up) in ranks.items():
        path = layer_name(*place)
        state[layout(path, "down")], state[layout(path, "up")] = down, up
        if alpha is not None:
            state[layout(path, "down").replace("lora_down.weight", "alpha")] = torch.tensor(float(alpha))
    save_file(state, host["lora"] / f"{name}.safetensors")


def merged(host, version, *parts):
    """A motion module's file with W + weight * up @ down in the place of each W; its name."""
    state = {key: value.float() for key, value in load_file(host[version]).items()}
    for ranks, weight in parts:
        for place, (down, up) in ranks.items():
            state[f"{layer_name(*place)}.weight"] += weight * up @ down
    save_file(state, host["motion"] / "merged.safetensors")
    return "merged.safetensors"


def spatial(host, name="spatial", layout="kohya"):
    """A LoRA for one attention of the UNet, in kohya's layout or in the one of the v3 adapter."""
    generator = torch.Generator().manual_seed(9)
    down, up = torch.randn(RANK, 64, generator=generator), torch.randn(64, RANK, generator=generator)
    stem = (
        f"{SPATIAL}.processor.to_v_lora" if layout == "guoyww" else f"lora_unet_{SPATIAL.replace('.', '_')}_to_v.lora"
    )
    joint = "." if layout == "guoyww" else "_"
    save_file({f"{stem}{joint}down.weight": down, f"{stem}{joint}up.weight": up}, host["lora"] / f"{name}.safetensors")


def shot(prompt="a cat", version="v2", model=None, fields=None, **request):
    model = model or f"mm_tiny_{version}.safetensors"
    made = frames(fields={"model": model, **(fields or {})}, prompt=prompt, **request)
    unharmed(model)
    return made


def unharmed(name="mm_tiny_v2.safetensors"):
    """The layers in memory are those of the file, without a trace of the host's networks, nor they in the host's."""
    from motion_module.webui.request import module_choice, motion_modules

    module = module_choice.named(name, motion_modules.files())
    model, stored = motion_modules.load(module), load_file(module.path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, stored[key].to(value.dtype)), key
    for key, layer in model.named_modules():
        kept = {name: value for name, value in vars(layer).items() if name.startswith("network_")}
        assert all(value in ((), None) for value in kept.values()), (key, kept)  # what the host sets on loading
    networks = sys.modules.get("networks")  # of the host's LoRA extension
    for net in [*networks.loaded_networks, *networks.networks_in_memory.values()] if networks else []:
        assert not [key for key in net.modules if "motion_modules" in key]


def close(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max() <= 1


def differ(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean() > 0.5
