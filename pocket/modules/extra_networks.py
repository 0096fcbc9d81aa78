"""`<name:arg:arg>` in prompts: networks that act on a whole batch, such as LoRA."""

import json
import logging
import os
import re
from typing import Any

from modules import errors

log = logging.getLogger(__name__)

TAG = re.compile(r"<(\w+):([^>]+)>")

extra_network_registry: dict[str, "ExtraNetwork"] = {}
extra_network_aliases: dict[str, "ExtraNetwork"] = {}


class ExtraNetworkParams:
    """The arguments of one tag: `a=b` ones are named, the others positional; `items` has all as text."""

    def __init__(self, items: list[str] | None = None) -> None:
        self.items = items or []
        self.positional: list[str] = []
        self.named: dict[str, str] = {}
        for item in self.items:
            name, equals, value = item.partition("=") if isinstance(item, str) else (item, "", "")
            if equals and "=" not in value:
                self.named[name] = value
            else:
                self.positional.append(item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExtraNetworkParams) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]


NetworkData = dict[str, list[ExtraNetworkParams]]


class ExtraNetwork:
    """A kind of network, known in prompts by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, p: Any, params_list: list[ExtraNetworkParams]) -> None:
        """Take effect for the batch about to be made; an empty list means: have no effect.

        Called for every batch, also without a tag, and perhaps several times before `deactivate`;
        each call replaces the one before it.
        """
        raise NotImplementedError

    def deactivate(self, p: Any) -> None:
        """The run is over."""
        raise NotImplementedError


def initialize() -> None:
    """Forget all kinds of networks."""
    extra_network_registry.clear()
    extra_network_aliases.clear()


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """Make a kind of network known by its own name."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Make a kind of network known by another name as well."""
    extra_network_aliases[alias] = extra_network


def lookup_extra_networks(extra_network_data: NetworkData) -> dict[ExtraNetwork, list[ExtraNetworkParams]]:
    """The kinds of network that the tags name, with the arguments of all their tags; unknown names are left out."""
    found: dict[ExtraNetwork, list[ExtraNetworkParams]] = {}
    for name, params in list((extra_network_data or {}).items()):
        network = extra_network_registry.get(name) or extra_network_aliases.get(name)
        if network is None:
            log.info("no extra network is named %s", name)
        else:
            found.setdefault(network, []).extend(params)
    return found


def activate(p: Any, extra_network_data: NetworkData) -> None:
    """Activate the networks of the tags, then tell all other kinds that they have none; then the scripts' hook."""
    named = lookup_extra_networks(extra_network_data)
    done = []
    for network, params in named.items():
        with errors.swallowed(f"activating extra network {network.name} with arguments {params}"):
            network.activate(p, params)
            done.append(network)
    for name, network in extra_network_registry.items():
        if network not in done:
            with errors.swallowed(f"activating extra network {name}"):
                network.activate(p, [])
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(
            p,
            batch_number=p.iteration,
            prompts=p.prompts,
            seeds=p.seeds,
            subseeds=p.subseeds,
            extra_network_data=extra_network_data,
        )


def deactivate(p: Any, extra_network_data: NetworkData) -> None:
    """Tell all kinds of networks that the run is over, those of the tags first."""
    named = list(lookup_extra_networks(extra_network_data))
    others = [network for network in extra_network_registry.values() if network not in named]
    for network in [*named, *others]:
        with errors.swallowed(f"deactivating extra network {network.name}"):
            network.deactivate(p)


def parse_prompt(prompt: str) -> tuple[str, NetworkData]:
    """The prompt without tags, and the tags' arguments by name."""
    found: NetworkData = {}

    def take(tag: re.Match[str]) -> str:
        found.setdefault(tag[1], []).append(ExtraNetworkParams(tag[2].split(":")))
        return ""

    return TAG.sub(take, prompt), found


def parse_prompts(prompts: list[str]) -> tuple[list[str], NetworkData | None]:
    """All prompts without tags, and the tags of the first prompt (None if there are no prompts)."""
    parsed = [parse_prompt(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else None


def get_user_metadata(filename: str | None, lister: Any = None) -> dict[str, Any]:
    """What a person wrote about a network, from the JSON file beside it."""
    path = os.path.splitext(filename or "")[0] + ".json"
    with errors.swallowed(f"reading extra network user metadata from {path}"):
        if filename and os.path.exists(path):
            with open(path, encoding="utf8") as file:
                return json.load(file)
    return {}
