"""Makes docs/results, README's videos of what there is, with the bundled model: `python tests/page/pictures_of_results.py`.

It asks a running pocket WebUI as any client does; some four minutes on two CPU cores.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "results"
PICTURE = {"steps": 20, "width": 64, "height": 64, "cfg_scale": 4, "sampler_name": "Euler"}
ENDS = dict.fromkeys(("latent_scale", "latent_scale_last"), 8) | dict.fromkeys(("latent_power", "latent_power_last"), 2)


class Pocket:
    """A running pocket WebUI."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=600)

    def picture(self, prompt: str, seed: int) -> str:
        """A plain picture, in base64."""
        return str(self._made("txt2img", {"prompt": prompt, "seed": seed})[0])

    def video(self, name: str, prompt: str, seed: int = 1, body: dict[str, Any] | None = None, **fields: Any) -> None:
        """A video, as docs/results/NAME.gif; img2img where `body` has pictures."""
        tab = "img2img" if body and "init_images" in body else "txt2img"
        video = {"enable": True, "model": "pocket_mm_v2", "format": ["GIF"], "video_length": 16, **fields}
        scripts = {"AnimateDiff": {"args": [video]}}
        made = self._made(tab, {"prompt": prompt, "seed": seed, **(body or {}), "alwayson_scripts": scripts})
        (FOLDER / f"{name}.gif").write_bytes(base64.b64decode(made[0]))

    def _made(self, tab: str, body: dict[str, Any]) -> list[Any]:
        answer = self._http.post(f"/sdapi/v1/{tab}", json={**PICTURE, **body})
        answer.raise_for_status()
        return list(answer.json()["images"])


def frames_of(path: Path, step: int, count: int) -> list[str]:
    """Some frames of an animated picture, in base64."""
    frames = []
    with Image.open(path) as gif:
        for number in range(0, step * count, step):
            gif.seek(number)
            buffer = io.BytesIO()
            gif.convert("RGB").save(buffer, "PNG")
            frames.append(base64.b64encode(buffer.getvalue()).decode())
    return frames


def make(pocket: Pocket) -> None:
    """All videos."""
    circle = "{} circle standing still, white background"
    pocket.video("travel", f"0: {circle.format('a red')}\n15: {circle.format('a blue')}")
    pocket.video("lora", "a green heart, pink background <lora:pocket_zoom_in:1>")
    pocket.video("long", "a cyan star moving right, black background", video_length=48, overlap=8)
    pocket.video(
        "loop", "a yellow ring moving left, blue background", 2, video_length=24, batch_size=12, closed_loop="A"
    )
    pocket.video("back", "a yellow ring growing, blue background", 2, reverse=[0, 1, 2])
    first, last = pocket.picture("a red heart, white background", 5), pocket.picture("a blue star, white background", 6)
    start = {"init_images": [first], "denoising_strength": 0.7}
    pocket.video("picture", "a red heart growing, white background", body=start)
    way = "0: a red heart, white background\n15: a blue star, white background"
    pocket.video("ends", way, 2, {**start, "denoising_strength": 0.4}, last_frame=last, **ENDS)
    frames = frames_of(FOLDER / "long.gif", 3, 16)
    pocket.video(
        "video",
        "a pink heart moving right, black background",
        2,
        {"init_images": frames, "denoising_strength": 0.65},
    )


def main() -> None:
    """Start the pocket WebUI and ask it."""
    sys.path[:0] = [str(ROOT)]
    from tests.page.conftest import Served

    FOLDER.mkdir(parents=True, exist_ok=True)
    server = Served(ROOT)
    try:
        make(Pocket(server.url))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
