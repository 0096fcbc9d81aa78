"""The motion layers and whole steps on this machine's GPU, beside diffusers on the same card.

    python tests/bench/bench_gpu.py [--json FILE] [--webui URL [--control-model NAME]] [--tiny]

Random weights in half precision, 512x512: one layer for each width and way of attention, then steps of the UNet with both
branches: SD1.5 with 16 frames and with 64 in windows, SDXL with 16; and the pictures of a ControlNet unit for one window
of 64 frames, sent as they are held and as they are sent now. It needs torch, einops, safetensors and the folder
motion_module/core; a row that needs ldm or diffusers says "not here" where they are missing. `--webui` also asks a running
WebUI for videos, to be compared between its starts with --medvram and --lowvram: a plain one, one with weights in 8 bits, one
with ControlNet. `--tiny` runs small sizes on a CPU.

A table and JSON: milliseconds are medians; MB are the most that torch had allotted at once, above the weights.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "pocket")]

import torch  # noqa: E402 - the repository is on the path now
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from motion_module.core.denoising.frame_rows import picked  # noqa: E402
from motion_module.core.denoising.hint_store import HintStore  # noqa: E402
from motion_module.core.denoising.slerp import travelled  # noqa: E402
from motion_module.core.denoising.sliding import SlidingModel  # noqa: E402
from motion_module.core.module.arch import SDXL, V2, ModuleSpec  # noqa: E402
from motion_module.core.module.attention_ways import WAYS, XFORMERS, attending_by  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.core.module.layers import MotionModule  # noqa: E402
from motion_module.core.module.model import MotionModel  # noqa: E402
from motion_module.core.module.placement import mounted  # noqa: E402
from motion_module.travel import KeyMix  # noqa: E402
from motion_module.windows import WindowPlan  # noqa: E402

COPIES, FRAMES, STEPS = 2, 16, 5
MB, MISSING = 1 << 20, "not here"
Row = dict[str, Any]


class Device:
    """Where things are measured."""

    def __init__(self, tiny: bool) -> None:
        self.tiny = tiny
        self.is_gpu = torch.cuda.is_available() and not tiny
        self.place = torch.device("cuda" if self.is_gpu else "cpu")
        self.dtype = torch.float16 if self.is_gpu else torch.float32
        self.name = torch.cuda.get_device_name() if self.is_gpu else f"CPU, {torch.get_num_threads()} threads"

    def measured(self, step: Callable[[], object], times: int) -> Row:
        """Milliseconds of a step, median of so many after a first one, and the memory that it takes at most."""
        with torch.inference_mode():
            step()
            self._wait()
            before = self._allotted()
            seconds = []
            for _ in range(1 if self.tiny else times):
                start = time.perf_counter()
                step()
                self._wait()
                seconds.append(time.perf_counter() - start)
        return {"ms": round(1000 * statistics.median(seconds), 3), "MB": self._peak_above(before)}

    def _wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()

    def _allotted(self) -> int:
        if not self.is_gpu:
            return 0
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def _peak_above(self, before: int) -> float | None:
        return round((torch.cuda.max_memory_allocated() - before) / MB, 1) if self.is_gpu else None


def layer_rows(device: Device) -> Iterator[Row]:
    """One motion layer for each width and way of attention."""
    sizes = [(32, 8), (64, 4)] if device.tiny else [(320, 64), (640, 32), (1280, 16)]
    for width, size in sizes:
        for frames in (FRAMES, 32):
            x = torch.randn(COPIES * frames, width, size, size, device=device.place, dtype=device.dtype)
            module = MotionModule(width, ModuleSpec(V2, (width,), 32)).to(device.place, device.dtype).eval()
            module.call.frames = frames
            what = f"layer {width}, {size}x{size}, {frames} frames"
            for way in WAYS:
                yield {"what": what, "by": f"ours, {way}", **_way(device, way, lambda m=module, x=x: m(x))}
            yield {
                "what": what,
                "by": "diffusers",
                **_guarded(device, lambda w=width, x=x, f=frames: _twin(device, w, x, f)),
            }


def _way(device: Device, way: str, step: Callable[[], object]) -> Row:
    if way == XFORMERS and not (device.is_gpu and _is_there("xformers")):
        return {"note": MISSING}
    with attending_by(way):
        return device.measured(step, 20)


def _twin(device: Device, width: int, x: Tensor, frames: int) -> Callable[[], object]:
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    twin = AnimateDiffTransformer3D(
        num_attention_heads=8,
        attention_head_dim=width // 8,
        in_channels=width,
        activation_fn="geglu",
        positional_embeddings="sinusoidal",
        num_positional_embeddings=32,
    )
    twin = twin.to(device.place, device.dtype).eval()
    return lambda: twin(x, num_frames=frames)


def _guarded(device: Device, made: Callable[[], Callable[[], object]], times: int = 20) -> Row:
    """What is measured, or that a package which it needs is not installed."""
    try:
        step = made()
    except ImportError:
        return {"note": MISSING}
    return device.measured(step, times)


def _is_there(package: str) -> bool:
    try:
        __import__(package)
    except ImportError:
        return False
    return True


@contextmanager
def _attention_of_webuis() -> Iterator[None]:
    """Spatial attention as WebUIs do it; ldm's own is not what people run."""
    from ldm.modules.attention import CrossAttention
    from torch.nn import functional

    def forward(self: Any, x: Tensor, context: Tensor | None = None, mask: None = None) -> Tensor:
        sources, parts = (x, *[x if context is None else context] * 2), (self.to_q, self.to_k, self.to_v)
        q, k, v = (p(s).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p, s in zip(parts, sources, strict=True))
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    before, CrossAttention.forward = CrossAttention.forward, forward
    try:
        yield
    finally:
        CrossAttention.forward = before


