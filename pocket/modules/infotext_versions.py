"""Settings that old infotexts need to give the same picture."""

import re
from typing import Any

from packaging import version

from modules import shared

v160 = version.parse("1.6.0")
v170_tsnr = version.parse("v1.7.0-225")
v180 = version.parse("1.8.0")
v180_hr_styles = version.parse("1.8.0-139")


def parse_version(text: str | None) -> version.Version | None:
    """The version in an infotext; None if there is none that can be read. Commits since the tag count."""
    if text is None:
        return None
    since_tag = re.match(r"([^-]+-[^-]+)-.*", text)
    try:
        return version.parse(since_tag[1] if since_tag else text)
    except version.InvalidVersion:
        return None


def backcompat(params: dict[str, Any]) -> None:
    """Add to a parsed infotext the compatibility settings that its version asks for."""
    made_by = parse_version(params.get("Version")) if shared.opts.auto_backcompat else None
    if made_by is None:
        return
    if made_by < v160 and "[" in params.get("Prompt", ""):
        params["Old prompt editing timelines"] = True
    if made_by < v160 and params.get("Sampler", "") in ("DDIM", "PLMS"):
        params["Pad conds v0"] = True
    if made_by < v170_tsnr:
        params["Downcast alphas_cumprod"] = True
    if made_by < v180 and params.get("Refiner"):
        params["Refiner switch by sampling steps"] = True
