"""`<lora:name:strength>` in prompts."""

from typing import Any

import networks

from modules import extra_networks, shared

NO_NETWORK = "None"
NOT_IN_HASHES = str.maketrans("", "", ":,")


def _strengths(params: extra_networks.ExtraNetworkParams) -> tuple[float, float, int | None]:
    """Strength for the text encoder, for the UNet (the same if not given), and how many ranks to use (all)."""
    given = dict(zip(("name", "te", "unet", "dyn"), params.positional, strict=False)) | params.named
    text = float(given.get("te", 1.0))
    return text, float(given.get("unet", text)), int(given["dyn"]) if "dyn" in given else None


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    """LoRA as a kind of extra network."""

    def __init__(self) -> None:
        super().__init__("lora")

    def activate(self, p: Any, params_list: list[extra_networks.ExtraNetworkParams]) -> None:
        """Use the networks of these tags, and the one from the settings."""
        networks.layer_errors.clear()
        self._add_from_settings(p, params_list)
        strengths = [_strengths(params) for params in params_list]
        names = [params.positional[0] for params in params_list]
        networks.load_networks(names, *([one[place] for one in strengths] for place in range(3)))
        if shared.opts.lora_add_hashes_to_infotext:
            self._note_hashes(p)

    def _add_from_settings(self, p: Any, params_list: list[extra_networks.ExtraNetworkParams]) -> None:
        name, strength = shared.opts.sd_lora, shared.opts.extra_networks_default_multiplier
        asked_for = any(params.items[0] == name for params in params_list)
        if name != NO_NETWORK and name in networks.available_networks and not asked_for:
            p.all_prompts = [f"{prompt}<lora:{name}:{strength}>" for prompt in p.all_prompts]
            params_list.append(extra_networks.ExtraNetworkParams([name, strength]))

    def _note_hashes(self, p: Any) -> None:
        """Put the hashes into the infotext; the hires pass adds to the first pass's."""
        if not getattr(p, "is_hr_pass", False) or not hasattr(p, "lora_hashes"):
            p.lora_hashes = {}
        for net in networks.loaded_networks:
            if net.network_on_disk.shorthash and net.mentioned_name:
                p.lora_hashes[net.mentioned_name.translate(NOT_IN_HASHES)] = net.network_on_disk.shorthash
        if p.lora_hashes:
            listed = ", ".join(f"{name}: {shorthash}" for name, shorthash in p.lora_hashes.items())
            p.extra_generation_params["Lora hashes"] = listed

    def deactivate(self, p: Any) -> None:
        """Say which networks did not fit. They stay in use until the next run says otherwise."""
        if networks.layer_errors:
            listed = ", ".join(f"{name} ({count})" for name, count in networks.layer_errors.items())
            p.comment(f"Networks with errors: {listed}")
            networks.layer_errors.clear()