def step_rows(device: Device) -> Iterator[Row]:
    """Whole steps, both branches in one call of the UNet for each window."""
    yield {
        "what": f"SD1.5, 16 frames, {STEPS} steps",
        "by": "ours",
        **_guarded(device, lambda: _ours(device, False, 16), 3),
    }
    yield {
        "what": f"SD1.5, 16 frames, {STEPS} steps",
        "by": "diffusers",
        **_guarded(device, lambda: _theirs(device), 3),
    }
    yield {
        "what": f"SD1.5, 64 frames, {STEPS} steps",
        "by": "ours",
        **_guarded(device, lambda: _ours(device, False, 64), 1),
    }
    yield {
        "what": f"SDXL, 16 frames, {STEPS} steps",
        "by": "ours",
        **_guarded(device, lambda: _ours(device, True, 16), 3),
    }


def _ours(device: Device, xl: bool, frames: int) -> Callable[[], object]:
    """Steps of the UNet of ldm or, in its layout, SDXL's, with the motion layers in it."""
    net, widths, context, size = _unet(device.tiny, xl)
    net = _in_half(net.requires_grad_(False).eval(), device)
    spec = ModuleSpec(SDXL if xl else V2, widths, 32, has_mid=not xl)
    motion = MotionModel(spec, "random").to(device.place, device.dtype).requires_grad_(False).eval()
    rows, call = COPIES * frames, CallFrames()
    x = torch.randn(rows, 4, size, size, device=device.place, dtype=device.dtype)
    t = torch.full((rows,), 500.0, device=device.place)
    text = torch.randn(rows, 77, context, device=device.place, dtype=device.dtype)
    vector = torch.randn(rows, 2816 if not device.tiny else 32, device=device.place, dtype=device.dtype) if xl else None

    def model(x: Tensor, t: Tensor, cond: dict[str, Tensor]) -> Tensor:
        return net(x, t, context=cond["text"], **({"y": cond["y"]} if xl else {}))

    sliding = SlidingModel(model, call, frames, WindowPlan(context=FRAMES))
    cond = {"text": text, **({"y": vector} if vector is not None else {})}

    def steps() -> None:
        with _attention_of_webuis(), mounted(net, motion, call, ()):
            for step in range(STEPS):
                sliding.begin(step)
                sliding(x, t, cond)

    return steps


def _unet(tiny: bool, xl: bool) -> tuple[nn.Module, tuple[int, ...], int, int]:
    """A UNet with random weights, its widths, the width of its text, and the side of its latents."""
    from modules.sd_models_xl import make_unet

    channels, multiples = (32 if tiny else 320), ([1, 2, 4] if xl else [1, 2, 4, 4])
    context = 64 if tiny else 2048 if xl else 768
    params = {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": channels,
        "channel_mult": multiples,
        "num_res_blocks": 2,
        "attention_resolutions": [4, 2] if xl else [4, 2, 1],
        "use_spatial_transformer": True,
        "context_dim": context,
        "legacy": False,
        **({"num_head_channels": 32 if tiny else 64} if xl else {"num_heads": 8}),
    }
    if xl:
        params |= {"transformer_depth": [0, 1, 1] if tiny else [0, 2, 10], "use_linear_in_transformer": True}
        params |= {"num_classes": "sequential", "adm_in_channels": 32 if tiny else 2816}
    net = make_unet({**params, "transformer_depth": params.get("transformer_depth", 1)})
    return net, tuple(channels * multiple for multiple in multiples), context, 8 if tiny else 64


def _in_half(net: nn.Module, device: Device) -> nn.Module:
    """In the device's precision; ldm makes its embedding of the timestep in float32."""
    net = net.to(device.place, device.dtype)
    net.dtype = device.dtype
    net.time_embed.register_forward_pre_hook(lambda layer, args: args[0].to(device.dtype))
    return net


