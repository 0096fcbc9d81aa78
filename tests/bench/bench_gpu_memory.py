"""What a video takes of a graphics card's memory, calculated: `python tests/bench/bench_gpu_memory.py`.

No card is needed, and none is measured. One call of SD1.5's own UNet with a motion module runs on torch's device "meta",
which has shapes and no values, and what is alive at once is counted. Attention is counted as the WebUI's `--opt-sdp-attention`
and `--xformers` do it, with nothing but its result. To that come the weights in half precision, and what CUDA, the driver and
a torch that keeps freed blocks take (`REST`, a guess).
"""

import argparse
import os
import sys
import weakref
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - the number of threads is read at import
from ldm.modules.attention import CrossAttention  # noqa: E402
from ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from motion_module.core.module import attention_ways  # noqa: E402
from motion_module.core.module.arch import V2, ModuleSpec  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.core.module.model import MotionModel  # noqa: E402
from motion_module.core.module.norm import norms_named  # noqa: E402
from motion_module.core.module.placement import mounted  # noqa: E402

GB = 1 << 30
WIDTHS = (320, 640, 1280, 1280)
VAE_AND_TEXT = 0.17 + 0.25  # GB in half precision, which --medvram keeps off the card while it samples
REST = 0.8  # GB


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are made and alive; `most` is the largest sum there was.

    Args:
        there: tensors that there are already.
    """

    def __init__(self, there) -> None:
        super().__init__()
        self.now = self.most = 0
        self._there = [tensor.untyped_storage() for tensor in there]
        self._seen = dict.fromkeys(storage._cdata for storage in self._there)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            size = storage.nbytes()
            self.now += size
            self.most = max(self.most, self.now)
            self._seen[key] = weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.pop(key, None)
        self.now -= size


def result_alone(q, k, v, **kwargs):
    """Attention as far as its memory goes."""
    return torch.empty_like(q)


def host_attention(self, x, context=None, mask=None):
    """Spatial attention as the WebUI does it."""
    sources = x, *[x if context is None else context] * 2
    parts = (self.to_q, self.to_k, self.to_v)
    q, k, v = (part(s).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part, s in zip(parts, sources, strict=True))
    return self.to_out(result_alone(q, k, v).transpose(1, 2).flatten(2))


def unet() -> UNetModel:
    """SD1.5's, without values, in half precision."""
    with torch.device("meta"):
        net = UNetModel(
            image_size=32,
            in_channels=4,
            out_channels=4,
            model_channels=320,
            attention_resolutions=[4, 2, 1],
            num_res_blocks=2,
            channel_mult=[1, 2, 4, 4],
            num_heads=8,
            use_spatial_transformer=True,
            transformer_depth=1,
            context_dim=768,
            use_checkpoint=False,
            legacy=False,
        )
    net.dtype = torch.float16
    net.time_embed.register_forward_pre_hook(lambda layer, args: args[0].half())
    return net.half().requires_grad_(False).eval()


def gigabytes(kind, frames: int, width: int, height: int, rows_of_frame: int = 2) -> tuple[float, float]:
    """What one call takes: (weights of UNet and motion module, everything else at its largest)."""
    CrossAttention.forward = host_attention
    attention_ways.functional.scaled_dot_product_attention = result_alone
    net = unet()
    with torch.device("meta"):
        motion = MotionModel(ModuleSpec(kind, WIDTHS, 32, has_mid=kind is V2), "calculated")
    motion = motion.to("meta").half().requires_grad_(False).eval()
    call, rows = CallFrames(frames), rows_of_frame * frames
    x = torch.empty(rows, 4, height // 8, width // 8, device="meta", dtype=torch.float16)
    t, text = torch.empty(rows, device="meta"), torch.empty(rows, 77, 768, device="meta", dtype=torch.float16)
    stored = [value for model in (net, motion) for value in model.state_dict().values()]
    with mounted(net, motion, call, norms_named(net, "GroupNorm32")), torch.no_grad(), Alive([*stored, x]) as alive:
        net(x, t, context=text)
    weights = sum(value.nbytes for value in stored)
    return weights / GB, alive.most / GB


def main() -> None:
    """Print the table; a window's frames times windows per call are the frames in a call."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| size | frames in a call | in one call GB | apart GB |")
    print("|---|---|---|---|")
    for width, height in ((512, 512), (512, 768), (768, 768), (1024, 1024)):
        for frames in (8, 16, 32):
            sums = []
            for rows in (2, 1):
                weights, beside = gigabytes(V2, frames, width, height, rows)
                sums.append(weights + VAE_AND_TEXT + beside + REST)
            print(f"| {width}x{height} | {frames} | {sums[0]:.1f} | {sums[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
