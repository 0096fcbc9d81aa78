"""Networks: files, and what their weights add to a layer."""

import os
from dataclasses import dataclass, field
from typing import Any

import torch

from modules import errors, hashes, sd_models

TEXT_ENCODER = "transformer"
"""A layer with this at the start of its name is the text encoder's and has its own multiplier."""

Weights = dict[str, torch.Tensor]


class NetworkOnDisk:
    """A network's file. `alias` is the name that its maker gave it."""

    def __init__(self, name: str, filename: str) -> None:
        self.name = name
        self.filename = filename
        self.is_safetensors = filename.lower().endswith(".safetensors")
        self.metadata: dict[str, Any] = {}
        if self.is_safetensors:
            with errors.swallowed(f"reading lora {filename}"):
                self.metadata = sd_models.read_metadata_from_safetensors(filename)
        alias = self.metadata.get("ss_output_name")
        self.alias: str = alias if isinstance(alias, str) else name
        self.hash = ""
        self.shorthash = ""

    def read_hash(self) -> None:
        """Find the hash that infotexts name the network by; empty with `--no-hashing`."""
        if not self.hash:
            known = self.metadata.get("sshs_model_hash")
            self.hash = (
                (known if isinstance(known, str) else None)
                or hashes.sha256(self.filename, f"lora/{self.name}", self.is_safetensors)
                or ""
            )
            self.shorthash = self.hash[:12]

    def get_alias(self) -> str:
        """The name to use in a prompt."""
        return self.alias


@dataclass(eq=False)
class Network:
    """A loaded network: what it adds to which layer, by the layer's `network_layer_name`."""

    name: str
    network_on_disk: NetworkOnDisk
    mtime: float = 0.0
    te_multiplier: float = 1.0
    unet_multiplier: float = 1.0
    dyn_dim: int | None = None
    modules: dict[str, "NetworkModule"] = field(default_factory=dict)
    mentioned_name: str | None = None


class NetworkModule:
    """What a network adds to one layer."""

    def __init__(self, net: Network, sd_key: str, weights: Weights) -> None:
        self.network = net
        self.sd_key = sd_key
        self.alpha = weights["alpha"].item() if "alpha" in weights else None
        self.fixed_scale = weights["scale"].item() if "scale" in weights else None
        self.dim: int | None = None

    def multiplier(self) -> float:
        """The strength from the prompt."""
        is_text = TEXT_ENCODER in self.sd_key[:20]
        return self.network.te_multiplier if is_text else self.network.unet_multiplier

    def calc_scale(self) -> float:
        """The strength from the file: alpha/rank, or 1."""
        if self.fixed_scale is not None:
            return self.fixed_scale
        return 1.0 if self.dim is None or self.alpha is None else self.alpha / self.dim

    def raw_update(self, device: torch.device) -> torch.Tensor:
        """The update of the weight before scaling, in any shape with the weight's number of elements."""
        raise NotImplementedError

    def raw_bias(self) -> torch.Tensor | None:
        """The update of the bias before scaling."""
        return None

    def calc_updown(self, orig_weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What to add to the weight and to the bias.

        Raises:
            RuntimeError: the network is for a layer of another shape.
        """
        update = self.raw_update(orig_weight.device).to(torch.float32)
        bias = self.raw_bias()
        strength = self.multiplier()
        scaled = update.reshape(orig_weight.shape) * self.calc_scale() * strength
        return scaled, None if bias is None else bias.to(orig_weight.device, torch.float32) * strength


class LoraModule(NetworkModule):
    """A product of two narrow matrices, or of two convolutions with perhaps a third between."""

    def __init__(self, net: Network, sd_key: str, weights: Weights) -> None:
        super().__init__(net, sd_key, weights)
        self.up, self.down = weights["lora_up.weight"].float(), weights["lora_down.weight"].float()
        mid = weights.get("lora_mid.weight")
        self.mid = None if mid is None else mid.float()
        self.dim = self.down.shape[0]

    def raw_update(self, device: torch.device) -> torch.Tensor:
        """up @ down; the first `dyn_dim` ranks only if the prompt says so."""
        up, down = self.up.to(device).flatten(1), self.down.to(device).flatten(1)
        if self.mid is not None:
            return torch.einsum("rskl,or,si->oikl", self.mid.to(device), up, down)
        rank = self.network.dyn_dim
        return up[:, :rank] @ down[:rank]


class FullModule(NetworkModule):
    """A whole difference of weights."""

    def __init__(self, net: Network, sd_key: str, weights: Weights) -> None:
        super().__init__(net, sd_key, weights)
        self.weight = weights["diff"] if "diff" in weights else weights["w_norm"]
        self.bias = weights.get("diff_b", weights.get("b_norm"))

    def raw_update(self, device: torch.device) -> torch.Tensor:
        """The difference itself."""
        return self.weight.to(device)

    def raw_bias(self) -> torch.Tensor | None:
        """The bias's difference, if the file has one."""
        return self.bias


def create_module(net: Network, sd_key: str, weights: Weights) -> NetworkModule:
    """The kind of module that these weights are.

    Raises:
        NotModelledError: it is a kind (LoHa, LoKr, IA3, OFT, GLoRA, DoRA...) that this host does not have.
    """
    if "dora_scale" not in weights:
        if {"lora_A.weight", "lora_B.weight"} <= weights.keys():
            weights = {"lora_down.weight": weights["lora_A.weight"], "lora_up.weight": weights["lora_B.weight"]}
        if {"lora_up.weight", "lora_down.weight"} <= weights.keys():
            return LoraModule(net, sd_key, weights)
        if "diff" in weights or {"w_norm", "b_norm"} <= weights.keys():
            return FullModule(net, sd_key, weights)
    raise errors.NotModelledError(
        f"{os.path.basename(net.network_on_disk.filename)} is a kind of network that this host does not have; "
        f"layer {sd_key} has {', '.join(sorted(weights))}."
    )