def _theirs(device: Device) -> Callable[[], object]:
    """Steps of diffusers' UNet with motion, of the same sizes."""
    from diffusers import UNetMotionModel

    sizes = {"block_out_channels": (32, 64, 128, 128), "cross_attention_dim": 64} if device.tiny else {}
    net = UNetMotionModel(**{"cross_attention_dim": 768, "num_attention_heads": 8, **sizes}).to(
        device.place, device.dtype
    )
    size, context = (8, 64) if device.tiny else (64, 768)
    x = torch.randn(COPIES, 4, FRAMES, size, size, device=device.place, dtype=device.dtype)
    text = torch.randn(COPIES * FRAMES, 77, context, device=device.place, dtype=device.dtype)

    def steps() -> None:
        for _ in range(STEPS):
            net(x, 500, encoder_hidden_states=text)

    return steps


def hint_rows(device: Device) -> Iterator[Row]:
    """A window's rows of a hint, with both branches, on their way from the CPU."""
    frames, size = (20, 64) if device.tiny else (64, 512)
    maps = torch.randint(0, 256, (frames, 3, size, size), dtype=torch.uint8).float() / 255.0
    rows = [*range(FRAMES), *range(frames, frames + FRAMES)]
    for kind, whole in (("8 bits", maps), ("halves", maps.half().float()), ("floats", torch.rand_like(maps))):
        whole = torch.cat([whole, whole])
        store = HintStore(whole, frames, device.place)
        what = f"hint of {kind}, {size}x{size}, {FRAMES} of {frames} frames"
        yield {"what": what, "by": "as held", **device.measured(lambda w=whole: picked(w, rows, device.place), 10)}
        yield {"what": what, "by": "ours", **device.measured(lambda s=store: s.rows(rows), 10)}


def travel_rows(device: Device) -> Iterator[Row]:
    """What prompt travel adds to each step: the text of every frame between two keys, to be set against a step above."""
    tokens, width = (77, 64) if device.tiny else (77, 2048)
    for frames in (FRAMES, 256):
        text = torch.randn(frames, tokens, width, device=device.place, dtype=device.dtype)
        mixes = [KeyMix(0, frames - 1, frame / (frames - 1)) for frame in range(frames)]
        what = f"travel of {frames} frames, one step"
        yield {"what": what, "by": "ours", **device.measured(lambda t=text, m=mixes: travelled(t, m), 20)}


def webui_rows(url: str, control_model: str | None, tiny: bool) -> Iterator[Row]:
    """Videos of a running WebUI: as it was started, with weights in 8 bits, with a ControlNet unit."""
    yield _webui_row(url, "a video", {}, {}, tiny)
    yield _webui_row(url, "weights in 8 bits", {"override_settings": {"fp8_storage": "Enable"}}, {}, tiny)
    if control_model is not None:
        grey = io.BytesIO()
        Image.new("RGB", (512, 512), "grey").save(grey, "PNG")
        unit = {"enabled": True, "module": "none", "model": control_model}
        unit["image"] = base64.b64encode(grey.getvalue()).decode()
        yield _webui_row(url, "with ControlNet", {}, {"ControlNet": {"args": [unit]}}, tiny)


def _webui_row(url: str, what: str, fields: Row, scripts: Row, tiny: bool) -> Row:
    """16 frames of 512x512 in 20 steps, the second of two videos; memory as the WebUI tells it."""
    args = {"enable": True, "video_length": FRAMES, "format": ["TXT"]}
    steps, size = (2, 64) if tiny else (20, 512)
    body = {"prompt": "a cat", "steps": steps, "width": size, "height": size, "seed": 1, **fields}
    body["alwayson_scripts"] = {"AnimateDiff": {"args": [args]}, **scripts}
    for _ in range(2):
        start = time.perf_counter()
        _asked(f"{url}/sdapi/v1/txt2img", body)
        seconds = time.perf_counter() - start
    memory = _asked(f"{url}/sdapi/v1/memory").get("cuda", {})
    peak = memory.get("allocated", {}).get("peak") if isinstance(memory, dict) else None
    return {
        "what": f"a WebUI, {what}, {FRAMES} frames of {size}x{size}, {steps} steps",
        "by": url,
        "ms": round(1000 * seconds),
        "MB": peak and round(peak / MB),
    }


def _asked(url: str, body: Row | None = None) -> Row:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        found: Row = json.load(answer)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--webui", help="the address of a running WebUI")
    parser.add_argument("--control-model", help="as that WebUI calls it, for a row with ControlNet")
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    device = Device(asked.tiny)
    print(f"{device.name}, torch {torch.__version__}\n\n| what | by | ms | MB |\n|---|---|---|---|")
    rows, of_webui = [], webui_rows(asked.webui, asked.control_model, asked.tiny) if asked.webui else ()
    for found in chain(layer_rows(device), step_rows(device), hint_rows(device), travel_rows(device), of_webui):
        rows.append(found)
        shown = found.get("MB")
        print(
            f"| {found['what']} | {found['by']} | {found.get('ms', found.get('note'))} | {'' if shown is None else shown} |"
        )
    if asked.json:
        told = {"device": device.name, "torch": torch.__version__, "rows": rows}
        asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
