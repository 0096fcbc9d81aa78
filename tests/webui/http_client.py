"""Requests to the pocket's server over real HTTP, and their results taken apart."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import numpy as np
from PIL import Image

from tests.running import webui

SMALL = {
    "prompt": "a red ball",
    "seed": 5,
    "subseed": 1,
    "steps": 2,
    "width": 64,
    "height": 64,
    "cfg_scale": 7,
    "sampler_name": "Euler",
}
KINDS = {b"GIF8": "GIF", b"\x89PNG": "PNG", b"RIFF": "WEBP", b"\x1aE\xdf\xa3": "WEBM"}


@dataclass
class Reply:
    """An answer of the server."""

    status: int
    body: Any

    @property
    def sentence(self) -> str:
        """What a person reads when something was wrong."""
        return self.body["detail"] or self.body.get("errors") or self.body["message"]

    @property
    def info(self) -> dict[str, Any]:
        return json.loads(self.body["info"])

    @property
    def files(self) -> list[bytes]:
        """Every returned image or video."""
        return [base64.b64decode(image) for image in self.body["images"]]

    @property
    def kinds(self) -> list[str]:
        """What each of them is, by its first bytes."""
        return [KINDS.get(data[:4], "MP4" if data[4:8] == b"ftyp" else repr(data[:8])) for data in self.files]

    @property
    def pictures(self) -> np.ndarray:
        """All PNG of the answer: (N, H, W, 3)."""
        pngs = [data for data in self.files if data.startswith(b"\x89PNG")]
        return np.stack([np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs])

    @property
    def paths(self) -> list[dict[str, str]]:
        """Where each video is on the disk, by format."""
        return self.info["extra_generation_params"]["AnimateDiff files"]


class Client:
    """Posts to the server of the `pocket` fixture."""

    def __init__(self, pocket: dict[str, Any]) -> None:
        self.pocket = pocket
        # Nothing is verified in plain HTTP, and reading the certificates takes longer than most requests.
        self.http = httpx.Client(base_url=pocket["url"], timeout=300, verify=False)

    def post(self, path: str, body: Any) -> Reply:
        """Post to `/sdapi/v1/<path>`. Python's own JSON, so that NaN and Infinity can be sent."""
        return self._posted(f"/sdapi/v1/{path}", body)

    def plan(self, body: Any, mode: str = "txt2img") -> Reply:
        """What a request would make, as the extension's own route answers."""
        return self._posted("/animatediff/plan", {**body, "mode": mode})

    def _posted(self, path: str, body: Any) -> Reply:
        if isinstance(body, dict) and "ControlNet" in (body.get("alwayson_scripts") or {}):
            webui.leave_out_without_controlnet(self.pocket)
        if webui.FORGE and isinstance(body, dict) and body.get("enable_hr"):  # without these it fails, or has no CFG
            body = {"hr_additional_modules": ["Use same choices"], "hr_cfg": body.get("cfg_scale", 7), **body}
        answer = self.http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        return Reply(answer.status_code, answer.json())

    def get(self, path: str) -> Any:
        return self.http.get(f"/sdapi/v1/{path}").json()

    def run(self, video: Any = None, path: str = "txt2img", **fields: Any) -> Reply:
        """A run that must succeed; `video` holds the extension's fields besides `enable`, None for plain pictures."""
        body = {**SMALL, **fields}
        if video is not None:
            defaults = {"enable": True, "video_length": 8, "batch_size": 8, "format": ["PNG"]}
            body["alwayson_scripts"] = {"AnimateDiff": {"args": [{**defaults, **video}]}}
        reply = self.post(path, body)
        assert reply.status == 200, reply.body
        return reply

    def frames(self, video: Any = None, path: str = "txt2img", **fields: Any) -> np.ndarray:
        """The frames of a run, (N, H, W, 3), int16 so that they can be subtracted."""
        return self.run(video or {}, path, **fields).pictures.astype(np.int16)

    def plain(self, path: str = "txt2img", **fields: Any) -> np.ndarray:
        """Pictures without the extension."""
        return self.run(None, path, **fields).pictures.astype(np.int16)

    def written(self) -> set[str]:
        """Every file below the output folder."""
        return {str(path) for path in (self.pocket["data"] / "outputs").rglob("*") if path.is_file()}


def set_folder(name: str, folder: str) -> None:
    """Change a setting that names a folder; no request may."""
    if webui.URL:
        webui.set_folder(name, folder)
        return
    from modules import shared

    shared.opts.data[name] = folder


def png_base64(picture: np.ndarray) -> str:
    """A picture as the API wants it."""
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def damaged_png() -> bytes:
    """A picture of noise whose data no longer fit their check sum; the host would show the half that can be read."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = bytearray(base64.b64decode(png_base64(noise)))
    data[len(data) // 2] ^= 255
    return bytes(data)


def gradient(size: int = 64) -> np.ndarray:
    """A picture to start from: red grows to the right, green downwards."""
    ramp = np.linspace(0, 255, size)
    return np.stack([np.tile(ramp, (size, 1)), np.tile(ramp[:, None], (1, size)), np.full((size, size), 60.0)], axis=-1)


def gif_frames(data: bytes) -> tuple[list[Image.Image], list[int], int | None]:
    """Frames, how long each is shown in ms, and the loop number of a GIF."""
    frames, durations = [], []
    picture = Image.open(io.BytesIO(data))
    for place in range(picture.n_frames):
        picture.seek(place)
        frames.append(picture.convert("RGB"))
        durations.append(picture.info["duration"])
    return frames, durations, picture.info.get("loop")


def mp4_frames(path: str | Path) -> tuple[int, float, tuple[int, int]]:
    """Number of frames, frames per second and size of a video that can be decoded."""
    with contextlib.closing(imageio_ffmpeg.read_frames(os.fspath(path))) as reader:
        meta = next(reader)
        return sum(1 for _ in reader), meta["fps"], tuple(meta["size"])


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two videos of img2img are the same, but for the noise of no seed with which the host encodes the picture."""
    return one.shape == other.shape and bool(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean() < 0.1)


def far(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two videos, in 1 of 255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())
