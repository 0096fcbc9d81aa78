"""What one call of SD1.5's UNet with a motion module, and the decoding of a frame, have alive at once, counted on "meta"."""

import io
import os
import sys
import weakref
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - the number of threads is read at import
from ldm.modules.attention import CrossAttention  # noqa: E402
from ldm.modules.diffusionmodules import model as autoencoder  # noqa: E402
from ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map_only  # noqa: E402

from motion_module.core.module import attention_ways, devices, layers  # noqa: E402
from motion_module.core.module.arch import V2, ModuleSpec  # noqa: E402
from motion_module.core.module.call_frames import CallFrames  # noqa: E402
from motion_module.core.module.lent_weights import on_device_in_turn  # noqa: E402
from motion_module.core.module.model import MotionModel  # noqa: E402
from motion_module.core.module.norm import layers_named  # noqa: E402
from motion_module.core.module.pieces import in_pieces, small_pieces  # noqa: E402
from motion_module.core.module.placement import mounted  # noqa: E402
from motion_module.patching import replaced  # noqa: E402

GB = 1 << 30
WIDTHS = (320, 640, 1280, 1280)
META = torch.device("meta")
VAE, TEXT = 0.17, 0.25  # GB in half precision; --medvram keeps off the card what is not needed at the moment
REST = 0.8  # GB
_IN_HALF = {"linear", "conv2d", "matmul", "bmm", "einsum", "scaled_dot_product_attention"}
_IN_FULL = {"layer_norm", "group_norm", "softmax"}


@dataclass(frozen=True)
class Way:
    """How a video is made.

    Attributes:
        rows_of_frame: 2 where prompt and negative prompt share a call, 1 where they are apart.
        windows: in one call.
        kept: what the host keeps on the card: "all", or as its "medvram" and "lowvram" do.
        fp8: the weights of the UNet's linear and convolutional layers take one byte each, as the host's option does it.
        in_turn: each motion layer's weights are there only while it is called.
        small: motion layers work in small pieces.
        pieces: the UNet's own layers, too, where `host.rows_in_turn` does it.
        split: attention between frames in its way "split".
    """

    rows_of_frame: int = 2
    windows: int = 1
    kept: str = "all"
    fp8: bool = False
    in_turn: bool = False
    small: bool = False
    pieces: bool = False
    split: bool = False

    def least(self) -> "Way":
        """With the setting for as little memory as possible."""
        return replace(self, rows_of_frame=1, windows=1, in_turn=True, small=True, pieces=True)


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are made and alive; `most` is the largest sum there was.

    Args:
        there: tensors that there are already.

    Attributes:
        held: bytes of weights that are moved there and away.
    """

    def __init__(self, there) -> None:
        super().__init__()
        self.now = self.most = self.held = 0
        self._there = [tensor.untyped_storage() for tensor in there]
        self._seen = dict.fromkeys(storage._cdata for storage in self._there)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device == META:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            size = storage.nbytes()
            self.now += size
            self.most = max(self.most, self.now + self.held)
            self._seen[key] = weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.pop(key, None)
        self.now -= size


class Autocast(TorchFunctionMode):
    """Casts as `torch.autocast("cuda")`, inside of which the host samples and decodes; "meta" knows none."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        dtype = torch.float16 if name in _IN_HALF else torch.float32 if name in _IN_FULL else None
        if dtype is not None:
            args, kwargs = tree_map_only(
                torch.Tensor, lambda x: x.to(dtype) if x.is_floating_point() else x, (args, kwargs)
            )
        return func(*args, **kwargs)


def result_alone(q, k, v, **kwargs):
    """Attention as far as its memory goes."""
    return torch.empty_like(q)


def host_attention(self, x, context=None, mask=None):
    """Spatial attention as the WebUI does it."""
    sources = x, *[x if context is None else context] * 2
    parts = (self.to_q, self.to_k, self.to_v)
    q, k, v = (part(s).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part, s in zip(parts, sources, strict=True))
    return self.to_out(result_alone(q, k, v).transpose(1, 2).flatten(2))


@contextmanager
def as_on_a_card(way: Way):
    """Inside the block the host's and our layers do what they do on a card, as far as their memory goes."""
    with ExitStack() as stack:
        stack.enter_context(replaced(CrossAttention, "forward", host_attention))
        stack.enter_context(replaced(autoencoder, "nonlinearity", functional.silu))  # the host's optimization
        stack.enter_context(replaced(functional, "scaled_dot_product_attention", result_alone))
        for module in (devices, layers):
            stack.enter_context(replaced(module, "autocasts", lambda kind: True))
        stack.enter_context(attention_ways.attending_by(attention_ways.SPLIT if way.split else attention_ways.SDP))
        if way.small:
            stack.enter_context(small_pieces())
        stack.enter_context(torch.no_grad())
        yield


