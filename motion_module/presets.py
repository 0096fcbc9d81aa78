"""Presets: several fields that go together, under one name.

A preset names some of our fields and some of the host's own; what it does not name stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motion_module.errors import ParamError
from motion_module.familiar_params import LONG, MOTION
from motion_module.fields import Field, read_titled
from motion_module.params import VideoParams
from motion_module.wording import mention

HOST_FIELDS = {  # of the WebUI's page, whose labels these are
    "steps": Field("int", "Sampling steps", "", low=1, high=10_000),
    "cfg_scale": Field("number", "CFG Scale", "", low=0, high=1_000),
    "sampler": Field("text", "Sampling method", ""),
    "scheduler": Field("text", "Schedule type", ""),
    "width": Field("int", "Width", "", low=64, high=16_384),
    "height": Field("int", "Height", "", low=64, high=16_384),
    "denoising_strength": Field("number", "Denoising strength", "", low=0, high=1),
}


@dataclass(frozen=True)
class Preset:
    """One preset.

    Attributes:
        name: as the list shows it.
        fields: our own, by name.
        host: the host's, by the names of `HOST_FIELDS`.
        tabs: where it is offered.
        then: what is left for the person to do, as a sentence.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=dict)
    tabs: tuple[str, ...] = ("txt2img", "img2img")
    then: str = ""

    @classmethod
    def from_json(cls, name: str, stored: Any) -> Preset:
        """A preset that a person has saved.

        Raises:
            ParamError: one sentence that says what of it is not allowed.
        """
        if not isinstance(stored, dict) or not all(
            isinstance(stored.get(part, {}), dict) for part in ("fields", "host")
        ):
            raise ParamError(f"the preset {name!r:.80} is no object with fields and host")
        named, known = VideoParams.completed(stored.get("fields", {})), stored.get("host", {})
        params = VideoParams.from_json(named)
        fields = {key: getattr(params, key) for key in named}
        return cls(name, fields, {key: _of_host(key, known[key]) for key in HOST_FIELDS if key in known})

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"fields": dict(self.fields), "host": dict(self.host)}


def _of_host(name: str, value: Any) -> Any:
    return read_titled(HOST_FIELDS[name].label, HOST_FIELDS[name], value)


def _anew(**fields: Any) -> dict[str, Any]:
    """These fields, and all others of windows, motion and noise as in a new panel; not what is of one run alone."""
    table = VideoParams.table()
    kept = [name for name, row in table.items() if row.group in (LONG, MOTION) and row.recorded]
    fresh = {name: VideoParams.default_of(name) for name in kept}
    return {**fresh, **fields}


PRESETS: tuple[Preset, ...] = (
    Preset("Classic 16 frames", _anew(video_length=16, fps=8)),
    Preset("Long video", _anew(video_length=64, overlap=8, freenoise_enable=True)),
    Preset("Seamless loop", _anew(video_length=32, closed_loop="A")),
    Preset(
        "From this picture",
        _anew(video_length=16, latent_power=1, latent_scale=32, hold_pictures=True),
        {"denoising_strength": 0.7},
        tabs=("img2img",),
        then="The picture of img2img is the first frame.",
    ),
    Preset(
        "Between two pictures",
        _anew(
            video_length=16,
            latent_power=2,
            latent_scale=8,
            latent_power_last=2,
            latent_scale_last=8,
            hold_pictures=True,
        ),
        {"denoising_strength": 0.4},
        tabs=("img2img",),
        then=f"The picture of img2img is the first frame; put the last one into {mention('last_frame')}.",
    ),
    Preset(
        "Video to video",
        _anew(video_length=0),
        then=f"Put a video into {mention('video_source')}. On img2img its frames are where yours start, as far as the "
        "denoising strength leaves them; on txt2img enable a ControlNet unit that takes them.",
    ),
)


def saved_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a person's own preset keeps of the panel: all that the infotext keeps, but whether it is on, and where a
    video lies, which is another one the next time."""
    params, table = VideoParams.from_json(values), VideoParams.table()
    return {name: value for name, value in params.recorded().items() if name != "enable" and table[name].kind != "path"}
