"""Connects LoRA with the host."""

import re
from typing import Any

import extra_networks_lora
import lora_patches
import networks
from fastapi import FastAPI

from modules import extra_networks, script_callbacks, shared

TAG = re.compile("<lora:([^:]+):")

patches = lora_patches.LoraPatches()

shared.options_templates.update(
    shared.options_section(
        ("extra_networks", "Extra Networks", "sd"),
        {
            "sd_lora": shared.OptionInfo("None", "LoRA used in every run"),
            "lora_add_hashes_to_infotext": shared.OptionInfo(True, "LoRA's hashes in the infotext"),
            "lora_in_memory_limit": shared.OptionInfo(0, "LoRA kept in memory besides those in use"),
        },
    )
)


def before_ui() -> None:
    """Make LoRA known to prompts."""
    kind = extra_networks_lora.ExtraNetworkLora()
    extra_networks.register_extra_network(kind)
    extra_networks.register_extra_network_alias(kind, "lyco")
    networks.list_available_networks()


def unload() -> None:
    """Take everything back."""
    patches.undo()


def _utf8(name: str) -> str:
    """A file's name as an answer can carry it: what is not UTF-8 becomes question marks."""
    return name.encode(errors="replace").decode()


def add_routes(_: Any, app: FastAPI) -> None:
    """The API's list of LoRA."""

    @app.get("/sdapi/v1/loras")
    async def get_loras() -> list[dict[str, Any]]:
        return [
            {"name": _utf8(net.name), "alias": _utf8(net.alias), "path": _utf8(net.filename), "metadata": net.metadata}
            for net in networks.available_networks.values()
        ]

    @app.post("/sdapi/v1/refresh-loras")
    async def refresh_loras() -> None:
        networks.list_available_networks()


def infotext_pasted(infotext: str, params: dict[str, Any]) -> None:
    """In a pasted prompt, name LoRA as they are named here, where the hashes say which they are."""
    pairs = (pair.split(":", 1) for pair in (params.get("Lora hashes") or "").split(",") if ":" in pair)
    by_name = {name.strip(): shorthash.strip() for name, shorthash in pairs}

    def here(tag: re.Match[str]) -> str:
        known = networks.available_network_hash_lookup.get(by_name.get(tag[1], ""))
        return tag[0] if known is None else f"<lora:{known.get_alias()}:"

    if by_name:
        params["Prompt"] = TAG.sub(here, params["Prompt"])


script_callbacks.on_model_loaded(networks.assign_network_names_to_compvis_modules)
script_callbacks.on_script_unloaded(unload)
script_callbacks.on_before_ui(before_ui)
script_callbacks.on_infotext_pasted(infotext_pasted)
script_callbacks.on_app_started(add_routes)