def unet(fp8: bool = False) -> UNetModel:
    """SD1.5's, without values, in half precision."""
    with META:
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
    net = net.half().requires_grad_(False).eval()
    for layer in net.modules() if fp8 else ():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.to(torch.float8_e4m3fn)
    return net


def motion_model(on_card: bool, kind=V2) -> MotionModel:
    """A whole one, without values, in half precision."""
    with META:
        model = MotionModel(ModuleSpec(kind, WIDTHS, 32, has_mid=kind is V2), "calculated")
    model = model.to(META) if on_card else model.to_empty(device="cpu")
    return model.half().requires_grad_(False).eval()


@cache
def sampling(way: Way, frames: int, width: int, height: int, kind=V2) -> float:
    """GB that one call of the UNet takes: weights that are there, and everything else at its largest."""
    net, motion = unet(way.fp8), motion_model(not way.in_turn or way.kept == "lowvram", kind)
    rows = way.rows_of_frame * way.windows * frames
    x, t = (
        torch.empty(rows, 4, height // 8, width // 8, device=META, dtype=torch.float16),
        torch.empty(rows, device=META),
    )
    text, call = torch.empty(rows, 77, 768, device=META, dtype=torch.float16), CallFrames(frames)
    with ExitStack() as stack:
        stack.enter_context(as_on_a_card(way))
        in_turn = way.in_turn and way.kept != "lowvram"  # which moves them with its blocks
        transformers = [layer.temporal_transformer for layer in motion.layers()]
        stack.enter_context(on_device_in_turn(motion, transformers, META) if in_turn else ExitStack())
        stack.enter_context(mounted(net, motion, call, layers_named(net, "GroupNorm32")))
        if way.pieces:
            by_row = ["FeedForward"] if kind.groupnorm_over_frames else ["FeedForward", "ResBlock"]
            stack.enter_context(in_pieces([layer for name in by_row for layer in layers_named(net, name)]))
        alive = stack.enter_context(Alive([*stored(net), x]))
        alive.held = _bytes(value for value in stored(net) if value.device == META)  # the motion layers are in it
        if way.kept == "lowvram":
            stack.enter_context(_blocks_in_turn(net, alive))
        stack.enter_context(call.running(frames))
        stack.enter_context(Autocast())
        net(x, t, context=text)
    return alive.most / GB + (VAE + TEXT if way.kept == "all" else 0) + REST


@contextmanager
def _blocks_in_turn(net, alive: Alive):
    """As --lowvram does it: all but one block, with the motion layer in it, are off the card."""
    blocks = [net.time_embed, *net.input_blocks, net.middle_block, *net.output_blocks]
    alive.held = others = alive.held - sum(_bytes(stored(block)) for block in blocks)

    def move(block, args):
        alive.held = others + _bytes(stored(block))

    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(move).remove)
        yield


def decoding(way: Way, width: int, height: int) -> float:
    """GB that it takes to decode a frame, as the host does after sampling, one by one."""
    others = TEXT + _bytes(stored(unet(way.fp8))) / GB if way.kept == "all" else 0
    return _decoding(width, height) + VAE + others + REST


@cache
def _decoding(width: int, height: int) -> float:
    with META, redirect_stdout(io.StringIO()):  # it says what it is made of
        decoder = autoencoder.Decoder(
            ch=128,
            out_ch=3,
            ch_mult=(1, 2, 4, 4),
            num_res_blocks=2,
            attn_resolutions=[],
            in_channels=3,
            resolution=256,
            z_channels=4,
            attn_type="none",  # its attention at the smallest size takes less than its largest layers
        )
    decoder = decoder.half().requires_grad_(False).eval()
    z = torch.empty(1, 4, height // 8, width // 8, device=META, dtype=torch.float16)
    with as_on_a_card(Way()), Alive([*stored(decoder), z]) as alive, Autocast():
        decoder(z)
    return alive.most / GB


def stored(model: nn.Module) -> list[torch.Tensor]:
    """Its weights and buffers."""
    return list(model.state_dict().values())


def _bytes(values) -> int:
    return sum(value.nbytes for value in values)
